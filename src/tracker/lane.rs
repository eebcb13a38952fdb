//! One address family of a tracker (BEP 7): what it knows of us there, and the errand under way.

use crate::base::{Instant, Rng};
use crate::tracker::exchange::{Exchange, Step};
use crate::tracker::request::Kind;
use crate::tracker::talk::{Connection, Talk};
use core::net::{IpAddr, SocketAddr};

/// An announce or a scrape under way.
#[derive(Debug)]
pub(crate) enum Errand {
    /// By HTTP.
    Stream(Exchange),
    /// By the UDP tracker protocol.
    Datagrams(Talk),
}

impl Errand {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Stream(exchange) => exchange.kind,
            Self::Datagrams(talk) => talk.kind,
        }
    }

    /// The first step.
    pub fn begin(&mut self, now: Instant, addresses: &[IpAddr], rng: &mut Rng) -> Step {
        match self {
            Self::Stream(exchange) => exchange.begin(now, addresses),
            Self::Datagrams(talk) => talk.begin(now, addresses, rng),
        }
    }

    /// When [`Errand::on_time`] has something to do.
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Stream(exchange) => exchange.deadline(),
            Self::Datagrams(talk) => talk.deadline(),
        }
    }

    /// Does what is due.
    pub fn on_time(&mut self, now: Instant, rng: &mut Rng) -> Step {
        match self {
            Self::Stream(exchange) => exchange.on_time(now),
            Self::Datagrams(talk) => talk.on_time(now, rng),
        }
    }

    /// Fails it at `deadline` if it would have waited longer.
    pub fn hurry(&mut self, now: Instant, deadline: Instant) {
        match self {
            Self::Stream(exchange) => exchange.hurry(deadline),
            Self::Datagrams(talk) => talk.hurry(now, deadline),
        }
    }

    /// True once the request may have reached the tracker.
    pub fn is_sent(&self) -> bool {
        match self {
            Self::Stream(exchange) => exchange.is_sent(),
            Self::Datagrams(talk) => talk.is_sent(),
        }
    }

    /// Bytes that are kept of an answer that is not whole.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Stream(exchange) => exchange.held_bytes(),
            Self::Datagrams(_) => 0,
        }
    }

    /// True while there is a stream, open or being opened.
    pub fn has_stream(&self) -> bool {
        matches!(self, Self::Stream(exchange) if exchange.has_stream())
    }

    /// Who is being asked, or was asked last.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Stream(exchange) => exchange.address(),
            Self::Datagrams(talk) => talk.address(),
        }
    }

    /// True if it has not left the server that the tracker's URL names, so that the address may serve again.
    pub fn is_direct(&self) -> bool {
        match self {
            Self::Stream(exchange) => exchange.is_direct(),
            Self::Datagrams(_) => true,
        }
    }
}

/// One family of a tracker's addresses.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// It has taken our `started`.
    pub knows_us: bool,
    /// It is to be told `completed`.
    pub owed_completed: bool,
    /// An address at which it has answered.
    pub address: Option<SocketAddr>,
    /// What is under way.
    pub errand: Option<Errand>,
    /// Names the present query or stream of the errand.
    pub generation: u32,
    /// The last connection id of a UDP tracker.
    pub connection: Option<Connection>,
}

impl Lane {
    /// What the next announce says.
    pub fn next_kind(&self) -> Kind {
        match (self.knows_us, self.owed_completed) {
            (false, _) => Kind::Started,
            (true, true) => Kind::Completed,
            (true, false) => Kind::Regular,
        }
    }

    /// What is said in parting: `completed` first, where that is owed.
    pub fn parting_kind(&self) -> Kind {
        if self.owed_completed { Kind::Completed } else { Kind::Stopped }
    }

    /// True if an announce is under way.
    pub fn is_announcing(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| errand.kind() != Kind::Scrape)
    }

    /// True if it may think that we are there: it must be told when we go.
    pub fn may_know_us(&self) -> bool {
        let sent = |errand: &Errand| errand.kind() != Kind::Scrape && errand.is_sent();
        self.knows_us || self.errand.as_ref().is_some_and(sent)
    }

    /// True if an answer would come as a datagram.
    pub fn is_talking(&self) -> bool {
        matches!(self.errand, Some(Errand::Datagrams(_)))
    }

    /// True if `completed` can be said at once.
    pub fn is_owed(&self) -> bool {
        self.owed_completed && self.knows_us && !self.is_announcing()
    }

    /// The errand is over; what may serve again is kept.
    pub fn take_errand(&mut self) -> Option<Errand> {
        let errand = self.errand.take()?;
        if let Errand::Datagrams(talk) = &errand {
            self.connection = talk.connection();
        }
        Some(errand)
    }
}
