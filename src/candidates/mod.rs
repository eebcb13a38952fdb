//! Addresses to dial for one torrent: who is worth a try next, who must rest, and who is not spoken to again.

mod bans;
mod priority;

use crate::base::limits::{
    CANDIDATES_MAX, CONNECT_FAILURES_MAX, OWN_ADDRESSES_MAX, RECONNECT_MAX, RECONNECT_MIN,
};
use crate::base::{Instant, Rng, backoff};
use crate::wire::address::{canonical, is_dialable};
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, VecDeque};
use bans::Bans;
use core::cmp::Ordering;
use core::net::SocketAddr;
use core::time::Duration;
pub use priority::priority;

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// It came to us, and told the port on which it listens (`p` of BEP 10).
    Incoming,
    /// A tracker.
    Tracker,
    /// The user: never forgotten, and may be on this machine.
    User,
}

/// What became of an address that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new and will be dialled.
    New,
    /// It was known.
    Known,
    /// It has no port, names nobody in particular, or is on this machine for a torrent that has no business there.
    Useless,
    /// It is our own.
    Own,
    /// It is banned.
    Banned,
    /// There is no room, and it is not better than those that are there.
    Full,
}

/// An address and what we know of it.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: Source,
    state: State,
    /// When it was last dialled or lost; [`Instant::ZERO`] if never.
    tried: Instant,
    /// Failures since it was last of use.
    failures: u8,
    /// Tries since then that our own network may have kept from it.
    cut_off: u8,
    /// True if it has been connected once.
    succeeded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be dialled from this time on.
    Idle { due: Instant },
    /// Being dialled, or connected.
    Busy,
}

/// The addresses of one torrent, at most [`CANDIDATES_MAX`], each once.
#[derive(Debug, Default)]
pub struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
    bans: Bans,
    own: VecDeque<SocketAddr>,
    /// How others see us, by family: by that both ends rank a connection alike (BEP 40).
    ours: [Option<SocketAddr>; 2],
    allow_loopback: bool,
    /// The family whose turn it is: neither IPv4 nor IPv6 waits for the other, of which all may be dead.
    v6_next: bool,
    /// No idle candidate is due before this; may be too early, never too late. Spares looking through all of them.
    earliest: Option<Instant>,
}

impl Candidates {
    /// Addresses on this machine (127.0.0.0/8, ::1) are believed from now on: a tracker or a peer of the user's is
    /// here, so that the swarm is too.
    pub fn allow_loopback(&mut self) {
        self.allow_loopback = true;
    }

    /// Others see us at `address`: among equals those come first whom both ends rank higher (BEP 40).
    pub fn set_ours(&mut self, address: SocketAddr) {
        self.ours[usize::from(address.is_ipv6())] = Some(address);
    }

    /// `address` is ourselves: it is neither kept nor dialled.
    pub fn add_own(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.known.remove(&address);
        if !self.own.contains(&address) {
            if self.own.len() >= OWN_ADDRESSES_MAX {
                self.own.pop_front();
            }
            self.own.push_back(address);
        }
    }

