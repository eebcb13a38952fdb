//! Who gives way where all places are taken: those of whom neither side has anything first, then the idle, then the
//! slowest; seldom, and not who alone has what is missing, as long as it may still give it.
//!
//! All peers are looked at for that, and so it is done at most once in a while, however many come and are turned away:
//! until then only the one that was found may give way.

use super::Session;
use super::peers::Farewell;
use super::streams::Open;
use super::torrents::Torrent;
use crate::base::limits::{
    CULL_AGE_MIN, CULL_INTERVAL, CULL_LOOK_INTERVAL, CULL_STEPS_MAX, SOURCE_PATIENCE, TURNOVER_INTERVAL,
    USELESS_AGE_MIN, USELESS_MAX,
};
use crate::base::{Instant, StreamId, TorrentId};
use crate::candidates::priority;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What a connection is worth; the lowest gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Neither side wants anything of the other.
    Nothing,
    /// No block has come or gone for long.
    Idle,
    /// It brings less than a quarter of what the others bring on average, or has long brought nothing to us who wait for it.
    Slow,
}

/// When somebody may give way again, and how we are seen from outside.
#[derive(Debug, Default)]
pub(super) struct Culling {
    /// When all peers may be looked at again.
    next: Instant,
    /// Who was too useful, when they were looked at last, to give way to just anybody.
    slowest: Option<StreamId>,
    next_turnover: Instant,
    seen_as: [Majority; 2],
    /// Peers and pieces looked at so far.
    pub(super) steps: u64,
}

/// The address that most peers see us at, of one family: one stranger must not decide it.
#[derive(Debug, Default)]
struct Majority {
    address: Option<IpAddr>,
    votes: u32,
}

impl Majority {
    fn vote(&mut self, address: IpAddr) {
        if self.address == Some(address) {
            self.votes = self.votes.saturating_add(1);
        } else if self.votes == 0 {
            *self = Self { address: Some(address), votes: 1 };
        } else {
            self.votes -= 1;
        }
    }
}

impl Session {
    /// A peer has told at which address it sees us (BEP 10), once.
    pub(super) fn learn_own_address(&mut self, address: IpAddr) {
        let port = self.settings.port;
        let majority = &mut self.culling.seen_as[usize::from(address.is_ipv6())];
        majority.vote(address);
        if let Some(ours) = majority.address {
            let ours = SocketAddr::new(ours, port);
            self.torrents.iter_mut().for_each(|torrent| torrent.candidates.set_ours(ours));
        }
    }

    /// True if there is a place for `stream`, which has shaken hands with somebody at `address`; else it is dropped.
    pub(super) fn finds_place(&mut self, now: Instant, stream: StreamId, address: SocketAddr) -> bool {
        let finds_place = self.crowd.open < self.settings.max_peers || self.make_room_for(now, address);
        if !finds_place {
            self.drop_peer(now, stream, Farewell::Full);
        }
        finds_place
    }

    /// Makes room for somebody at `address`, if anybody may give way. True if there is room.
    fn make_room_for(&mut self, now: Instant, address: SocketAddr) -> bool {
        let Some((stream, worth)) = self.least_useful(now) else { return false };
        // Who is of use gives way only to somebody whom both ends rank higher.
        let ranks = (self.rank(address), self.streams.connection(stream).map(|other| other.address));
        let is_better = match ranks {
            (Some(new), Some(old)) => self.rank(old).is_none_or(|old| new > old),
            _ => false,
        };
        (worth < Worth::Slow || is_better) && self.give_way(now, stream, worth, Farewell::Full)
    }

    /// Makes room where all places are taken and addresses wait. Else those who have nothing could keep out those who
    /// have what is missing.
    pub(super) fn replace_useless(&mut self, now: Instant) {
        if !self.is_crowded(now) {
            return;
        }
        if let Some((stream, worth)) = self.least_useful(now)
            && self.give_way(now, stream, worth, Farewell::Useless)
        {
            self.dial_candidates(now);
        }
    }

    /// When peers should be looked at because others wait for their places.
    pub(super) fn cull_deadline(&self, now: Instant) -> Option<Instant> {
        let next = if self.culling.slowest.is_some() { now } else { self.culling.next };
        self.is_crowded(now).then_some(next)
    }

    fn is_crowded(&self, now: Instant) -> bool {
        let waits = |torrent: &Torrent| {
            torrent.is_downloading() && torrent.candidates.next_deadline().is_some_and(|due| due <= now)
        };
        self.crowd.open >= self.settings.max_peers && self.torrents.iter().any(waits)
    }

    /// Drops a peer that was found. False if that was a while ago and others have left since who had what it has.
    fn give_way(&mut self, now: Instant, stream: StreamId, worth: Worth, why: Farewell) -> bool {
        self.culling.slowest = None;
        if worth == Worth::Slow {
            if self.is_only_source(now, stream, &mut { CULL_STEPS_MAX }) {
                return false;
            }
            self.culling.next_turnover = now + TURNOVER_INTERVAL;
        }
        self.culling.next = now + CULL_INTERVAL;
        self.drop_peer(now, stream, why);
        true
    }

