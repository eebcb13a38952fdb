//! An announce from its start to its end: every success and every fault ends here.

use super::exchange::{Exchange, Fault, Step, is_proxied};
use super::lane::Errand;
use super::member::{Aim, Lookup, lane_of};
use super::request::{Kind, query, scrape_query, scrape_url};
use super::talk::{Talk, Words};
use super::{Counts, Handle, News, Part, Reply, State, Trackers, Wish};
use crate::base::limits::ANNOUNCE_TIMEOUT;
use crate::base::{Instant, Rng};
use crate::wire::url::{Host, Scheme};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

const PARTS: [Part; 2] = [Part::V4, Part::V6];
/// The lane for a tracker of which only a proxy knows the addresses.
const PROXIED: usize = 0;

impl Trackers {
    /// Asks a tracker, over all families that it has.
    pub(super) fn start(&mut self, now: Instant, at: usize, rng: &mut Rng) {
        self.members[at].round = Some(now);
        self.approach(now, at, Aim::Announce, rng);
    }

    /// Says `completed` to each family that is owed it.
    pub(super) fn tell_completed(&mut self, now: Instant, at: usize, rng: &mut Rng) {
        // The others of its tier are not asked because of this.
        self.tiers[self.members[at].tier].asked = now;
        let owed = |lane: usize| self.members[at].lanes[lane].is_owed();
        let lanes: Vec<usize> = (0..2).filter(|&lane| owed(lane)).collect();
        let known = lanes.iter().all(|&lane| self.members[at].lanes[lane].address.is_some());
        if !known {
            return self.start(now, at, rng);
        }
        self.members[at].round = Some(now);
        for lane in lanes {
            if let Some(address) = self.members[at].lanes[lane].address {
                self.begin(now, at, lane, Kind::Completed, &[address.ip()], rng);
            }
        }
    }

    /// Asks a tracker for the numbers of the swarm, where it has answered before.
    pub(super) fn scrape(&mut self, now: Instant, at: usize, rng: &mut Rng) {
        self.members[at].scrape = None;
        self.members[at].counted = Some(now);
        let known = (0..2).find_map(|lane| Some((lane, self.members[at].lanes[lane].address?)));
        match known {
            Some((lane, address)) => self.begin(now, at, lane, Kind::Scrape, &[address.ip()], rng),
            None => self.approach(now, at, Aim::Scrape, rng),
        }
    }

    /// Says goodbye to one family of a tracker, if it may know us.
    pub(super) fn part_with(&mut self, now: Instant, at: usize, lane: usize, rng: &mut Rng) {
        let Some(gone) = self.gone else { return };
        let place = &mut self.members[at].lanes[lane];
        if let Some(errand) = &mut place.errand
            && errand.kind() == Kind::Completed
        {
            return errand.hurry(now, gone);
        }
        let told = place.may_know_us();
        let asked = place.errand.as_ref().filter(|errand| errand.is_direct()).and_then(Errand::address);
        let address = place.address.or(asked);
        self.hang_up(at, lane);
        if !told {
            return;
        }
        let place = &mut self.members[at].lanes[lane];
        place.knows_us = true;
        let kind = place.parting_kind();
        match address {
            Some(address) => self.begin(now, at, lane, kind, &[address.ip()], rng),
            None if self.members[at].lookup.is_none() => self.approach(now, at, Aim::Announce, rng),
            None => {}
        }
    }

    /// Finds the addresses of a tracker and begins with them.
    fn approach(&mut self, now: Instant, at: usize, aim: Aim, rng: &mut Rng) {
        let proxied = self.is_proxied(at);
        let member = &mut self.members[at];
        let host = match member.url.as_ref().map(|url| url.host().clone()) {
            None => return,
            Some(Host::Address(ip)) => return self.begin_all(now, at, aim, &[ip], rng),
            Some(Host::Name(_)) if proxied => return self.begin_lane(now, at, PROXIED, aim, &[], rng),
            Some(Host::Name(host)) => host,
        };
        let generation = member.next_generation();
        let deadline = self.gone.unwrap_or(now + ANNOUNCE_TIMEOUT);
        member.lookup = Some(Lookup { aim, generation, deadline });
        let handle = Handle { tracker: at as u32, part: Part::Name, generation };
        self.wishes.push_back(Wish::Resolve { handle, host });
    }

    /// The name of a tracker has been looked up.
    pub(super) fn on_looked_up(&mut self, now: Instant, handle: Handle, found: &[IpAddr], rng: &mut Rng) {
        let at = handle.tracker as usize;
        let Some(member) = self.members.get_mut(at) else { return };
        let Some(lookup) = member.lookup.filter(|lookup| lookup.generation == handle.generation) else {
            return;
        };
        member.lookup = None;
        if found.is_empty() && lookup.aim == Aim::Announce {
            let host = match member.url.as_ref().map(|url| url.host()) {
                Some(Host::Name(host)) => host.clone(),
                _ => String::new(),
            };
            return self.failed_member(now, at, Fault::NoAddress(host), rng);
        }
        self.begin_all(now, at, lookup.aim, found, rng);
    }

