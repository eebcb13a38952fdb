//! The block that is on its way to a peer: a head, then bytes of a file that never pass through our memory.

use crate::base::Block;

/// A block that has been begun and must be finished before anything else can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Which.
    pub block: Block,
    /// Bytes of messages that go before the block's own, its head included. What is said later waits behind the block.
    lead: usize,
    /// Bytes of the block that are sent.
    sent: u32,
}

impl Sending {
    /// Begins `block` behind `lead` bytes of messages, the last of which is its head.
    pub fn new(block: Block, lead: usize) -> Self {
        Self { block, lead, sent: 0 }
    }

    /// Bytes of messages that go first.
    pub fn lead(&self) -> usize {
        self.lead
    }

    /// `count` bytes of messages are sent.
    pub fn on_messages(&mut self, count: usize) {
        self.lead = self.lead.saturating_sub(count);
    }

    /// First byte within the piece that is to be sent next, and how many there are.
    pub fn rest(&self) -> (u32, u32) {
        (self.block.begin + self.sent, self.block.length - self.sent)
    }

    /// `count` bytes of the block are sent. True if that is all of it.
    pub fn on_sent(&mut self, count: u32) -> bool {
        self.sent += count.min(self.block.length - self.sent);
        self.sent == self.block.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_goes_first_and_the_block_in_parts() {
        let mut sending = Sending::new(Block { piece: 3, begin: 100, length: 50 }, 20);
        sending.on_messages(13);
        assert_eq!((sending.lead(), sending.rest()), (7, (100, 50)));
        sending.on_messages(7);
        assert!(!sending.on_sent(49));
        assert_eq!((sending.lead(), sending.rest()), (0, (149, 1)));
        assert!(sending.on_sent(99), "never more than there is");
        assert_eq!(sending.rest(), (150, 0));
    }
}
