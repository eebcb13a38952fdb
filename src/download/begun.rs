//! Which extents have been begun: their other pieces come first, so that extents fill soon and go out whole.

use crate::base::Geometry;
use crate::base::limits::{BEGUN_EXTENTS_MAX, BLOCK_BYTES, EXTENT_BYTES};
use crate::download::offer::Pieces;
use crate::download::picker::Picker;
use crate::meta::Extents;
use alloc::vec::Vec;

/// Extents with opened pieces and, perhaps, pieces that may still be opened; the oldest first.
#[derive(Debug, Default)]
pub struct Begun {
    extents: Vec<u32>,
    /// Pieces looked at so far.
    pub steps: u64,
}

impl Begun {
    /// `piece` was opened or may be opened again.
    pub fn touch(&mut self, geometry: &Geometry, extents: &Extents, piece: u32) {
        let extent = extents.at(geometry.piece_start(piece));
        // A piece as large as an extent has no neighbours in it, and one smaller than a block too many to look at.
        let has_neighbours = (BLOCK_BYTES.into()..EXTENT_BYTES).contains(&geometry.piece_bytes.into());
        if !has_neighbours || self.extents.contains(&extent) {
            return;
        }
        if self.extents.len() >= BEGUN_EXTENTS_MAX {
            self.extents.remove(0);
        }
        self.extents.push(extent);
    }

    /// A piece of a begun extent that may be opened and that `has` holds. Bounded by the extents listed times the
    /// pieces that fit into one.
    pub fn choose(
        &mut self,
        geometry: &Geometry,
        extents: &Extents,
        picker: &Picker,
        has: &impl Pieces,
    ) -> Option<u32> {
        let mut nth = 0;
        while let Some(&extent) = self.extents.get(nth) {
            let pieces = geometry.pieces_of(extents.range(extent)).inspect(|_| self.steps += 1);
            let mut fresh = pieces.filter(|&piece| picker.contains(piece)).peekable();
            if fresh.peek().is_none() {
                self.extents.remove(nth);
                continue;
            }
            let chosen = fresh.find(|&piece| has.has(piece));
            if chosen.is_some() {
                return chosen;
            }
            nth += 1;
        }
        None
    }
}
