//! The peer's stream: any cut of it gives the same items.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::wire::framer(bytes));
