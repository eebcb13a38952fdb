//! The bencoded answer to an announce.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::tracker::tracker_reply(bytes));
