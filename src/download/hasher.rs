//! Which pieces are hashed when: whole ones, in the order in which they became whole, two at a time if possible.

use super::assembly::Assembly;
use super::digest::Digest;
use crate::base::Geometry;
use alloc::collections::VecDeque;

/// Turns that a piece waits for a second one, while bytes keep coming.
const PATIENCE_TURNS: u32 = 8;

/// Pieces that wait for their hash, and those being hashed.
#[derive(Debug, Default)]
pub struct Hasher {
    waiting: VecDeque<u32>,
    lanes: [Option<Lane>; 2],
    /// Turns in which a lone piece was left waiting.
    waited_turns: u32,
}

/// A piece being hashed.
#[derive(Debug)]
struct Lane {
    piece: u32,
    blocks_done: u32,
    digest: Digest,
}

impl Hasher {
    /// All blocks of `piece` have arrived.
    pub fn push(&mut self, piece: u32) {
        self.waiting.push_back(piece);
    }

    /// True if there is something to hash, also if it waits for company.
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.lanes.iter().any(Option::is_some)
    }

    /// Hashes for up to `budget_bytes`, which it reduces; the block at which they run out is finished. Answers a piece
    /// and its digest, or `None` if the budget or the pieces are used up, or if one piece is left for a later turn,
    /// because `more_comes` and it is cheaper beside another one.
    pub fn hash(
        &mut self,
        geometry: &Geometry,
        assembly: &Assembly,
        budget_bytes: &mut usize,
        more_comes: bool,
    ) -> Option<(u32, [u8; 20])> {
        if let Some(done) = self.take_done(geometry) {
            return Some(done);
        }
        self.fill_lanes();
        if let [Some(one), Some(other)] = &mut self.lanes {
            self.waited_turns = 0;
            hash_both(one, other, assembly, budget_bytes);
        } else if let Some(lane) = self.lanes.iter_mut().flatten().next() {
            if more_comes && self.waited_turns < PATIENCE_TURNS {
                self.waited_turns += 1;
                return None;
            }
            hash_one(lane, assembly, budget_bytes);
        }
        self.take_done(geometry)
    }

    /// A piece whose last block has been hashed, and its digest.
    fn take_done(&mut self, geometry: &Geometry) -> Option<(u32, [u8; 20])> {
        let is_done = |lane: &&mut Option<Lane>| {
            lane.as_ref().is_some_and(|lane| lane.blocks_done == geometry.blocks(lane.piece))
        };
        let lane = self.lanes.iter_mut().find(is_done)?.take()?;
        Some((lane.piece, lane.digest.finish()))
    }

    fn fill_lanes(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_none()) {
            let piece = self.waiting.pop_front();
            *lane = piece.map(|piece| Lane { piece, blocks_done: 0, digest: Digest::new() });
        }
    }
}

fn hash_both(one: &mut Lane, other: &mut Lane, assembly: &Assembly, budget_bytes: &mut usize) {
    let blocks = assembly.arrived_from(one.piece, one.blocks_done);
    let other_blocks = assembly.arrived_from(other.piece, other.blocks_done);
    for (bytes, other_bytes) in blocks.zip(other_blocks) {
        if *budget_bytes == 0 {
            break;
        }
        Digest::update_both((&mut one.digest, bytes), (&mut other.digest, other_bytes));
        one.blocks_done += 1;
        other.blocks_done += 1;
        *budget_bytes = budget_bytes.saturating_sub(bytes.len() + other_bytes.len());
    }
}

fn hash_one(lane: &mut Lane, assembly: &Assembly, budget_bytes: &mut usize) {
    for bytes in assembly.arrived_from(lane.piece, lane.blocks_done) {
        if *budget_bytes == 0 {
            break;
        }
        lane.digest.update(bytes);
        lane.blocks_done += 1;
        *budget_bytes = budget_bytes.saturating_sub(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Bitfield, Instant, StreamId};
    use crate::download::Pool;
    use crate::download::assembly::Lane;
    use alloc::vec::Vec;
    use sha1::{Digest as _, Sha1};

    const SOURCE: StreamId = StreamId { slot: 0, generation: 0 };

    /// Pieces of 40,000 bytes (the last one shorter), full of their number.
    struct Rig {
        geometry: Geometry,
        assembly: Assembly,
        hasher: Hasher,
        pool: Pool,
    }

    impl Rig {
        fn new(pieces: u32) -> Self {
            let geometry = Geometry::new(u64::from(pieces) * 40_000 - 100, 40_000).expect("valid");
            let (assembly, pool) = (Assembly::new(geometry), Pool::new(8 << 20));
            Self { geometry, assembly, hasher: Hasher::default(), pool }
        }

        /// All blocks of `piece` arrive.
        fn fill(&mut self, piece: u32) {
            let mut has = Bitfield::new(self.geometry.pieces);
            has.insert(piece);
            assert!(self.pool.reserve(self.geometry.blocks(piece)));
            self.assembly.open(Instant::ZERO, piece, None);
            while let Some(block) = self.assembly.request(SOURCE, &has, Instant::ZERO, Lane::Any) {
                let mut buffer = self.pool.take().expect("room");
                buffer[..block.length as usize].fill(piece as u8);
                self.assembly.place(SOURCE, block, buffer);
            }
            self.hasher.push(piece);
        }

        fn hash(&mut self, budget_bytes: &mut usize, more_comes: bool) -> Option<u32> {
            let (piece, digest) =
                self.hasher.hash(&self.geometry, &self.assembly, budget_bytes, more_comes)?;
            let expected = Sha1::digest([piece as u8].repeat(self.geometry.piece_length(piece) as usize));
            assert_eq!(digest, <[u8; 20]>::from(expected), "piece {piece}");
            Some(piece)
        }
    }

    #[test]
    fn pieces_of_any_number_and_budget_are_hashed_once_each_and_right() {
        for budget in [1, 16_384, 50_000, usize::MAX] {
            let mut rig = Rig::new(5);
            (0..5).for_each(|piece| rig.fill(piece));
            let mut hashed = Vec::new();
            while rig.hasher.has_work() {
                hashed.extend(rig.hash(&mut budget.clone(), false));
            }
            hashed.sort_unstable();
            assert_eq!(hashed, [0, 1, 2, 3, 4], "budget {budget}");
        }
    }

    #[test]
    fn a_lone_piece_waits_for_a_second_one_but_not_for_ever() {
        let mut rig = Rig::new(3);
        rig.fill(0);
        assert_eq!(rig.hash(&mut usize::MAX.clone(), true), None, "company may come");
        rig.fill(1);
        assert_eq!(rig.hash(&mut usize::MAX.clone(), true), Some(0), "it has come");
        assert_eq!(rig.hash(&mut usize::MAX.clone(), true), Some(1), "done already: does not wait");
        rig.fill(2);
        let turns = (0..100).take_while(|_| rig.hash(&mut usize::MAX.clone(), true).is_none()).count();
        assert_eq!(turns, PATIENCE_TURNS as usize);
        assert!(!rig.hasher.has_work());
    }

    #[test]
    fn nothing_more_comes_and_a_lone_piece_is_hashed_at_once() {
        let mut rig = Rig::new(2);
        rig.fill(1);
        assert_eq!(rig.hash(&mut usize::MAX.clone(), false), Some(1));
    }
}
