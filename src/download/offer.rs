//! What a peer can be asked for: the pieces that it has, but for those of which it has lately rejected a request.

use crate::base::limits::{REFUSED_MAX, REFUSED_TIME};
use crate::base::{Bitfield, Instant};
use crate::download::pipeline::Pipeline;
use alloc::vec::Vec;

/// Pieces of which a peer has rejected requests, at most [`REFUSED_MAX`], each until it may be asked for again. Empty, it
/// holds no memory.
#[derive(Debug, Default)]
pub struct Refused(Vec<(u32, Instant)>);

impl Refused {
    /// A request for a block of `piece` was rejected. The oldest one gives way.
    pub fn note(&mut self, now: Instant, piece: u32) {
        self.0.retain(|&(other, _)| other != piece);
        if self.0.len() >= REFUSED_MAX {
            self.0.remove(0);
        }
        self.0.push((piece, now + REFUSED_TIME));
    }

    /// True if there is no room for another.
    pub fn is_full(&self) -> bool {
        self.0.len() >= REFUSED_MAX
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets those that may be asked for again. True if there were any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let count = self.0.len();
        self.0.retain(|&(_, until)| now < until);
        if self.0.is_empty() && self.0.capacity() > 0 {
            self.clear();
        }
        self.0.len() < count
    }

    /// Bytes of memory held beside the set itself.
    pub fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, Instant)>()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    fn contains(&self, piece: u32) -> bool {
        self.0.iter().any(|&(other, _)| other == piece)
    }

    /// `word`, which holds the pieces `64 * nth ..`, without those that are refused.
    fn taken_from(&self, nth: u32, word: u64) -> u64 {
        let own = self.0.iter().filter(|&&(piece, _)| piece / u64::BITS == nth);
        own.fold(word, |word, &(piece, _)| word & !(1 << (u64::BITS - 1 - piece % u64::BITS)))
    }
}

impl Pipeline {
    /// The peer has rejected a request for a block of `piece`: it is not asked for it for a while.
    pub fn refuse(&mut self, now: Instant, piece: u32) {
        if self.refused.is_full() {
            // One that gives way has not been looked at.
            self.search_anew();
        }
        self.refused.note(now, piece);
    }

    /// True if it has rejected requests of so many pieces that it seems to reject whatever it is asked for.
    pub fn refuses_all(&self) -> bool {
        self.refused.is_full()
    }

    /// True if it is not asked for all that it has.
    pub fn refuses_some(&self) -> bool {
        !self.refused.is_empty()
    }

    /// It may be asked for all that it has.
    pub fn forget_refused(&mut self) {
        if !self.refused.is_empty() {
            self.refused.clear();
            self.search_anew();
        }
    }

    /// The pieces that it refuses, to be put back after a look at them.
    pub(super) fn take_refused(&mut self, now: Instant) -> Refused {
        if self.refused.expire(now) {
            self.search_anew();
        }
        core::mem::take(&mut self.refused)
    }

    /// See [`Pipeline::take_refused`].
    pub(super) fn put_refused(&mut self, refused: Refused) {
        self.refused = refused;
    }
}

/// Pieces that a peer can be asked for.
pub trait Pieces {
    /// True if it can be asked for `piece`.
    fn has(&self, piece: u32) -> bool;

    /// True if the peer has everything, even if it cannot be asked for it.
    fn is_full(&self) -> bool;

    /// How many pieces there are in all.
    fn len(&self) -> u32;

    /// Which of the pieces `64 * nth ..` and 63 more it can be asked for, the first in the highest bit; 0 out of range.
    fn word(&self, nth: u32) -> u64;
}

impl Pieces for Bitfield {
    fn has(&self, piece: u32) -> bool {
        self.has(piece)
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn len(&self) -> u32 {
        self.len()
    }

    fn word(&self, nth: u32) -> u64 {
        self.word(nth)
    }
}

/// What a peer has, less what it refuses.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    has: &'a Bitfield,
    refused: &'a Refused,
}

impl<'a> Offer<'a> {
    /// Of a peer that has the pieces `has`.
    pub fn new(has: &'a Bitfield, refused: &'a Refused) -> Self {
        Self { has, refused }
    }
}

impl Pieces for Offer<'_> {
    fn has(&self, piece: u32) -> bool {
        self.has.has(piece) && !self.refused.contains(piece)
    }

    fn is_full(&self) -> bool {
        self.has.is_full()
    }

    fn len(&self) -> u32 {
        self.has.len()
    }

    fn word(&self, nth: u32) -> u64 {
        self.refused.taken_from(nth, self.has.word(nth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_not_offered_for_a_while_and_the_oldest_gives_way() {
        let (has, now) = (Bitfield::full(100), Instant::from_micros(7));
        let mut refused = Refused::default();
        (0..=REFUSED_MAX as u32).for_each(|piece| refused.note(now, piece));
        let offer = Offer::new(&has, &refused);
        assert!(offer.has(0) && !offer.has(1) && offer.has(99) && !offer.has(100) && offer.is_full());
        let holds = |number: u32| offer.word(number / 64) & (1 << (63 - number % 64)) != 0;
        assert!((0..200).all(|piece| holds(piece) == offer.has(piece)), "by words, too");
        assert!(refused.is_full() && !refused.expire(now));
        refused.note(now + REFUSED_TIME, 5);
        assert!(refused.expire(now + REFUSED_TIME) && !refused.is_full() && !refused.is_empty());
        assert!(!Offer::new(&has, &refused).has(5) && Offer::new(&has, &refused).has(6));
        assert!(refused.expire(now + REFUSED_TIME * 2) && refused.0.capacity() == 0);
    }
}
