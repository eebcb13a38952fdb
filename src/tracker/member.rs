//! One tracker: what it has told us, how it has behaved, and what it is owed.

use crate::base::limits::{
    ANNOUNCE_ASKED_INTERVAL_MIN, ANNOUNCE_INTERVAL_DEFAULT, ANNOUNCE_INTERVAL_MAX, ANNOUNCE_INTERVAL_MIN,
    NEEDY_INTERVAL_MAX, NEEDY_INTERVAL_MIN, SCRAPE_INTERVAL_MIN, TRACKER_BACKOFF_MAX, TRACKER_BACKOFF_MIN,
};
use crate::base::{Instant, Rng, backoff};
use crate::proxy::Routes;
use crate::tracker::exchange::{Fault, unsupported};
use crate::tracker::lane::Lane;
use crate::tracker::places::misplaced;
use crate::tracker::reply::{Counts, Reply, ReplyFault};
use crate::tracker::request::{Kind, scrape_url};
use crate::tracker::wish::{Handle, Part};
use crate::wire::url::{Scheme, Url};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// What became of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not asked yet.
    Untried,
    /// Its last reply was good.
    Good,
    /// Its last announce failed; in words, which may be a stranger's.
    Failed(String),
    /// Never asked: its URL is none, or of a scheme that is not spoken; in words.
    Unsupported(String),
}

/// What a name is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Announce,
    Scrape,
}

/// A name that is being looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    pub aim: Aim,
    pub generation: u32,
    /// When nobody waits for it any more.
    pub deadline: Instant,
}

/// A tracker of a torrent.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its tier, as an index.
    pub tier: usize,
    /// Its URL as it may be shown: without a password.
    pub text: String,
    /// `None` where it is unsupported.
    pub url: Option<Url>,
    pub state: State,
    /// Random, so that this tracker knows us again after our address has changed, and no two can compare notes.
    pub key: u32,
    /// Not asked before this.
    pub ready: Instant,
    /// Not asked before this even if the user wants it.
    pub asked_ready: Instant,
    /// Not asked before this even if there are too few peers.
    pub needy_ready: Instant,
    /// Answers in a row that came while there were too few peers.
    needy: u8,
    pub tracker_id: Option<Vec<u8>>,
    /// Peers in its last reply, of both families.
    pub peers: u32,
    pub counts: Counts,
    /// When a scrape is due.
    pub scrape: Option<Instant>,
    /// When the numbers were told or asked for.
    pub counted: Option<Instant>,
    /// IPv4 and IPv6.
    pub lanes: [Lane; 2],
    pub lookup: Option<Lookup>,
    /// It is being asked, and nothing has come of it yet; since when.
    pub round: Option<Instant>,
    generation: u32,
    failures: u8,
}

/// The lane for an address.
pub(crate) fn lane_of(ip: IpAddr) -> usize {
    usize::from(ip.to_canonical().is_ipv6())
}

impl Member {
    pub fn new(tier: usize, text: &str, routes: &Routes, rng: &mut Rng) -> Self {
        let (url, state) = match Url::parse(text) {
            Ok(url) => match unsupported(&url, routes).or_else(|| misplaced(&url)) {
                None => (Some(url), State::Untried),
                Some(why) => (None, State::Unsupported(why.to_string())),
            },
            Err(fault) => (None, State::Unsupported(fault.to_string())),
        };
        Self {
            tier,
            text: Url::parse(text).map_or_else(|_| text.into(), |url| url.to_string()),
            url,
            state,
            key: (rng.next_u64() >> 32) as u32,
            ready: Instant::ZERO,
            asked_ready: Instant::ZERO,
            needy_ready: Instant::ZERO,
            needy: 0,
            tracker_id: None,
            peers: 0,
            counts: Counts::default(),
            scrape: None,
            counted: None,
            lanes: [Lane::default(), Lane::default()],
            lookup: None,
            round: None,
            generation: 0,
            failures: 0,
        }
    }

    /// A new name for a query or a stream.
    pub fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    /// The lane whose present query or stream `handle` names.
    pub fn lane(&self, handle: Handle) -> Option<usize> {
        let lane = match handle.part {
            Part::Name => return None,
            Part::V4 => 0,
            Part::V6 => 1,
        };
        let present = &self.lanes[lane];
        (present.errand.is_some() && present.generation == handle.generation).then_some(lane)
    }

    /// True while an announce is under way.
    pub fn is_announcing(&self) -> bool {
        self.looks_up(Aim::Announce) || self.lanes.iter().any(Lane::is_announcing)
    }

