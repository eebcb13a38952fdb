//! How fast bytes flow: an average that forgets, without a timer of its own.

use crate::base::Instant;

/// Time constant: after this long without bytes the rate has fallen to 1/e.
const MEMORY_S: f64 = 4.0;

/// An exponentially weighted rate in bytes per second. Costs a handful of floating-point operations per
/// `add`; knows nothing of ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    total_bytes: u64,
    /// Decayed bytes: rate × `MEMORY_S` in a steady flow.
    weight: f64,
    at: Instant,
    started: Option<Instant>,
}

impl Rate {
    /// Counts `bytes` that flowed by `now`.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.weight = self.decayed(now) + bytes as f64;
        self.at = now;
        self.started.get_or_insert(now);
        self.total_bytes += bytes;
    }

    /// Bytes per second around `now`.
    pub fn per_second(&self, now: Instant) -> u64 {
        // A young meter has not seen a whole memory of bytes yet; divide by what it has seen.
        let age = self.started.map_or(0.0, |started| now.since(started).as_secs_f64()).max(0.1);
        let seen = 1.0 - exp_minus(age / MEMORY_S);
        (self.decayed(now) / (MEMORY_S * seen)) as u64
    }

    /// All bytes ever counted.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn decayed(&self, now: Instant) -> f64 {
        let idle = now.since(self.at).as_secs_f64();
        self.weight * exp_minus(idle / MEMORY_S)
    }
}

/// About e⁻ˣ for x ≥ 0 (1 % too much at x = 1, and falling to zero as well), because `core` has no `exp`.
fn exp_minus(x: f64) -> f64 {
    let mut power = 1.0 / (1.0 + x / 64.0);
    for _ in 0..6 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_steady_flow_is_measured_and_forgotten() {
        let mut rate = Rate::default();
        let mut now = Instant::from_micros(1_000_000);
        for _ in 0..400 {
            rate.add(now, 10_000);
            now = now + Duration::from_millis(50);
        }
        let measured = rate.per_second(now);
        assert!((190_000..210_000).contains(&measured), "{measured}");
        assert!(rate.per_second(now + Duration::from_secs(60)) < 100);
        assert_eq!(rate.total_bytes(), 4_000_000);
    }

    #[test]
    fn a_young_meter_does_not_understate() {
        let mut rate = Rate::default();
        let start = Instant::from_micros(5);
        for step in 0..10 {
            rate.add(start + Duration::from_millis(100 * step), 100_000);
        }
        let measured = rate.per_second(start + Duration::from_secs(1));
        assert!((850_000..1_250_000).contains(&measured), "{measured}");
    }
}
