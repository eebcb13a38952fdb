//! Waiting for a slow disk by asking it again and again, while the loop goes on.

use crate::base::Instant;
use core::time::Duration;

/// Since when something is waited for, and when it is asked for again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    again: Option<Instant>,
}

impl Patience {
    /// True if it is time to ask, for the first time or again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.again.is_none_or(|again| again <= now)
    }

    /// When to ask again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.again
    }

    /// The answer was no: true if it is to be asked again after `interval`, false if `most` has passed since the first
    /// no.
    pub(super) fn lasts(&mut self, now: Instant, interval: Duration, most: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        let lasts = now.since(since) < most;
        self.again = lasts.then_some(now + interval);
        lasts
    }

    /// It is done.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_again_until_patience_ends_and_then_from_the_start() {
        let (interval, most) = (Duration::from_millis(4), Duration::from_millis(10));
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut patience = Patience::default();
        assert!(patience.is_due(at(0)) && patience.lasts(at(0), interval, most));
        assert!(!patience.is_due(at(3)) && patience.is_due(at(4)));
        assert_eq!(patience.next_deadline(), Some(at(4)));
        assert!(patience.lasts(at(9), interval, most) && !patience.lasts(at(10), interval, most));
        assert!(patience.is_due(at(10)) && patience.next_deadline().is_none());
        patience.end();
        assert!(patience.lasts(at(20), interval, most));
    }
}
