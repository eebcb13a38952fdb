//! How many bytes may wait for the device: as many as it takes in a moment, found out by how long syncs take.

use crate::base::limits::{SYNC_AIM, UNSYNCED_BYTES_MAX, UNSYNCED_BYTES_MIN, UNSYNCED_PER_MEMORY};
use core::time::Duration;

/// How many bytes may wait for the device.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) bytes: u64,
    most: u64,
}

impl Bound {
    /// What that much memory allows at first.
    pub(super) fn new(memory_bytes: u64) -> Self {
        let most = memory_bytes.saturating_mul(UNSYNCED_PER_MEMORY);
        Self { bytes: UNSYNCED_BYTES_MIN, most: most.clamp(UNSYNCED_BYTES_MIN, UNSYNCED_BYTES_MAX) }
    }

    /// A sync of `bytes` took so long.
    pub(super) fn learn(&mut self, bytes: u64, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let aim_us = SYNC_AIM.as_micros() as u64;
        // Of a few bytes most of the time is not theirs; but a sync that takes too long is too long.
        if bytes >= self.bytes / 4 || took > SYNC_AIM {
            let fitting = bytes.saturating_mul(aim_us) / took_us;
            let fitting = fitting.clamp(self.bytes / 2, self.bytes * 2);
            self.bytes = fitting.clamp(UNSYNCED_BYTES_MIN, self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_bound_follows_the_device() {
        // Bytes per second; the bound that it comes to.
        let cases = [(1 << 18, 4 * MIB), (5 * MIB, 5 * MIB), (20 * MIB, 20 * MIB), (2_000 * MIB, 64 * MIB)];
        for (rate, expected) in cases {
            let mut bound = Bound::new(1 << 30);
            for _ in 0..30 {
                let bytes = bound.bytes / 2;
                bound.learn(bytes, Duration::from_micros(bytes * 1_000_000 / rate));
            }
            let (least, most) = (expected * 9 / 10, expected * 11 / 10);
            assert!((least..=most).contains(&bound.bytes), "{rate}: {}", bound.bytes);
        }
    }

    #[test]
    fn little_memory_bounds_what_waits() {
        for (memory, most) in [(0, 4 * MIB), (2 * MIB, 8 * MIB), (16 * MIB, 64 * MIB), (u64::MAX, 64 * MIB)] {
            assert_eq!(Bound::new(memory).most, most);
        }
    }
}
