//! The trackers of one torrent: who is asked when (BEP 12), and every announce under way.
//!
//! Every tier is asked on its own, so that a dead tier never delays a living one. One tracker of a tier is reported to;
//! as long as there are not enough peers, the others are asked as well, one after the other without waiting for the
//! first. A tracker with addresses of both families is told of us over both (BEP 7), side by side. This room is told
//! facts and leaves wishes ([`Trackers::next_wish`]) and news ([`Trackers::next_news`]); only [`Trackers::on_time`]
//! starts announces, so after any fact the deadline may be the present.
//!
//! `schedule` says when, `flow` carries an announce from its start to its end, `exchange` (HTTP) and `talk` (UDP) are
//! the two ways to say it, `places` says who may be asked, `answers` how much of what they say is kept, `relayed` what a
//! proxy carries of it, `member` and `lane` are what is remembered.

mod answers;
mod exchange;
mod flow;
mod lane;
mod member;
mod places;
mod relayed;
mod reply;
mod request;
mod schedule;
mod talk;
#[cfg(test)]
mod tests;
mod wish;

pub use exchange::Fault;
pub use member::State;
pub use reply::{Counts, Reply, ReplyFault};
pub use request::{Identity, Kind, Totals};
pub use wish::{Handle, News, Part, View, Wish};

use crate::base::limits::{STOP_TIMEOUT, TRACKERS_MAX};
use crate::base::{Instant, Rng};
use crate::proxy::Routes;
use crate::wire::address::canonical;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::net::{IpAddr, SocketAddr};
use exchange::Step;
use lane::Errand;
use member::Member;
use schedule::Tier;

/// All trackers of a torrent.
#[derive(Debug)]
pub struct Trackers {
    identity: Identity,
    routes: Arc<Routes>,
    members: Vec<Member>,
    tiers: Vec<Tier>,
    /// There are too few peers to be content with one tracker of each tier.
    hungry: bool,
    /// One tracker is asked at a time (BEP 27).
    private: bool,
    /// It is not known yet how much is missing: nothing is announced.
    held: bool,
    completed: bool,
    /// Once we leave: when we are gone.
    gone: Option<Instant>,
    /// What trackers are told of us: as of the last time that the session said.
    totals: Totals,
    /// Kept like the deadline: see [`Trackers::awaits_datagrams`].
    talks: bool,
    /// Kept like it: see [`Trackers::answers_bytes`].
    answers_bytes: usize,
    wishes: VecDeque<Wish>,
    news: VecDeque<News>,
    /// See [`Trackers::next_deadline`]; kept, because it is asked in every turn of the loop.
    deadline: Option<Instant>,
}

impl Trackers {
    /// The trackers of `tiers`, each tier in random order; URLs that appear again and those beyond [`TRACKERS_MAX`]
    /// are left out. The first announces are due at `now`.
    pub fn new(now: Instant, identity: Identity, tiers: &[Vec<String>], rng: &mut Rng) -> Self {
        Self::routed(now, identity, Arc::default(), tiers, rng)
    }

    /// The same, along `routes`.
    pub fn routed(
        now: Instant,
        identity: Identity,
        routes: Arc<Routes>,
        tiers: &[Vec<String>],
        rng: &mut Rng,
    ) -> Self {
        let mut members: Vec<Member> = Vec::new();
        let mut seen: Vec<&String> = Vec::new();
        for (tier, urls) in tiers.iter().enumerate() {
            for url in urls {
                if members.len() < TRACKERS_MAX && !seen.contains(&url) {
                    seen.push(url);
                    members.push(Member::new(tier, url, &routes, rng));
                }
            }
        }
        let tiers = (0..tiers.len()).map(|tier| Tier::new(now, tier, &members, rng)).collect();
        let unsupported = |(tracker, member): (usize, &Member)| match &member.state {
            State::Unsupported(why) => Some(News::Unsupported { tracker, why: why.clone() }),
            _ => None,
        };
        let news = members.iter().enumerate().filter_map(unsupported).collect();
        let mut trackers = Self {
            identity,
            routes,
            members,
            tiers,
            hungry: false,
            private: false,
            held: false,
            completed: false,
            gone: None,
            totals: Totals::default(),
            talks: false,
            answers_bytes: 0,
            wishes: VecDeque::new(),
            news,
            deadline: None,
        };
        trackers.settle();
        trackers
    }

