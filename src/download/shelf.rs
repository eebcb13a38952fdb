//! Verified pieces on their way into the files, an extent at a time.
//!
//! A piece waits here until every other piece of its extents is verified too; then the whole extent goes out as one
//! store, which is cheap for a memory map and writes flash once. A piece whose extent does not fill soon, or whose memory is
//! needed, goes out alone. Its buffers are free when all its bytes are stored.

use crate::base::limits::BLOCK_BYTES;
use crate::base::{Bitfield, Geometry, Instant};
use crate::download::assembly::WholePiece;
use crate::meta::Extents;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

/// A verified piece that is not wholly stored.
#[derive(Debug)]
struct Held {
    blocks: WholePiece,
    since: Instant,
    /// For each extent that it overlaps, in order: its bytes there are in a store.
    assigned: Vec<bool>,
    /// Bytes that are not stored yet.
    left_bytes: u32,
}

impl Held {
    fn is_waiting(&self) -> bool {
        self.assigned.iter().any(|assigned| !assigned)
    }
}

/// Verified pieces, and the stores that carry them out.
#[derive(Debug)]
pub struct Shelf {
    geometry: Geometry,
    extents: Arc<Extents>,
    held: BTreeMap<u32, Held>,
    /// Pieces in the order in which they were verified; some may be gone already.
    arrivals: VecDeque<u32>,
    /// Stores that are not answered, by number.
    stores: BTreeMap<u32, Range<u64>>,
    next_store: u32,
}

impl Shelf {
    /// An empty shelf.
    pub fn new(geometry: Geometry, extents: Arc<Extents>) -> Self {
        Self {
            geometry,
            extents,
            held: BTreeMap::new(),
            arrivals: VecDeque::new(),
            stores: BTreeMap::new(),
            next_store: 0,
        }
    }

    /// True if `piece` is verified and not wholly stored.
    pub fn contains(&self, piece: u32) -> bool {
        self.held.contains_key(&piece)
    }

    /// Pieces held.
    pub fn len(&self) -> u32 {
        self.held.len() as u32
    }

    /// The pieces held, in order.
    pub fn pieces(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.keys().copied()
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes in a verified piece. `have` tells which pieces are stored already. Stores that became possible are added to
    /// `wishes`, one per extent.
    pub fn put(
        &mut self,
        now: Instant,
        piece: u32,
        blocks: WholePiece,
        have: &Bitfield,
        wishes: &mut Vec<u32>,
    ) {
        let extents = self.extents_of(piece);
        let assigned = vec![false; extents.len()];
        let left_bytes = self.geometry.piece_length(piece);
        self.held.insert(piece, Held { blocks, since: now, assigned, left_bytes });
        self.arrivals.push_back(piece);
        if self.geometry.piece_bytes < BLOCK_BYTES {
            // So many pieces share an extent that looking at them all would cost more than it saves.
            return self.store_alone(piece, wishes);
        }
        for extent in extents {
            let range = self.extents.range(extent);
            let known = |piece| have.has(piece) || self.held.contains_key(&piece);
            if self.geometry.pieces_of(range).all(known) {
                self.store_extent(extent, wishes);
            }
        }
    }

    /// Sends out alone the pieces that have waited since `now - age` or longer.
    pub fn flush_older(&mut self, now: Instant, age: Duration, wishes: &mut Vec<u32>) {
        while let Some(piece) = self.oldest_waiting() {
            if now.since(self.held[&piece].since) < age {
                break;
            }
            self.store_alone(piece, wishes);
        }
    }

    /// Sends the longest waiting piece out alone, because its memory is needed. False if none waits.
    pub fn flush_oldest(&mut self, wishes: &mut Vec<u32>) -> bool {
        let oldest = self.oldest_waiting();
        if let Some(piece) = oldest {
            self.store_alone(piece, wishes);
        }
        oldest.is_some()
    }

    /// When [`Shelf::flush_older`] has something to do, for pieces that may wait for `age`.
    pub fn flush_deadline(&self, age: Duration) -> Option<Instant> {
        let mut held = self.arrivals.iter().filter_map(|piece| self.held.get(piece));
        held.find(|held| held.is_waiting()).map(|held| held.since + age)
    }

    /// Where the bytes of a store begin in the torrent, and the bytes.
    pub fn store(&self, store: u32) -> Option<(u64, Vec<&[u8]>)> {
        let range = self.stores.get(&store)?;
        let mut parts = Vec::new();
        for piece in self.geometry.pieces_of(range.clone()) {
            self.held.get(&piece)?.blocks.iter().enumerate().for_each(|(nth, arrived)| {
                let block = self.geometry.block(piece, nth as u32);
                let start = self.geometry.piece_start(piece) + u64::from(block.begin);
                let end = start + u64::from(block.length);
                let (from, to) = (range.start.max(start), range.end.min(end));
                if from < to {
                    parts.push(&arrived.buffer[(from - start) as usize..(to - start) as usize]);
                }
            });
        }
        Some((range.start, parts))
    }

    /// Bytes of a store; 0 if it is answered.
    pub fn store_bytes(&self, store: u32) -> u64 {
        self.stores.get(&store).map_or(0, |range| range.end - range.start)
    }

    /// Where the bytes of a store begin in the torrent; 0 if it is answered.
    pub fn store_start(&self, store: u32) -> u64 {
        self.stores.get(&store).map_or(0, |range| range.start)
    }

    /// Pieces of which some bytes are stored, or are on their way.
    pub fn partly_stored(&self) -> impl Iterator<Item = u32> + '_ {
        let is_begun = |piece: u32, held: &Held| {
            let own = self.geometry.piece_range(piece);
            let is_in = |store: &Range<u64>| store.start < own.end && own.start < store.end;
            held.left_bytes < self.geometry.piece_length(piece) || self.stores.values().any(is_in)
        };
        self.held.iter().filter(move |(piece, held)| is_begun(**piece, held)).map(|(piece, _)| *piece)
    }

