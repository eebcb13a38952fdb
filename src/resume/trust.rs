//! Which changes of the files can only be ours: all that were made while we were there to make them.

use super::{Present, Pulse, Stamp, State};
use crate::base::limits::{STAMP_GRAIN, STATE_AGE_MAX};
use core::time::Duration;

/// What changed so shortly before the machine was started, or later, may have been changed after that: the clock that goes
/// on while it is off is not exact, and is read in whole seconds.
const BOOT_MARGIN: Duration = Duration::from_secs(5);
/// The clock was set if the time at which the machine was started has moved by more than this, which is what asking two
/// clocks one after the other may take on a busy machine.
const CLOCK_SET_MIN: Duration = Duration::from_millis(10);
const SECOND_NS: i64 = 1_000_000_000;
/// exFAT keeps times in units of ten milliseconds.
const HUNDREDTH_NS: i64 = 10_000_000;

/// How far a time of change may be taken for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// We were there until then. What others have changed after us has this time or a later one.
    alive_ns: i64,
    /// Before that, a file that was not finished can have been changed by nobody else; `None` if that is not known.
    ours_until_ns: Option<i64>,
    /// The clock has not been set since.
    is_steady: bool,
}

impl Trust {
    /// What can be said for a state, `bytes`, at present.
    pub(super) fn new(state: &State, bytes: &[u8], present: &Present<'_>) -> Self {
        let Present { era, wall, .. } = present;
        let is_known = wall.boot_ns != 0 && state.boot_ns != 0;
        let moved_ns = wall.boot_ns.saturating_sub(state.boot_ns).saturating_abs();
        let same_boot = era.is_same_boot(&state.era) && is_known && moved_ns <= nanos(CLOCK_SET_MIN);
        let other_boot = era.is_another_boot(&state.era) && is_known && wall.kept;
        let pulse = Pulse::of(bytes)
            .map(|Pulse(pulse_ns)| pulse_ns)
            .filter(|_| same_boot && !era.is_another_mounting(&state.era))
            .filter(|pulse_ns| (state.written_ns..=wall.now_ns).contains(pulse_ns));
        let latest_ns = state.written_ns.saturating_add(nanos(STATE_AGE_MAX));
        let before_boot_ns = latest_ns.min(wall.boot_ns.saturating_sub(nanos(BOOT_MARGIN)));
        let ours_until_ns = if other_boot { Some(before_boot_ns) } else { pulse };
        Self {
            alive_ns: pulse.unwrap_or(state.written_ns),
            ours_until_ns: ours_until_ns.filter(|_| !state.is_final),
            is_steady: same_boot || other_boot,
        }
    }

    /// True if a file that was as `then`, and is as `now`, was changed by nobody but us. Of a file that was finished nobody
    /// had any more to write.
    pub(super) fn is_ours(&self, then: Stamp, now: Stamp, is_finished: bool) -> bool {
        let is_coarse = grain_ns(then.changed_ns) > 1;
        let is_unchanged = now.changed_ns == then.changed_ns
            && is_over(then.changed_ns, self.alive_ns)
            && (self.is_steady || !is_coarse);
        let is_later = now.changed_ns >= then.changed_ns
            && self.ours_until_ns.is_some_and(|until_ns| is_over(now.changed_ns, until_ns));
        if is_finished {
            now.length == then.length && is_unchanged
        } else {
            now.length >= then.length && (is_unchanged || is_later)
        }
    }
}

/// True if nothing that is changed at `at_ns` or later can be stamped with `stamp_ns`.
fn is_over(stamp_ns: i64, at_ns: i64) -> bool {
    stamp_ns.saturating_add(grain_ns(stamp_ns)) <= at_ns
}