    /// Who is worth least, if somebody is worth little enough, as far as that may be found out.
    fn least_useful(&mut self, now: Instant) -> Option<(StreamId, Worth)> {
        if now < self.culling.next {
            let slowest = self.culling.slowest.take().filter(|&stream| self.streams.open(stream).is_some());
            self.culling.slowest = slowest;
            return Some((slowest?, Worth::Slow));
        }
        let found = self.look_for_least_useful(now);
        self.culling.next = now + CULL_LOOK_INTERVAL;
        self.culling.slowest = found.filter(|&(_, worth)| worth == Worth::Slow).map(|(stream, _)| stream);
        found
    }

    /// Looks at all peers, and at a bounded number of pieces.
    fn look_for_least_useful(&mut self, now: Instant) -> Option<(StreamId, Worth)> {
        let mean = self.mean_rate(now);
        let of = |(stream, id, _, open): (StreamId, TorrentId, _, &Open)| {
            let worth = worth(now, &self.torrents[id.0 as usize], open, mean)?;
            let may = worth < Worth::Slow || now >= self.culling.next_turnover;
            let rank = self.rank(open.peer.address).unwrap_or(0);
            may.then_some((worth, last_exchange(open), rank, stream))
        };
        let mut all: Vec<_> = self.streams.iter_open().filter_map(of).collect();
        all.sort_unstable();
        let mut steps = CULL_STEPS_MAX;
        let least = all.into_iter().find(|&(.., stream)| !self.is_only_source(now, stream, &mut steps));
        self.culling.steps += u64::from(self.crowd.open) + u64::from(CULL_STEPS_MAX - steps);
        least.map(|(worth, .., stream)| (stream, worth))
    }

    /// True if it has something that is missing and that nobody else has who is connected, and may still give it, or if that
    /// would take more than `steps` to find out.
    fn is_only_source(&mut self, now: Instant, stream: StreamId, steps: &mut u32) -> bool {
        let Some((id, open)) = self.streams.open(stream) else { return false };
        let torrent = &self.torrents[id.0 as usize];
        let is_needed = torrent.is_downloading() && open.wanted > 0 && may_give(now, open);
        is_needed
            && torrent.seeds == u32::from(open.peer.has.is_full())
            && torrent.download.is_alone_with_something(&open.peer.has, open.counted, steps)
    }

    /// Bytes per second that a peer exchanges with us on average.
    fn mean_rate(&self, now: Instant) -> u64 {
        let (sum, count) = self.streams.iter_open().fold((0_u64, 0_u64), |(sum, count), (.., open)| {
            (sum.saturating_add(rate(now, open)), count + 1)
        });
        sum / count.max(1)
    }

    /// BEP 40, as far as it is known how we are seen from outside.
    fn rank(&self, address: SocketAddr) -> Option<u32> {
        let ours = self.culling.seen_as[usize::from(address.is_ipv6())].address?;
        priority(SocketAddr::new(ours, self.settings.port), address)
    }
}

fn rate(now: Instant, open: &Open) -> u64 {
    open.peer.down.per_second(now) + open.peer.up.per_second(now)
}

/// When a block came or went last, or could have: at first, when it came, and when its turn began.
fn last_exchange(open: &Open) -> Instant {
    let turn = open.service.standing.served_since.unwrap_or(open.opened);
    open.useful_at.max(open.service.progress).max(turn)
}

fn worth(now: Instant, torrent: &Torrent, open: &Open, mean: u64) -> Option<Worth> {
    let age = now.since(open.opened);
    if age >= CULL_AGE_MIN && open.wanted == 0 && !open.peer.interested {
        return Some(Worth::Nothing);
    }
    // Who waits for a place among those we serve is idle through no fault of its own.
    let is_waiting = open.peer.interested && open.peer.am_choking;
    let patience = if is_waiting { USELESS_AGE_MIN } else { USELESS_MAX };
    if now.since(last_exchange(open)) >= patience {
        return Some(Worth::Idle);
    }
    let is_slow = age >= USELESS_AGE_MIN && rate(now, open) < mean / 4 || !may_give(now, open);
    (torrent.is_downloading() && is_slow).then_some(Worth::Slow)
}

/// False if it has had its time to give us something. Else one that has everything and gives nothing would keep out for
/// ever who does.
fn may_give(now: Instant, open: &Open) -> bool {
    now.since(open.useful_at.max(open.unchoked_at)) < SOURCE_PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stranger_does_not_decide_how_we_are_seen() {
        let mut majority = Majority::default();
        let (right, wrong) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([6, 6, 6, 6]));
        for address in [wrong, right, right, wrong, right, right] {
            majority.vote(address);
        }
        assert_eq!(majority.address, Some(right));
    }
}
