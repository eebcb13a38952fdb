//! When progress is told: often enough to be of use, never twice the same, and without waking an idle box.

use crate::app::progress::Sum;
use crate::base::Instant;
use std::time::Duration;

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One line redrawn in place: at most twice a second, and only if it changed.
    Redrawn,
    /// A line of its own now and then: after ten seconds and then when it is worth one.
    Lines,
    /// An object a second, if anything changed.
    Objects,
    /// Never.
    Silent,
}

impl Pace {
    fn interval(self) -> Duration {
        match self {
            Self::Redrawn => Duration::from_millis(500),
            Self::Lines => Duration::from_secs(10),
            Self::Objects | Self::Silent => Duration::from_secs(1),
        }
    }
}

/// A plain line is due after this long, even if less than a percent has come.
const QUIET_MAX: Duration = Duration::from_secs(5 * 60);

/// Remembers what was told, so that nothing is told twice and an idle box is not woken.
#[derive(Debug)]
pub struct Timetable {
    pace: Pace,
    /// When we looked last.
    looked: Option<Instant>,
    /// When we told something last, and what.
    told: Option<(Instant, Sum)>,
}

impl Timetable {
    /// Nothing has been told yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, looked: None, told: None }
    }

    /// When the state is to be looked at. A plain line waits for ten seconds at the start, too.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        match (self.pace, self.looked) {
            (Pace::Silent, _) => None,
            (Pace::Lines, None) => {
                self.looked = Some(now);
                Some(now + self.pace.interval())
            }
            (_, None) => Some(now),
            (_, Some(looked)) => Some(looked + self.pace.interval()),
        }
    }

    /// The state at `now`: true if it is to be told, and when to look again although nothing happens.
    pub fn look(&mut self, now: Instant, sum: &Sum) -> (bool, Option<Instant>) {
        self.looked = Some(now);
        let is_worth_it = match (&self.told, self.pace) {
            (_, Pace::Silent) => false,
            (None, Pace::Lines) => sum.is_moving(),
            (None, _) => true,
            (Some((at, told)), Pace::Lines) => {
                let steps = sum.permille().abs_diff(told.permille());
                steps >= 10 || sum.doing() != told.doing() || (told != sum && now.since(*at) >= QUIET_MAX)
            }
            (Some((_, told)), _) => told != sum,
        };
        if is_worth_it {
            self.told = Some((now, sum.clone()));
        }
        let again = (is_worth_it || sum.is_moving()) && self.pace != Pace::Silent;
        (is_worth_it, again.then(|| now + self.pace.interval()))
    }

    /// What was told is no longer on the screen: tell it again at once.
    pub fn forget(&mut self) {
        if self.pace == Pace::Redrawn {
            (self.looked, self.told) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::text::tests::torrent_status;
    use crate::session::{Status, TorrentStatus};

    fn seconds(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    /// So many hundredths of a percent done, at this rate.
    fn sum(done_bytes: u64, down_rate: u64) -> Sum {
        let torrent = TorrentStatus { size_bytes: 10_000, done_bytes, down_rate, ..torrent_status() };
        Sum::of(&Status { torrents: vec![torrent], ..Status::default() })
    }

    #[test]
    fn an_idle_box_is_not_woken() {
        for pace in [Pace::Redrawn, Pace::Lines, Pace::Objects] {
            let still = sum(50, 0);
            let mut table = Timetable::new(pace);
            table.look(seconds(0), &still);
            assert_eq!(table.look(seconds(20), &still), (false, None), "{pace:?}");
        }
        assert_eq!(Timetable::new(Pace::Silent).due(seconds(0)), None);
    }

    #[test]
    fn a_redrawn_line_is_drawn_twice_a_second_at_most() {
        let mut table = Timetable::new(Pace::Redrawn);
        assert_eq!(table.due(seconds(1)), Some(seconds(1)));
        let next = seconds(1) + Duration::from_millis(500);
        assert_eq!(table.look(seconds(1), &sum(50, 9)), (true, Some(next)));
        assert_eq!(table.due(seconds(1)), Some(next));
        assert!(!table.look(next, &sum(50, 9)).0);
        table.forget();
        assert_eq!(table.due(next), Some(next));
        assert!(table.look(next, &sum(50, 9)).0);
    }

    #[test]
    fn plain_lines_come_by_the_percent() {
        let mut table = Timetable::new(Pace::Lines);
        assert_eq!(table.due(seconds(0)), Some(seconds(10)));
        assert!(table.look(seconds(10), &sum(1_000, 9)).0);
        assert!(!table.look(seconds(20), &sum(1_050, 9)).0);
        assert!(table.look(seconds(30), &sum(1_100, 9)).0);
        assert!(!table.look(seconds(300), &sum(1_150, 9)).0);
        assert!(table.look(seconds(331), &sum(1_150, 9)).0);
    }
}
