//! The pieces that are being put together, block by block.

use crate::base::limits::{BLOCK_BYTES, REQUESTERS_MAX};
use crate::base::{Bitfield, Block, Geometry, Instant, StreamId};
use crate::download::pool::Buffer;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// A block that has arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Its bytes, at the start of the buffer.
    pub buffer: Buffer,
    /// Who sent it.
    pub sender: StreamId,
}

/// A piece whose blocks have all arrived, in order.
pub type WholePiece = Vec<Arrived>;

/// One block of an open piece.
#[derive(Debug, Default)]
struct Slot {
    arrived: Option<Arrived>,
    /// Who was asked for it and has not answered.
    requesters: [Option<StreamId>; REQUESTERS_MAX],
    /// When it was asked for last.
    asked: Instant,
}

impl Slot {
    fn is_unrequested(&self) -> bool {
        self.arrived.is_none() && self.requesters.iter().all(Option::is_none)
    }

    /// True if exactly one peer was asked, not `source`, and longer ago than `patience`.
    fn may_be_doubled(&self, source: StreamId, now: Instant, patience: Duration) -> bool {
        let mut asked = self.requesters.iter().flatten();
        let (first, second) = (asked.next(), asked.next());
        let one_other = second.is_none() && first.is_some_and(|&other| other != source);
        self.arrived.is_none() && one_other && now.since(self.asked) > patience
    }

    fn add_requester(&mut self, source: StreamId, now: Instant) {
        if let Some(free) = self.requesters.iter_mut().find(|requester| requester.is_none()) {
            *free = Some(source);
        }
        self.asked = now;
    }
}

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
    /// The only peer that may be asked, while a piece that failed before is fetched again.
    sole: Option<StreamId>,
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
    /// Open pieces and blocks looked at so far.
    steps: u64,
    opened: u32,
}

