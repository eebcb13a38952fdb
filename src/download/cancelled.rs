//! Requests that were taken back, and that the peer may have answered before it heard of it.

use crate::base::limits::REQUESTS_MAX;
use crate::base::{Block, Instant};
use alloc::collections::VecDeque;
use core::time::Duration;

/// The blocks of such requests, at most [`REQUESTS_MAX`]: the oldest are forgotten. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Cancelled {
    /// With the number of each request.
    blocks: VecDeque<(Block, u32)>,
    /// When one was taken back, or anything answered, last.
    since: Instant,
    /// Other requests answered since one was taken back.
    others: u32,
}

impl Cancelled {
    /// The request for `block` with this number is taken back.
    pub fn note(&mut self, now: Instant, block: Block, number: u32) {
        if self.blocks.len() >= REQUESTS_MAX as usize {
            self.blocks.pop_front();
        }
        self.blocks.push_back((block, number));
        (self.since, self.others) = (now, 0);
    }

    /// Bytes of memory held beside the set itself.
    pub fn held_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<(Block, u32)>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// True if `block` may still come.
    pub fn contains(&self, block: Block) -> bool {
        self.blocks.iter().any(|&(other, _)| other == block)
    }

    /// The peer has answered for `block`. False if it had not been asked for it, or not been told to leave it.
    pub fn settle(&mut self, now: Instant, block: Block) -> bool {
        let found = self.blocks.iter().position(|&(other, _)| other == block);
        let settled = found.and_then(|nth| self.blocks.remove(nth)).is_some();
        if settled {
            self.since = now;
        }
        self.release();
        settled
    }

    /// The peer has answered the request with this number: of those before it none will come.
    pub fn forget_before(&mut self, number: u32) {
        self.blocks.retain(|&(_, other)| number.wrapping_sub(other) as i32 <= 0);
        self.release();
    }

    /// The peer has answered another request. None of these will come when it has answered as many as its queue holds.
    pub fn on_other(&mut self, now: Instant, queue: u32) {
        (self.since, self.others) = (now, self.others.saturating_add(1));
        if self.others >= queue {
            self.forget();
        }
    }

    /// The peer has answered nothing for so long, in which it would have answered these, if ever.
    pub fn forget_after(&mut self, now: Instant, patience: Duration) {
        if now.since(self.since) >= patience {
            self.forget();
        }
    }

    /// None of these will come.
    pub fn forget(&mut self) {
        self.blocks.clear();
        self.release();
    }

    fn release(&mut self) {
        if self.blocks.is_empty() && self.blocks.capacity() > 0 {
            self.blocks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(5_000_000);

    fn block(piece: u32) -> Block {
        Block { piece, begin: 0, length: 1 }
    }

    /// Requests that were made in this order, the first with this number.
    fn cancelled(count: u32, first: u32) -> Cancelled {
        let mut cancelled = Cancelled::default();
        (0..count).for_each(|piece| cancelled.note(NOW, block(piece), first.wrapping_add(piece)));
        cancelled
    }

    #[test]
    fn each_is_settled_once_and_the_oldest_give_way() {
        let mut cancelled = cancelled(REQUESTS_MAX + 1, 0);
        assert!(!cancelled.contains(block(0)) && cancelled.contains(block(1)));
        let settled = [5, 5, 0].map(|piece| cancelled.settle(NOW, block(piece)));
        assert_eq!((settled, cancelled.len()), ([true, false, false], REQUESTS_MAX as usize - 1));
        cancelled.forget();
        assert!(!cancelled.contains(block(1)) && cancelled.blocks.capacity() == 0);
    }

    #[test]
    fn an_answer_to_a_later_request_shows_that_those_before_it_will_not_come() {
        for first in [0, u32::MAX - 1] {
            let mut cancelled = cancelled(4, first);
            cancelled.forget_before(first.wrapping_add(2));
            let left = (0..4).filter(|&piece| cancelled.contains(block(piece)));
            assert_eq!(left.collect::<alloc::vec::Vec<_>>(), [2, 3]);
        }
    }

    #[test]
    fn silence_or_a_whole_queue_of_other_answers_shows_that_none_will_come() {
        let patience = Duration::from_secs(2);
        let mut cancelled = cancelled(2, 0);
        assert!(cancelled.settle(NOW + patience / 2, block(0)));
        cancelled.forget_after(NOW + patience, patience);
        assert_eq!(cancelled.len(), 1);
        cancelled.on_other(NOW + patience, 2);
        cancelled.forget_after(NOW + patience * 3 / 2, patience);
        assert_eq!(cancelled.len(), 1);
        cancelled.on_other(NOW + patience, 2);
        assert_eq!(cancelled.len(), 0);
        cancelled.note(NOW, block(7), 0);
        cancelled.forget_after(NOW + patience, patience);
        assert_eq!(cancelled.len(), 0);
    }
}
