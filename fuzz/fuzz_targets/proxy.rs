//! The answers of a proxy, and the texts that name one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::proxy::answers(bytes));