/// The unit in which the file system keeps times, in nanoseconds, as far as one of them tells. 1: the kernel's clock is
/// kept as it is.
pub fn grain_ns(stamp_ns: i64) -> i64 {
    if stamp_ns % SECOND_NS == 0 {
        // The coarsest, and as much again, as a server's clock may differ from ours.
        2 * nanos(STAMP_GRAIN)
    } else if stamp_ns % HUNDREDTH_NS == 0 {
        HUNDREDTH_NS
    } else {
        1
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::{Era, Wall, tests::sample};

    const S: i64 = SECOND_NS;
    const MS: i64 = S / 1000;
    const BOOT: Era = Era([9; 24]);
    const OTHER_BOOT: Era = Era([8; 24]);
    /// Written two minutes after the start of the machine.
    const WRITTEN: i64 = 1_700_000_000 * S + 5;
    const STARTED: i64 = WRITTEN - 120 * S;
    const WALL: Wall = Wall { now_ns: WRITTEN + 100 * S, boot_ns: STARTED, kept: true };
    /// The machine was started again twelve seconds after.
    const LATER_WALL: Wall = Wall { boot_ns: WRITTEN + 12 * S, ..WALL };
    const THEN: Stamp = Stamp { length: 10, changed_ns: WRITTEN - 2 * S + 7 };

    fn trust(pulse: Option<i64>, era: Era, wall: Wall) -> Trust {
        let state = State { era: BOOT, written_ns: WRITTEN, boot_ns: STARTED, ..sample() };
        let mut bytes = state.encode();
        if let Some(pulse_ns) = pulse {
            let at = bytes.len() - super::super::PULSE_BYTES;
            bytes[at..].copy_from_slice(&Pulse(pulse_ns).bytes());
        }
        Trust::new(&state, &bytes, &Present { stamps: &[], era, wall })
    }

    /// Whether a file that was not finished, and changed so long after the state was written, is believed.
    fn believes(trust: Trust, after_ns: i64) -> bool {
        trust.is_ours(THEN, Stamp { length: 10, changed_ns: WRITTEN + after_ns }, false)
    }

    #[test]
    fn after_a_kill_what_changed_before_the_last_pulse_is_ours_and_nothing_later() {
        let alive = trust(Some(WRITTEN + 4 * S), BOOT, WALL);
        let cases = [(-S, true), (0, true), (4 * S - 1, true), (4 * S, false), (4 * S + MS, false)];
        for (after_ns, expected) in cases {
            assert_eq!(believes(alive, after_ns), expected, "{after_ns}");
        }
        assert!(!believes(alive, -2 * S), "changed before what was noted");
    }

    #[test]
    fn a_pulse_that_may_be_wrong_is_none() {
        let pulse = Some(WRITTEN + 4 * S);
        let boot_of = |boot_ns| Wall { boot_ns, ..WALL };
        let mut remounted = BOOT;
        remounted.0[23] = 1;
        let mut mounting_unknown = BOOT;
        mounting_unknown.0[16..].fill(0);
        let cases = [
            (pulse, BOOT, WALL, true),
            (pulse, mounting_unknown, WALL, true),
            (pulse, BOOT, boot_of(STARTED + 5 * MS), true),
            (pulse, remounted, WALL, false),
            (pulse, OTHER_BOOT, WALL, false),
            (pulse, Era::default(), WALL, false),
            // Set back or forward, or a clock of which nothing is known.
            (pulse, BOOT, boot_of(STARTED - S), false),
            (pulse, BOOT, boot_of(STARTED + S), false),
            (pulse, BOOT, boot_of(0), false),
            (pulse, BOOT, Wall { now_ns: WRITTEN + 4 * S - 1, ..WALL }, false),
            (Some(WRITTEN - 1), BOOT, WALL, false),
            (None, BOOT, WALL, false),
        ];
        for (pulse, era, wall, expected) in cases {
            let trust = trust(pulse, era, wall);
            assert_eq!(believes(trust, S), expected, "{pulse:?} {era:?} {wall:?}");
            assert!(trust.is_ours(THEN, THEN, false), "what has not changed is believed in any case");
        }
    }

    #[test]
    fn after_another_start_of_the_machine_what_changed_before_it_is_ours() {
        let margin = nanos(BOOT_MARGIN);
        let soon = trust(None, OTHER_BOOT, LATER_WALL);
        let late = trust(None, OTHER_BOOT, Wall { boot_ns: WRITTEN + 90 * S, ..WALL });
        let cases = [
            (soon, S, true),
            (soon, 12 * S - margin - 1, true),
            (soon, 12 * S - margin, false),
            (soon, 13 * S, false),
            (late, 29 * S, true),
            (late, 30 * S, false),
            (trust(None, OTHER_BOOT, Wall { kept: false, ..LATER_WALL }), S, false),
            (trust(None, OTHER_BOOT, Wall { boot_ns: 0, ..LATER_WALL }), S, false),
            (trust(None, Era::default(), LATER_WALL), S, false),
            // A clock that began anew: this boot seems to be before the last one.
            (trust(None, OTHER_BOOT, Wall { boot_ns: S, ..WALL }), S, false),
        ];
        for (trust, after_ns, expected) in cases {
            assert_eq!(believes(trust, after_ns), expected, "{trust:?} {after_ns}");
        }
    }

    #[test]
    fn after_a_clean_end_nothing_that_changed_is_ours() {
        let state = State { era: BOOT, written_ns: WRITTEN, boot_ns: STARTED, is_final: true, ..sample() };
        let mut bytes = state.encode();
        let at = bytes.len() - super::super::PULSE_BYTES;
        bytes[at..].copy_from_slice(&Pulse(WRITTEN + 4 * S).bytes());
        for (era, wall) in [(BOOT, WALL), (OTHER_BOOT, LATER_WALL)] {
            let trust = Trust::new(&state, &bytes, &Present { stamps: &[], era, wall });
            assert!(trust.is_ours(THEN, THEN, false) && !believes(trust, S), "{era:?}");
        }
    }

    #[test]
    fn a_finished_file_has_to_be_exactly_what_it_was() {
        let alive = trust(Some(WRITTEN + 4 * S), BOOT, WALL);
        let at = |changed_ns| Stamp { changed_ns, ..THEN };
        assert!(alive.is_ours(THEN, THEN, true));
        assert!(!alive.is_ours(THEN, at(THEN.changed_ns + 1), true));
        assert!(!alive.is_ours(THEN, at(THEN.changed_ns - 1), true));
        assert!(!alive.is_ours(THEN, Stamp { length: 11, ..THEN }, true));
        assert!(alive.is_ours(THEN, Stamp { length: 11, ..THEN }, false));
        assert!(!alive.is_ours(THEN, Stamp { length: 9, ..THEN }, false));
    }

    #[test]
    fn a_time_that_a_later_change_could_have_as_well_tells_nothing() {
        // The file as it was, how long we lived after the state, and what is said of the file if it is the same.
        let even = (WRITTEN / S) * S;
        let hundredth = WRITTEN / HUNDREDTH_NS * HUNDREDTH_NS - HUNDREDTH_NS;
        let grain = 2 * nanos(STAMP_GRAIN);
        let cases = [
            (WRITTEN - 1, None, true),
            (WRITTEN, None, false),
            (WRITTEN, Some(0), false),
            (WRITTEN, Some(MS), true),
            (even, Some(grain - MS), false),
            (even, Some(grain), true),
            (even - grain, None, true),
            (even - grain + S, None, false),
            (hundredth, None, true),
        ];
        for (changed_ns, lived_ns, expected) in cases {
            let trust = trust(lived_ns.map(|lived_ns| WRITTEN + lived_ns), BOOT, WALL);
            let file = Stamp { length: 10, changed_ns };
            assert_eq!(trust.is_ours(file, file, true), expected, "{changed_ns} {lived_ns:?}");
        }
        // A clock that was set back may show a coarse time again, and a fine one never.
        let set = trust(None, BOOT, Wall { boot_ns: STARTED - 3 * S, ..WALL });
        let coarse = Stamp { length: 10, changed_ns: even - 60 * S };
        assert!(set.is_ours(THEN, THEN, true) && !set.is_ours(coarse, coarse, true));
    }

    #[test]
    fn times_at_the_ends_do_no_harm() {
        for (pulse, now_ns, boot_ns) in [(i64::MAX, i64::MAX, i64::MIN), (i64::MIN, i64::MIN, i64::MAX)] {
            for era in [BOOT, OTHER_BOOT] {
                let trust = trust(Some(pulse), era, Wall { now_ns, boot_ns, kept: true });
                for changed_ns in [i64::MIN, -1, 0, i64::MAX] {
                    let wild = Stamp { length: u64::MAX, changed_ns };
                    assert!(!trust.is_ours(THEN, wild, false), "{pulse} {changed_ns}");
                }
            }
        }
    }
}
