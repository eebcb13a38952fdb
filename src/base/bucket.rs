//! How fast bytes may flow: a bucket of permits that fills at the rate and holds little, so that there are no bursts.

use crate::base::Instant;
use core::time::Duration;

/// The bucket holds what comes in this time. Over half a second no more than 1.4 times the rate can flow then.
const HELD: Duration = Duration::from_millis(200);
/// Permits are handed out this often: rarely enough to let the box sleep, often enough to flow smoothly.
const ROUND: Duration = Duration::from_millis(50);
/// Less than this is not worth a packet, in bytes.
const PACKET_BYTES: u64 = 1448;
const MICROS: u64 = 1_000_000;

/// A token bucket in bytes. Without a rate nothing is limited.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Bytes per second; 0: no limit.
    rate: u64,
    /// Permits, in millionths of a byte, so that no rounding adds up; negative is a debt.
    permits: i64,
    /// When the permits were counted.
    at: Instant,
}

impl Bucket {
    /// Lets `rate` bytes per second flow from now on; 0: any number.
    pub fn set_rate(&mut self, now: Instant, rate: u64) {
        *self = Self { rate, permits: 0, at: now };
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
        u64::try_from(self.permits).unwrap_or(0) / MICROS
    }

    /// `bytes` have flowed, with permits or without: what must be said is said, and is made up for later.
    pub fn take(&mut self, now: Instant, bytes: u64) {
        if self.rate > 0 {
            self.fill(now);
            self.permits = self.permits.saturating_sub(clamped(bytes.saturating_mul(MICROS)));
        }
    }

    /// When enough may flow to be worth it.
    pub fn round_due(&self) -> Instant {
        let lacking = clamped(self.round_bytes().saturating_mul(MICROS)).saturating_sub(self.permits);
        let micros = u64::try_from(lacking).unwrap_or(0).div_ceil(self.rate.max(1));
        self.at + Duration::from_micros(micros)
    }

    /// Bytes of a round that is worth it: never more than the bucket holds.
    pub fn round_bytes(&self) -> u64 {
        let usual = self.rate.saturating_mul(ROUND.as_millis() as u64) / 1000;
        let most = self.rate.saturating_mul(HELD.as_millis() as u64 * 3 / 4) / 1000;
        usual.max(most.min(PACKET_BYTES)).max(1)
    }

    fn fill(&mut self, now: Instant) {
        let micros = u64::try_from(self.at.until(now).as_micros()).unwrap_or(u64::MAX);
        let most = clamped(self.rate.saturating_mul(HELD.as_micros() as u64)).max(clamped(MICROS));
        self.permits = self.permits.saturating_add(clamped(micros.saturating_mul(self.rate))).min(most);
        self.at = self.at.max(now);
    }
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
        bucket.take(Instant::ZERO, 5000);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!([bucket.available(at(5)), bucket.available(at(6))], [0, 200]);
        assert!(bucket.round_due() <= at(6));
        bucket.set_rate(at(6), u64::MAX);
        bucket.take(at(7), u64::MAX);
        let _ = (bucket.available(at(u32::MAX.into())), bucket.round_due());
    }
}
