//! The trackers of one torrent: who is asked when (BEP 12), and every announce under way.
//!
//! Every tier is asked on its own, so that a dead tier never delays a living one; within a tier the next tracker is
//! tried as soon as one fails, and one that answers moves to the front. This room is told facts and leaves wishes
//! ([`Trackers::next_wish`]) and news ([`Trackers::next_news`]); only [`Trackers::on_time`] starts announces, so after
//! any fact the deadline may be the present.

mod exchange;
mod member;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod wish;

pub use exchange::Fault;
pub use member::State;
pub use reply::{Reply, ReplyFault};
pub use request::{Identity, Kind, Totals};
pub use wish::{Handle, News, View, Wish};

use crate::base::limits::{ANNOUNCE_TIMEOUT, ANNOUNCES_MAX, STOP_TIMEOUT, TRACKERS_MAX};
use crate::base::{Instant, Rng};
use crate::proxy::Routes;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::net::IpAddr;
use core::time::Duration;
use exchange::{Exchange, Step};
use member::Member;

/// Trackers of which one is reported to at a time.
#[derive(Debug)]
struct Tier {
    /// Members by index, the best first; the unsupported are not among them.
    order: Vec<usize>,
    /// When one of them is asked next.
    next: Instant,
    /// The one being asked.
    asking: Option<usize>,
}

/// All trackers of a torrent.
#[derive(Debug)]
pub struct Trackers {
    identity: Identity,
    routes: Arc<Routes>,
    /// Random, the same for the run, so that a tracker knows us again after our address has changed.
    key: u32,
    members: Vec<Member>,
    tiers: Vec<Tier>,
    completed: bool,
    /// Once we leave: when we are gone.
    gone: Option<Instant>,
    /// What trackers are told of us: as of the last time that the session said.
    totals: Totals,
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
        for (tier, urls) in tiers.iter().enumerate() {
            for url in urls {
                if members.len() < TRACKERS_MAX && !members.iter().any(|member| member.text == *url) {
                    members.push(Member::new(tier, url, &routes));
                }
            }
        }
        let order = |tier: usize, rng: &mut Rng| {
            let speaks = |at: &usize| members[*at].tier == tier && members[*at].url.is_some();
            let mut order: Vec<usize> = (0..members.len()).filter(speaks).collect();
            rng.shuffle(&mut order);
            Tier { order, next: now, asking: None }
        };
        let tiers = (0..tiers.len()).map(|tier| order(tier, rng)).collect();
        let unsupported = |(tracker, member): (usize, &Member)| match &member.state {
            State::Unsupported(why) => Some(News::Unsupported { tracker, why: why.clone() }),
            _ => None,
        };
        let news = members.iter().enumerate().filter_map(unsupported).collect();
        let key = (rng.next_u64() >> 32) as u32;
        let wishes = VecDeque::new();
        let mut trackers = Self {
            identity,
            routes,
            key,
            members,
            tiers,
            completed: false,
            gone: None,
            totals: Totals::default(),
            wishes,
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

    /// When [`Trackers::on_time`] wants to be called; may be past.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// True while no announce is under way.
    pub fn is_quiet(&self) -> bool {
        self.members.iter().all(|member| member.exchange.is_none())
    }

    /// Does what is due: gives up late announces and starts new ones.
    pub fn on_time(&mut self, now: Instant, totals: &Totals, rng: &mut Rng) {
        self.totals = *totals;
        for at in 0..self.members.len() {
            self.advance(now, at, rng, |exchange| exchange.on_time(now));
        }
        let mut free = ANNOUNCES_MAX.saturating_sub(self.under_way());
        for tier in 0..self.tiers.len() {
            if self.gone.is_some()
                || free == 0
                || self.tiers[tier].asking.is_some()
                || self.tiers[tier].next > now
            {
                continue;
            }
            match self.first_ready(tier, now) {
                Some(at) => {
                    free -= 1;
                    self.tiers[tier].asking = Some(at);
                    self.start(now, at, self.members[at].next_kind(), rng);
                }
                None => self.tiers[tier].next = self.soonest_ready(tier).unwrap_or(now),
            }
        }
        self.settle();
    }

    /// The user wants an announce now: brings the next one forward as far as each tracker's `min interval` allows.
    /// When the first of them will be, `None` if there is no tracker to ask.
    pub fn announce_now(&mut self, now: Instant) -> Option<Instant> {
        for tier in &mut self.tiers {
            for &at in &tier.order {
                let member = &mut self.members[at];
                member.ready = member.ready.min(member.asked_ready.max(now));
            }
            // A tier that works stays with its tracker; one that does not takes whoever may be asked first.
            let good = tier.order.first().filter(|&&at| self.members[at].state == State::Good);
            let first = match good {
                Some(&at) => Some(self.members[at].asked_ready),
                None => tier.order.iter().map(|&at| self.members[at].ready).min(),
            };
            tier.next = first.map_or(tier.next, |first| tier.next.min(first.max(now)));
        }
        self.settle();
        self.next_announce()
    }

    /// The download has become whole in this run: trackers that know us hear `completed` at once.
    pub fn complete(&mut self, now: Instant) {
        if mem::replace(&mut self.completed, true) {
            return;
        }
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            // An announce under way says that something is missing: it must be followed by another.
            let knows = member.knows_us || member.exchange.is_some();
            member.owed_completed = knows;
            let tier = &mut self.tiers[member.tier];
            if knows && tier.order.first() == Some(&at) {
                tier.next = tier.next.min(now);
            }
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
        let gone = now + STOP_TIMEOUT;
        self.gone = Some(gone);
        self.totals = *totals;
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            let (told, owed) = (member.may_know_us(), member.owed_completed);
            match &mut member.exchange {
                Some(exchange) if exchange.kind == Kind::Completed => exchange.hurry(gone),
                _ => {
                    self.hang_up(at);
                    if told {
                        self.start(now, at, if owed { Kind::Completed } else { Kind::Stopped }, rng);
                    }
                }
            }
        }
        self.settle();
    }

