//! Who gives way where all places are taken: those of whom neither side has anything first, then the idle, then the
//! slowest; seldom, and not who alone has what is missing, as long as it may still give it.

use super::Session;
use super::peers::Farewell;
use super::streams::Open;
use super::torrents::Torrent;
use crate::base::limits::{
    CULL_AGE_MIN, CULL_INTERVAL, CULL_LOOK_INTERVAL, SOURCE_PATIENCE, TURNOVER_INTERVAL, USELESS_AGE_MIN,
    USELESS_MAX,
};
use crate::base::{Instant, StreamId, TorrentId};
use crate::candidates::priority;
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
    next: Instant,
    next_turnover: Instant,
    seen_as: [Majority; 2],
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
        let finds_place = self.open_peers < self.settings.max_peers || self.make_room_for(now, address);
        if !finds_place {
            self.drop_peer(now, stream, Farewell::Full);
        }
        finds_place
    }

    /// Makes room for somebody at `address`, if anybody may give way. True if there is room.
    fn make_room_for(&mut self, now: Instant, address: SocketAddr) -> bool {
        if now < self.culling.next {
            return false;
        }
        let Some((stream, worth)) = self.least_useful(now) else { return false };
        // Who is of use gives way only to somebody whom both ends rank higher.
        let ranks = (self.rank(address), self.streams.connection(stream).map(|other| other.address));
        let is_better = match ranks {
            (Some(new), Some(old)) => self.rank(old).is_none_or(|old| new > old),
            _ => false,
        };
        let gives_way = worth < Worth::Slow || is_better;
        if gives_way {
            self.give_way(now, stream, worth, Farewell::Full);
        }
        gives_way
    }

    /// Makes room where all places are taken and addresses wait. Else those who have nothing could keep out those who
    /// have what is missing.
    pub(super) fn replace_useless(&mut self, now: Instant) {
        if now < self.culling.next || !self.is_crowded(now) {
            return;
        }
        match self.least_useful(now) {
            Some((stream, worth)) => {
                self.give_way(now, stream, worth, Farewell::Useless);
                self.dial_candidates(now);
            }
            None => self.culling.next = now + CULL_LOOK_INTERVAL,
        }
    }

    /// When peers should be looked at because others wait for their places.
    pub(super) fn cull_deadline(&self, now: Instant) -> Option<Instant> {
        self.is_crowded(now).then_some(self.culling.next)
    }

    fn is_crowded(&self, now: Instant) -> bool {
        let waits = |torrent: &Torrent| {
            torrent.is_downloading() && torrent.candidates.next_deadline().is_some_and(|due| due <= now)
        };
        self.open_peers >= self.settings.max_peers && self.torrents.iter().any(waits)
    }

    fn give_way(&mut self, now: Instant, stream: StreamId, worth: Worth, why: Farewell) {
        self.culling.next = now + CULL_INTERVAL;
        if worth == Worth::Slow {
            self.culling.next_turnover = now + TURNOVER_INTERVAL;
        }
        self.drop_peer(now, stream, why);
    }

    /// Who is worth least, if somebody is worth little enough. Looks at all peers: seldom.
    fn least_useful(&self, now: Instant) -> Option<(StreamId, Worth)> {
        let mean = self.mean_rate(now);
        let of = |(stream, id, _, open): (StreamId, TorrentId, _, &Open)| {
            let torrent = &self.torrents[id.0 as usize];
            let worth = worth(now, torrent, open, mean)?;
            let may = worth < Worth::Slow || now >= self.culling.next_turnover;
            let rank = self.rank(open.peer.address).unwrap_or(0);
            let sole = || torrent.is_downloading() && is_only_source(now, torrent, open);
            (may && !sole()).then_some((worth, last_exchange(open), rank, stream))
        };
        let least = self.streams.iter_open().filter_map(of);
        least
            .min_by_key(|&(worth, last, rank, _)| (worth, last, rank))
            .map(|(worth, .., stream)| (stream, worth))
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

/// True if it has something that is missing and that nobody else has who is connected, and may still give it.
fn is_only_source(now: Instant, torrent: &Torrent, open: &Open) -> bool {
    if open.wanted == 0 || !may_give(now, open) {
        return false;
    }
    let is_seed = open.peer.has.is_full();
    let download = &torrent.download;
    let own = u32::from(open.counted);
    let alone = |piece: u32| download.wants(piece) && download.availability(piece) <= own;
    torrent.seeds == u32::from(is_seed) && open.peer.has.iter().any(alone)
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