    /// Begins in each family that has addresses.
    fn begin_all(&mut self, now: Instant, at: usize, aim: Aim, found: &[IpAddr], rng: &mut Rng) {
        for lane in 0..2 {
            let addresses: Vec<IpAddr> = found.iter().filter(|ip| lane_of(**ip) == lane).copied().collect();
            if addresses.is_empty() {
                continue;
            }
            self.begin_lane(now, at, lane, aim, &addresses, rng);
            if aim == Aim::Scrape {
                return; // one family knows as much as the other
            }
        }
    }

    fn is_proxied(&self, at: usize) -> bool {
        self.members[at].url.as_ref().is_some_and(|url| is_proxied(url, &self.routes))
    }

    /// Says in one family what is to be said there.
    fn begin_lane(
        &mut self,
        now: Instant,
        at: usize,
        lane: usize,
        aim: Aim,
        addresses: &[IpAddr],
        rng: &mut Rng,
    ) {
        let place = &self.members[at].lanes[lane];
        let kind = match (aim, self.gone) {
            (Aim::Scrape, _) => Kind::Scrape,
            (Aim::Announce, None) => place.next_kind(),
            (Aim::Announce, Some(_)) if place.knows_us => place.parting_kind(),
            (Aim::Announce, Some(_)) => return,
        };
        self.begin(now, at, lane, kind, addresses, rng);
    }

    /// Begins in a family whose addresses were found after those of the other, whatever has become of that. A family
    /// that has been told of us, or is being told, has had its turn.
    pub(super) fn begin_second(&mut self, now: Instant, at: usize, found: &[IpAddr], rng: &mut Rng) {
        let Some(member) = self.members.get(at) else { return };
        if self.gone.is_some() || member.lookup.is_some() {
            return;
        }
        for lane in 0..2 {
            let addresses: Vec<IpAddr> = found.iter().filter(|ip| lane_of(**ip) == lane).copied().collect();
            let place = &self.members[at].lanes[lane];
            if !addresses.is_empty() && !place.knows_us && place.errand.is_none() {
                self.begin(now, at, lane, place.next_kind(), &addresses, rng);
            }
        }
    }

    /// Starts an errand of `kind`.
    fn begin(
        &mut self,
        now: Instant,
        at: usize,
        lane: usize,
        kind: Kind,
        addresses: &[IpAddr],
        rng: &mut Rng,
    ) {
        self.hang_up(at, lane);
        let member = &mut self.members[at];
        let Some(url) = member.url.clone() else { return };
        let errand = if url.scheme() == Scheme::Udp {
            let (identity, totals, key) = (self.identity, self.totals, member.key);
            let (target, host) = (url.target().to_string(), url.host().clone());
            let relayed = is_proxied(&url, &self.routes);
            let words = Words { identity, totals, key, target, host, port: url.port(), relayed };
            Errand::Datagrams(Talk::new(now, kind, words, member.lanes[lane].connection, self.gone))
        } else {
            let deadline = self.gone.unwrap_or(now + ANNOUNCE_TIMEOUT);
            let (url, query) = match kind {
                Kind::Scrape => (scrape_url(&url), scrape_query(&self.identity)),
                _ => {
                    let id = member.tracker_id.as_deref();
                    (Some(url), query(&self.identity, kind, &self.totals, member.key, id))
                }
            };
            let Some(url) = url else { return };
            Errand::Stream(Exchange::new(kind, url, query, Arc::clone(&self.routes), deadline))
        };
        member.lanes[lane].errand = Some(errand);
        self.advance(now, at, lane, rng, |errand, rng| errand.begin(now, addresses, rng));
    }

