//! The 68 bytes with which a peer introduces itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::wire::handshake(bytes));
