//! What a peer can be asked for: the pieces that it has, but for those of which it has lately rejected a request.

use crate::base::limits::{REFUSED_MAX, REFUSED_TIME};
use crate::base::{Bitfield, Instant};
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

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    fn contains(&self, piece: u32) -> bool {
        self.0.iter().any(|&(other, _)| other == piece)
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
        assert!(refused.is_full() && !refused.expire(now));
        refused.note(now + REFUSED_TIME, 5);
        assert!(refused.expire(now + REFUSED_TIME) && !refused.is_full() && !refused.is_empty());
        assert!(!Offer::new(&has, &refused).has(5) && Offer::new(&has, &refused).has(6));
        assert!(refused.expire(now + REFUSED_TIME * 2) && refused.0.capacity() == 0);
    }
}
