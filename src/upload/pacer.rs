//! One limit for all peers: the bytes that may flow are dealt out in rounds, in equal parts to those that wait.

use crate::base::bucket::Bucket;
use crate::base::{Instant, StreamId};
use alloc::collections::VecDeque;
use core::time::Duration;

/// What one peer has been dealt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Bytes that may flow before the next round.
    credit: u64,
    /// Since when it has run out and waits for a round.
    waiting: Option<Instant>,
}

impl Share {
    /// True if it waits for a round.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Its part of a round. Answers for how long it has waited.
    pub fn deal(&mut self, now: Instant, bytes: u64) -> Duration {
        let waited = self.waiting.map_or(Duration::ZERO, |since| now.since(since));
        *self = Self { credit: bytes, waiting: None };
        waited
    }
}

/// A round: so many of those that wait longest, each so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// How many are served.
    pub peers: usize,
    /// Bytes for each.
    pub bytes: u64,
}

/// A limit in one direction, and who waits for it.
#[derive(Debug, Default)]
pub struct Pacer {
    bucket: Bucket,
    waiting: VecDeque<StreamId>,
    /// Since when somebody has waited and nothing could be dealt out.
    short_since: Option<Instant>,
    /// For how long that was so before.
    short: Duration,
}

impl Pacer {
    /// Bytes per second from now on; 0: no limit.
    pub fn set_rate(&mut self, now: Instant, rate: u64) {
        self.bucket.set_rate(now, rate);
    }

    /// Bytes per second; `None` without a limit.
    pub fn rate(&self) -> Option<u64> {
        self.bucket.rate()
    }

    /// Bytes that may flow for `stream` at `now`. If that is 0, it waits for a round.
    pub fn allowed(&mut self, now: Instant, stream: StreamId, share: &mut Share) -> u64 {
        if self.bucket.rate().is_none() {
            return u64::MAX;
        }
        let bytes = share.credit.min(self.bucket.available(now));
        if bytes == 0 && share.waiting.is_none() {
            share.waiting = Some(now);
            self.waiting.push_back(stream);
            if self.bucket.round_due() > now {
                self.short_since.get_or_insert(now);
            }
        }
        bytes
    }

    /// For how long the limit has kept somebody waiting by now, in all.
    pub fn short(&self, now: Instant) -> Duration {
        self.short + self.short_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// `bytes` have flowed.
    pub fn took(&mut self, now: Instant, share: &mut Share, bytes: u64) {
        self.bucket.take(now, bytes);
        share.credit = share.credit.saturating_sub(bytes);
    }

    /// When the next round is due; `None` if nobody waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(if self.bucket.rate().is_none() { Instant::ZERO } else { self.bucket.round_due() })
    }

    /// The round that is due by `now`: take that many from [`Pacer::next_waiting`]. With many peers and a low rate not
    /// all are served: a packet for some, in turn, is better than a crumb for everybody.
    pub fn round(&mut self, now: Instant) -> Option<Round> {
        self.next_deadline().filter(|&due| due <= now)?;
        let peers = self.waiting.len();
        let round = if self.bucket.rate().is_none() {
            Round { peers, bytes: u64::MAX }
        } else {
            let available = self.bucket.available(now);
            let least = self.bucket.round_bytes().min(1448);
            let bytes = (available / peers as u64).max(least).min(available.max(1));
            let served = usize::try_from(available / bytes).unwrap_or(usize::MAX);
            Round { peers: served.clamp(1, peers), bytes }
        };
        self.short = self.short(now);
        self.short_since = (round.peers < peers).then_some(now);
        Some(round)
    }

    /// Who has waited longest. May be gone.
    pub fn next_waiting(&mut self) -> Option<StreamId> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::time::Duration;

    fn stream(slot: u32) -> StreamId {
        StreamId { slot, generation: 1 }
    }

    /// What each of `peers` gets in ten seconds that always wants more.
    fn dealt(rate: u64, peers: u32) -> vec::Vec<u64> {
        let (mut pacer, mut now) = (Pacer::default(), Instant::from_micros(1));
        pacer.set_rate(now, rate);
        let mut shares = vec![Share::default(); peers as usize];
        let mut got = vec![0; peers as usize];
        let end = now + Duration::from_secs(10);
        let mut rounds = 0;
        (0..peers).for_each(|nth| assert_eq!(pacer.allowed(now, stream(nth), &mut shares[nth as usize]), 0));
        while now < end {
            let round = pacer.round(now).unwrap_or(Round { peers: 0, bytes: 0 });
            rounds += 1;
            for _ in 0..round.peers {
                let Some(stream) = pacer.next_waiting() else { break };
                let nth = stream.slot as usize;
                shares[nth].deal(now, round.bytes);
                let bytes = pacer.allowed(now, stream, &mut shares[nth]);
                pacer.took(now, &mut shares[nth], bytes);
                got[nth] += bytes;
                pacer.allowed(now, stream, &mut shares[nth]);
            }
            now = pacer.next_deadline().expect("everybody waits") + Duration::from_millis(1);
        }
        assert!(rounds <= 10 * 25, "{rounds} rounds in ten seconds");
        got
    }

    #[test]
    fn everybody_gets_the_same_and_all_together_the_rate() {
        for (rate, peers) in [(100 << 10, 1), (100 << 10, 7), (10 << 10, 50), (1 << 30, 200)] {
            let got = dealt(rate, peers);
            let total: u64 = got.iter().sum();
            let ideal = rate * 10;
            assert!((ideal * 97 / 100..=ideal * 103 / 100).contains(&total), "{rate} {peers}: {total}");
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            assert!(most - least <= (ideal / u64::from(peers) / 5).max(2 * 1448), "{least} to {most}");
        }
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let (mut pacer, mut share) = (Pacer::default(), Share::default());
        let now = Instant::from_micros(5);
        assert_eq!(pacer.allowed(now, stream(1), &mut share), u64::MAX);
        assert_eq!((pacer.next_deadline(), pacer.round(now)), (None, None));
        pacer.set_rate(now, 1000);
        assert_eq!((pacer.allowed(now, stream(1), &mut share), share.is_waiting()), (0, true));
        pacer.allowed(now, stream(1), &mut share);
        pacer.set_rate(now, 0);
        assert_eq!(pacer.round(now), Some(Round { peers: 1, bytes: u64::MAX }), "listed once, and let go");
    }
}