    /// Somebody named `address`. It is due at once if it is new; a better source is remembered if not.
    pub fn add(&mut self, now: Instant, address: SocketAddr, source: Source) -> Added {
        let address = canonical(address);
        if let Some(refusal) = self.refusal(address, source) {
            return refusal;
        }
        if !self.known.contains_key(&address) && self.known.len() >= CANDIDATES_MAX && !self.make_room(source)
        {
            return Added::Full;
        }
        match self.known.entry(address) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().source = entry.get().source.max(source);
                Added::Known
            }
            Entry::Vacant(entry) => {
                let state = State::Idle { due: now };
                entry.insert(Candidate {
                    source,
                    state,
                    tried: Instant::ZERO,
                    failures: 0,
                    cut_off: 0,
                    succeeded: false,
                });
                self.wake(now);
                Added::New
            }
        }
    }

    /// The next address to dial, which is busy from now on; `None` if none is due. Costs a look at all addresses when
    /// one is due, else nothing.
    pub fn next(&mut self, now: Instant, rng: &mut Rng) -> Option<SocketAddr> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return None;
        }
        let mut best: Option<(Rank, SocketAddr)> = None;
        let (mut equals, mut later) = (0, None);
        for (&address, candidate) in &self.known {
            match candidate.state {
                State::Busy => continue,
                State::Idle { due } if due > now => {
                    later = earlier(later, due);
                    continue;
                }
                State::Idle { .. } => {}
            }
            let rank = candidate.rank(address.is_ipv6() == self.v6_next);
            let is_equal = best.is_some_and(|(best, _)| best == rank);
            equals = if is_equal { equals + 1 } else { 1 };
            // Among equals each has the same chance, unless both ends rank it higher: a list that an adversary wrote
            // first does not come first.
            let better = match best {
                Some((best, other)) if best == rank => match self.compare(address, other) {
                    Ordering::Equal => rng.one_in(equals),
                    ordering => ordering == Ordering::Greater,
                },
                best => best.is_none_or(|(best, _)| rank < best),
            };
            if better {
                best = Some((rank, address));
            }
        }
        let Some((_, address)) = best else {
            self.earliest = later;
            return None;
        };
        self.v6_next = !address.is_ipv6();
        self.set_busy(now, address);
        Some(address)
    }

    /// Which of two both ends rank higher, as far as it is known how we are seen.
    fn compare(&self, one: SocketAddr, other: SocketAddr) -> Ordering {
        let rank = |address: SocketAddr| priority(self.ours[usize::from(address.is_ipv6())]?, address);
        let ranks = rank(one).zip(rank(other));
        ranks.map_or(Ordering::Equal, |(one, other)| one.cmp(&other))
    }

    /// When [`Candidates::next`] may have an address; may be past. To be asked only by those who have room for
    /// another connection.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// A connection to or from `address` has shaken hands.
    pub fn connected(&mut self, now: Instant, address: SocketAddr) {
        let address = canonical(address);
        self.set_busy(now, address);
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.succeeded = true;
        }
    }

    /// A connection to `address` could not be opened, or was not a peer of this torrent.
    pub fn failed(&mut self, now: Instant, address: SocketAddr, rng: &mut Rng) {
        self.rest(now, canonical(address), rng);
    }

    /// The connection with `address` has ended; `useful` if it had brought us anything. One that is of no use is tried
    /// less and less, though it takes our calls.
    pub fn closed(&mut self, now: Instant, address: SocketAddr, useful: bool, rng: &mut Rng) {
        let address = canonical(address);
        if let Some(candidate) = self.known.get_mut(&address).filter(|_| useful) {
            candidate.failures = 0;
        }
        self.rest(now, address, rng);
    }

    /// `address` could not be reached, nor could anybody else: it rests, but it is not to blame.
    pub fn cut_off(&mut self, now: Instant, address: SocketAddr, rng: &mut Rng) {
        let Some(candidate) = self.known.get_mut(&canonical(address)) else { return };
        candidate.cut_off = candidate.cut_off.saturating_add(1);
        let due = now + candidate.rest(rng);
        candidate.state = State::Idle { due };
        self.wake(due);
    }

    /// Somebody can be reached again: those who were cut off may be, too. Looks at all addresses.
    pub fn reconnect(&mut self, now: Instant) {
        for candidate in self.known.values_mut() {
            let was_cut_off = core::mem::take(&mut candidate.cut_off) > 0;
            if let State::Idle { due } = &mut candidate.state
                && was_cut_off
            {
                *due = now;
                self.earliest = earlier(self.earliest, now);
            }
        }
    }

    /// `address` was taken by [`Candidates::next`] but not dialled, through nobody's fault (no file descriptor left):
    /// it may be taken again after a moment.
    pub fn put_back(&mut self, now: Instant, address: SocketAddr) {
        let due = now + RECONNECT_MIN;
        if let Some(candidate) = self.known.get_mut(&canonical(address)) {
            candidate.state = State::Idle { due };
            self.wake(due);
        }
    }

    /// `address` is not spoken to again, whatever its port; on this machine, where many clients may share an address,
    /// the port counts.
    pub fn ban(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.bans.add(address);
        let bans = &self.bans;
        self.known.retain(|&known, candidate| candidate.state == State::Busy || !bans.has(known));
        self.known.remove(&address);
    }

    /// True if a connection from `address` is to be refused.
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        self.bans.has(canonical(address))
    }

    /// How many addresses are known, busy ones included.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// How many of them were dialled.
    pub fn tried(&self) -> u32 {
        self.known.values().filter(|candidate| candidate.tried != Instant::ZERO).count() as u32
    }

    /// True if no address is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn refusal(&self, address: SocketAddr, source: Source) -> Option<Added> {
        let inside = address.ip().is_loopback() && !self.allow_loopback && source != Source::User;
        if !is_dialable(address) || inside {
            return Some(Added::Useless);
        }
        if self.own.contains(&address) {
            return Some(Added::Own);
        }
        self.bans.has(address).then_some(Added::Banned)
    }

    /// Drops the worst idle address for one from `source`: most failures, then longest not tried. Nobody gives way
    /// who has not had a chance yet, unless to a better source.
    fn make_room(&mut self, source: Source) -> bool {
        let gives_way = |candidate: &Candidate| {
            let untried = candidate.tried == Instant::ZERO;
            let weaker = if untried { candidate.source < source } else { candidate.source <= source };
            candidate.state != State::Busy && candidate.source != Source::User && weaker
        };
        let worth =
            |candidate: &Candidate| (u8::MAX - candidate.tries(), candidate.succeeded, candidate.tried);
        let idle = self.known.iter().filter(|(_, candidate)| gives_way(candidate));
        let worst = idle.min_by_key(|(_, candidate)| worth(candidate)).map(|(&address, _)| address);
        worst.is_some_and(|worst| self.known.remove(&worst).is_some())
    }

    fn set_busy(&mut self, now: Instant, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.state = State::Busy;
            candidate.tried = now;
        }
    }

    /// One more failure: `address` rests, or is forgotten if it has never been of any use.
    fn rest(&mut self, now: Instant, address: SocketAddr, rng: &mut Rng) {
        let Some(candidate) = self.known.get_mut(&address) else { return };
        candidate.failures = candidate.failures.saturating_add(1);
        (candidate.tried, candidate.cut_off) = (now, 0);
        let hopeless = candidate.failures >= CONNECT_FAILURES_MAX && !candidate.succeeded;
        if hopeless && candidate.source != Source::User || self.bans.has(address) {
            self.known.remove(&address);
            return;
        }
        let due = now + candidate.rest(rng);
        candidate.state = State::Idle { due };
        self.wake(due);
    }

    fn wake(&mut self, due: Instant) {
        self.earliest = earlier(self.earliest, due);
    }
}

type Rank = (bool, bool, u8, Instant, bool);

impl Candidate {
    /// Tries in vain since it was last of use.
    fn tries(&self) -> u8 {
        self.failures.saturating_add(self.cut_off)
    }

    /// How long it is left alone after one.
    fn rest(&self, rng: &mut Rng) -> Duration {
        backoff(self.tries(), RECONNECT_MIN, RECONNECT_MAX, rng)
    }

    /// The lower, the sooner it is dialled: never tried first, then those that were connected once, then those that
    /// failed least, then those left alone longest; of equals one of the family whose turn it is.
    fn rank(&self, its_turn: bool) -> Rank {
        (self.tried != Instant::ZERO, !self.succeeded, self.failures, self.tried, !its_turn)
    }
}

fn earlier(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}

#[cfg(test)]
mod tests;
