//! The whole session as a list of operations, checked after each.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::session::script(bytes));
