//! A peer at work: its stream, and what is known of it after each message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::wire::peer(bytes));
