//! Peers that are far slower than others. What one of them owes keeps a whole piece in memory, and as long as all pieces
//! that fit lack such a block, the fast ones can be asked for nothing. So slow ones share pieces with their like, which take
//! a part of memory; and at the end, when nothing is left to be begun, what is left is for the fast.
//!
//! There are slow ones only as long as a fast one gives: so nothing waits for those who are gone, or give no more.

use super::Session;
use crate::base::limits::{LANES_INTERVAL, SLOW_PART};
use crate::base::{Instant, StreamId};
use alloc::vec::Vec;

/// Which peers of a torrent are slow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lanes {
    /// Who gives fewer bytes per second is.
    slow_below: u64,
    /// Blocks of memory for their pieces.
    slow_blocks: u32,
    next: Instant,
}

impl Lanes {
    /// Of peers that give at these rates, with so many blocks of memory. What a byte's peer gives on average is the measure,
    /// so that nobody is slow among its like.
    fn settle(&mut self, rates: &[u64], blocks: u32) {
        let total = rates.iter().map(|&rate| u128::from(rate)).sum::<u128>().max(1);
        let usual = rates.iter().map(|&rate| u128::from(rate).pow(2)).sum::<u128>() / total;
        self.slow_below = u64::try_from(usual / SLOW_PART).unwrap_or(u64::MAX);
        let slow = rates.iter().filter(|&&rate| rate < self.slow_below);
        let part = u128::from(blocks) * 3 / 2 * slow.map(|&rate| u128::from(rate)).sum::<u128>() / total;
        self.slow_blocks = (part as u32).clamp(blocks / 4, blocks / 4 * 3);
    }

    /// Blocks of memory for who gives so many bytes per second and its like, if it is slow.
    fn slow_lane(self, rate: u64) -> Option<u32> {
        (rate < self.slow_below).then_some(self.slow_blocks)
    }
}

impl Session {
    /// Blocks of memory for the pieces of `stream` and its like, if it is slow.
    pub(super) fn slow_lane(&mut self, now: Instant, stream: StreamId) -> Option<u32> {
        let (id, open) = self.streams.open(stream)?;
        let rate = open.pipeline.rate(now);
        let lanes = &mut self.torrents[id.0 as usize].lanes;
        if now >= lanes.next {
            lanes.next = now + LANES_INTERVAL;
            let peers = self.streams.iter_open().filter(|&(_, torrent, ..)| torrent == id);
            let gives = peers
                .filter(|(.., open)| open.wanted > 0 && !open.peer.choking && !open.pipeline.is_snubbed());
            let rates: Vec<u64> = gives.map(|(.., open)| open.pipeline.rate(now)).collect();
            lanes.settle(&rates, self.pool.safe_capacity());
        }
        lanes.slow_lane(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(rates: &[u64]) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.settle(rates, 400);
        lanes
    }

    #[test]
    fn who_is_slow_is_seen_beside_who_is_fast() {
        let lanes = settled(&[10_000_000, 9_000_000, 4_096, 4_096]);
        assert_eq!(
            [4_096, 0].map(|rate| lanes.slow_lane(rate)),
            [Some(100); 2],
            "who is not known is not fast yet"
        );
        assert_eq!([10_000_000, 2_000_000].map(|rate| lanes.slow_lane(rate)), [None; 2]);
    }

    #[test]
    fn among_their_like_nobody_is_slow() {
        for rates in [&[][..], &[0, 0], &[4_096; 50], &[4_096, 8_192, 20_000]] {
            let lanes = settled(rates);
            assert!(rates.iter().all(|&rate| lanes.slow_lane(rate).is_none()), "{rates:?}");
        }
    }

    #[test]
    fn many_slow_ones_have_memory_for_what_they_bring() {
        let rates = |slow: usize| [&[1_000_000][..], &vec![8_192; slow]].concat();
        let part = |slow| settled(&rates(slow)).slow_lane(8_192);
        assert_eq!([10, 122, 500].map(part), [Some(100), Some(299), Some(300)]);
    }
}
