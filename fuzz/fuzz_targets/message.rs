//! One peer message: read, written, read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::wire::message_roundtrip(bytes));