    /// A name has these addresses, none if it could not be resolved.
    pub fn on_resolved(&mut self, now: Instant, handle: Handle, addresses: &[IpAddr], rng: &mut Rng) {
        self.on_fact(now, handle, rng, |exchange| exchange.on_resolved(now, addresses));
    }

    /// A stream is open.
    pub fn on_connected(&mut self, now: Instant, handle: Handle, rng: &mut Rng) {
        self.on_fact(now, handle, rng, Exchange::on_connected);
    }

    /// Bytes came on a stream.
    pub fn on_bytes(&mut self, now: Instant, handle: Handle, bytes: &[u8], rng: &mut Rng) {
        self.on_fact(now, handle, rng, |exchange| exchange.on_bytes(now, bytes));
    }

    /// A stream is gone: `why` in words, or `None` if the tracker closed it in good order.
    pub fn on_closed(&mut self, now: Instant, handle: Handle, why: Option<&str>, rng: &mut Rng) {
        let wishes = self.wishes.len();
        self.on_fact(now, handle, rng, |exchange| exchange.on_closed(now, why));
        if self.wishes.get(wishes) == Some(&Wish::Close { handle }) {
            self.wishes.remove(wishes); // it is closed already
        }
    }

    /// How many trackers there are, and how many of them answered well the last time.
    pub fn counts(&self) -> (u32, u32) {
        let good = self.members.iter().filter(|member| member.state == State::Good).count();
        (self.members.len() as u32, good as u32)
    }

    /// When the next announce is due; `None` while all that can be asked are being asked, or without trackers.
    pub fn next_announce(&self) -> Option<Instant> {
        let waiting = |tier: &&Tier| self.gone.is_none() && tier.asking.is_none() && !tier.order.is_empty();
        self.tiers.iter().filter(waiting).map(|tier| tier.next).min()
    }

