//! The answer of a UDP tracker.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::tracker::udp_tracker(bytes));
