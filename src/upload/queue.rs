//! What a peer has asked for and not got yet.

use crate::base::Block;
use crate::base::limits::REQQ;
use alloc::collections::VecDeque;

/// The requests of one peer in their order, at most [`REQQ`]. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Queue(VecDeque<Block>);

impl Queue {
    /// Takes a request in. False if there are too many.
    #[must_use = "a request that is not taken has to be refused"]
    pub fn push(&mut self, block: Block) -> bool {
        let fits = self.0.len() < REQQ as usize;
        if fits {
            self.0.push_back(block);
        }
        fits
    }

    /// The peer does not want `block` any more. False if it does not wait here.
    pub fn cancel(&mut self, block: Block) -> bool {
        let found = self.0.iter().position(|&other| other == block);
        found.is_some_and(|at| self.0.remove(at).is_some())
    }

    /// The next block to be sent.
    pub fn first(&self) -> Option<Block> {
        self.0.front().copied()
    }

    /// The same, off the queue.
    pub fn pop(&mut self) -> Option<Block> {
        let block = self.0.pop_front();
        if self.0.is_empty() && self.0.capacity() > 16 {
            self.0 = VecDeque::new();
        }
        block
    }

    /// Drops the requests for which `keep` says no, and tells each to `dropped`.
    pub fn retain(&mut self, keep: impl Fn(Block) -> bool, mut dropped: impl FnMut(Block)) {
        self.0.retain(|&block| {
            let stays = keep(block);
            if !stays {
                dropped(block);
            }
            stays
        });
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }

    /// Requests that may be taken in, if no more than `most` are to wait.
    pub fn places(&self, most: u32) -> u32 {
        most.saturating_sub(self.len())
    }

    /// Bytes of memory held beside the queue itself.
    pub fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Block>()
    }

    /// Requests that wait.
    pub fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// True if nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(piece: u32) -> Block {
        Block { piece, begin: 0, length: 1 }
    }

    #[test]
    fn ten_thousand_requests_are_cut_at_the_promise() {
        let mut queue = Queue::default();
        assert_eq!((0..10_000).filter(|&piece| queue.push(block(piece))).count(), REQQ as usize);
        assert_eq!((queue.len(), queue.pop()), (REQQ, Some(block(0))));
        assert!(queue.push(block(7)) && !queue.push(block(8)));
    }

    #[test]
    fn what_is_cancelled_is_gone_once() {
        let mut queue = Queue::default();
        assert!([1, 2, 1].into_iter().all(|piece| queue.push(block(piece))));
        assert!(queue.cancel(block(1)) && !queue.cancel(block(9)));
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(block(2)), Some(block(1)), None]);
    }

    #[test]
    fn what_is_dropped_is_told() {
        let (mut queue, mut dropped) = (Queue::default(), alloc::vec::Vec::new());
        assert!((0..5).all(|piece| queue.push(block(piece))));
        queue.retain(|block| block.piece == 3, |block| dropped.push(block.piece));
        assert_eq!((queue.len(), dropped), (1, alloc::vec![0, 1, 2, 4]));
    }
}
