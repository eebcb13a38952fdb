//! Random swarms where there is little of something: of memory, of the line, of places.

use crate::swarm::{Narrow, run_narrow, run_seeds};
use swarmlet::base::units::KIB;

/// Seeds of each kind.
const SEEDS: u64 = 100;

/// Of a narrow line: hours of many turns.
const LINE_SEEDS: u64 = 8;

/// Runs so many seeds, unless `NARROW_SEEDS` says otherwise, in worlds that `narrow` makes of them.
fn complete(seeds: u64, narrow: impl Fn(u64) -> Narrow + Sync) {
    let seeds_named = std::env::var("NARROW_SEEDS").ok();
    let seeds = seeds_named.and_then(|text| text.parse().ok()).unwrap_or(seeds);
    let failed = run_seeds(0..seeds, |seed| run_narrow(seed, narrow(seed)));
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}

fn kib(numbers: &[u64], seed: u64) -> u64 {
    numbers[seed as usize % numbers.len()] * u64::from(KIB)
}

#[test]
fn swarms_with_little_memory_complete() {
    complete(SEEDS, |seed| Narrow {
        memory_bytes: Some(kib(&[256, 384, 512, 768], seed)),
        ..Narrow::default()
    });
}

#[test]
fn swarms_with_a_limit_of_the_line_complete() {
    complete(LINE_SEEDS, |seed| Narrow { down_limit: kib(&[2, 5, 20, 60], seed), ..Narrow::default() });
}

#[test]
fn swarms_with_two_places_complete() {
    complete(SEEDS, |_| Narrow { max_peers: Some(2), ..Narrow::default() });
}

#[test]
fn swarms_with_one_place_complete() {
    complete(SEEDS, |_| Narrow { max_peers: Some(1), ..Narrow::default() });
}
