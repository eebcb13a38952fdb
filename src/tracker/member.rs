//! One tracker: what it has told us, how it has behaved, and what it is owed.

use crate::base::limits::{
    ANNOUNCE_ASKED_INTERVAL_MIN, ANNOUNCE_INTERVAL_DEFAULT, ANNOUNCE_INTERVAL_MAX, ANNOUNCE_INTERVAL_MIN,
    TRACKER_BACKOFF_MAX, TRACKER_BACKOFF_MIN,
};
use crate::base::{Instant, Rng, backoff};
use crate::proxy::Routes;
use crate::tracker::exchange::{Exchange, Fault, unsupported};
use crate::tracker::reply::{Reply, ReplyFault};
use crate::tracker::request::Kind;
use crate::wire::url::Url;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
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

/// A tracker of a torrent.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its tier, as an index.
    pub tier: usize,
    /// As the `.torrent` has it.
    pub text: String,
    /// `None` where it is unsupported.
    pub url: Option<Url>,
    pub state: State,
    /// Not asked before this, after failures.
    pub ready: Instant,
    /// Not asked before this even if the user wants it.
    pub asked_ready: Instant,
    /// It has taken our `started`.
    pub knows_us: bool,
    /// It is to be told `completed`.
    pub owed_completed: bool,
    pub tracker_id: Option<Vec<u8>>,
    /// Peers in its last reply.
    pub peers: u32,
    /// An address at which it has answered.
    pub address: Option<SocketAddr>,
    /// The announce under way.
    pub exchange: Option<Exchange>,
    /// Tells the streams and queries of its announces apart.
    pub generation: u32,
    failures: u8,
}

impl Member {
    pub fn new(tier: usize, text: &str, routes: &Routes) -> Self {
        let (url, state) = match Url::parse(text) {
            Ok(url) => match unsupported(&url, routes) {
                None => (Some(url), State::Untried),
                Some(why) => (None, State::Unsupported(format!("{} tracker, {why}", url.scheme().name()))),
            },
            Err(fault) => (None, State::Unsupported(fault.to_string())),
        };
        Self {
            tier,
            text: text.into(),
            url,
            state,
            ready: Instant::ZERO,
            asked_ready: Instant::ZERO,
            knows_us: false,
            owed_completed: false,
            tracker_id: None,
            peers: 0,
            address: None,
            exchange: None,
            generation: 0,
            failures: 0,
        }
    }

    /// What the next announce says.
    pub fn next_kind(&self) -> Kind {
        match (self.knows_us, self.owed_completed) {
            (false, _) => Kind::Started,
            (true, true) => Kind::Completed,
            (true, false) => Kind::Regular,
        }
    }

    /// True if it may think that we are there: it must be told when we go.
    pub fn may_know_us(&self) -> bool {
        self.knows_us || self.exchange.as_ref().is_some_and(Exchange::is_sent)
    }

    /// Takes in a good reply to an announce of `kind`; how long to wait until the next.
    pub fn on_reply(
        &mut self,
        now: Instant,
        kind: Kind,
        reply: &Reply,
        address: Option<SocketAddr>,
    ) -> Duration {
        self.owed_completed &= kind != Kind::Completed;
        self.knows_us = true;
        self.failures = 0;
        self.state = State::Good;
        self.peers = u32::try_from(reply.peers.len()).unwrap_or(u32::MAX);
        self.address = address;
        if reply.tracker_id.is_some() {
            self.tracker_id.clone_from(&reply.tracker_id);
        }
        let least = reply.min_interval.map(|least| least.min(ANNOUNCE_INTERVAL_MAX));
        self.ready = now;
        self.asked_ready = now + least.unwrap_or(ANNOUNCE_INTERVAL_MIN).max(ANNOUNCE_ASKED_INTERVAL_MIN);
        let wanted = reply.interval.unwrap_or(ANNOUNCE_INTERVAL_DEFAULT).max(least.unwrap_or_default());
        wanted.clamp(ANNOUNCE_INTERVAL_MIN, ANNOUNCE_INTERVAL_MAX)
    }

    /// Takes in a failure; how long it is left alone.
    pub fn on_failure(&mut self, now: Instant, fault: &Fault, rng: &mut Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.owed_completed &= self.knows_us; // a newcomer that is complete has nothing to say but `started`
        self.state = State::Failed(fault.to_string());
        self.peers = 0;
        self.address = None;
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
