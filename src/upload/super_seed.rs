//! Super-seeding (BEP 16): a seed that nobody else helps pretends to have nothing, tells each peer of a few pieces, and
//! of others when somebody else has got those from it. So everything leaves it once before anything leaves it twice.

use crate::base::limits::{SPREAD_STEPS_MAX, SUPER_SEED_PASS_MAX, SUPER_SEED_TAKE_MAX};
use crate::base::{Instant, StreamId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

/// A piece that one peer was told of.
#[derive(Clone, Copy, Debug)]
struct Dealt {
    to: StreamId,
    /// When it was told of it, or has got it.
    since: Instant,
    /// It has got it.
    taken: bool,
}

impl Dealt {
    /// Whoever was told of it has it. True if that is news.
    fn take(&mut self, now: Instant) -> bool {
        let is_news = !core::mem::replace(&mut self.taken, true);
        if is_news {
            self.since = now;
        }
        is_news
    }
}

/// What it means that a peer has a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing.
    No,
    /// The piece is with two peers, one of which was told of it: this one may be told of others.
    By(StreamId),
}

/// The pieces that peers were told of and have not passed on.
#[derive(Debug, Default)]
pub struct SuperSeed {
    dealt: BTreeMap<u32, Dealt>,
    /// The same by peer: a peer is thought of with every piece that another has got from it.
    of: BTreeMap<StreamId, BTreeSet<u32>>,
    /// How many of them are not taken.
    untaken: u32,
    /// Pieces that are to be given to another peer.
    returned: VecDeque<u32>,
}

impl SuperSeed {
    /// `stream` is told of `piece`.
    pub fn deal(&mut self, now: Instant, piece: u32, stream: StreamId) {
        self.take_out(piece);
        self.dealt.insert(piece, Dealt { to: stream, since: now, taken: false });
        self.untaken += 1;
        self.of.entry(stream).or_default().insert(piece);
    }

    /// A piece that came back, to be dealt to somebody for whom it is new. `None` if there is none, or none has been found
    /// yet.
    pub fn take_returned(&mut self, is_new: impl Fn(u32) -> bool) -> Option<u32> {
        for _ in 0..self.returned.len().min(SPREAD_STEPS_MAX as usize) {
            let piece = self.returned.pop_front()?;
            if is_new(piece) {
                return Some(piece);
            }
            self.returned.push_back(piece);
        }
        None
    }

    /// Pieces that `stream` was told of and that nobody else has.
    pub fn count_of(&self, stream: StreamId) -> u32 {
        self.of.get(&stream).map_or(0, |pieces| pieces.len() as u32)
    }

    /// `stream` has `piece`; `alone`: it is the only peer that could pass it on.
    pub fn on_have(&mut self, now: Instant, piece: u32, stream: StreamId, alone: bool) -> Passed {
        let Some(dealt) = self.dealt.get_mut(&piece) else { return Passed::No };
        let to = dealt.to;
        if to == stream && !alone {
            self.untaken -= u32::from(dealt.take(now));
            return Passed::No;
        }
        self.take_out(piece);
        Passed::By(to)
    }

    /// The pieces that are dealt, for those who have to look at each.
    pub fn pieces(&self) -> impl Iterator<Item = u32> {
        self.dealt.keys().copied()
    }

    /// `stream` wants nothing of what it was told of `age` ago or earlier: it has got that elsewhere.
    pub fn needs_nothing(&mut self, now: Instant, stream: StreamId, age: Duration) {
        for piece in self.of.get(&stream).into_iter().flatten() {
            if let Some(dealt) = self.dealt.get_mut(piece).filter(|dealt| now.since(dealt.since) >= age) {
                self.untaken -= u32::from(dealt.take(now));
            }
        }
    }

    /// `stream` is gone, with what it has got. True if something is to be given to another.
    pub fn forget(&mut self, stream: StreamId) -> bool {
        let own = self.of.remove(&stream).unwrap_or_default();
        for piece in &own {
            let dealt = self.dealt.remove(piece);
            self.untaken -= u32::from(dealt.is_some_and(|dealt| !dealt.taken));
        }
        let has_some = !own.is_empty();
        self.returned.extend(own);
        has_some
    }

    /// Looks for those who are late: a piece that was not taken for long is dealt again; one that was taken and could be
    /// passed to nobody is not waited for any more.
    pub fn on_time(&mut self, now: Instant) {
        let Self { of, untaken, returned, .. } = self;
        self.dealt.retain(|&piece, dealt| {
            let patience = if dealt.taken { SUPER_SEED_PASS_MAX } else { SUPER_SEED_TAKE_MAX };
            let is_late = now.since(dealt.since) >= patience;
            if is_late {
                leave_out(of, dealt.to, piece);
                *untaken -= u32::from(!dealt.taken);
                returned.extend((!dealt.taken).then_some(piece));
            }
            !is_late
        });
    }