    /// True while its name is looked up for `aim`.
    pub fn looks_up(&self, aim: Aim) -> bool {
        self.lookup.is_some_and(|lookup| lookup.aim == aim)
    }

    /// True while anything is under way.
    pub fn is_busy(&self) -> bool {
        self.lookup.is_some() || self.lanes.iter().any(|lane| lane.errand.is_some())
    }

    /// When it is to be told `completed`, if it is owed that.
    pub fn owed_due(&self) -> Option<Instant> {
        let owed = self.round.is_none() && self.lanes.iter().any(Lane::is_owed);
        owed.then_some(if self.state == State::Good { Instant::ZERO } else { self.ready })
    }

    /// When it is scraped.
    pub fn scrape_due(&self) -> Option<Instant> {
        self.scrape.filter(|_| !self.is_busy())
    }

    /// Takes in a good reply to an announce of `kind`; `first`: the other family has not answered yet.
    pub fn on_reply(&mut self, now: Instant, lane: usize, kind: Kind, reply: &Reply, first: bool) {
        self.lanes[lane].owed_completed &= kind != Kind::Completed;
        self.lanes[lane].knows_us = true;
        self.failures = 0;
        self.state = State::Good;
        let peers = u32::try_from(reply.peers.len()).unwrap_or(u32::MAX);
        self.peers = if first { peers } else { self.peers.saturating_add(peers) };
        if reply.tracker_id.is_some() {
            self.tracker_id.clone_from(&reply.tracker_id);
        }
        let least = reply.min_interval.map(|least| least.min(ANNOUNCE_INTERVAL_MAX));
        let wanted = reply.interval.unwrap_or(ANNOUNCE_INTERVAL_DEFAULT).max(least.unwrap_or_default());
        let wanted = wanted.clamp(ANNOUNCE_INTERVAL_MIN, ANNOUNCE_INTERVAL_MAX);
        let asked = now + least.unwrap_or(ANNOUNCE_INTERVAL_MIN).max(ANNOUNCE_ASKED_INTERVAL_MIN);
        // The longer of what it tells both families.
        let (ready, asked_ready) = if first { (now, now) } else { (self.ready, self.asked_ready) };
        self.ready = ready.max(now + wanted);
        self.asked_ready = asked_ready.max(asked);
        self.plan_scrape(now, reply.counts);
    }

    /// Settles, after [`Member::on_reply`], when it may be asked again if there are too few peers: soon, then less and less.
    /// `needy`: there are too few now.
    pub fn plan_need(&mut self, now: Instant, needy: bool, first: bool, rng: &mut Rng) {
        if first {
            self.needy = if needy { self.needy.saturating_add(1) } else { 0 };
            self.needy_ready = now + backoff(self.needy, NEEDY_INTERVAL_MIN, NEEDY_INTERVAL_MAX, rng);
        }
        self.needy_ready = self.needy_ready.max(self.asked_ready);
    }

    /// A tracker that does not tell the numbers by itself is asked for them.
    fn plan_scrape(&mut self, now: Instant, counts: Counts) {
        self.counts = self.counts.updated(counts);
        if counts.is_full() {
            self.counted = Some(now);
            self.scrape = None;
        } else {
            self.want_counts(now);
        }
    }

    /// Somebody wants to know the numbers: a scrape is due unless they are fresh, or the tracker knows no scrapes.
    pub fn want_counts(&mut self, now: Instant) {
        let stale = self.counted.is_none_or(|counted| counted.until(now) >= SCRAPE_INTERVAL_MIN);
        let scrapes =
            self.url.as_ref().is_some_and(|url| url.scheme() == Scheme::Udp || scrape_url(url).is_some());
        if stale && scrapes && self.scrape.is_none() {
            self.scrape = Some(now);
        }
    }

    /// Takes in a failure; how long it is left alone.
    pub fn on_failure(&mut self, now: Instant, fault: &Fault, rng: &mut Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        for lane in &mut self.lanes {
            lane.owed_completed &= lane.knows_us; // a newcomer that is complete has nothing to say but `started`
            lane.address = None;
        }
        self.state = State::Failed(fault.to_string());
        self.peers = 0;
        let retry = match fault {
            Fault::Reply(ReplyFault::Refused { retry: Some(retry), .. }) => {
                (*retry).min(ANNOUNCE_INTERVAL_MAX)
            }
            _ => Duration::ZERO,
        };
        let wait = backoff(self.failures, TRACKER_BACKOFF_MIN, TRACKER_BACKOFF_MAX, rng).max(retry);
        self.ready = now + wait;
        self.asked_ready = now + retry.max(ANNOUNCE_ASKED_INTERVAL_MIN);
        wait
    }
}
