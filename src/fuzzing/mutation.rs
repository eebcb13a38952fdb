//! A few thousand mutations of good input: not a fuzzer, but enough to notice when a body is broken.

use crate::base::Rng;

/// Gives `body` each of `seeds` in turn, changed in up to four places, `rounds` times in all; and nothing at the end.
pub fn mutate(rounds: usize, seeds: &[&[u8]], body: fn(&[u8])) {
    let mut rng = Rng::new(4);
    for seed in seeds.iter().cycle().take(rounds) {
        let mut data = seed.to_vec();
        for _ in 0..rng.below(5) {
            let at = rng.below(data.len() as u32) as usize;
            match rng.below(4) {
                0 => data.truncate(at.max(1)),
                1 => data.insert(at, rng.next_u64() as u8),
                2 => data.extend_from_within(at..),
                _ => data[at] = rng.next_u64() as u8,
            }
        }
        body(&data);
    }
    body(b"");
}
