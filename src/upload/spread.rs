//! Which pieces a seed would like each peer to take: every peer others, so that nothing leaves the seed twice while
//! something has not left it once.

use crate::base::limits::{RUN_PIECES_MAX, SPREAD_LAP_MIN, SPREAD_STEPS_MAX};
use crate::base::{Instant, Rng};
use core::ops::Range;

/// Deals the pieces of a torrent out in runs, in the order of the torrent from a random place on: a run is stored as a
/// whole by who gets it, and read as a whole from our disk.
#[derive(Debug, Default)]
pub struct Spread {
    pieces: u32,
    next: u32,
    /// Pieces that have not been looked at in this lap.
    left: u32,
    /// When the lap ended, if another one may follow.
    ended: Option<Instant>,
}

impl Spread {
    /// Nothing of `pieces` is dealt out. `belong` says that a piece and the one before it belong to one run.
    pub fn new(pieces: u32, rng: &mut Rng, belong: impl Fn(u32) -> bool) -> Self {
        let mut next = rng.below(pieces.max(1));
        while next > 0 && belong(next) {
            next -= 1;
        }
        Self { pieces, next, left: pieces, ended: None }
    }

    /// When everything has been dealt out, what nobody has is dealt out again after a while.
    pub fn repeat(&mut self, now: Instant) {
        if self.left == 0 && self.ended.get_or_insert(now).until(now) >= SPREAD_LAP_MIN {
            (self.left, self.ended) = (self.pieces, None);
        }
    }

    /// The next run of pieces that `lacks` says nobody has. `None` if there is none, or none has been found yet.
    pub fn deal(&mut self, lacks: impl Fn(u32) -> bool, belong: impl Fn(u32) -> bool) -> Option<Range<u32>> {
        for _ in 0..SPREAD_STEPS_MAX {
            if self.left == 0 {
                return None;
            }
            let start = self.step();
            if lacks(start) {
                let mut end = start + 1;
                let most = start.saturating_add(RUN_PIECES_MAX);
                while self.left > 0 && self.next == end && end < most && belong(end) && lacks(end) {
                    self.step();
                    end += 1;
                }
                return Some(start..end);
            }
        }
        None
    }

    /// True if every piece has been looked at.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    fn step(&mut self) -> u32 {
        let piece = self.next;
        self.next = if piece + 1 < self.pieces { piece + 1 } else { 0 };
        self.left -= 1;
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const START: Instant = Instant::from_micros(1_000_000);

    /// Four pieces make a run.
    fn belong(piece: u32) -> bool {
        !piece.is_multiple_of(4)
    }

    #[test]
    fn each_piece_is_dealt_out_once_in_a_lap() {
        for seed in 0..20 {
            let mut spread = Spread::new(30, &mut Rng::new(seed), belong);
            let mut runs = Vec::new();
            while let Some(run) = spread.deal(|_| true, belong) {
                assert!(run.start.is_multiple_of(4) && run.len() == if run.start == 28 { 2 } else { 4 });
                runs.push(run);
            }
            runs.sort_by_key(|run| run.start);
            let dealt: Vec<u32> = runs.into_iter().flatten().collect();
            assert_eq!(dealt, (0..30).collect::<Vec<_>>());
            assert!(spread.is_over());
        }
    }

    #[test]
    fn of_tiny_pieces_a_run_has_no_more_than_can_be_told_at_once() {
        let mut spread = Spread::new(RUN_PIECES_MAX * 3, &mut Rng::new(1), |piece| piece > 0);
        let runs = core::iter::from_fn(|| spread.deal(|_| true, |piece| piece > 0));
        assert_eq!(runs.map(|run| run.len() as u32).collect::<Vec<_>>(), [RUN_PIECES_MAX; 3]);
    }

    #[test]
    fn what_somebody_has_is_passed_over_and_what_was_lost_comes_again() {
        let mut spread = Spread::new(12, &mut Rng::new(1), belong);
        let lacks = |piece: u32| piece == 5 || piece == 6;
        assert_eq!(spread.deal(lacks, belong), Some(5..7));
        assert_eq!(spread.deal(lacks, belong), None);
        spread.repeat(START);
        assert_eq!(spread.deal(lacks, belong), None, "not before what is on its way has arrived");
        spread.repeat(START + SPREAD_LAP_MIN);
        assert_eq!(spread.deal(lacks, belong), Some(5..7));
    }

    #[test]
    fn a_search_is_bounded_and_goes_on() {
        let pieces = 3 * SPREAD_STEPS_MAX;
        let mut spread = Spread::new(pieces, &mut Rng::new(1), |_| false);
        let before = spread.next;
        let last = (before + pieces - 1) % pieces;
        let mut tries = 0;
        while spread.deal(|piece| piece == last, |_| false).is_none() {
            tries += 1;
        }
        assert_eq!(tries, 2);
        assert!(Spread::default().deal(|_| true, |_| true).is_none(), "no pieces");
    }
}
