//! Requests that were taken back, and that the peer may have answered before it heard of it.

use crate::base::Block;
use crate::base::limits::REQUESTS_MAX;
use alloc::collections::VecDeque;

/// The blocks of such requests, at most [`REQUESTS_MAX`]: the oldest are forgotten. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Cancelled(VecDeque<Block>);

impl Cancelled {
    /// The request for `block` is taken back.
    pub fn note(&mut self, block: Block) {
        if self.0.len() >= REQUESTS_MAX as usize {
            self.0.pop_front();
        }
        self.0.push_back(block);
    }

    /// True if `block` may still come.
    pub fn contains(&self, block: Block) -> bool {
        self.0.contains(&block)
    }

    /// The peer has answered for `block`. False if it had not been asked for it, or not been told to leave it.
    pub fn settle(&mut self, block: Block) -> bool {
        let found = self.0.iter().position(|&other| other == block).and_then(|nth| self.0.remove(nth));
        if self.0.is_empty() {
            self.forget();
        }
        found.is_some()
    }

    /// The peer answers requests that were made later: of these, none will come.
    pub fn forget(&mut self) {
        if self.0.capacity() > 0 {
            self.0 = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(piece: u32) -> Block {
        Block { piece, begin: 0, length: 1 }
    }

    #[test]
    fn each_is_settled_once_and_the_oldest_give_way() {
        let mut cancelled = Cancelled::default();
        (0..=REQUESTS_MAX).for_each(|piece| cancelled.note(block(piece)));
        assert!(!cancelled.contains(block(0)) && cancelled.contains(block(1)));
        assert!(cancelled.settle(block(5)) && !cancelled.settle(block(5)) && !cancelled.settle(block(0)));
        cancelled.forget();
        assert!(!cancelled.contains(block(1)) && cancelled.0.capacity() == 0);
    }
}
