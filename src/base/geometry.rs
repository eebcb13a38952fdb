//! How a torrent's bytes are cut into pieces and blocks.

use crate::base::Block;
use crate::base::limits::BLOCK_BYTES;
use core::ops::Range;

/// The three numbers from which every bound on indices and lengths follows. All pieces have `piece_bytes` but the
/// last, which has what is left (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of the torrent, at least 1.
    pub total_bytes: u64,
    /// Bytes of a piece, at least 1.
    pub piece_bytes: u32,
    /// Pieces, at least 1.
    pub pieces: u32,
}

impl Geometry {
    /// The geometry of `total_bytes` in pieces of `piece_bytes`. `None` if either is 0 or the pieces are more than
    /// 2³² − 1.
    pub fn new(total_bytes: u64, piece_bytes: u32) -> Option<Self> {
        if total_bytes == 0 || piece_bytes == 0 {
            return None;
        }
        let pieces = u32::try_from(total_bytes.div_ceil(u64::from(piece_bytes))).ok()?;
        Some(Self { total_bytes, piece_bytes, pieces })
    }

    /// First byte of `piece` within the torrent.
    pub fn piece_start(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_bytes)
    }

    /// Bytes of `piece`; 0 if there is no such piece.
    pub fn piece_length(&self, piece: u32) -> u32 {
        let left = self.total_bytes.saturating_sub(self.piece_start(piece));
        left.min(u64::from(self.piece_bytes)) as u32
    }

    /// The bytes of `piece` within the torrent.
    pub fn piece_range(&self, piece: u32) -> Range<u64> {
        let start = self.piece_start(piece);
        start..start + u64::from(self.piece_length(piece))
    }

    /// The pieces that overlap `bytes`.
    pub fn pieces_of(&self, bytes: Range<u64>) -> Range<u32> {
        let size = u64::from(self.piece_bytes);
        let end = bytes.end.min(self.total_bytes).div_ceil(size) as u32;
        ((bytes.start / size) as u32).min(end)..end
    }

    /// Blocks of `piece`.
    pub fn blocks(&self, piece: u32) -> u32 {
        self.piece_length(piece).div_ceil(BLOCK_BYTES)
    }

    /// The `nth` block of `piece`; empty if there is none.
    pub fn block(&self, piece: u32, nth: u32) -> Block {
        let begin = nth.saturating_mul(BLOCK_BYTES);
        let length = self.piece_length(piece).saturating_sub(begin).min(BLOCK_BYTES);
        Block { piece, begin, length }
    }

    /// True if `block` lies within its piece, is not empty, and does not wrap around.
    pub fn contains(&self, block: Block) -> bool {
        let end = u64::from(block.begin) + u64::from(block.length);
        block.length > 0 && block.piece < self.pieces && end <= u64::from(self.piece_length(block.piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: Geometry = Geometry { total_bytes: 100_000, piece_bytes: 40_000, pieces: 3 };

    #[test]
    fn the_last_piece_and_block_are_shorter() {
        assert_eq!(Geometry::new(100_000, 40_000), Some(G));
        assert_eq!([0, 1, 2, 3].map(|piece| G.piece_length(piece)), [40_000, 40_000, 20_000, 0]);
        assert_eq!([0, 2].map(|piece| G.blocks(piece)), [3, 2]);
        assert_eq!(G.block(2, 1), Block { piece: 2, begin: 16_384, length: 3_616 });
        assert_eq!(G.block(2, 2).length, 0);
        assert_eq!(G.piece_range(2), 80_000..100_000);
    }

    #[test]
    fn pieces_of_a_range() {
        assert_eq!(G.pieces_of(0..1), 0..1);
        assert_eq!(G.pieces_of(39_999..40_001), 0..2);
        assert_eq!(G.pieces_of(40_000..100_000), 1..3);
        assert_eq!(G.pieces_of(99_999..500_000), 2..3);
    }

    #[test]
    fn blocks_from_the_wire_are_checked() {
        let block = |piece, begin, length| Block { piece, begin, length };
        assert!(G.contains(block(2, 19_999, 1)) && G.contains(block(0, 32_768, 7_232)));
        assert!(!G.contains(block(0, 32_768, 16_384)));
        for bad in [
            block(3, 0, 1),
            block(2, 20_000, 1),
            block(0, u32::MAX, 2),
            block(0, 1, u32::MAX),
            block(0, 0, 0),
        ] {
            assert!(!G.contains(bad), "{bad:?}");
        }
        assert_eq!(Geometry::new(0, 1), None);
        assert_eq!(Geometry::new(u64::MAX, 1), None);
    }
}