impl Assembly {
    /// No piece is open.
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, open: BTreeMap::new(), startable: Vec::new(), steps: 0, opened: 0 }
    }

    /// Open pieces.
    pub fn len(&self) -> u32 {
        self.open.len() as u32
    }

    /// Opens `piece`; with `sole`, only that peer is asked for it.
    pub fn open(&mut self, now: Instant, piece: u32, sole: Option<StreamId>) {
        let blocks = self.geometry.blocks(piece);
        let mut slots = Vec::new();
        slots.resize_with(blocks as usize, Slot::default);
        self.opened = self.opened.wrapping_add(1);
        let serial = self.opened;
        self.open.insert(
            piece,
            OpenPiece { slots, arrived: 0, unrequested: blocks, cursor: 0, asked: now, sole, serial },
        );
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
    pub fn give_up_orphan(&mut self, before: Instant, has: &Bitfield) -> Option<(u32, WholePiece)> {
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
        let entry = self.open.remove(&piece)?;
        Some((piece, entry.slots.into_iter().filter_map(|slot| slot.arrived).collect()))
    }

    /// The next unrequested block of the oldest open piece that `has` holds, noted as asked of `source`.
    pub fn request(&mut self, source: StreamId, has: &Bitfield, now: Instant) -> Option<Block> {
        let open = &self.open;
        let may = |piece: &u32| has.has(*piece) && open[piece].sole.is_none_or(|sole| sole == source);
        let nth = self.startable.iter().inspect(|_| self.steps += 1).position(may)?;
        self.request_nth(nth, source, now)
    }

    /// The next unrequested block of `piece`, noted as asked of `source`.
    pub fn request_of(&mut self, piece: u32, source: StreamId, now: Instant) -> Option<Block> {
        let may = self.open.get(&piece)?.sole.is_none_or(|sole| sole == source);
        let nth = self.startable.iter().position(|&other| other == piece).filter(|_| may)?;
        self.request_nth(nth, source, now)
    }

    fn request_nth(&mut self, nth: usize, source: StreamId, now: Instant) -> Option<Block> {
        let piece = *self.startable.get(nth)?;
        let entry = self.open.get_mut(&piece)?;
        let tail = &entry.slots[entry.cursor as usize..];
        let block = entry.cursor + tail.iter().position(Slot::is_unrequested)? as u32;
        self.steps += u64::from(block - entry.cursor) + 1;
        entry.slots[block as usize].add_requester(source, now);
        entry.asked = now;
        entry.cursor = block + 1;
        entry.unrequested -= 1;
        if entry.unrequested == 0 {
            self.startable.remove(nth);
        }
        Some(self.geometry.block(piece, block))
    }

    /// A block that another peer has owed for longer than `patience`, noted as asked of `source` as well. The oldest
    /// piece first. Costs a look at every open block, which memory bounds: for the endgame only.
    pub fn double(
        &mut self,
        source: StreamId,
        has: &Bitfield,
        now: Instant,
        patience: Duration,
    ) -> Option<Block> {
        for (&piece, entry) in &mut self.open {
            if !has.has(piece) || entry.sole.is_some() {
                continue;
            }
            let late = entry.slots.iter().position(|slot| slot.may_be_doubled(source, now, patience));
            if let Some(nth) = late {
                entry.slots[nth].add_requester(source, now);
                return Some(self.geometry.block(piece, nth as u32));
            }
        }
        None
    }

    /// `source` will not send `block`: if nobody else was asked, it is wanted again.
    pub fn unrequest(&mut self, source: StreamId, block: Block) {
        let Some(entry) = self.open.get_mut(&block.piece) else { return };
        let nth = block.begin / BLOCK_BYTES;
        let Some(slot) = entry.slots.get_mut(nth as usize) else { return };
        let Some(requester) = slot.requesters.iter_mut().find(|requester| **requester == Some(source)) else {
            return;
        };
        *requester = None;
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
        for entry in self.open.values_mut().filter(|entry| entry.sole == Some(source)) {
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
        let entry = self.open.remove(&piece)?;
        Some(entry.slots.into_iter().filter_map(|slot| slot.arrived).collect())
    }

    /// True if blocks of an open piece are missing.
    pub fn is_unfinished(&self) -> bool {
        self.open.values().any(|entry| (entry.arrived as usize) < entry.slots.len())
    }

    /// Open pieces and blocks looked at so far by [`Assembly::request`].
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
        assert!(self.startable.len() <= self.open.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::pool::Pool;

    const PEER: [StreamId; 3] = [peer(0), peer(1), peer(2)];
    const NOW: Instant = Instant::from_micros(1_000_000);

    const fn peer(slot: u32) -> StreamId {
        StreamId { slot, generation: slot }
    }

    fn two_open_pieces() -> (Assembly, Bitfield, Pool) {
        let geometry = Geometry::new(5 * 40_000, 40_000).unwrap();
        let mut assembly = Assembly::new(geometry);
        assembly.open(NOW, 3, None);
        assembly.open(NOW, 1, None);
        (assembly, Bitfield::full(5), Pool::new(0))
    }

    #[test]
    fn blocks_are_asked_for_in_the_order_of_opening() {
        let (mut assembly, all, _) = two_open_pieces();
        let blocks: Vec<_> = core::iter::from_fn(|| assembly.request(PEER[0], &all, NOW)).collect();
        let order: Vec<_> = blocks.iter().map(|block| (block.piece, block.begin)).collect();
        assert_eq!(order, [(3, 0), (3, 16_384), (3, 32_768), (1, 0), (1, 16_384), (1, 32_768)]);
        assembly.check();
        assembly.unrequest(PEER[0], blocks[1]);
        assembly.unrequest(PEER[1], blocks[2]);
        assembly.check();
        assert_eq!(assembly.request(PEER[2], &all, NOW), Some(blocks[1]));
        assert_eq!(assembly.request(PEER[2], &all, NOW), None);
    }

    #[test]
    fn a_piece_is_whole_when_its_last_block_arrives_in_any_order() {
        let (mut assembly, all, mut pool) = two_open_pieces();
        for nth in [2, 0, 1] {
            let block = assembly.geometry.block(3, nth);
            assert!(assembly.take_whole(3).is_none());
            let placed = assembly.place(PEER[0], block, pool.take().unwrap());
            assert!(matches!(placed, Placed::Kept { cancel: [None, None], whole } if whole == (nth == 1)));
            let again = assembly.place(PEER[1], block, pool.take().unwrap());
            assert!(matches!(again, Placed::Unwanted(_)));
            assembly.check();
        }
        assert_eq!(assembly.arrived_from(3, 1).map(<[u8]>::len).collect::<Vec<_>>(), [16_384, 7_232]);
        assert_eq!(assembly.take_whole(3).unwrap().len(), 3);
        assert_eq!(assembly.request(PEER[0], &all, NOW).unwrap().piece, 1);
    }

    #[test]
    fn the_endgame_asks_a_second_peer_and_cancels_the_slower_one() {
        let (mut assembly, all, mut pool) = two_open_pieces();
        while assembly.request(PEER[0], &all, NOW).is_some() {}
        let later = NOW + Duration::from_secs(3);
        let patience = Duration::from_secs(2);
        assert_eq!(assembly.double(PEER[1], &all, NOW, patience), None, "not late yet");
        assert_eq!(assembly.double(PEER[0], &all, later, patience), None, "the same peer");
        let block = assembly.double(PEER[1], &all, later, patience).unwrap();
        assert_eq!(assembly.double(PEER[2], &all, later, patience).map(|other| other == block), Some(false));
        let placed = assembly.place(PEER[1], block, pool.take().unwrap());
        assert!(matches!(placed, Placed::Kept { cancel, .. } if cancel == [Some(PEER[0]), None]));
        assembly.check();
    }

    #[test]
    fn a_late_block_cancels_everybody_who_was_asked_instead() {
        let (mut assembly, all, mut pool) = two_open_pieces();
        let later = NOW + Duration::from_secs(3);
        let block = assembly.request(PEER[0], &all, NOW).unwrap();
        assembly.unrequest(PEER[0], block);
        assert_eq!(assembly.request(PEER[1], &all, NOW), Some(block));
        assert_eq!(assembly.double(PEER[2], &all, later, Duration::ZERO), Some(block));
        let placed = assembly.place(PEER[0], block, pool.take().unwrap());
        assert!(matches!(placed, Placed::Kept { cancel, .. } if cancel == [Some(PEER[1]), Some(PEER[2])]));
        assembly.check();
    }

    #[test]
    fn a_piece_kept_for_one_peer_is_not_given_to_others() {
        let (mut assembly, all, _) = two_open_pieces();
        assembly.open(NOW, 0, Some(PEER[1]));
        let mut asked = core::iter::from_fn(|| assembly.request(PEER[0], &all, NOW));
        assert!(asked.all(|block| block.piece != 0));
        assembly.free_sole(PEER[1]);
        assert_eq!(assembly.request(PEER[0], &all, NOW).unwrap().piece, 0);
    }

    #[test]
    fn a_piece_whose_owner_is_gone_gives_its_memory_back() {
        let (mut assembly, all, _) = two_open_pieces();
        let later = NOW + Duration::from_secs(20);
        let mut others = Bitfield::full(5);
        others.remove(3);
        let block = assembly.request(PEER[0], &all, NOW).unwrap();
        assert!(assembly.give_up_orphan(later, &others).is_none(), "it is being asked for");
        assembly.unrequest(PEER[0], block);
        assert!(assembly.give_up_orphan(NOW, &others).is_none(), "it was asked for just now");
        assert!(assembly.give_up_orphan(later, &all).is_none(), "somebody has it");
        assert_eq!(assembly.give_up_orphan(later, &others).map(|(piece, _)| piece), Some(3));
        assembly.check();
    }

    #[test]
    fn blocks_of_pieces_that_are_not_open_are_unwanted() {
        let (mut assembly, _, mut pool) = two_open_pieces();
        let block = assembly.geometry.block(4, 0);
        assert!(matches!(assembly.place(PEER[0], block, pool.take().unwrap()), Placed::Unwanted(_)));
        assert!(!assembly.lacks(block) && assembly.lacks(assembly.geometry.block(3, 2)));
        assembly.unrequest(PEER[0], block);
        assembly.check();
    }
}
