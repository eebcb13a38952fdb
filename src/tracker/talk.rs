//! One announce or scrape of a UDP tracker under way (BEP 15): get a connection id, ask, and again while nothing comes.

use crate::base::limits::{
    ADDRESSES_PER_NAME_MAX, UDP_CONNECTION_AGE_MAX, UDP_RETRY, UDP_RETRY_LEAVING, UDP_TIMEOUT,
};
use crate::base::{Instant, Rng};
use crate::tracker::exchange::{Fault, Step};
use crate::tracker::reply::{Counts, Reply, ReplyFault, bounded_text};
use crate::tracker::request::{Identity, Kind, Totals, numwant, port};
use crate::wire::Server;
use crate::wire::address::{canonical, is_dialable};
use crate::wire::udp_tracker::{self, Announce, Answer, Event, Request};
use crate::wire::url::{Host, Scheme};
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// A connection id, good for one address, or a name that a proxy finds, and a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    id: u64,
    address: Option<SocketAddr>,
    until: Instant,
}

/// What is to be said once a connection id is there.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub identity: Identity,
    pub totals: Totals,
    pub key: u32,
    /// Path and query of the tracker's URL.
    pub target: String,
    /// The tracker's name or address, as its URL has it.
    pub host: Host,
    /// The tracker's port.
    pub port: u16,
    /// Through a proxy, which finds the name.
    pub relayed: bool,
}

/// An announce or scrape under way.
#[derive(Debug)]
pub(crate) struct Talk {
    /// What is announced, or that it is a scrape.
    pub kind: Kind,
    words: Words,
    /// The first one is being asked. There are none where a proxy finds them.
    addresses: VecDeque<SocketAddr>,
    connection: Option<Connection>,
    /// The connection id was given in this talk: a tracker that refuses it means what it says.
    fresh: bool,
    request: Request,
    transaction: u32,
    /// The announce itself, not only the wish for a connection id, is on its way.
    sent: bool,
    leaving: bool,
    /// How often the present request was sent again.
    tries: u32,
    resend: Instant,
    /// When the whole talk has failed.
    deadline: Instant,
}

impl Talk {
    /// A talk that has failed after [`UDP_TIMEOUT`], or at `leaving`. [`Talk::begin`] starts it.
    pub fn new(
        now: Instant,
        kind: Kind,
        words: Words,
        known: Option<Connection>,
        leaving: Option<Instant>,
    ) -> Self {
        Self {
            kind,
            words,
            addresses: VecDeque::new(),
            connection: known,
            fresh: false,
            request: Request::Connect,
            transaction: 0,
            sent: false,
            leaving: leaving.is_some(),
            tries: 0,
            resend: now,
            deadline: leaving.unwrap_or(now + UDP_TIMEOUT),
        }
    }

    /// The first step: one of `addresses` is asked, the next when it is silent.
    pub fn begin(&mut self, now: Instant, addresses: &[IpAddr], rng: &mut Rng) -> Step {
        let port = self.words.port;
        let known = if self.words.relayed { 0 } else { ADDRESSES_PER_NAME_MAX };
        let all = addresses.iter().map(|ip| canonical(SocketAddr::new(*ip, port)));
        self.addresses = all.filter(|address| is_dialable(*address)).take(known).collect();
        match addresses.first() {
            Some(ip) if known > 0 && self.addresses.is_empty() => Step::Failed(Fault::Nobody(*ip)),
            _ => self.ask(now, rng),
        }
    }

    /// When [`Talk::on_time`] has something to do.
    pub fn deadline(&self) -> Instant {
        self.deadline.min(self.resend)
    }

    /// Fails it at `deadline` if it would have waited longer, and makes it less patient.
    pub fn hurry(&mut self, now: Instant, deadline: Instant) {
        self.leaving = true;
        self.deadline = self.deadline.min(deadline);
        self.resend = self.resend.min(now + UDP_RETRY_LEAVING);
    }

    /// True once the announce may have reached the tracker.
    pub fn is_sent(&self) -> bool {
        self.sent
    }

