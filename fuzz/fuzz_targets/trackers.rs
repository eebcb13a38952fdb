//! All trackers of a torrent, told facts in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::tracker::trackers(bytes));
