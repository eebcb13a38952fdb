//! How much of a turn may go into hashing and into storing: typed commands and other peers wait for it.

use core::time::Duration;
use sha1::{Digest, Sha1};
use std::time::Instant;

/// A turn does one kind of work about this long at most.
pub const SLICE: Duration = Duration::from_millis(10);
/// Bytes hashed to find out how fast this processor is: 0.1 ms with SHA instructions, 5 ms on a small router.
const SAMPLE_BYTES: usize = 256 << 10;
/// Bounds of what is hashed in a slice, in bytes: a processor that hashes 6 MB a second still gets its blocks done in the
/// time, and a fast one still looks around often.
const HASHED_BYTES: (usize, usize) = (64 << 10, 16 << 20);

/// Bytes that fit into a slice of time. It follows what they took: what a box can do is measured, never looked up, and
/// changes with whatever else it does.
#[derive(Debug)]
pub struct Pace {
    bytes: usize,
    least: usize,
    most: usize,
}

impl Pace {
    /// Begins with `bytes`; later it is at least `least` and at most `most`.
    pub fn new(bytes: usize, least: usize, most: usize) -> Self {
        Self { bytes: bytes.clamp(least, most), least, most }
    }

    /// That of hashing: at first, and at most, what this processor hashes in about 10 ms when nothing disturbs it, by
    /// measuring it; the better of two, as the first touches memory that is not there yet.
    pub fn of_hashing() -> Self {
        let sample = vec![0; SAMPLE_BYTES];
        let took = || {
            let start = Instant::now();
            core::hint::black_box(Sha1::digest(core::hint::black_box(&sample)));
            start.elapsed()
        };
        let bytes = hashed_bytes(took().min(took()));
        Self::new(bytes, HASHED_BYTES.0, bytes)
    }

    /// Bytes of the next slice.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A slice of so many bytes took so long: half of it fits if that was too long, twice as much if it was a whole one and
    /// short.
    pub fn took(&mut self, bytes: usize, time: Duration) {
        if time > SLICE {
            self.bytes = (self.bytes / 2).max(self.least);
        } else if bytes >= self.bytes && time < SLICE / 2 {
            self.bytes = (self.bytes * 2).min(self.most);
        }
    }
}

/// What a processor hashes in a slice that takes `sample` for [`SAMPLE_BYTES`].
fn hashed_bytes(sample: Duration) -> usize {
    let bytes = SLICE.as_micros() * SAMPLE_BYTES as u128 / sample.as_micros().max(1);
    usize::try_from(bytes).unwrap_or(usize::MAX).clamp(HASHED_BYTES.0, HASHED_BYTES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_processors_hash_less_in_a_turn() {
        let cases =
            [(0, 16 << 20), (130, 16 << 20), (2_500, 1 << 20), (5_000, 512 << 10), (60_000, 64 << 10)];
        for (sample_us, bytes) in cases {
            assert_eq!(hashed_bytes(Duration::from_micros(sample_us)), bytes, "{sample_us} us");
        }
        assert!((HASHED_BYTES.0..=HASHED_BYTES.1).contains(&Pace::of_hashing().bytes()));
    }

    /// The slices of a box that does so many bytes a millisecond, once they change no more.
    fn settled(bytes_per_ms: usize) -> usize {
        let mut pace = Pace::new(256 << 10, 64 << 10, 2 << 20);
        for _ in 0..20 {
            pace.took(pace.bytes(), Duration::from_micros((pace.bytes() * 1000 / bytes_per_ms) as u64));
        }
        pace.bytes()
    }

    #[test]
    fn slices_take_half_of_the_time_to_all_of_it_within_bounds() {
        let cases = [(4 << 20, 2 << 20), (250 << 10, 2 << 20), (100 << 10, 512 << 10), (30 << 10, 256 << 10)];
        for (bytes_per_ms, slice) in cases {
            assert_eq!(settled(bytes_per_ms), slice, "{bytes_per_ms} bytes/ms");
        }
        assert_eq!(settled(100), 64 << 10, "less is not worth a turn");
    }

    #[test]
    fn one_long_wait_is_soon_forgotten() {
        let mut pace = Pace::new(2 << 20, 64 << 10, 2 << 20);
        pace.took(5, Duration::from_secs(2));
        assert_eq!(pace.bytes(), 1 << 20);
        pace.took(64 << 10, Duration::from_millis(1));
        assert_eq!(pace.bytes(), 1 << 20, "what little takes says nothing about much");
        pace.took(1 << 20, Duration::from_millis(1));
        assert_eq!(pace.bytes(), 2 << 20);
    }
}
