//! The resume state: any bytes, whole or refused, and little believed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::resume::state(bytes));