    /// The next wish, in order.
    pub fn next_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// The next piece of news, in order.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// True while no announce is under way.
    pub fn is_quiet(&self) -> bool {
        !self.members.iter().any(Member::is_announcing)
    }

    /// True if a datagram may be for one of these trackers.
    pub fn awaits_datagrams(&self) -> bool {
        self.talks
    }

    /// The torrent is private: there is one swarm for each tracker, and we are in one of them. Another tracker is asked only
    /// when the last one fails (BEP 27).
    pub fn set_private(&mut self, private: bool) {
        self.private = private;
        self.settle();
    }

    /// There are too few peers, or enough: as long as there are too few, all trackers of a tier are asked, not only one
    /// (see [`HUNGRY_STEP`](crate::base::limits::HUNGRY_STEP)).
    pub fn set_hungry(&mut self, hungry: bool) {
        if mem::replace(&mut self.hungry, hungry) != hungry {
            self.settle();
        }
    }

    /// What is on disk is being checked, or no longer: until it is known what is missing, no announce is started. A seed
    /// that announces itself too early counts as a downloader until the next announce.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
        self.settle();
    }

    /// The user wants to know the numbers of the swarm: trackers that have not told them lately are scraped.
    pub fn scrape_now(&mut self, now: Instant) {
        self.members.iter_mut().for_each(|member| member.want_counts(now));
        self.settle();
    }

    /// The download has become whole in this run: trackers that know us hear `completed` at once.
    pub fn complete(&mut self) {
        if mem::replace(&mut self.completed, true) {
            return;
        }
        for lane in self.members.iter_mut().flat_map(|member| &mut member.lanes) {
            // An announce under way says that something is missing: it must be followed by another.
            lane.owed_completed = lane.knows_us || lane.is_announcing();
        }
        self.settle();
    }

    /// We leave: announces under way are broken off, and `stopped` goes to all trackers that may know us, side by
    /// side; after `completed` where that is still owed. Those that have not answered after [`STOP_TIMEOUT`] are not
    /// waited for; nothing is announced any more.
    pub fn stop(&mut self, now: Instant, totals: &Totals, rng: &mut Rng) {
        if self.gone.is_some() {
            return;
        }
        self.gone = Some(now + STOP_TIMEOUT);
        self.totals = *totals;
        for at in 0..self.members.len() {
            self.members[at].lookup = None;
            self.members[at].round = None;
            (0..2).for_each(|lane| self.part_with(now, at, lane, rng));
        }
        self.settle();
    }

    /// A name has these addresses, none if it could not be resolved.
    pub fn on_resolved(&mut self, now: Instant, handle: Handle, addresses: &[IpAddr], rng: &mut Rng) {
        if handle.part == Part::Name {
            self.on_looked_up(now, handle, addresses, rng);
        } else {
            self.on_stream_fact(now, handle, rng, |errand| match errand {
                Errand::Stream(exchange) => exchange.on_resolved(now, addresses),
                Errand::Datagrams(_) => Step::Wait,
            });
        }
        self.settle();
    }

    /// A name has addresses of a second family, too; they were found after those of [`Trackers::on_resolved`]. The
    /// tracker is asked over that family as well.
    pub fn on_second_family(&mut self, now: Instant, handle: Handle, addresses: &[IpAddr], rng: &mut Rng) {
        if handle.part == Part::Name {
            self.begin_second(now, handle.tracker as usize, addresses, rng);
            self.settle();
        }
    }

    /// A stream is open.
    pub fn on_connected(&mut self, now: Instant, handle: Handle, rng: &mut Rng) {
        self.on_stream_fact(now, handle, rng, |errand| match errand {
            Errand::Stream(exchange) => exchange.on_connected(),
            Errand::Datagrams(_) => Step::Wait,
        });
        self.settle();
    }

    /// Bytes came on a stream.
    pub fn on_bytes(&mut self, now: Instant, handle: Handle, bytes: &[u8], rng: &mut Rng) {
        self.on_stream_fact(now, handle, rng, |errand| match errand {
            Errand::Stream(exchange) => exchange.on_bytes(now, bytes),
            Errand::Datagrams(_) => Step::Wait,
        });
        self.settle();
    }

    /// A stream is gone: `why` in words, or `None` if the tracker closed it in good order.
    pub fn on_closed(&mut self, now: Instant, handle: Handle, why: Option<&str>, rng: &mut Rng) {
        let wishes = self.wishes.len();
        self.on_stream_fact(now, handle, rng, |errand| match errand {
            Errand::Stream(exchange) => exchange.on_closed(now, why),
            Errand::Datagrams(_) => Step::Wait,
        });
        if self.wishes.get(wishes) == Some(&Wish::Close { handle }) {
            self.wishes.remove(wishes); // it is closed already
        }
        self.settle();
    }

    /// A datagram came from `from`. Whoever did not ask it, or asked something else, does not hear it.
    pub fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], rng: &mut Rng) {
        self.on_datagram_fact(now, canonical(from), rng, |talk, from, rng| {
            talk.on_datagram(now, from, bytes, rng)
        });
    }

    /// No datagram can be delivered at `address`; why, in words.
    pub fn on_undeliverable(&mut self, now: Instant, address: SocketAddr, why: &str, rng: &mut Rng) {
        self.on_datagram_fact(now, canonical(address), rng, |talk, address, rng| {
            talk.on_undeliverable(now, address, why, rng)
        });
    }

    /// How many trackers can be asked, and how many of them answered well the last time.
    pub fn counts(&self) -> (u32, u32) {
        let speaking = self.members.iter().filter(|member| member.url.is_some()).count();
        let good = self.members.iter().filter(|member| member.state == State::Good).count();
        (speaking as u32, good as u32)
    }

    /// The numbers of the swarm: of all trackers that have told them, the highest, because no tracker knows all.
    pub fn swarm(&self) -> Counts {
        let all = || self.members.iter().map(|member| member.counts);
        Counts {
            seeds: all().filter_map(|counts| counts.seeds).max(),
            leechers: all().filter_map(|counts| counts.leechers).max(),
            downloads: all().filter_map(|counts| counts.downloads).max(),
        }
    }

    /// The tracker with this index, in the order of the `.torrent`.
    pub fn view(&self, tracker: usize) -> Option<View<'_>> {
        let member = self.members.get(tracker)?;
        let Member { tier, text, state, peers, url, counts, .. } = member;
        let asking = member.round.is_some();
        let settled = !asking && url.is_some() && self.gone.is_none();
        let place = &self.tiers[*tier];
        let regular = if self.needs() { place.next.min(self.ready(member)) } else { place.next };
        let next = match state {
            State::Failed(_) => Some(member.ready.max(place.next)),
            _ => place.order.first().filter(|&&first| first == tracker).map(|_| regular),
        };
        let next = next.filter(|_| settled);
        Some(View { tier: *tier, url: text, asking, state, peers: *peers, counts: *counts, next })
    }

    /// All trackers, in the order of the `.torrent`.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.members.len()).filter_map(|at| self.view(at))
    }

    fn on_stream_fact(
        &mut self,
        now: Instant,
        handle: Handle,
        rng: &mut Rng,
        fact: impl FnOnce(&mut Errand) -> Step,
    ) {
        let at = handle.tracker as usize;
        if let Some(lane) = self.members.get(at).and_then(|member| member.lane(handle)) {
            self.advance(now, at, lane, rng, |errand, _| fact(errand));
        }
    }

    /// Tells a fact to all talks with `address`: one at most takes it, because transaction ids differ, but when nobody
    /// is there all have to know.
    fn on_datagram_fact(
        &mut self,
        now: Instant,
        address: SocketAddr,
        rng: &mut Rng,
        fact: impl Fn(&mut talk::Talk, SocketAddr, &mut Rng) -> Step,
    ) {
        let lane = member::lane_of(address.ip());
        for at in 0..self.members.len() {
            let errand = self.members[at].lanes[lane].errand.as_ref();
            if errand.is_some_and(|errand| errand.address() == Some(address)) {
                self.advance(now, at, lane, rng, |errand, rng| match errand {
                    Errand::Datagrams(talk) => fact(talk, address, rng),
                    Errand::Stream(_) => Step::Wait,
                });
            }
        }
        self.settle();
    }
}