    /// Who is being asked, where no proxy stands between us.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.front().copied()
    }

    /// The connection id, which may serve again.
    pub fn connection(&self) -> Option<Connection> {
        self.connection
    }

    /// A datagram came. What is forged, late or garbled is as if it had not come.
    pub fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], rng: &mut Rng) -> Step {
        if self.address() != Some(from) {
            return Step::Wait;
        }
        self.hear(now, from.is_ipv6(), bytes, rng)
    }

    /// The same by way of the proxy, which may say `from` where. A tracker whose name it has found may be anywhere.
    pub fn on_relayed(
        &mut self,
        now: Instant,
        from: Option<SocketAddr>,
        bytes: &[u8],
        rng: &mut Rng,
    ) -> Step {
        let literal = match self.words.host {
            Host::Address(ip) => Some(canonical(SocketAddr::new(ip, self.words.port))),
            Host::Name(_) => None,
        };
        let is_its_own = from.is_none() || literal.is_none() || from == literal;
        if !self.words.relayed || !is_its_own {
            return Step::Wait;
        }
        let v6 = from.or(literal).is_some_and(|address| address.is_ipv6());
        self.hear(now, v6, bytes, rng)
    }

    /// The proxy carries nothing at the moment; why, in words.
    pub fn on_relay_lost(&mut self, why: &str) -> Step {
        if self.words.relayed { Step::Failed(Fault::Broken(why.to_string())) } else { Step::Wait }
    }

    /// A datagram came from whom we ask; over IPv6, peers in it have IPv6 addresses.
    fn hear(&mut self, now: Instant, v6: bool, bytes: &[u8], rng: &mut Rng) -> Step {
        match udp_tracker::answer(bytes, self.request, self.transaction) {
            Err(_) => Step::Wait,
            Ok(Answer::Connected(id)) => {
                let until = now + UDP_CONNECTION_AGE_MAX;
                self.connection = Some(Connection { id, address: self.address(), until });
                self.fresh = true;
                self.restart(now, rng)
            }
            Ok(Answer::Announced { interval, leechers, seeders, peers }) => {
                let interval = Duration::from_secs(interval.into());
                let counts = Counts { seeds: Some(seeders), leechers: Some(leechers), downloads: None };
                Step::Told(Reply::from_datagram(interval, counts, peers, v6, rng))
            }
            Ok(Answer::Scraped { seeders, completed, leechers }) => Step::Counted(Counts {
                seeds: Some(seeders),
                leechers: Some(leechers),
                downloads: Some(completed),
            }),
            // A tracker that was started anew does not know the connection ids that it gave before.
            Ok(Answer::Refused(_)) if self.request != Request::Connect && !self.fresh => {
                self.connection = None;
                self.restart(now, rng)
            }
            Ok(Answer::Refused(reason)) => {
                let reason = bounded_text(reason);
                Step::Failed(Fault::Reply(ReplyFault::Refused { reason, retry: None }))
            }
        }
    }

    /// A datagram to `address` cannot be delivered; why, in words.
    pub fn on_undeliverable(&mut self, now: Instant, address: SocketAddr, why: &str, rng: &mut Rng) -> Step {
        if self.address() != Some(address) {
            return Step::Wait;
        }
        self.addresses.pop_front();
        if self.addresses.is_empty() {
            // Said for the record: nobody is being asked any more.
            self.addresses.push_back(address);
            return Step::Failed(Fault::Broken(why.to_string()));
        }
        self.restart(now, rng)
    }

    /// Does what is due: asks again, another address where there is one, or gives up.
    pub fn on_time(&mut self, now: Instant, rng: &mut Rng) -> Step {
        if now >= self.deadline {
            return Step::Failed(Fault::Late);
        }
        if now < self.resend {
            return Step::Wait;
        }
        self.tries += 1;
        self.addresses.rotate_left(usize::from(self.addresses.len() > 1));
        self.ask(now, rng)
    }

    fn restart(&mut self, now: Instant, rng: &mut Rng) -> Step {
        self.tries = 0;
        self.ask(now, rng)
    }

    /// Sends what has to be sent next. A request that is sent again to the same address keeps its transaction id, so
    /// that a late answer to the first counts.
    fn ask(&mut self, now: Instant, rng: &mut Rng) -> Step {
        let address = self.address();
        if address.is_none() && !self.words.relayed {
            return Step::Failed(Fault::Late);
        }
        let good = |connection: &Connection| connection.address == address && now < connection.until;
        self.connection = self.connection.filter(good);
        let request = match (self.connection, self.kind) {
            (None, _) => Request::Connect,
            (Some(_), Kind::Scrape) => Request::Scrape,
            (Some(_), _) => Request::Announce,
        };
        let again = self.tries > 0 && request == self.request && self.addresses.len() <= 1;
        if !again {
            self.transaction = (rng.next_u64() >> 32) as u32;
        }
        self.request = request;
        self.sent |= request == Request::Announce;
        let patience =
            if self.leaving { UDP_RETRY_LEAVING } else { UDP_RETRY.saturating_mul(1 << self.tries.min(8)) };
        self.resend = now + patience;
        let Words { host, port, .. } = &self.words;
        let server = Server { scheme: Scheme::Udp, host: host.clone(), port: *port, address };
        Step::Post(server, self.datagram())
    }

    fn datagram(&self) -> Vec<u8> {
        let Words { identity, totals, key, target, .. } = &self.words;
        let connection = self.connection.map_or(0, |connection| connection.id);
        match self.request {
            Request::Connect => udp_tracker::connect(self.transaction),
            Request::Scrape => udp_tracker::scrape(connection, self.transaction, &identity.info_hash),
            Request::Announce => {
                let announce = Announce {
                    info_hash: identity.info_hash,
                    peer_id: identity.peer_id,
                    downloaded: totals.downloaded,
                    left: totals.left,
                    uploaded: totals.uploaded,
                    event: event(self.kind),
                    key: *key,
                    numwant: numwant(self.kind),
                    port: port(identity),
                    target,
                };
                announce.encode(connection, self.transaction)
            }
        }
    }
}

fn event(kind: Kind) -> Event {
    match kind {
        Kind::Regular | Kind::Scrape => Event::None,
        Kind::Started => Event::Started,
        Kind::Completed => Event::Completed,
        Kind::Stopped => Event::Stopped,
    }
}
