//! How fast bytes may flow: a bucket of permits that fills at the rate and holds little, so that there are no bursts.

use crate::base::Instant;
use core::time::Duration;

/// The bucket holds what comes in this time. Over half a second no more than 1.4 times the rate can flow then.
const HELD: Duration = Duration::from_millis(200);
/// Permits are handed out this often: rarely enough to let the box sleep, often enough to flow smoothly.
const ROUND: Duration = Duration::from_millis(50);
/// Of what has flowed without a permit, what comes in this time is made up for, and no more: else much that had to be said
/// would leave nothing to be said otherwise for long.
const DEBT: Duration = Duration::from_secs(5);
/// Less than this is not worth a packet, in bytes.
const PACKET_BYTES: u64 = 1448;
const MICROS: u64 = 1_000_000;

/// A token bucket in bytes. Without a rate nothing is limited.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Bytes per second; 0: no limit.
    rate: u64,
    /// Permits, in millionths of a byte, so that no rounding adds up.
    permits: u64,
    /// What has flowed without, in the same unit. Half of what comes in makes up for it.
    debt: u64,
    /// When the permits were counted.
    at: Instant,
}

impl Bucket {
    /// Lets `rate` bytes per second flow from now on; 0: any number.
    pub fn set_rate(&mut self, now: Instant, rate: u64) {
        *self = Self { rate, permits: 0, debt: 0, at: now };
    }

    /// Bytes per second; `None` if nothing is limited.
    pub fn rate(&self) -> Option<u64> {
        Some(self.rate).filter(|&rate| rate > 0)
    }

    /// Bytes that may flow at `now`.
    pub fn available(&mut self, now: Instant) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        self.fill(now);
        self.permits / MICROS
    }

    /// `bytes` have flowed, with permits or without: what must be said is said, and is made up for later.
    pub fn take(&mut self, now: Instant, bytes: u64) {
        if self.rate > 0 {
            self.fill(now);
            let taken = bytes.saturating_mul(MICROS);
            let owed = self.debt.saturating_add(taken.saturating_sub(self.permits));
            self.debt = owed.min(self.coming_in(DEBT));
            self.permits = self.permits.saturating_sub(taken);
        }
    }

    /// When enough may flow to be worth it.
    pub fn round_due(&self) -> Instant {
        let lacking = self.round_bytes().saturating_mul(MICROS).saturating_sub(self.permits);
        let coming = lacking.saturating_add(lacking.min(self.debt));
        self.at + Duration::from_micros(coming.div_ceil(self.rate.max(1)))
    }

    /// Bytes of a round that is worth it: never more than the bucket holds.
    pub fn round_bytes(&self) -> u64 {
        let usual = self.rate.saturating_mul(ROUND.as_millis() as u64) / 1000;
        let most = self.rate.saturating_mul(HELD.as_millis() as u64 * 3 / 4) / 1000;
        usual.max(most.min(PACKET_BYTES)).max(1)
    }

    fn fill(&mut self, now: Instant) {
        let came = self.coming_in(self.at.until(now));
        let made_up = self.debt.min(came / 2);
        self.debt -= made_up;
        self.permits = self.permits.saturating_add(came - made_up).min(self.coming_in(HELD).max(MICROS));
        self.at = self.at.max(now);
    }

    /// Permits of so much time.
    fn coming_in(&self, time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What flows in each tenth of a second when somebody always wants to send.
    fn flow(rate: u64, tenths: usize) -> alloc::vec::Vec<u64> {
        let start = Instant::from_micros(7_000_000);
        let (mut bucket, mut now) = (Bucket::default(), start);
        bucket.set_rate(now, rate);
        let mut flowed = alloc::vec![0; tenths];
        while let Some(slot) = flowed.get_mut((start.until(now).as_millis() / 100) as usize) {
            let bytes = bucket.available(now);
            bucket.take(now, bytes);
            *slot += bytes;
            // A box that always wakes up a little late.
            now = bucket.round_due() + Duration::from_millis(7);
        }
        flowed
    }

    #[test]
    fn the_rate_is_kept_exactly_and_without_bursts() {
        for rate in [1 << 10, 20 << 10, 1 << 20, 1 << 30, 1 << 40] {
            let flowed = flow(rate, 100);
            let total: u64 = flowed.iter().sum();
            let (least, most) = (rate * 10 * 97 / 100, rate * 10 * 103 / 100);
            assert!((least..=most).contains(&total), "{rate}: {total}");
            let burst = flowed.windows(5).map(|half| half.iter().sum::<u64>()).max().unwrap();
            assert!(burst <= rate / 2 * 3 / 2, "{rate}: {burst} in half a second");
        }
    }

    #[test]
    fn an_idle_bucket_does_not_save_up() {
        let mut bucket = Bucket::default();
        let later = Instant::ZERO + Duration::from_secs(3600);
        assert_eq!((bucket.available(later), bucket.rate()), (u64::MAX, None));
        bucket.set_rate(Instant::ZERO, 1000);
        assert_eq!(bucket.available(later), 200);
    }

    #[test]
    fn a_debt_is_made_up_for() {
        let mut bucket = Bucket::default();
        bucket.set_rate(Instant::ZERO, 1000);
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        bucket.take(Instant::ZERO, 1000);
        assert_eq!([bucket.available(at(0)), bucket.available(at(100))], [0, 50], "half of what comes in");
        assert_eq!(bucket.round_due(), at(300));
        bucket.take(at(100), 50);
        assert_eq!(bucket.round_due(), at(400));
        // What was made up for by then is not made up for again.
        bucket.available(at(1900));
        bucket.take(at(1900), 200);
        assert_eq!([bucket.available(at(2000)), bucket.available(at(2100))], [50, 150]);
    }

    #[test]
    fn a_debt_is_bounded_and_leaves_half_of_what_comes_in() {
        let (mut bucket, at) = (Bucket::default(), |ms| Instant::ZERO + Duration::from_millis(ms));
        bucket.set_rate(at(0), 1000);
        for ms in 0..100 {
            bucket.take(at(ms * 100), 1_000_000);
            assert_eq!(bucket.available(at(ms * 100 + 100)), 50, "whatever has to be said");
        }
        for ms in 100..199 {
            bucket.take(at(ms * 100), 50);
            assert_eq!(bucket.available(at(ms * 100 + 100)), 50);
        }
        bucket.take(at(19_900), 50);
        assert_eq!(bucket.available(at(20_000)), 100, "twice as long as what it was");
        bucket.set_rate(at(30_000), u64::MAX);
        bucket.take(at(31_000), u64::MAX);
        let _ = (bucket.available(at(u32::MAX.into())), bucket.round_due());
    }
}
