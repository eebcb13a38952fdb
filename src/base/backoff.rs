//! How long to wait after failures: twice as long each time, and never all at the same moment.

use crate::base::Rng;
use core::time::Duration;

/// The wait after the `failures`th failure in a row (from 1): `min` doubled with each, at most `max`, and then a
/// random share of 75 to 100 percent of it, so that many who failed together do not come back together.
pub fn backoff(failures: u8, min: Duration, max: Duration, rng: &mut Rng) -> Duration {
    let doublings = u32::from(failures.saturating_sub(1)).min(30);
    let wait = min.saturating_mul(1 << doublings).min(max);
    wait.mul_f64(0.75) + wait.mul_f64(0.25 * f64::from(rng.below(1001)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let (min, max) = (Duration::from_secs(10), Duration::from_secs(60));
        let mut rng = Rng::new(5);
        for (failures, full) in [(0, 10), (1, 10), (2, 20), (3, 40), (4, 60), (200, 60), (255, 60)] {
            let full = Duration::from_secs(full);
            for _ in 0..50 {
                let wait = backoff(failures, min, max, &mut rng);
                assert!(full.mul_f64(0.74) < wait && wait <= full, "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn waits_differ() {
        let mut rng = Rng::new(5);
        let mut wait = || backoff(1, Duration::from_secs(10), Duration::from_secs(60), &mut rng);
        assert_ne!(wait(), wait());
    }
}
