//! From verified pieces to their files: what is to be stored, in which order, and when it has waited long enough.

use super::{Download, Pool};
use crate::base::Instant;
use crate::base::limits::HELD_MAX;
use alloc::vec::Vec;

impl Download {
    /// The next store to be wished for.
    pub fn next_store(&mut self) -> Option<u32> {
        self.next_wish().map(|nth| self.wishes.swap_remove(nth))
    }

    /// Bytes of the store that [`Download::next_store`] gives next.
    pub fn next_store_bytes(&self) -> Option<u64> {
        self.next_wish().map(|nth| self.store_bytes(self.wishes[nth]))
    }

    /// Which of the wishes is the next: the last, or the first in the files if those are filled in order.
    fn next_wish(&self) -> Option<usize> {
        let wishes = 0..self.wishes.len();
        if self.in_order {
            wishes.min_by_key(|&nth| self.shelf.store_start(self.wishes[nth]))
        } else {
            wishes.last()
        }
    }

    /// Bytes of a store; 0 if it is answered.
    pub fn store_bytes(&self, store: u32) -> u64 {
        self.shelf.store_bytes(store)
    }

    /// Verified pieces that are in their files in part, or are on their way there.
    pub fn partly_stored(&self) -> impl Iterator<Item = u32> + '_ {
        self.shelf.partly_stored()
    }

    /// Where the bytes of a store begin in the torrent, and the bytes.
    pub fn store(&self, store: u32) -> Option<(u64, Vec<&[u8]>)> {
        self.shelf.store(store)
    }

    /// A store is carried out; passes each piece that is wholly stored to `done`.
    pub fn stored(&mut self, store: u32, pool: &mut Pool, mut done: impl FnMut(u32)) {
        let (have, geometry) = (&mut self.have, &self.geometry);
        self.shelf.stored(store, |piece, blocks| {
            have.insert(piece);
            pool.release(geometry.blocks(piece));
            blocks.into_iter().for_each(|arrived| pool.give(arrived.buffer));
            done(piece);
        });
    }

    /// All stores that are not answered, to be wished for again after a fault.
    pub fn pending_stores(&self) -> impl Iterator<Item = u32> {
        self.shelf.stores()
    }

    /// Sends out what has waited long enough for the rest of its extent.
    pub fn on_time(&mut self, now: Instant) {
        self.shelf.flush_older(now, HELD_MAX, &mut self.wishes);
    }

    /// When [`Download::on_time`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.shelf.flush_deadline(HELD_MAX)
    }

    /// Sends out everything that is verified, because the run ends or pauses.
    pub fn flush(&mut self) {
        while self.shelf.flush_oldest(&mut self.wishes) {}
    }

    /// Pieces that are verified and not in their files yet.
    pub fn held(&self) -> impl Iterator<Item = u32> + '_ {
        self.shelf.pieces()
    }

    /// True if nothing is held that is not in a file yet, beside blocks of unfinished pieces.
    pub fn is_flushed(&self) -> bool {
        self.shelf.is_empty()
    }
}
