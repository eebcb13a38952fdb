//! One read, many places: the bytes that are expected next land where they belong, without a copy in between.

use crate::base::Block;
use crate::base::limits::{PIECE_HEADER_BYTES, SCATTER_BLOCKS_MAX};
use crate::download::{Buffer, Pool};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Areas for one scatter read: the rest of a block, then headers and blocks in the order of the requests.
#[derive(Debug, Default)]
pub struct Scatter {
    /// The block in progress.
    rest: Option<Rest>,
    /// What is expected after it, and where it may land.
    pairs: VecDeque<Pair>,
}

/// The block in progress, of which the bytes `from..to` are missing.
#[derive(Debug)]
pub(super) struct Rest {
    pub buffer: Buffer,
    pub from: usize,
    pub to: usize,
}

/// A header and the block that should follow it.
#[derive(Debug)]
pub(super) struct Pair {
    pub block: Block,
    pub buffer: Buffer,
    header: [u8; PIECE_HEADER_BYTES],
    /// Bytes of the header that had arrived before.
    carried: usize,
}

impl Pair {
    /// What landed of the header.
    pub(super) fn header(&self) -> &[u8] {
        &self.header[self.carried..]
    }
}

impl Scatter {
    /// Most areas of one read.
    pub const AREAS_MAX: usize = 2 * SCATTER_BLOCKS_MAX + 1;

    /// Plans a read. `rest` is the block in progress, if there is one; `carried` the bytes that have arrived of the header
    /// that comes next; `expected` the blocks that should follow, as far as `pool` has buffers for them.
    pub(super) fn plan(
        &mut self,
        rest: Option<Rest>,
        mut carried: usize,
        expected: impl Iterator<Item = Block>,
        pool: &mut Pool,
    ) {
        self.rest = rest;
        for block in expected.take(SCATTER_BLOCKS_MAX) {
            let Some(buffer) = pool.take_ahead() else { break };
            self.pairs.push_back(Pair { block, buffer, header: [0; PIECE_HEADER_BYTES], carried });
            carried = 0;
        }
    }

    /// True if there is nowhere to land.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.pairs.is_empty()
    }

    /// Buffers that the plan holds.
    pub(super) fn buffers(&self) -> u32 {
        self.pairs.len() as u32 + u32::from(self.rest.is_some())
    }

    /// The areas in order; at most [`Scatter::AREAS_MAX`], none empty.
    pub fn areas(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let rest = self.rest.iter_mut().map(|rest| &mut rest.buffer[rest.from..rest.to]);
        let pairs = self.pairs.iter_mut().flat_map(|pair| {
            [&mut pair.header[pair.carried..], &mut pair.buffer[..pair.block.length as usize]]
        });
        rest.chain(pairs)
    }

    /// Takes the block in progress out.
    pub(super) fn take_rest(&mut self) -> Option<Rest> {
        self.rest.take()
    }

    /// Takes the first pair out.
    pub(super) fn take_pair(&mut self) -> Option<Pair> {
        self.pairs.pop_front()
    }

    /// Appends the first `count` bytes of the areas that are left to `line`.
    pub(super) fn linearise(&mut self, mut count: usize, line: &mut Vec<u8>) {
        for area in self.areas() {
            let here = area.len().min(count);
            line.extend_from_slice(&area[..here]);
            count -= here;
        }
    }

    /// Gives all buffers that are left back.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        // In reverse, so that the buffer taken first is also the first to be taken again.
        while let Some(pair) = self.pairs.pop_back() {
            pool.give(pair.buffer);
        }
        if let Some(rest) = self.rest.take() {
            pool.give(rest.buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::BLOCK_BYTES;
    use alloc::vec;

    fn block(begin: u32, length: u32) -> Block {
        Block { piece: 0, begin, length }
    }

    #[test]
    fn areas_stand_in_the_order_of_the_stream() {
        let mut pool = Pool::new(0);
        let mut scatter = Scatter::default();
        let rest = Some(Rest { buffer: pool.take().unwrap(), from: 100, to: 110 });
        scatter.plan(rest, 4, [block(0, 16_384), block(16_384, 7)].into_iter(), &mut pool);
        let lengths: Vec<usize> = scatter.areas().map(|area| area.len()).collect();
        assert_eq!(lengths, [10, 9, 16_384, 13, 7]);
        scatter.areas().enumerate().for_each(|(nth, area)| area.fill(nth as u8));
        pool.give(scatter.take_rest().unwrap().buffer);
        let pair = scatter.take_pair().unwrap();
        assert_eq!((pair.header(), pair.buffer[0]), (&[1; 9][..], 2));
        let mut line = vec![];
        scatter.linearise(15, &mut line);
        assert_eq!(line, [[3; 13].as_slice(), &[4, 4]].concat());
        pool.give(pair.buffer);
        scatter.clear(&mut pool);
        assert!(scatter.is_empty());
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn a_plan_is_bounded_by_its_size_and_by_memory() {
        let mut pool = Pool::new((SCATTER_BLOCKS_MAX as u64 + 1) * u64::from(BLOCK_BYTES));
        let mut scatter = Scatter::default();
        let many = (0..100).map(|nth| block(nth, 5));
        scatter.plan(None, 0, many.clone(), &mut pool);
        assert_eq!(scatter.areas().count(), 2 * SCATTER_BLOCKS_MAX);
        let mut other = Scatter::default();
        other.plan(None, 0, many, &mut pool);
        assert_eq!(other.areas().count(), 2, "one buffer is left");
    }
}
