//! Who spoiled a piece: found by comparing its blocks, so that nobody is blamed for having helped.
//!
//! When a hash fails, the digest of every block is kept with its sender. When a good copy of the piece arrives, the
//! senders of the blocks that differ are guilty. One peer that sent a whole bad piece needs no comparison.

use crate::base::StreamId;
use crate::base::limits::SUSPECT_BLOCKS_MAX;
use crate::download::assembly::WholePiece;
use crate::download::slot::Arrived;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use sha1::{Digest, Sha1};

/// The first eight bytes of a block's SHA-1. Blocks that differ in them differ; and a second block with the same ones, which
/// would let its sender go free, is not found by anybody.
type BlockDigest = u64;

/// A copy of a piece whose hash was wrong.
#[derive(Debug)]
struct Suspect {
    piece: u32,
    blocks: Vec<(BlockDigest, StreamId)>,
}

/// The failed copies that have not been compared yet. Bounded: the oldest are forgotten, their senders go free.
#[derive(Debug, Default)]
pub struct Blame {
    suspects: VecDeque<Suspect>,
    blocks: usize,
}

impl Blame {
    /// A copy of `piece` had the wrong hash. Answers the guilty one if a single peer sent all of it.
    pub fn failed(
        &mut self,
        piece: u32,
        blocks: &WholePiece,
        lengths: impl Iterator<Item = u32>,
    ) -> Option<StreamId> {
        let first = blocks.first()?.sender;
        if blocks.iter().all(|block| block.sender == first) {
            return Some(first);
        }
        let digests = digests(blocks, lengths).zip(blocks.iter().map(|block| block.sender));
        self.blocks += blocks.len();
        self.suspects.push_back(Suspect { piece, blocks: digests.collect() });
        while self.blocks > SUSPECT_BLOCKS_MAX {
            let Some(oldest) = self.suspects.pop_front() else { break };
            self.blocks -= oldest.blocks.len();
        }
        None
    }

    /// True if a copy of `piece` failed and waits for a good one to be compared with.
    pub fn is_suspect(&self, piece: u32) -> bool {
        self.suspects.iter().any(|suspect| suspect.piece == piece)
    }

    /// A copy of `piece` was right: whoever sent other bytes before is guilty.
    pub fn verified(
        &mut self,
        piece: u32,
        blocks: &WholePiece,
        lengths: impl Iterator<Item = u32>,
    ) -> Vec<StreamId> {
        let mut guilty = Vec::new();
        if !self.is_suspect(piece) {
            return guilty;
        }
        let right: Vec<BlockDigest> = digests(blocks, lengths).collect();
        for suspect in self.suspects.iter().filter(|suspect| suspect.piece == piece) {
            let differ = suspect.blocks.iter().zip(&right).filter(|((digest, _), right)| digest != *right);
            guilty.extend(differ.map(|(&(_, sender), _)| sender));
        }
        self.suspects.retain(|suspect| suspect.piece != piece);
        self.blocks = self.suspects.iter().map(|suspect| suspect.blocks.len()).sum();
        guilty.sort_unstable();
        guilty.dedup();
        guilty
    }
}

fn digests<'a>(
    blocks: &'a [Arrived],
    lengths: impl Iterator<Item = u32> + 'a,
) -> impl Iterator<Item = BlockDigest> + 'a {
    let bytes = blocks.iter().zip(lengths).map(|(block, length)| &block.buffer[..length as usize]);
    bytes.map(|bytes| {
        Sha1::digest(bytes).iter().take(8).fold(0, |digest, &byte| digest << 8 | u64::from(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::pool::Pool;

    const LENGTHS: [u32; 3] = [16_384, 16_384, 100];

    fn peer(slot: u32) -> StreamId {
        StreamId { slot, generation: 1 }
    }

    /// A piece of three blocks, from these senders, filled with these bytes.
    fn copy(pool: &mut Pool, senders: [u32; 3], fill: [u8; 3]) -> WholePiece {
        let block = |(sender, fill)| {
            let mut buffer = pool.take().unwrap();
            buffer.fill(fill);
            Arrived { buffer, sender: peer(sender) }
        };
        senders.into_iter().zip(fill).map(block).collect()
    }

    #[test]
    fn only_the_sender_of_the_bad_block_is_guilty() {
        let (mut pool, mut blame) = (Pool::new(0), Blame::default());
        let bad = copy(&mut pool, [1, 2, 3], [7, 8, 0]);
        assert_eq!(blame.failed(5, &bad, LENGTHS.into_iter()), None);
        assert!(blame.is_suspect(5));
        let good = copy(&mut pool, [2, 9, 9], [7, 8, 9]);
        assert_eq!(blame.verified(4, &good, LENGTHS.into_iter()), []);
        assert_eq!(blame.verified(5, &good, LENGTHS.into_iter()), [peer(3)]);
        assert!(!blame.is_suspect(5));
    }

    #[test]
    fn two_who_spoil_one_piece_are_both_found() {
        let (mut pool, mut blame) = (Pool::new(0), Blame::default());
        let bad = copy(&mut pool, [1, 2, 1], [7, 0, 0]);
        blame.failed(5, &bad, LENGTHS.into_iter());
        let worse = copy(&mut pool, [3, 4, 4], [0, 8, 9]);
        blame.failed(5, &worse, LENGTHS.into_iter());
        let good = copy(&mut pool, [4, 4, 4], [7, 8, 9]);
        assert_eq!(blame.verified(5, &good, LENGTHS.into_iter()), [peer(1), peer(2), peer(3)]);
    }

    #[test]
    fn a_single_sender_needs_no_comparison() {
        let (mut pool, mut blame) = (Pool::new(0), Blame::default());
        let bad = copy(&mut pool, [6, 6, 6], [1, 2, 3]);
        assert_eq!(blame.failed(0, &bad, LENGTHS.into_iter()), Some(peer(6)));
        assert!(!blame.is_suspect(0));
    }

    #[test]
    fn suspects_are_bounded() {
        let (mut pool, mut blame) = (Pool::new(0), Blame::default());
        let bad = copy(&mut pool, [1, 2, 3], [1, 2, 3]);
        for piece in 0..SUSPECT_BLOCKS_MAX as u32 {
            blame.failed(piece, &bad, LENGTHS.into_iter());
        }
        assert!(blame.blocks <= SUSPECT_BLOCKS_MAX && !blame.is_suspect(0));
        assert!(size_of::<(BlockDigest, StreamId)>() <= 16);
    }
}