    /// True if whatever was dealt has been taken. To wait until it has been passed on, too, would keep those waiting who
    /// lack nothing else, and who was to pass it on may have left.
    pub fn is_over(&self) -> bool {
        self.untaken == 0 && self.returned.is_empty()
    }

    fn take_out(&mut self, piece: u32) {
        if let Some(dealt) = self.dealt.remove(&piece) {
            self.untaken -= u32::from(!dealt.taken);
            leave_out(&mut self.of, dealt.to, piece);
        }
    }
}

/// `stream` is not waited for any more because of `piece`.
fn leave_out(of: &mut BTreeMap<StreamId, BTreeSet<u32>>, stream: StreamId, piece: u32) {
    if let Some(own) = of.get_mut(&stream) {
        own.remove(&piece);
        if own.is_empty() {
            of.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_micros(1_000_000);

    fn stream(slot: u32) -> StreamId {
        StreamId { slot, generation: 1 }
    }

    fn dealt(pieces: &[(u32, u32)]) -> SuperSeed {
        let mut seed = SuperSeed::default();
        pieces.iter().for_each(|&(piece, to)| seed.deal(START, piece, stream(to)));
        seed
    }

    #[test]
    fn a_piece_is_passed_on_when_another_has_it() {
        let mut seed = dealt(&[(3, 1), (4, 2)]);
        assert_eq!(seed.on_have(START, 3, stream(1), false), Passed::No);
        assert_eq!(seed.on_have(START, 9, stream(2), false), Passed::No);
        assert_eq!(seed.count_of(stream(1)), 1);
        assert_eq!(seed.on_have(START, 3, stream(2), false), Passed::By(stream(1)));
        assert_eq!(seed.on_have(START, 4, stream(2), true), Passed::By(stream(2)), "there is nobody else");
        assert!(seed.is_over());
    }

    #[test]
    fn what_nobody_takes_or_takes_along_is_dealt_again() {
        let mut seed = dealt(&[(3, 1), (4, 2)]);
        seed.forget(stream(2));
        assert_eq!(seed.take_returned(|piece| piece != 4), None);
        assert_eq!((seed.take_returned(|_| true), seed.take_returned(|_| true)), (Some(4), None));
        seed.on_time(START + SUPER_SEED_TAKE_MAX);
        assert!(!seed.is_over());
        assert_eq!(seed.take_returned(|_| true), Some(3));
        assert!(seed.is_over());
    }

    #[test]
    fn it_is_over_when_everything_is_taken_whoever_passes_it_on() {
        let mut seed = dealt(&[(3, 1), (4, 1), (5, 2), (6, 3)]);
        seed.on_have(START, 3, stream(1), false);
        seed.on_have(START, 3, stream(1), false);
        assert_eq!(seed.on_have(START, 5, stream(3), false), Passed::By(stream(2)));
        let later = START + SUPER_SEED_PASS_MAX;
        seed.deal(later, 7, stream(1));
        seed.needs_nothing(later, stream(1), SUPER_SEED_PASS_MAX);
        assert!(!seed.is_over(), "of 7 it has perhaps not read");
        seed.needs_nothing(later, stream(1), Duration::ZERO);
        assert!(!seed.is_over());
        seed.forget(stream(3));
        assert_eq!(seed.take_returned(|_| true), Some(6));
        assert!(seed.is_over());
        seed.on_time(later + SUPER_SEED_PASS_MAX);
        assert!(seed.is_over() && seed.count_of(stream(1)) == 0);
    }

    #[test]
    fn who_can_pass_nothing_on_is_told_of_others_after_a_while() {
        let mut seed = dealt(&[(3, 1), (4, 1), (5, 2)]);
        for piece in [3, 4] {
            seed.on_have(START, piece, stream(1), false);
            seed.on_have(START + SUPER_SEED_PASS_MAX / 2, piece, stream(1), false);
        }
        seed.on_time(START + SUPER_SEED_PASS_MAX);
        assert_eq!((seed.count_of(stream(1)), seed.count_of(stream(2))), (0, 1));
    }

    #[test]
    fn a_search_among_what_came_back_is_bounded_and_goes_on() {
        let pieces = 2 * SPREAD_STEPS_MAX + 1;
        let mut seed = dealt(&[]);
        (0..pieces).for_each(|piece| seed.deal(START, piece, stream(1)));
        assert_eq!(seed.count_of(stream(1)), pieces);
        seed.forget(stream(1));
        let looked = core::cell::Cell::new(0);
        let is_last = |piece: u32| {
            looked.set(looked.get() + 1);
            piece == pieces - 1
        };
        assert_eq!((seed.take_returned(is_last), looked.get()), (None, SPREAD_STEPS_MAX));
        assert_eq!((seed.take_returned(is_last), seed.take_returned(is_last)), (None, Some(pieces - 1)));
        assert!(seed.count_of(stream(1)) == 0 && !seed.is_over());
    }
}
