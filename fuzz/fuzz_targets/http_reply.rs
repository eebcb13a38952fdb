//! An HTTP reply: head, body by length, chunks or close.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::tracker::http_reply(bytes));
