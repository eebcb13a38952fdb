//! How much of a turn may go into hashing.

use core::time::Duration;
use sha1::{Digest, Sha1};
use std::time::Instant;

/// A turn hashes about this long at most: typed commands and other peers wait for it.
const SLICE: Duration = Duration::from_millis(10);
/// Bytes hashed to find out how fast this processor is: 0.1 ms with SHA instructions, 5 ms on a small router.
const SAMPLE_BYTES: usize = 256 << 10;
/// Bounds of the budget, in bytes: a processor that hashes 6 MB a second still gets its blocks done in the time, and a
/// fast one still looks around often.
const BUDGET_BYTES: (usize, usize) = (64 << 10, 16 << 20);

/// Bytes that this processor hashes in about 10 ms, by measuring it; the better of two, as the first touches
/// memory that is not there yet.
pub fn hash_budget_bytes() -> usize {
    let sample = vec![0; SAMPLE_BYTES];
    let took = || {
        let start = Instant::now();
        core::hint::black_box(Sha1::digest(core::hint::black_box(&sample)));
        start.elapsed()
    };
    budget_bytes(took().min(took()))
}

/// The budget of a processor that takes `sample` for [`SAMPLE_BYTES`].
fn budget_bytes(sample: Duration) -> usize {
    let bytes = SLICE.as_micros() * SAMPLE_BYTES as u128 / sample.as_micros().max(1);
    usize::try_from(bytes).unwrap_or(usize::MAX).clamp(BUDGET_BYTES.0, BUDGET_BYTES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_processors_hash_less_in_a_turn() {
        let cases =
            [(0, 16 << 20), (130, 16 << 20), (2_500, 1 << 20), (5_000, 512 << 10), (60_000, 64 << 10)];
        for (sample_us, budget) in cases {
            assert_eq!(budget_bytes(Duration::from_micros(sample_us)), budget, "{sample_us} us");
        }
        assert!((BUDGET_BYTES.0..=BUDGET_BYTES.1).contains(&hash_budget_bytes()));
    }
}
