//! What is known of a peer from its answers: how fast and how soon of late, and in which rhythm.

use crate::base::Instant;
use crate::base::limits::{FIRST_BLOCK_PATIENCE, FLOW_FACTOR, SNUB_MAX, SNUB_MIN};
use core::time::Duration;

/// A value older than one to two of these gives way to newer ones.
const EPOCH: Duration = Duration::from_secs(5);

/// The most or least of the last one to two epochs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extreme {
    current: Option<u64>,
    last: Option<u64>,
    since: Instant,
}

impl Extreme {
    fn turn(&mut self, now: Instant) {
        if now.since(self.since) > EPOCH {
            self.last = self.current.take();
            self.since = now;
        }
    }

    /// Takes in a value of which the most counts.
    pub fn note_most(&mut self, now: Instant, value: u64) {
        self.turn(now);
        self.current = Some(self.current.map_or(value, |most| most.max(value)));
    }

    /// Takes in a value of which the least counts.
    pub fn note_least(&mut self, now: Instant, value: u64) {
        self.turn(now);
        self.current = Some(self.current.map_or(value, |least| least.min(value)));
    }

    /// True if there was a value in the last one to two epochs.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now.since(self.since) <= EPOCH * 2
    }

    /// The most of late.
    pub fn most(&self) -> Option<u64> {
        self.current.max(self.last)
    }

    /// The least of late.
    pub fn least(&self) -> Option<u64> {
        self.current.into_iter().chain(self.last).min()
    }
}

/// A request is timed with an empty queue this often: before what the last one showed has given way.
const PROBE_INTERVAL: Duration = Duration::from_secs(4);

/// When to let a peer's queue run empty. The time that an answer takes has the queue in it, and a window made for that time
/// makes the queue longer: without an empty one now and then, both would grow for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    due: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Resting,
    /// Nothing is asked for until the queue is short.
    Draining,
    /// The request sent then found it short; the others follow at once.
    Timing(Instant),
}

impl Probe {
    /// True while the window is to be narrow.
    pub fn is_draining(&self) -> bool {
        matches!(self.stage, Stage::Draining)
    }

    /// A request is sent, which the window allowed.
    pub fn sent(&mut self, now: Instant) {
        if self.is_draining() {
            self.stage = Stage::Timing(now);
        }
    }

    /// The block of a request from `sent` has arrived.
    pub fn arrived(&mut self, now: Instant, sent: Instant) {
        match self.stage {
            Stage::Resting if self.due <= now => self.stage = Stage::Draining,
            Stage::Timing(since) if since <= sent => {
                *self = Self { due: now + PROBE_INTERVAL, stage: Stage::Resting };
            }
            _ => {}
        }
    }
}

/// A peer's own rhythm: mean and deviation of the time between its blocks.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    last: Instant,
    /// When bytes of a block came last.
    flowed: Instant,
    mean_us: u64,
    deviation_us: u64,
    has_beaten: bool,
}

impl Default for Rhythm {
    fn default() -> Self {
        let (last, flowed) = (Instant::ZERO, Instant::ZERO);
        Self { last, flowed, mean_us: 0, deviation_us: 0, has_beaten: false }
    }
}

impl Rhythm {
    /// The peer owes a block from now on, after owing none.
    pub fn starts(&mut self, now: Instant) {
        self.last = now;
    }

    /// For so long nothing could be heard.
    pub fn pauses(&mut self, time: Duration) {
        (self.last, self.flowed) = (self.last + time, self.flowed + time);
    }

    /// Bytes of a block have come.
    pub fn flows(&mut self, now: Instant) {
        self.flowed = now;
    }

    /// A block has arrived.
    pub fn beats(&mut self, now: Instant) {
        let gap = now.since(self.last).as_micros() as u64;
        self.last = now;
        if !self.has_beaten {
            self.has_beaten = true;
            (self.mean_us, self.deviation_us) = (gap, gap / 2);
            return;
        }
        let off = gap.abs_diff(self.mean_us);
        self.mean_us = (self.mean_us * 7 + gap) / 8;
        self.deviation_us = (self.deviation_us * 3 + off) / 4;
    }

    /// When the silence will have been too long. As long as bytes come it is none, but a block must not take for ever.
    pub fn deadline(&self) -> Instant {
        let patience = self.patience();
        (self.last.max(self.flowed) + patience).min(self.last + patience * FLOW_FACTOR)
    }

    /// How long a silence may be.
    pub fn patience(&self) -> Duration {
        if !self.has_beaten {
            return FIRST_BLOCK_PATIENCE;
        }
        let patience = Duration::from_micros(self.mean_us + 4 * self.deviation_us);
        patience.clamp(SNUB_MIN, SNUB_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_drains_times_one_request_and_rests() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut probe = Probe::default();
        assert!(!probe.is_draining());
        probe.arrived(at(1000), at(900));
        assert!(probe.is_draining());
        probe.arrived(at(1010), at(910));
        assert!(probe.is_draining(), "what was sent before says nothing");
        probe.sent(at(1100));
        assert!(!probe.is_draining(), "one request is enough");
        probe.sent(at(1150));
        probe.arrived(at(1160), at(1050));
        probe.arrived(at(1200), at(1100));
        probe.arrived(at(1199) + PROBE_INTERVAL, at(1150));
        assert!(!probe.is_draining(), "it rests");
        probe.arrived(at(1200) + PROBE_INTERVAL, at(1300));
        assert!(probe.is_draining());
    }
}