    /// The tracker with this index, in the order of the `.torrent`.
    pub fn view(&self, tracker: usize) -> Option<View<'_>> {
        let member = self.members.get(tracker)?;
        let Member { tier, text, state, peers, exchange, url, .. } = member;
        let settled = exchange.is_none() && url.is_some() && self.gone.is_none();
        let place = &self.tiers[*tier];
        let next = match state {
            State::Failed(_) => Some(member.ready.max(place.next)),
            _ => place.order.first().filter(|&&first| first == tracker).map(|_| place.next),
        };
        let next = next.filter(|_| settled);
        Some(View { tier: *tier, url: text, asking: exchange.is_some(), state, peers: *peers, next })
    }

    /// All trackers, in the order of the `.torrent`.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.members.len()).filter_map(|at| self.view(at))
    }

    fn under_way(&self) -> usize {
        self.members.iter().filter(|member| member.exchange.is_some()).count()
    }

    /// The tracker of a tier that is asked next, if one may be asked by `now`.
    fn first_ready(&self, tier: usize, now: Instant) -> Option<usize> {
        self.tiers[tier].order.iter().copied().find(|&at| self.members[at].ready <= now)
    }

    /// When the first tracker of a tier may be asked; `None` if there is none.
    fn soonest_ready(&self, tier: usize) -> Option<Instant> {
        self.tiers[tier].order.iter().map(|&at| self.members[at].ready).min()
    }

    fn start(&mut self, now: Instant, at: usize, kind: Kind, rng: &mut Rng) {
        let member = &mut self.members[at];
        let Some(url) = member.url.clone() else { return };
        let query =
            request::query(&self.identity, kind, &self.totals, self.key, member.tracker_id.as_deref());
        let deadline = self.gone.unwrap_or(now + ANNOUNCE_TIMEOUT);
        // A goodbye has no time to ask for a name again.
        let known = member.address.filter(|_| self.gone.is_some());
        member.exchange = Some(Exchange::new(kind, url, query, Arc::clone(&self.routes), deadline));
        self.advance(now, at, rng, |exchange| exchange.begin(now, known));
    }

    /// An announce of `kind` has ended while we leave. Nobody waits for it or wants to hear of it; but `stopped` has
    /// to follow `completed`.
    fn left(&mut self, now: Instant, at: usize, kind: Kind, rng: &mut Rng) {
        if kind == Kind::Completed && self.gone.is_some_and(|gone| now < gone) {
            self.start(now, at, Kind::Stopped, rng);
        }
    }

    fn on_fact(
        &mut self,
        now: Instant,
        handle: Handle,
        rng: &mut Rng,
        fact: impl FnOnce(&mut Exchange) -> Step,
    ) {
        let at = handle.tracker as usize;
        if self.members.get(at).is_some_and(|member| member.generation == handle.generation) {
            self.advance(now, at, rng, fact);
            self.settle();
        }
    }

    /// Tells the exchange of a tracker a fact, and does what it wants next.
    fn advance(&mut self, now: Instant, at: usize, rng: &mut Rng, fact: impl FnOnce(&mut Exchange) -> Step) {
        let member = &mut self.members[at];
        let old = Handle { tracker: at as u32, generation: member.generation };
        let Some(exchange) = &mut member.exchange else { return };
        let had_stream = exchange.has_stream();
        let step = fact(exchange);
        if had_stream && !matches!(step, Step::Wait | Step::Send(_)) {
            self.wishes.push_back(Wish::Close { handle: old });
        }
        if matches!(step, Step::Resolve(_) | Step::Connect(_) | Step::Reach(_)) {
            member.generation += 1;
        }
        let handle = Handle { generation: member.generation, ..old };
        match step {
            Step::Wait => {}
            Step::Resolve(host) => self.wishes.push_back(Wish::Resolve { handle, host }),
            Step::Connect(address) => self.wishes.push_back(Wish::Connect { handle, address }),
            Step::Reach(server) => self.wishes.push_back(Wish::Reach { handle, server }),
            Step::Send(bytes) => self.wishes.push_back(Wish::Send { handle, bytes }),
            Step::Answered(status, body) => match Reply::parse(status, &body, rng) {
                Ok(reply) => self.succeeded(now, at, reply, rng),
                Err(fault) => self.failed(now, at, Fault::Reply(fault), rng),
            },
            Step::Failed(fault) => self.failed(now, at, fault, rng),
        }
    }

    /// The tracker becomes the one that its tier reports to.
    fn succeeded(&mut self, now: Instant, at: usize, reply: Reply, rng: &mut Rng) {
        let member = &mut self.members[at];
        let Some(exchange) = member.exchange.take() else { return };
        member.generation += 1;
        if self.gone.is_some() {
            return self.left(now, at, exchange.kind, rng);
        }
        let from = exchange.address();
        let next = member.on_reply(now, exchange.kind, &reply, from.filter(|_| exchange.is_direct()));
        let next = if member.owed_completed { Duration::ZERO } else { next };
        let tier = &mut self.tiers[member.tier];
        tier.asking = None;
        tier.next = now + next;
        if let Some(place) = tier.order.iter().position(|&other| other == at) {
            tier.order[..=place].rotate_right(1);
        }
        let Reply { peers, warning, .. } = reply;
        self.news.push_back(News::Answered { tracker: at, peers, warning, next, from });
    }

    /// Where every fault ends: the tracker is left alone for a while, and the next one of its tier gets its turn.
    fn failed(&mut self, now: Instant, at: usize, fault: Fault, rng: &mut Rng) {
        let member = &mut self.members[at];
        let Some(exchange) = member.exchange.take() else { return };
        member.generation += 1;
        if self.gone.is_some() {
            return self.left(now, at, exchange.kind, rng);
        }
        let next = member.on_failure(now, &fault, rng);
        let tier = member.tier;
        self.tiers[tier].asking = None;
        self.tiers[tier].next = self.soonest_ready(tier).unwrap_or(now).max(now);
        self.news.push_back(News::Failed { tracker: at, fault, next });
    }

    /// Forgets the announce of a tracker.
    fn hang_up(&mut self, at: usize) {
        let member = &mut self.members[at];
        let handle = Handle { tracker: at as u32, generation: member.generation };
        if member.exchange.take().is_some_and(|exchange| exchange.has_stream()) {
            self.wishes.push_back(Wish::Close { handle });
        }
        member.generation += 1;
        self.tiers[member.tier].asking = None;
    }

    /// Works out the next deadline after anything has changed.
    fn settle(&mut self) {
        let late = self.members.iter().filter_map(|member| Some(member.exchange.as_ref()?.deadline())).min();
        let due = if self.under_way() < ANNOUNCES_MAX { self.next_announce() } else { None };
        self.deadline = late.into_iter().chain(due).min();
    }
}
