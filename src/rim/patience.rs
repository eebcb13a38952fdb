//! Waiting for a slow disk by asking it again and again, while the loop goes on.

use crate::base::Instant;
use crate::base::limits::{READ_PATIENCE, READ_PATIENCE_MAX, READ_POLL_INTERVAL};
use crate::rim::machine::Files;
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

    /// True, once, when it is time to ask again.
    pub(super) fn wakes(&mut self, now: Instant) -> bool {
        self.again.take_if(|again| *again <= now).is_some()
    }

    /// For how long it has been waited for.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// The answer was no: true if it is to be asked again, the later the longer it takes; false if `most` has passed since
    /// the first no.
    pub(super) fn lasts(&mut self, now: Instant, most: Duration) -> bool {
        let waited = now.since(*self.since.get_or_insert(now));
        let lasts = waited < most;
        let (least, longest) = READ_POLL_INTERVAL;
        self.again = lasts.then_some(now + (waited / 8).clamp(least, longest));
        lasts
    }

    /// It is done.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

/// True if bytes of `files` are to be waited for. What the disk refuses never comes: its error is seen by reading.
pub(super) fn waits_for_disk(
    files: &mut impl Files,
    (offset, length): (u64, usize),
    patience: &mut Patience,
    now: Instant,
) -> bool {
    if files.is_at_hand(offset, length) {
        return false;
    }
    let is_passed = patience.waited(now) >= READ_PATIENCE && files.is_passed(offset);
    patience.lasts(now, if is_passed { READ_PATIENCE } else { READ_PATIENCE_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn it_is_asked_again_until_patience_ends_and_then_from_the_start() {
        let most = Duration::from_millis(10);
        let mut patience = Patience::default();
        assert!(patience.is_due(at(0)) && patience.lasts(at(0), most));
        assert!(!patience.is_due(at(3)) && patience.is_due(at(4)));
        assert_eq!(patience.next_deadline(), Some(at(4)));
        assert!(!patience.wakes(at(3)) && patience.wakes(at(4)) && !patience.wakes(at(5)));
        assert!(patience.lasts(at(9), most) && !patience.lasts(at(10), most));
        assert!(patience.is_due(at(10)) && patience.next_deadline().is_none());
        patience.end();
        assert!(patience.lasts(at(20), most));
    }

    #[test]
    fn what_takes_long_is_asked_for_seldom() {
        let (mut patience, mut now, mut asked) = (Patience::default(), at(0), 0);
        while patience.lasts(now, READ_PATIENCE_MAX) {
            now = patience.next_deadline().expect("it lasts");
            asked += 1;
        }
        assert!((160..250).contains(&asked), "{asked} times in {READ_PATIENCE_MAX:?}");
    }
}
