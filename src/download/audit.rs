//! What simulation and fuzzing hold a download to.

use super::Download;
use crate::base::{Block, StreamId};

impl Download {
    /// Panics unless the rooms agree about every piece. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn check(&self) {
        self.picker.check();
        self.assembly.check();
        for piece in 0..self.geometry.pieces {
            let places = [
                self.have.has(piece),
                self.picker.contains(piece),
                self.assembly.contains(piece),
                self.shelf.contains(piece),
            ];
            let count = places.iter().filter(|&&is_there| is_there).count();
            assert_eq!(count, 1, "piece {piece} is in {places:?} of have, picker, assembly, shelf");
        }
    }

    /// Pieces and blocks looked at or moved so far, beside those of [`Search::steps`]: a cost that must not grow with
    /// the torrent.
    #[doc(hidden)]
    pub fn steps(&self) -> u64 {
        self.picker.steps() + self.begun.steps + self.assembly.steps()
    }

    /// True if blocks of an open piece are missing. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn is_unfinished(&self) -> bool {
        self.assembly.is_unfinished()
    }

    /// How many counted peers have `piece`. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn availability(&self, piece: u32) -> u32 {
        self.picker.availability(piece)
    }

    /// Buffers that hold blocks. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn kept_buffers(&self) -> u32 {
        self.assembly.kept_buffers() + self.shelf.kept_buffers()
    }

    /// True if `block` is noted as asked of `source`. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn is_asked(&self, source: StreamId, block: Block) -> bool {
        self.assembly.is_asked(source, block)
    }

    /// Blocks that this download has reserved in the pool. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn reserved_blocks(&self) -> u32 {
        let open = |&piece: &u32| self.assembly.contains(piece) || self.shelf.contains(piece);
        (0..self.geometry.pieces).filter(open).map(|piece| self.geometry.blocks(piece)).sum()
    }
}
