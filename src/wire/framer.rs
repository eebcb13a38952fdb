//! Cuts a peer's stream, which TCP delivers in any portions, into messages. Any cut of the stream gives the same
//! items. Starts after the handshake.
//!
//! Bytes are borrowed from where they arrived. Only a message that the end of the input cuts in two is carried over,
//! and a block never is: its bytes are handed on as they come. So an idle peer holds no buffer, and a peer that sends
//! blocks carries at most a cut header.
//!
//! Bytes may also be read straight to where they belong, past [`Framer::next`]: the rest of the block in progress
//! ([`Framer::advance_block`]), then headers ([`Framer::take_header`]) and their blocks. What lands there and turns
//! out to be something else is given to [`Framer::next`] like any other input, in the order of the stream.

use crate::base::limits::{
    BLOCK_BYTES, EXTENDED_BYTES_MAX, PIECE_HEADER_BYTES, REQUEST_MESSAGE_BYTES, UNKNOWN_BYTES_MAX,
};
use crate::base::{Block, Geometry};
use crate::wire::Misbehaved;
use crate::wire::message::{self, Message, id};
use alloc::vec::Vec;

/// A larger buffer is given back as soon as its message is handled; every message but `bitfield` and `extended` fits.
const CARRY_KEPT_BYTES: usize = 64;

/// The least buffer allocated: the length of `request`, `cancel` and `reject`, the longest of the short messages.
const CARRY_LEAST_BYTES: usize = REQUEST_MESSAGE_BYTES;

/// What the stream of one peer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A message of length zero.
    KeepAlive,
    /// A whole message. Its length is right; whether its indices and its moment are, is for the reader to say.
    Message(Message<'a>),
    /// The next bytes of a block. The block lies within its piece and is not longer than [`BLOCK_BYTES`];
    /// whether anybody asked for it is for the reader to say.
    BlockBytes {
        /// Which.
        block: Block,
        /// Where `bytes` start, counted from the first byte of the block.
        offset: u32,
        /// Never empty.
        bytes: &'a [u8],
    },
    /// A whole message of an id that we do not know, or too long to be of use, has passed.
    Skipped,
}

/// The cutter of one peer's stream.
#[derive(Clone, Debug)]
pub struct Framer {
    geometry: Geometry,
    state: State,
    /// The beginning of a message whose end has not arrived; in state `Handed`, a whole message.
    carry: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two messages, or in one of which all that has arrived is in `carry`.
    Collecting,
    /// The message in `carry` is with the reader, and is dropped when it comes back.
    Handed,
    /// In a block.
    Block { block: Block, received: u32 },
    /// In a message that is not looked at.
    Skipping { left: u32 },
}

/// What the bytes of a message that are at hand allow to be done.
enum Step {
    /// Nothing, before there are this many.
    Collect(usize),
    /// Hand on a keep-alive.
    KeepAlive,
    /// Hand on a message of this many bytes, which are all there.
    Message(usize),
    /// Go into this block.
    Block(Block),
    /// Skip the body, which has this many bytes.
    Skip(u32),
}

impl Framer {
    /// For a stream that is about a torrent of this geometry and stands before its first message.
    pub const fn new(geometry: Geometry) -> Self {
        Self { geometry, state: State::Collecting, carry: Vec::new() }
    }

