//! Which indices and lengths on the wire can be true, given how the torrent is cut.

use crate::base::{Block, Geometry};
use crate::wire::Misbehaved;

impl Geometry {
    /// Bytes of a `bitfield` message's body.
    pub(crate) const fn bitfield_bytes(&self) -> u32 {
        self.pieces.div_ceil(8)
    }

    /// Gives back a piece's index that a peer has named.
    pub(crate) const fn check_piece(&self, piece: u32) -> Result<u32, Misbehaved> {
        if piece < self.pieces { Ok(piece) } else { Err(Misbehaved::NoSuchPiece { piece }) }
    }

    /// Gives back a block that a peer has named, if it is not empty and lies within its piece.
    pub(crate) fn check_block(&self, block: Block) -> Result<Block, Misbehaved> {
        self.check_piece(block.piece)?;
        if self.contains(block) { Ok(block) } else { Err(Misbehaved::BlockBounds(block)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { total_bytes: (8 << 15) + 100, piece_bytes: 1 << 15, pieces: 9 };

    #[test]
    fn no_piece_follows_the_last() {
        assert_eq!((GEOMETRY.bitfield_bytes(), GEOMETRY.check_piece(8)), (2, Ok(8)));
        assert_eq!(GEOMETRY.check_piece(9), Err(Misbehaved::NoSuchPiece { piece: 9 }));
    }

    #[test]
    fn a_block_lies_within_its_piece() {
        let cases = [
            ((0, 0, 16 << 10), true),
            ((0, 16 << 10, 16 << 10), true),
            ((0, (16 << 10) + 1, 16 << 10), false),
            ((8, 0, 100), true),
            ((8, 99, 1), true),
            ((8, 100, 1), false),
            ((8, 0, 101), false),
            ((0, 5, 0), false),
            ((0, u32::MAX, 1), false),
            ((0, 1, u32::MAX), false),
            ((0, u32::MAX, u32::MAX), false),
            ((9, 0, 1), false),
            ((u32::MAX, 0, 1), false),
        ];
        for ((piece, begin, length), good) in cases {
            let block = Block { piece, begin, length };
            assert_eq!(GEOMETRY.check_block(block).is_ok(), good, "{block:?}");
        }
    }
}
