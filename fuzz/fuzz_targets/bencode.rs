//! Bencode: any bytes, within the bounds or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| swarmlet::fuzzing::meta::bencode(bytes));
