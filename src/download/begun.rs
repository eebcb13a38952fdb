//! Which extents have been begun: their other pieces come first, so that extents fill soon and go out whole.

use crate::base::limits::{BEGUN_EXTENTS_MAX, EXTENT_BYTES};
use crate::base::{Bitfield, Geometry};
use crate::download::picker::Picker;
use crate::meta::Extents;
use alloc::vec::Vec;

/// Extents with opened pieces and, perhaps, pieces that may still be opened; the oldest first.
#[derive(Debug, Default)]
pub struct Begun(Vec<u32>);

impl Begun {
    /// `piece` was opened or may be opened again.
    pub fn touch(&mut self, geometry: &Geometry, extents: &Extents, piece: u32) {
        let extent = extents.at(geometry.piece_start(piece));
        // A piece as large as an extent has no neighbours in it.
        if u64::from(geometry.piece_bytes) >= EXTENT_BYTES || self.0.contains(&extent) {
            return;
        }
        if self.0.len() >= BEGUN_EXTENTS_MAX {
            self.0.remove(0);
        }
        self.0.push(extent);
    }

    /// A piece of a begun extent that may be opened and that `has` holds. Bounded by the extents listed times the
    /// pieces that fit into one.
    pub fn choose(
        &mut self,
        geometry: &Geometry,
        extents: &Extents,
        picker: &Picker,
        has: &Bitfield,
    ) -> Option<u32> {
        let mut chosen = None;
        self.0.retain(|&extent| {
            let mut fresh = geometry.pieces_of(extents.range(extent)).filter(|&piece| picker.contains(piece));
            let Some(first) = fresh.next() else { return false };
            if chosen.is_none() {
                chosen = core::iter::once(first).chain(fresh).find(|&piece| has.has(piece));
            }
            true
        });
        chosen
    }
}
