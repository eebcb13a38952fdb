//! The pieces that are being put together, block by block.

use crate::base::limits::{BLOCK_BYTES, REQUESTERS_MAX};
use crate::base::{Block, Geometry, Instant, StreamId};
use crate::download::offer::Pieces;
use crate::download::pool::Buffer;
use crate::download::slot::{Arrived, Slot};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// A piece whose blocks have all arrived, in order.
pub type WholePiece = Vec<Arrived>;

/// One open piece.
#[derive(Debug)]
struct OpenPiece {
    slots: Vec<Slot>,
    /// Blocks that have arrived.
    arrived: u32,
    /// Blocks that nobody was asked for and that have not arrived.
    unrequested: u32,
    /// No block before this one is unrequested.
    cursor: u32,
    /// Counts the pieces opened before.
    serial: u32,
    /// When a block of it was asked for last.
    asked: Instant,
    /// No block was asked for before this that one peer alone owes: found out when all of them were last looked at.
    oldest_asked: Instant,
    /// The only peer that may be asked, and until when, while a piece that failed before is fetched again.
    sole: Option<(StreamId, Instant)>,
    /// It was opened for a slow peer, and is for others only when they have nothing else.
    is_slow: bool,
}

impl OpenPiece {
    /// True if it is kept for `source`.
    fn is_for(&self, source: StreamId) -> bool {
        self.sole.is_some_and(|(sole, _)| sole == source)
    }

    /// True if `source` may be asked for it.
    fn is_open_to(&self, source: StreamId, now: Instant) -> bool {
        self.sole.is_none_or(|(sole, until)| sole == source || now >= until)
    }

    /// The last block that may be doubled (see [`Slot::may_be_doubled`]): who owes several is about to send the first. Adds to `steps` how many were looked at.
    fn late(&mut self, source: StreamId, now: Instant, patience: Duration, steps: &mut u64) -> Option<usize> {
        if now.since(self.oldest_asked) <= patience {
            return None;
        }
        let mut oldest = now;
        for (nth, slot) in self.slots.iter().enumerate().rev() {
            *steps += 1;
            if slot.may_be_doubled(source, now, patience) {
                return Some(nth);
            }
            if slot.only_requester().is_some() {
                oldest = oldest.min(slot.asked);
            }
        }
        self.oldest_asked = oldest;
        None
    }
}

/// What became of a block.
#[derive(Debug)]
pub enum Placed {
    /// Nobody needs it; here it is back.
    Unwanted(Buffer),
    /// It is in its place. Requests of other peers for it are to be cancelled.
    Kept {
        /// The other peers.
        cancel: [Option<StreamId>; REQUESTERS_MAX],
        /// True if it was the last one of its piece.
        whole: bool,
    },
}

/// All open pieces of a torrent. Bounded by the pool, which every piece pays before it is opened.
#[derive(Debug)]
pub struct Assembly {
    geometry: Geometry,
    open: BTreeMap<u32, OpenPiece>,
    /// Open pieces with unrequested blocks, the oldest first.
    startable: Vec<u32>,
    /// The least of what the open pieces remember: nothing is late where this is not.
    oldest_asked: Instant,
    /// For how long peers could not be heard, in all: blocks are late by a clock that stood still meanwhile.
    held_up: Duration,
    /// Open pieces and blocks looked at so far.
    steps: u64,
    opened: u32,
    /// Blocks of the open pieces that are slow.
    slow_blocks: u32,
}

/// Which open pieces may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Any,
    Slow,
    NotSlow,
}

impl Lane {
    fn takes(self, is_slow: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Slow => is_slow,
            Self::NotSlow => !is_slow,
        }
    }
}

