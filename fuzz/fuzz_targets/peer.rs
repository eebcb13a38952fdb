//! The whole stream of a peer, handshake and messages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::wire::peer(bytes));
