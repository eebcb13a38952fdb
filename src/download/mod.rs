//! Floor 3: the download of one torrent, from "what shall this peer be asked for?" to "these bytes are to be stored".
//!
//! Knows peers only by their stream's name and by what they have; knows no connection, no file and no tracker.

mod alone;
mod answers;
mod assembly;
mod audit;
mod begun;
mod blame;
mod cancelled;
mod check;
mod digest;
mod estimate;
mod hasher;
mod offer;
mod picker;
mod picking;
mod pipeline;
mod pool;
mod search;
mod shelf;
mod slot;
mod stores;
#[cfg(test)]
mod tests;

pub use answers::{Arrival, Pick, Verdict};
pub use check::Check;
pub use picker::SCAN_STEPS;
pub use pipeline::{Pipeline, Request};
pub use pool::{Buffer, Pool};
pub use search::Search;

use crate::base::limits::{EXTENT_BYTES, ORPHAN_AGE, RUN_PIECES_MAX};
use crate::base::{Bitfield, Block, Geometry, Instant, Rng, StreamId};
use crate::meta::{Extents, Metainfo};
use alloc::sync::Arc;
use alloc::vec::Vec;
use assembly::{Assembly, Placed, WholePiece};
use begun::Begun;
use blame::Blame;
use core::time::Duration;
use hasher::Hasher;
use offer::Pieces;
use picker::Picker;
use shelf::Shelf;

/// The download of one torrent.
#[derive(Debug)]
pub struct Download {
    metainfo: Arc<Metainfo>,
    geometry: Geometry,
    extents: Arc<Extents>,
    /// Pieces that are verified and stored.
    have: Bitfield,
    picker: Picker,
    begun: Begun,
    /// The first piece is fetched first, not the rarest.
    in_order: bool,
    assembly: Assembly,
    /// Pieces whose blocks have all arrived.
    hasher: Hasher,
    shelf: Shelf,
    blame: Blame,
    /// Stores to be wished for.
    wishes: Vec<u32>,
    /// When pieces that nobody serves are looked for again, if memory is full then.
    next_orphan_hunt: Instant,
    /// Since when all peers are read; `None` while some are not, for want of memory. What they owe is not late for that.
    heard_since: Option<Instant>,
}

impl Download {
    /// A download of which nothing is there.
    pub fn new(metainfo: Arc<Metainfo>, rng: &mut Rng) -> Self {
        let geometry = metainfo.geometry();
        let extents = Arc::new(Extents::new(&metainfo.layout));
        Self {
            geometry,
            have: Bitfield::new(geometry.pieces),
            picker: Picker::new(geometry.pieces, rng),
            begun: Begun::default(),
            in_order: false,
            assembly: Assembly::new(geometry),
            hasher: Hasher::default(),
            shelf: Shelf::new(geometry, extents.clone()),
            blame: Blame::default(),
            wishes: Vec::new(),
            next_orphan_hunt: Instant::ZERO,
            heard_since: Some(Instant::ZERO),
            metainfo,
            extents,
        }
    }

    /// From now on the first piece that a peer has is fetched first, not the rarest.
    pub fn fetch_in_order(&mut self) {
        self.in_order = true;
    }

    /// Pieces that are verified and stored.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// How the torrent is cut.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Pieces that are being fetched, hashed or stored.
    pub fn open_pieces(&self) -> u32 {
        self.assembly.len() + self.shelf.len()
    }

    /// True if `piece` is not verified.
    pub fn wants(&self, piece: u32) -> bool {
        !self.have.has(piece) && !self.shelf.contains(piece)
    }

    /// How many of the pieces that `has` holds are not verified. Looks at every piece: once per connection.
    pub fn wanted_of(&self, has: &Bitfield) -> u32 {
        has.iter().filter(|&piece| self.wants(piece)).count() as u32
    }

    /// `piece` was read from disk and is right. False if that was known, or if it is being fetched all the same.
    pub fn found(&mut self, piece: u32) -> bool {
        let is_new = self.picker.contains(piece);
        if is_new {
            self.picker.remove(piece);
            self.have.insert(piece);
        }
        is_new
    }

    /// `piece` is wrong on disk, or not there. True if it had been right before: it is fetched again.
    pub fn lost(&mut self, piece: u32) -> bool {
        let was_there = self.have.remove(piece);
        if was_there {
            self.picker.insert(piece);
        }
        was_there
    }

    /// True if `piece` is stored together with the one before it.
    pub fn belongs_to_last(&self, piece: u32) -> bool {
        let extent = |piece: u32| self.extents.at(self.geometry.piece_start(piece));
        piece > 0 && piece < self.geometry.pieces && extent(piece) == extent(piece - 1)
    }

    /// About how many pieces are stored together, as far as a peer is told of them at a time; at least 1.
    pub fn run_pieces(&self) -> u32 {
        (EXTENT_BYTES as u32 / self.geometry.piece_bytes.max(1)).clamp(1, RUN_PIECES_MAX)
    }

    /// One more counted peer has `piece`. Peers that have everything from the start are not counted.
    pub fn add_availability(&mut self, piece: u32) {
        self.picker.add_peer(piece);
    }

    /// One counted peer less has `piece`.
    pub fn remove_availability(&mut self, piece: u32) {
        self.picker.remove_peer(piece);
    }

    /// The peer of `pipeline` has got `piece`, or lets it be asked for while it chokes if `allowed`: a search that has found
    /// nothing looks at that one.
    pub fn offer(&self, piece: u32, allowed: bool, pipeline: &mut Pipeline) {
        self.picker.offer(piece, pipeline.search_of(allowed));
    }

