//! The bytes that wait to be sent to one peer.

use crate::base::Block;
use crate::base::limits::OUTBOX_BYTES_MAX;
use crate::wire::Message;
use crate::wire::message::{KEEP_ALIVE, piece_header};
use alloc::vec::Vec;

/// A buffer up to this size is kept when all is sent, because the next requests follow soon; larger ones go back, and grow by
/// so much at a time: what waits is to take hardly more memory than it has bytes.
const KEPT_BYTES: usize = 1 << 10;

/// Messages in their wire form, oldest first. Bounded: a peer that does not read costs [`OUTBOX_BYTES_MAX`], not more.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// The first of `bytes` that is not sent.
    start: usize,
}

impl Outbox {
    /// Appends `message`. False, and nothing is appended, if it does not fit.
    #[must_use = "a message that does not fit is lost"]
    pub fn push(&mut self, message: Message<'_>) -> bool {
        let fits = message.wire_bytes() <= self.free_bytes();
        if fits {
            self.make_room(message.wire_bytes());
            message.encode_into(&mut self.bytes);
        }
        fits
    }

    /// Appends a keep-alive, unless something waits that will keep the connection alive as well.
    pub fn push_keep_alive(&mut self) {
        if self.is_empty() {
            self.bytes.extend_from_slice(&KEEP_ALIVE);
        }
    }

    /// Appends one of the first messages of a connection, which must not be lost. The bound does not hold here: our
    /// bitfield is as long as the torrent demands.
    pub(super) fn push_first(&mut self, message: Message<'_>) {
        // Nor does it grow by more than that, as it would for one message after the other.
        self.bytes.reserve_exact(message.wire_bytes());
        message.encode_into(&mut self.bytes);
    }

    /// Appends the head of a `piece` message, which the bytes of `block` must follow. The bound does not hold here, but
    /// there is one head at a time.
    pub fn push_block_head(&mut self, block: Block) {
        let header = piece_header(block);
        self.make_room(header.len());
        self.bytes.extend_from_slice(&header);
    }

    fn make_room(&mut self, bytes: usize) {
        let needed = self.bytes.len() + bytes;
        if needed > self.bytes.capacity() && needed > KEPT_BYTES {
            self.bytes.reserve_exact(needed.next_multiple_of(KEPT_BYTES) - self.bytes.len());
        }
    }

    /// How long a message may still be pushed, in bytes.
    pub fn free_bytes(&self) -> usize {
        OUTBOX_BYTES_MAX.saturating_sub(self.as_slice().len())
    }

    /// All that waits.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The first `count` bytes of [`Outbox::as_slice`] are sent.
    pub fn consume(&mut self, count: usize) {
        self.start = self.bytes.len().min(self.start.saturating_add(count));
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
            if self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        } else if self.start > self.bytes.len() / 2 {
            // Only when less than half remains, so that each byte is moved at most once on average.
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Gives all memory back if nothing waits.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let (mut outbox, mut rng) = (Outbox::default(), Rng::new(1));
        let (mut expected, mut sent) = (Vec::new(), Vec::new());
        for piece in 0..20_000 {
            let message = Message::Have(piece);
            if outbox.push(message) {
                message.encode_into(&mut expected);
            }
            let count = rng.below(18).min(outbox.as_slice().len() as u32) as usize;
            sent.extend_from_slice(&outbox.as_slice()[..count]);
            outbox.consume(count);
        }
        sent.extend_from_slice(outbox.as_slice());
        assert!(sent == expected && sent.len() == 20_000 * 9, "{} {}", sent.len(), expected.len());
    }

    #[test]
    fn a_peer_that_does_not_read_costs_a_bounded_amount() {
        let mut outbox = Outbox::default();
        let fitting = (0..10_000).filter(|&piece| outbox.push(Message::Have(piece))).count();
        assert_eq!(fitting, OUTBOX_BYTES_MAX / 9);
        // Sending and filling again moves the waiting bytes, it does not pile them up.
        for _ in 0..300 {
            outbox.consume(9 * 100);
            while outbox.push(Message::Have(0)) {}
        }
        // What is sent stays for a while: it is moved away when it is more than what waits.
        assert!(outbox.held_bytes() <= 2 * OUTBOX_BYTES_MAX + KEPT_BYTES, "{}", outbox.held_bytes());
    }

    #[test]
    fn an_empty_outbox_keeps_little_and_a_released_one_nothing() {
        let mut outbox = Outbox::default();
        while outbox.push(Message::HaveAll) {}
        outbox.release();
        assert!(!outbox.is_empty(), "waiting bytes are not released");
        outbox.consume(usize::MAX);
        assert_eq!((outbox.as_slice(), outbox.held_bytes()), (&[][..], 0));
        assert!(outbox.push(Message::Choke));
        outbox.consume(5);
        let kept = outbox.held_bytes();
        assert!(
            outbox.push(Message::Choke) && outbox.held_bytes() == kept && kept > 0,
            "no allocation a message"
        );
        outbox.consume(5);
        outbox.release();
        assert_eq!(outbox.held_bytes(), 0);
    }

    #[test]
    fn a_keep_alive_is_sent_only_when_nothing_else_is() {
        let mut outbox = Outbox::default();
        outbox.push_keep_alive();
        outbox.push_keep_alive();
        assert_eq!(outbox.as_slice(), KEEP_ALIVE);
    }
}
