//! How a torrent is cut into pieces: all that is needed to say which indices and lengths on the wire can be true.

use crate::base::Block;
use crate::wire::Misbehaved;

/// The cut of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Pieces, at least 1.
    pub pieces: u32,
    /// Bytes of every piece but the last.
    pub piece_bytes: u32,
    /// Bytes of the last piece, in `1..=piece_bytes`.
    pub last_piece_bytes: u32,
}

impl Geometry {
    /// Bytes of a `bitfield` message's body.
    pub const fn bitfield_bytes(&self) -> u32 {
        self.pieces.div_ceil(8)
    }

    /// Bytes of piece `index`; `None` if there is no such piece.
    pub const fn bytes_of(&self, index: u32) -> Option<u32> {
        match self.pieces.checked_sub(1) {
            Some(last) if index < last => Some(self.piece_bytes),
            Some(last) if index == last => Some(self.last_piece_bytes),
            _ => None,
        }
    }

    /// Gives back a piece's index that a peer has named.
    ///
    /// # Errors
    /// [`Misbehaved::NoSuchPiece`].
    pub const fn check_piece(&self, index: u32) -> Result<u32, Misbehaved> {
        if index < self.pieces { Ok(index) } else { Err(Misbehaved::NoSuchPiece { piece: index }) }
    }

    /// Gives back a block that a peer has named, if it is not empty and lies within its piece.
    ///
    /// # Errors
    /// [`Misbehaved::NoSuchPiece`], [`Misbehaved::BlockBounds`].
    pub const fn check_block(&self, block: Block) -> Result<Block, Misbehaved> {
        let Some(bytes) = self.bytes_of(block.piece) else {
            return Err(Misbehaved::NoSuchPiece { piece: block.piece });
        };
        match block.begin.checked_add(block.length) {
            Some(end) if end <= bytes && block.length > 0 => Ok(block),
            _ => Err(Misbehaved::BlockBounds(block)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { pieces: 9, piece_bytes: 32 << 10, last_piece_bytes: 100 };

    #[test]
    fn the_last_piece_is_shorter_and_none_follows_it() {
        let sizes = [0, 7, 8, 9, u32::MAX].map(|index| GEOMETRY.bytes_of(index));
        assert_eq!(sizes, [Some(32 << 10), Some(32 << 10), Some(100), None, None]);
        assert_eq!((GEOMETRY.bitfield_bytes(), GEOMETRY.check_piece(8)), (2, Ok(8)));
        assert_eq!(GEOMETRY.check_piece(9), Err(Misbehaved::NoSuchPiece { piece: 9 }));
        assert_eq!(Geometry { pieces: 0, ..GEOMETRY }.bytes_of(0), None);
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