    /// Gives up the piece that was opened last, because a block has found no memory: its blocks are fetched again later.
    /// What is verified is sent out too. Answers the piece.
    pub fn give_up_youngest(&mut self, pool: &mut Pool) -> Option<u32> {
        self.flush();
        let (piece, blocks) = self.assembly.give_up_youngest()?;
        self.take_back(piece, blocks, pool);
        Some(piece)
    }

    /// Gives up a piece that nobody is asked for and nobody has been asked for of late, because memory is needed for a peer that
    /// has the pieces `has`, and not this one. Answers the piece.
    fn give_up_orphan(&mut self, now: Instant, has: &impl Pieces, pool: &mut Pool) -> Option<u32> {
        let before = Instant::from_micros(now.as_micros().saturating_sub(ORPHAN_AGE.as_micros() as u64));
        let (piece, blocks) = self.assembly.give_up_orphan(before, has)?;
        self.take_back(piece, blocks, pool);
        Some(piece)
    }

    /// The same because another torrent needs the memory.
    pub fn give_up_idle(&mut self, now: Instant, pool: &mut Pool) -> Option<u32> {
        self.give_up_orphan(now, &Bitfield::new(0), pool)
    }

    /// Gives up the piece that was verified last, as another torrent needs the memory and storing fails; no store may be under
    /// way. The last one stays, to be stored as soon as that works again. Answers the piece.
    pub fn give_up_held(&mut self, pool: &mut Pool) -> Option<u32> {
        let (piece, blocks) = self.shelf.give_up_youngest()?;
        let shelf = &self.shelf;
        self.wishes.retain(|&store| shelf.store_bytes(store) > 0);
        self.take_back(piece, blocks, pool);
        Some(piece)
    }

    /// `piece` is to be fetched anew: its memory returns.
    fn take_back(&mut self, piece: u32, blocks: WholePiece, pool: &mut Pool) {
        blocks.into_iter().for_each(|arrived| pool.give(arrived.buffer));
        pool.release(self.geometry.blocks(piece));
        self.picker.insert(piece);
        self.begun.touch(&self.geometry, &self.extents, piece);
    }

    /// The first bytes of `block` have come from `source`, and not the last ones. Answers who need not send it then.
    pub fn begins(&mut self, now: Instant, source: StreamId, block: Block) -> Option<StreamId> {
        self.assembly.begins(source, block, now)
    }

    /// `source` will not send `block`.
    pub fn unrequest(&mut self, source: StreamId, block: Block) {
        self.assembly.unrequest(source, block);
    }

    /// `source` is gone or silent; its requests have been given back one by one.
    pub fn forget(&mut self, source: StreamId) {
        self.assembly.free_sole(source);
    }

    /// True if `block` would be kept if it arrived.
    pub fn lacks(&self, block: Block) -> bool {
        self.assembly.lacks(block)
    }

    /// `source` sent `block`, which it had been asked for.
    pub fn arrived(&mut self, source: StreamId, block: Block, buffer: Buffer, pool: &mut Pool) -> Arrival {
        match self.assembly.place(source, block, buffer) {
            Placed::Unwanted(buffer) => {
                pool.give(buffer);
                Arrival::Duplicate
            }
            Placed::Kept { cancel, whole } => {
                if whole {
                    self.hasher.push(block.piece);
                }
                Arrival::Kept { cancel }
            }
        }
    }

    /// Hashes pieces whose blocks have all arrived, for up to `budget_bytes`, which it reduces. Answers at the end of a
    /// piece, and `None` when the budget or the pieces are used up, or when a lone piece is left for a later turn because
    /// `more_comes`.
    pub fn hash(
        &mut self,
        now: Instant,
        budget_bytes: &mut usize,
        more_comes: bool,
        pool: &mut Pool,
    ) -> Option<Verdict> {
        let (piece, digest) = self.hasher.hash(&self.geometry, &self.assembly, budget_bytes, more_comes)?;
        let blocks = self.assembly.take_whole(piece)?;
        let right = self.metainfo.hashes.get(piece as usize) == Some(&digest);
        Some(self.judge(now, piece, blocks, right, pool))
    }

    /// All peers are read again from now on; `None`: some are not.
    pub fn hears(&mut self, since: Option<Instant>) {
        self.heard_since = since;
    }

    /// For so long, in all, peers have waited for our limit: what they owe is not late for that.
    pub fn held_up(&mut self, time: Duration) {
        self.assembly.set_held_up(time);
    }

    /// True if memory returns without another block: pieces are being hashed or stored. What waits for its neighbours is
    /// sent out for it, if nothing else is on its way.
    pub fn gives_back(&mut self) -> bool {
        if self.shelf.stores().next().is_none() && !self.hasher.has_work() {
            self.shelf.flush_oldest(&mut self.wishes);
        }
        self.hasher.has_work() || !self.shelf.is_empty()
    }

    /// True if [`Download::hash`] has something to do.
    pub fn has_work(&self) -> bool {
        self.hasher.has_work()
    }

    /// True if every piece is verified and stored.
    pub fn is_complete(&self) -> bool {
        self.have.is_full()
    }

    fn judge(
        &mut self,
        now: Instant,
        piece: u32,
        blocks: WholePiece,
        right: bool,
        pool: &mut Pool,
    ) -> Verdict {
        let geometry = self.geometry;
        let lengths = (0..geometry.blocks(piece)).map(|nth| geometry.block(piece, nth).length);
        if right {
            let guilty = self.blame.verified(piece, &blocks, lengths);
            self.shelf.put(now, piece, blocks, &self.have, &mut self.wishes);
            return Verdict::Verified { piece, guilty };
        }
        let guilty = self.blame.failed(piece, &blocks, lengths);
        self.take_back(piece, blocks, pool);
        Verdict::Corrupt { piece, guilty }
    }
}