impl Assembly {
    /// No piece is open.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            open: BTreeMap::new(),
            startable: Vec::new(),
            oldest_asked: Instant::ZERO,
            held_up: Duration::ZERO,
            steps: 0,
            opened: 0,
            slow_blocks: 0,
        }
    }

    /// For so long, in all, peers could not be heard.
    pub fn set_held_up(&mut self, time: Duration) {
        self.held_up = time;
    }

    /// The time by which blocks are late.
    fn heard(&self, now: Instant) -> Instant {
        Instant::from_micros(now.as_micros().saturating_sub(self.held_up.as_micros() as u64))
    }

    /// Open pieces.
    pub fn len(&self) -> u32 {
        self.open.len() as u32
    }

    /// Their numbers.
    pub fn pieces(&self) -> impl Iterator<Item = u32> {
        self.open.keys().copied()
    }

    /// Blocks of the open pieces that are slow.
    pub fn slow_blocks(&self) -> u32 {
        self.slow_blocks
    }

    /// `piece` was opened for a slow peer.
    pub fn set_slow(&mut self, piece: u32) {
        if let Some(entry) = self.open.get_mut(&piece).filter(|entry| !entry.is_slow) {
            entry.is_slow = true;
            self.slow_blocks += entry.slots.len() as u32;
        }
    }

    fn take_out(&mut self, piece: u32) -> Option<OpenPiece> {
        let entry = self.open.remove(&piece)?;
        self.slow_blocks -= if entry.is_slow { entry.slots.len() as u32 } else { 0 };
        Some(entry)
    }

    /// Opens `piece`; with `sole`, only that peer is asked for it, but not for ever: so long.
    pub fn open(&mut self, now: Instant, piece: u32, sole: Option<(StreamId, Duration)>) {
        let blocks = self.geometry.blocks(piece);
        let mut slots = Vec::new();
        slots.resize_with(blocks as usize, Slot::default);
        self.opened = self.opened.wrapping_add(1);
        let serial = self.opened;
        let entry = OpenPiece {
            slots,
            arrived: 0,
            unrequested: blocks,
            cursor: 0,
            serial,
            asked: now,
            oldest_asked: self.heard(now),
            sole: sole.map(|(peer, time)| (peer, now + time)),
            is_slow: false,
        };
        self.open.insert(piece, entry);
        self.startable.push(piece);
    }

    /// Takes out the piece that was opened last, with the blocks that have arrived, unless all have. For want of memory.
    pub fn give_up_youngest(&mut self) -> Option<(u32, WholePiece)> {
        let unfinished = |entry: &OpenPiece| (entry.arrived as usize) < entry.slots.len();
        let open = self.open.iter().filter(|(_, entry)| unfinished(entry));
        let piece = *open.max_by_key(|(_, entry)| entry.serial)?.0;
        self.give_up(piece)
    }

    /// Takes out a piece that nobody is asked for and that nobody has been asked for since `before`: whoever had it is
    /// gone or does not answer, and `has`, the pieces of a peer that could be asked for others, lacks it.
    pub fn give_up_orphan(&mut self, before: Instant, has: &impl Pieces) -> Option<(u32, WholePiece)> {
        let is_orphan = |piece: &u32| {
            let entry = &self.open[piece];
            let unasked = (entry.arrived + entry.unrequested) as usize == entry.slots.len();
            unasked && entry.asked < before && !has.has(*piece)
        };
        let piece = *self.startable.iter().find(|piece| is_orphan(piece))?;
        self.give_up(piece)
    }

    fn give_up(&mut self, piece: u32) -> Option<(u32, WholePiece)> {
        self.startable.retain(|&other| other != piece);
        let entry = self.take_out(piece)?;
        Some((piece, entry.slots.into_iter().filter_map(|slot| slot.arrived).collect()))
    }

    /// True if a block of an open piece is unrequested.
    pub fn is_startable(&self) -> bool {
        !self.startable.is_empty()
    }

    /// The next unrequested block of the oldest open piece of `lane` that `has` holds, noted as asked of `source`.
    pub fn request(
        &mut self,
        source: StreamId,
        has: &impl Pieces,
        now: Instant,
        lane: Lane,
    ) -> Option<Block> {
        let open = &self.open;
        let is_for = |entry: &OpenPiece| lane.takes(entry.is_slow) && entry.is_open_to(source, now);
        let may = |piece: &u32| has.has(*piece) && is_for(&open[piece]);
        let nth = self.startable.iter().inspect(|_| self.steps += 1).position(may)?;
        self.request_nth(nth, source, now)
    }

    /// The next unrequested block of `piece`, noted as asked of `source`.
    pub fn request_of(&mut self, piece: u32, source: StreamId, now: Instant) -> Option<Block> {
        let may = self.open.get(&piece)?.is_open_to(source, now);
        let nth = self.startable.iter().position(|&other| other == piece).filter(|_| may)?;
        self.request_nth(nth, source, now)
    }

    fn request_nth(&mut self, nth: usize, source: StreamId, now: Instant) -> Option<Block> {
        let (piece, heard) = (*self.startable.get(nth)?, self.heard(now));
        let entry = self.open.get_mut(&piece)?;
        let tail = &entry.slots[entry.cursor as usize..];
        let block = entry.cursor + tail.iter().position(Slot::is_unrequested)? as u32;
        self.steps += u64::from(block - entry.cursor) + 1;
        entry.slots[block as usize].add_requester(source, heard);
        entry.asked = now;
        entry.cursor = block + 1;
        entry.unrequested -= 1;
        if entry.unrequested == 0 {
            self.startable.remove(nth);
        }
        Some(self.geometry.block(piece, block))
    }

    /// A block that another peer has owed for longer than `patience`, noted as asked of `source` as well. The first
    /// piece first. Where nothing is late, as nearly always, that is known without a look at the blocks; else those of
    /// pieces are looked at in which one may be.
    pub fn double(
        &mut self,
        source: StreamId,
        has: &impl Pieces,
        now: Instant,
        patience: Duration,
        lane: Lane,
    ) -> Option<Block> {
        let heard = self.heard(now);
        if heard.since(self.oldest_asked) <= patience {
            return None;
        }
        let mut oldest = heard;
        for (&piece, entry) in &mut self.open {
            self.steps += 1;
            if has.has(piece)
                && lane.takes(entry.is_slow)
                && entry.is_open_to(source, now)
                && let Some(nth) = entry.late(source, heard, patience, &mut self.steps)
            {
                entry.slots[nth].add_requester(source, heard);
                return Some(self.geometry.block(piece, nth as u32));
            }
            oldest = oldest.min(entry.oldest_asked);
        }
        self.oldest_asked = oldest;
        None
    }

    /// The first bytes of `block` have come from `source`: from now on it is late only if the rest does not follow. If no other
    /// was that far, another peer that was asked for it, too, is not asked any more: answers it.
    pub fn begins(&mut self, source: StreamId, block: Block, now: Instant) -> Option<StreamId> {
        let heard = self.heard(now);
        let slots = &mut self.open.get_mut(&block.piece)?.slots;
        let slot = slots.get_mut((block.begin / BLOCK_BYTES) as usize)?;
        slot.begin(source, heard)
    }

    /// `source` will not send `block`: if nobody else was asked, it is wanted again.
    pub fn unrequest(&mut self, source: StreamId, block: Block) {
        let Some(entry) = self.open.get_mut(&block.piece) else { return };
        let nth = block.begin / BLOCK_BYTES;
        let Some(slot) = entry.slots.get_mut(nth as usize) else { return };
        if !slot.remove_requester(source) {
            return;
        }
        if slot.only_requester().is_some() {
            entry.oldest_asked = entry.oldest_asked.min(slot.asked);
            self.oldest_asked = self.oldest_asked.min(slot.asked);
        }
        if slot.is_unrequested() {
            entry.unrequested += 1;
            entry.cursor = entry.cursor.min(nth);
            if entry.unrequested == 1 {
                self.startable.push(block.piece);
            }
        }
    }

    /// `source` is gone or fell silent: pieces kept for it alone are free for all.
    pub fn free_sole(&mut self, source: StreamId) {
        for entry in self.open.values_mut().filter(|entry| entry.is_for(source)) {
            entry.sole = None;
        }
    }

    /// `sender` sent `block`, which must be one of [`Geometry::block`].
    pub fn place(&mut self, sender: StreamId, block: Block, buffer: Buffer) -> Placed {
        let Some(entry) = self.open.get_mut(&block.piece) else { return Placed::Unwanted(buffer) };
        let nth = (block.begin / BLOCK_BYTES) as usize;
        let Some(slot) = entry.slots.get_mut(nth).filter(|slot| slot.arrived.is_none()) else {
            return Placed::Unwanted(buffer);
        };
        let was_unrequested = slot.is_unrequested();
        let cancel = slot.requesters.map(|requester| requester.filter(|&other| other != sender));
        *slot = Slot { arrived: Some(Arrived { buffer, sender }), ..Slot::default() };
        entry.arrived += 1;
        let whole = entry.arrived as usize == entry.slots.len();
        if was_unrequested {
            entry.unrequested -= 1;
            if entry.unrequested == 0 {
                self.startable.retain(|&piece| piece != block.piece);
            }
        }
        Placed::Kept { cancel, whole }
    }

    /// True if `block` belongs to an open piece and has not arrived.
    pub fn lacks(&self, block: Block) -> bool {
        let slot = |entry: &OpenPiece| {
            entry.slots.get((block.begin / BLOCK_BYTES) as usize).is_some_and(|slot| slot.arrived.is_none())
        };
        self.open.get(&block.piece).is_some_and(slot)
    }

    /// True if `piece` is open.
    pub fn contains(&self, piece: u32) -> bool {
        self.open.contains_key(&piece)
    }

    /// The bytes of the arrived blocks of a piece from the `nth` on, for hashing in order.
    pub fn arrived_from(&self, piece: u32, nth: u32) -> impl Iterator<Item = &[u8]> {
        let slots = self.open.get(&piece).map_or(&[][..], |entry| &entry.slots[..]);
        let blocks = slots.iter().enumerate().skip(nth as usize);
        blocks.map_while(move |(nth, slot)| {
            let length = self.geometry.block(piece, nth as u32).length as usize;
            slot.arrived.as_ref().map(|arrived| &arrived.buffer[..length])
        })
    }

    /// Takes a piece out whose blocks have all arrived; `None` if one is missing.
    pub fn take_whole(&mut self, piece: u32) -> Option<WholePiece> {
        let whole = |entry: &OpenPiece| entry.arrived as usize == entry.slots.len();
        if !self.open.get(&piece).is_some_and(whole) {
            return None;
        }
        let entry = self.take_out(piece)?;
        Some(entry.slots.into_iter().filter_map(|slot| slot.arrived).collect())
    }

    /// True if blocks of an open piece are missing.
    pub fn is_unfinished(&self) -> bool {
        self.open.values().any(|entry| (entry.arrived as usize) < entry.slots.len())
    }

    /// Open pieces and blocks looked at so far by [`Assembly::request`] and [`Assembly::double`].
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Buffers that hold blocks.
    pub fn kept_buffers(&self) -> u32 {
        self.open.values().map(|entry| entry.arrived).sum()
    }

    /// True if `source` was asked for `block` and has not answered.
    pub fn is_asked(&self, source: StreamId, block: Block) -> bool {
        let slot = self
            .open
            .get(&block.piece)
            .and_then(|entry| entry.slots.get((block.begin / BLOCK_BYTES) as usize));
        slot.is_some_and(|slot| slot.requesters.contains(&Some(source)))
    }

    /// Panics unless counts and lists agree with the blocks.
    #[doc(hidden)]
    pub fn check(&self) {
        for (piece, entry) in &self.open {
            let arrived = entry.slots.iter().filter(|slot| slot.arrived.is_some()).count();
            let unrequested = entry.slots.iter().filter(|slot| slot.is_unrequested()).count();
            assert_eq!(entry.slots.len() as u32, self.geometry.blocks(*piece));
            assert_eq!((entry.arrived as usize, entry.unrequested as usize), (arrived, unrequested));
            assert!(entry.slots[..entry.cursor as usize].iter().all(|slot| !slot.is_unrequested()));
            assert_eq!(self.startable.contains(piece), unrequested > 0, "piece {piece}");
        }
        for entry in self.open.values() {
            let owed = entry.slots.iter().filter(|slot| slot.only_requester().is_some());
            assert!(owed.map(|slot| slot.asked).all(|asked| asked >= entry.oldest_asked));
            assert!(entry.oldest_asked >= self.oldest_asked);
        }
        assert!(self.startable.len() <= self.open.len());
        let slow = self.open.values().filter(|entry| entry.is_slow).map(|entry| entry.slots.len());
        assert_eq!(self.slow_blocks as usize, slow.sum::<usize>(), "blocks of slow pieces");
    }
}

#[cfg(test)]
mod tests;
