//! The answer of a name server.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::names::dns(bytes));