    /// Tells an errand a fact, and does what it wants next.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        at: usize,
        lane: usize,
        rng: &mut Rng,
        fact: impl FnOnce(&mut Errand, &mut Rng) -> Step,
    ) {
        let member = &mut self.members[at];
        let place = &mut member.lanes[lane];
        let old = Handle { tracker: at as u32, part: PARTS[lane], generation: place.generation };
        let Some(errand) = &mut place.errand else { return };
        let had_stream = errand.has_stream();
        let step = fact(errand, rng);
        if had_stream && !matches!(step, Step::Wait | Step::Send(_)) {
            self.wishes.push_back(Wish::Close { handle: old });
        }
        if matches!(step, Step::Resolve(_) | Step::Connect(_) | Step::Reach(_)) {
            member.lanes[lane].generation = member.next_generation();
        }
        let handle = Handle { generation: member.lanes[lane].generation, ..old };
        match step {
            Step::Wait => {}
            Step::Resolve(host) => self.wishes.push_back(Wish::Resolve { handle, host }),
            Step::Connect(address) => self.wishes.push_back(Wish::Connect { handle, address }),
            Step::Reach(server) => self.wishes.push_back(Wish::Reach { handle, server }),
            Step::Send(bytes) => self.wishes.push_back(Wish::Send { handle, bytes }),
            Step::Post(server, bytes) => self.wishes.push_back(Wish::Post { server, bytes }),
            Step::Answered(status, body) => self.on_body(now, at, lane, status, &body, rng),
            Step::Told(reply) => self.succeeded(now, at, lane, reply, rng),
            Step::Counted(counts) => self.counted(now, at, lane, counts),
            Step::Failed(fault) => self.failed(now, at, lane, fault, rng),
        }
    }

    /// A whole HTTP reply is there.
    fn on_body(&mut self, now: Instant, at: usize, lane: usize, status: u16, body: &[u8], rng: &mut Rng) {
        let scrape = !self.members[at].lanes[lane].is_announcing();
        if scrape {
            let counts = Counts::parse(status, body, &self.identity.info_hash);
            return self.counted(now, at, lane, counts.unwrap_or_default());
        }
        match Reply::parse(status, body, rng) {
            Ok(reply) => self.succeeded(now, at, lane, reply, rng),
            Err(fault) => self.failed(now, at, lane, Fault::Reply(fault), rng),
        }
    }

    /// A scrape has ended, well or badly.
    fn counted(&mut self, now: Instant, at: usize, lane: usize, counts: Counts) {
        let member = &mut self.members[at];
        member.lanes[lane].take_errand();
        member.counts = member.counts.updated(counts);
        member.counted = Some(now);
    }

    /// A tracker has answered over one family.
    fn succeeded(&mut self, now: Instant, at: usize, lane: usize, reply: Reply, rng: &mut Rng) {
        let member = &mut self.members[at];
        let Some(errand) = member.lanes[lane].take_errand() else { return };
        if self.gone.is_some() {
            return self.left(now, at, lane, errand.kind(), rng);
        }
        let from = errand.address();
        member.lanes[lane].address = from.filter(|_| errand.is_direct());
        let first = member.round.take().is_some();
        member.on_reply(now, lane, errand.kind(), &reply, first);
        member.plan_need(now, self.hungry, first, rng);
        let tier = member.tier;
        self.tiers[tier].on_answer(now, at, &self.members, !reply.peers.is_empty());
        let next = now.until(self.ready(&self.members[at]));
        let Reply { peers, warning, .. } = reply;
        self.news.push_back(News::Answered { tracker: at, peers, warning, next, from });
    }

    /// One family has failed: that is a failure of the tracker if the other has failed as well.
    fn failed(&mut self, now: Instant, at: usize, lane: usize, fault: Fault, rng: &mut Rng) {
        let member = &mut self.members[at];
        let Some(errand) = member.lanes[lane].take_errand() else { return };
        if errand.kind() == Kind::Scrape {
            return;
        }
        if self.gone.is_some() {
            return self.left(now, at, lane, errand.kind(), rng);
        }
        if member.round.is_none() {
            // The other family has answered. This one is tried again with the next announce.
            member.lanes[lane].owed_completed = false;
        } else if !member.is_announcing() {
            self.failed_member(now, at, fault, rng);
        }
    }

    /// Where every fault ends: the tracker is left alone for a while, and the next one of its tier gets its turn.
    pub(super) fn failed_member(&mut self, now: Instant, at: usize, fault: Fault, rng: &mut Rng) {
        if self.members[at].round.take().is_none() {
            return;
        }
        let member = &mut self.members[at];
        let again = member.state == State::Failed(fault.to_string());
        let next = member.on_failure(now, &fault, rng);
        self.hand_over(now, self.members[at].tier);
        self.news.push_back(News::Failed { tracker: at, fault, next, again });
    }

    /// An announce of `kind` has ended while we leave. Nobody waits for it or wants to hear of it; but `stopped` has
    /// to follow `completed`.
    fn left(&mut self, now: Instant, at: usize, lane: usize, kind: Kind, rng: &mut Rng) {
        let place = &mut self.members[at].lanes[lane];
        place.owed_completed = false;
        if kind == Kind::Completed && self.gone.is_some_and(|gone| now < gone) {
            self.part_with(now, at, lane, rng);
        }
    }

    /// Forgets the errand of a lane.
    pub(super) fn hang_up(&mut self, at: usize, lane: usize) {
        let member = &mut self.members[at];
        let place = &mut member.lanes[lane];
        let handle = Handle { tracker: at as u32, part: PARTS[lane], generation: place.generation };
        if place.take_errand().is_some_and(|errand| errand.has_stream()) {
            self.wishes.push_back(Wish::Close { handle });
        }
    }
}