    /// Takes the next item off the front of `input`. `None` when all of `input` is taken and the rest of the message
    /// is still to come.
    ///
    /// # Errors
    /// What the peer did wrong; there is no sense in reading on.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Item<'s>>, Misbehaved> {
        if self.state == State::Handed {
            self.drop_carry();
        }
        loop {
            match self.state {
                State::Block { block, received } => return Ok(self.next_of_block(block, received, input)),
                State::Skipping { left } => return Ok(self.skip(left, input)),
                State::Collecting | State::Handed => {}
            }
            let seen = if self.carry.is_empty() { *input } else { &self.carry[..] };
            match self.step(seen)? {
                Step::Collect(wanted) => {
                    if !self.collect(wanted, input) {
                        return Ok(None);
                    }
                }
                Step::Message(bytes) => return self.hand_on(bytes, input),
                Step::KeepAlive => {
                    self.leave_head(message::KEEP_ALIVE.len(), State::Collecting, input);
                    return Ok(Some(Item::KeepAlive));
                }
                Step::Block(block) => {
                    self.leave_head(PIECE_HEADER_BYTES, State::Block { block, received: 0 }, input);
                }
                Step::Skip(left) => self.leave_head(5, State::Skipping { left }, input),
            }
        }
    }

    /// True between two messages: nothing of the next one has arrived.
    pub const fn at_boundary(&self) -> bool {
        match self.state {
            State::Collecting => self.carry.is_empty(),
            State::Handed => true,
            State::Block { .. } | State::Skipping { .. } => false,
        }
    }

    /// The bytes, 0 to 12, of a message that have arrived, if it can still be a `piece` whose header is not complete:
    /// what arrives next may then be given to [`Framer::take_header`].
    pub fn carried_header(&self) -> Option<&[u8]> {
        if self.at_boundary() {
            return Some(&[]);
        }
        let can_be_piece = match self.carry[..] {
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]) > 9,
            [_, _, _, _, id, ..] => id == id::PIECE,
            _ => true,
        };
        (self.state == State::Collecting && can_be_piece).then_some(&self.carry)
    }

    /// The block whose bytes come next, and how many of them have been received. The rest, at least one byte, may be
    /// read to where it belongs; tell it with [`Framer::advance_block`].
    pub const fn block_in_progress(&self) -> Option<(Block, u32)> {
        match self.state {
            State::Block { block, received } => Some((block, received)),
            _ => None,
        }
    }

    /// The next `count` bytes of the block in progress have landed elsewhere; there must not be more of them than the
    /// block still lacks. True if the block is whole with them.
    pub fn advance_block(&mut self, count: u32) -> bool {
        let State::Block { block, received } = self.state else { return false };
        debug_assert!(count <= block.length - received, "bytes of the next message counted as a block's");
        let received = received.saturating_add(count);
        let whole = received >= block.length;
        self.state = if whole { State::Collecting } else { State::Block { block, received } };
        whole
    }

    /// `landed` are the bytes that follow [`Framer::carried_header`], 13 together with it. If they are the header of a
    /// `piece`, the framer enters the block and names it. `None` if not, and nothing has happened: give `landed` to
    /// [`Framer::next`].
    ///
    /// # Errors
    /// [`Misbehaved`] if they are a header of a block that cannot be.
    pub fn take_header(&mut self, landed: &[u8]) -> Result<Option<Block>, Misbehaved> {
        let Some(carried) = self.carried_header() else { return Ok(None) };
        let mut header = [0; PIECE_HEADER_BYTES];
        let (front, back) = header.split_at_mut(carried.len());
        if back.len() != landed.len() {
            return Ok(None);
        }
        front.copy_from_slice(carried);
        back.copy_from_slice(landed);
        let Step::Block(block) = self.step(&header)? else { return Ok(None) };
        self.drop_carry();
        self.state = State::Block { block, received: 0 };
        Ok(Some(block))
    }

    /// Bytes of memory held beside the framer itself.
    pub fn held_bytes(&self) -> usize {
        self.carry.capacity()
    }

    /// What is to be done with a message of which `seen` is here, at least in part. Lengths are judged as soon as they
    /// are known, so that nothing is ever carried that a fault or a skip would throw away.
    fn step(&self, seen: &[u8]) -> Result<Step, Misbehaved> {
        let Some((length, rest)) = seen.split_first_chunk() else { return Ok(Step::Collect(4)) };
        let length = u32::from_be_bytes(*length);
        let Some(body) = length.checked_sub(1) else { return Ok(Step::KeepAlive) };
        let Some(&id) = rest.first() else { return Ok(Step::Collect(5)) };
        self.check_length(id, length)?;
        match id {
            id::PIECE => {
                let Some(header) = seen.first_chunk() else { return Ok(Step::Collect(PIECE_HEADER_BYTES)) };
                let block = message::parse_piece_header(header);
                let block = block.ok_or(Misbehaved::BadLength { id, length })?;
                self.geometry.check_block(block).map(Step::Block)
            }
            id::EXTENDED if body as usize > EXTENDED_BYTES_MAX => Ok(Step::Skip(body)),
            id::BITFIELD | id::EXTENDED => Ok(Step::whole(length, seen)),
            id if message::body_bytes(id).is_some() => Ok(Step::whole(length, seen)),
            _ => Ok(Step::Skip(body)),
        }
    }

    /// Whether a message with this id may have this length prefix, which is at least 1.
    fn check_length(&self, id: u8, length: u32) -> Result<(), Misbehaved> {
        let (least, most) = match id {
            id::BITFIELD => (self.geometry.bitfield_bytes(), self.geometry.bitfield_bytes()),
            id::PIECE => (8 + 1, 8 + BLOCK_BYTES),
            id::EXTENDED => (1, UNKNOWN_BYTES_MAX as u32),
            _ => message::body_bytes(id).map_or((0, UNKNOWN_BYTES_MAX as u32), |bytes| (bytes, bytes)),
        };
        match length - 1 {
            body if (least..=most).contains(&body) => Ok(()),
            body if body > most && least < most => Err(Misbehaved::TooLong { id, length }),
            _ => Err(Misbehaved::BadLength { id, length }),
        }
    }

    /// Moves bytes from `input` until `carry` holds `wanted`. False if `input` has too few.
    fn collect(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let lacking = wanted.saturating_sub(self.carry.len());
        let (taken, rest) = input.split_at(lacking.min(input.len()));
        if !taken.is_empty() {
            // Exactly what a large message needs; for all others one small allocation in a peer's life.
            self.carry.reserve_exact(wanted.max(CARRY_LEAST_BYTES) - self.carry.len());
            self.carry.extend_from_slice(taken);
        }
        *input = rest;
        taken.len() == lacking
    }

    /// The `count` bytes at the head of a message are understood: takes them away from where they are.
    fn leave_head(&mut self, count: usize, state: State, input: &mut &[u8]) {
        if self.carry.is_empty() {
            *input = input.get(count..).unwrap_or_default();
        }
        self.drop_carry();
        self.state = state;
    }

    fn hand_on<'s, 'i: 's>(
        &'s mut self,
        bytes: usize,
        input: &mut &'i [u8],
    ) -> Result<Option<Item<'s>>, Misbehaved> {
        let whole: &'s [u8] = if self.carry.is_empty() {
            let (whole, rest) = input.split_at_checked(bytes).unwrap_or((input, &[]));
            *input = rest;
            whole
        } else {
            self.state = State::Handed;
            &self.carry
        };
        match whole {
            [_, _, _, _, id, body @ ..] => Ok(Message::parse(*id, body)?.map(Item::Message)),
            _ => Ok(None),
        }
    }

    fn next_of_block<'i>(&mut self, block: Block, received: u32, input: &mut &'i [u8]) -> Option<Item<'i>> {
        let left = block.length - received;
        let (bytes, rest) = input.split_at(input.len().min(left as usize));
        *input = rest;
        if bytes.is_empty() {
            return None;
        }
        self.advance_block(bytes.len() as u32);
        Some(Item::BlockBytes { block, offset: received, bytes })
    }

    fn skip(&mut self, left: u32, input: &mut &[u8]) -> Option<Item<'static>> {
        let skipped = input.len().min(left as usize);
        *input = &input[skipped..];
        let left = left - skipped as u32;
        self.state = if left > 0 { State::Skipping { left } } else { State::Collecting };
        (left == 0).then_some(Item::Skipped)
    }

    fn drop_carry(&mut self) {
        if self.carry.capacity() > CARRY_KEPT_BYTES {
            self.carry = Vec::new();
        }
        self.carry.clear();
        self.state = State::Collecting;
    }
}

impl Step {
    /// For a message that is handed on as a whole and whose length prefix, already judged, is `length`.
    const fn whole(length: u32, seen: &[u8]) -> Self {
        let bytes = 4 + length as usize;
        if seen.len() < bytes { Self::Collect(bytes) } else { Self::Message(bytes) }
    }
}

#[cfg(test)]
mod tests;