    /// A store is carried out. Pieces that are wholly stored leave the shelf and are passed to `done`.
    pub fn stored(&mut self, store: u32, mut done: impl FnMut(u32, WholePiece)) {
        let Some(range) = self.stores.remove(&store) else { return };
        for piece in self.geometry.pieces_of(range.clone()) {
            let own = self.geometry.piece_range(piece);
            let overlap = own.end.min(range.end) - own.start.max(range.start);
            let Some(held) = self.held.get_mut(&piece) else { continue };
            held.left_bytes -= overlap as u32;
            if held.left_bytes == 0
                && let Some(held) = self.held.remove(&piece)
            {
                done(piece, held.blocks);
            }
        }
        // Forgets the pieces at the front that have left, so that the list stays as short as the shelf.
        self.oldest_waiting();
    }

    /// Takes out the piece that was verified last, if no part of it is stored, but not the only piece. No store may be under
    /// way: those that it was in are made anew later, without it.
    pub fn give_up_youngest(&mut self) -> Option<(u32, WholePiece)> {
        let is_whole = |piece: u32, held: &Held| held.left_bytes == self.geometry.piece_length(piece);
        let whole = self.held.iter().filter(|(piece, held)| self.held.len() > 1 && is_whole(**piece, held));
        let piece = *whole.max_by_key(|(_, held)| held.since)?.0;
        let own = self.geometry.piece_range(piece);
        let mut gone: Vec<Range<u64>> = Vec::new();
        self.stores.retain(|_, range| {
            let stays = range.end <= own.start || own.end <= range.start;
            gone.extend((!stays).then(|| range.clone()));
            stays
        });
        gone.into_iter().for_each(|range| self.unassign(range));
        Some((piece, self.held.remove(&piece)?.blocks))
    }

    /// A store will not be carried out: what was in it waits again.
    fn unassign(&mut self, store: Range<u64>) {
        for piece in self.geometry.pieces_of(store.clone()) {
            let extents = self.extents_of(piece);
            let Some(held) = self.held.get_mut(&piece) else { continue };
            for (assigned, extent) in held.assigned.iter_mut().zip(extents) {
                let range = self.extents.range(extent);
                *assigned &= range.end <= store.start || store.end <= range.start;
            }
            self.arrivals.push_back(piece);
        }
    }

    /// Stores that are not answered.
    pub fn stores(&self) -> impl Iterator<Item = u32> {
        self.stores.keys().copied()
    }

    /// Buffers that hold blocks.
    pub fn kept_buffers(&self) -> u32 {
        self.held.values().map(|held| held.blocks.len() as u32).sum()
    }

    fn extents_of(&self, piece: u32) -> Range<u32> {
        let range = self.geometry.piece_range(piece);
        self.extents.at(range.start)..self.extents.at(range.end - 1) + 1
    }

    fn oldest_waiting(&mut self) -> Option<u32> {
        while let Some(&piece) = self.arrivals.front() {
            if self.held.get(&piece).is_some_and(Held::is_waiting) {
                return Some(piece);
            }
            self.arrivals.pop_front();
        }
        None
    }

    /// Stores what is held of an extent: all of it, or, where a part is on disk from an earlier run, the rest.
    fn store_extent(&mut self, extent: u32, wishes: &mut Vec<u32>) {
        let pieces = self.geometry.pieces_of(self.extents.range(extent));
        self.store_parts(pieces.map(|piece| (piece, extent)), wishes);
    }

    /// Stores what is left of one piece, without waiting for its neighbours.
    fn store_alone(&mut self, piece: u32, wishes: &mut Vec<u32>) {
        let extents = self.extents_of(piece);
        self.store_parts(extents.map(|extent| (piece, extent)), wishes);
    }

    /// Stores the parts where a piece and an extent meet, neighbours in one; what is not held or is being stored
    /// already divides them.
    fn store_parts(&mut self, parts: impl Iterator<Item = (u32, u32)>, wishes: &mut Vec<u32>) {
        let mut run: Option<Range<u64>> = None;
        for (piece, extent) in parts {
            let (own, range) = (self.geometry.piece_range(piece), self.extents.range(extent));
            let part = own.start.max(range.start)..own.end.min(range.end);
            if !self.assign(piece, extent) {
                self.start_store(run.take(), wishes);
            } else if let Some(run) = &mut run {
                run.end = part.end;
            } else {
                run = Some(part);
            }
        }
        self.start_store(run, wishes);
    }

    /// Marks the part of `piece` in `extent` as being stored. False if it is already, or if the piece is not held.
    fn assign(&mut self, piece: u32, extent: u32) -> bool {
        let first = self.extents_of(piece).start;
        let Some(held) = self.held.get_mut(&piece) else { return false };
        !core::mem::replace(&mut held.assigned[(extent - first) as usize], true)
    }

    fn start_store(&mut self, range: Option<Range<u64>>, wishes: &mut Vec<u32>) {
        if let Some(range) = range {
            wishes.push(self.next_store);
            self.stores.insert(self.next_store, range);
            self.next_store = self.next_store.wrapping_add(1);
        }
    }
}
