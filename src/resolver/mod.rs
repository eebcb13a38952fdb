//! Names into addresses without ever blocking: a stub resolver (RFC 1034, 5.3.1) that is told datagrams, streams and time
//! and wishes some. The rim owns it together with its sockets; the session only wishes names resolved.
//!
//! A name costs two questions, one for each family, side by side. A server that is late is not given up: the next one is
//! asked as well, and whoever answers first counts. When one family has its addresses the other is waited for no longer
//! than a moment; its addresses follow. What is known is remembered for as long as the zone says.
//!
//! Absent: EDNS, so that answers of more than 512 bytes come over TCP; DNSSEC, which is the name server's business;
//! multicast DNS; and the tables that turn letters of other scripts into `xn--…`.

mod cache;
mod hosts;
mod lookup;
mod setup;
#[cfg(test)]
mod tests;

pub use hosts::Hosts;
pub use setup::Setup;

use crate::base::limits::{ADDRESSES_PER_NAME_MAX, DNS_LOOKUPS_MAX, DNS_STREAMS_MAX, DNS_WAITING_MAX};
use crate::base::{Instant, Rng};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use cache::Cache;
use core::net::{IpAddr, SocketAddr};
use lookup::Lookup;

/// What the resolver wishes of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Send a datagram from a port that nobody can guess; answers come in by [`Resolver::on_datagram`].
    Send {
        /// Where to.
        server: SocketAddr,
        /// A whole message.
        bytes: Vec<u8>,
    },
    /// Open a stream and send these bytes; answer [`Resolver::on_stream_bytes`] and [`Resolver::on_stream_closed`].
    Open {
        /// Its name, never used again.
        stream: u32,
        /// Where to.
        server: SocketAddr,
        /// A whole message with its length.
        bytes: Vec<u8>,
    },
    /// Close a stream, open or being opened; no answer is expected.
    Close {
        /// Which.
        stream: u32,
    },
}

/// The answer to [`Resolver::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The number that was given.
    pub query: u32,
    /// The addresses, best first, at most [`ADDRESSES_PER_NAME_MAX`]; none if
    /// there are none or nobody knows.
    pub addresses: Vec<IpAddr>,
    /// False if these are the addresses of one family, and the other is still asked for: one more answer follows, with
    /// all addresses.
    pub complete: bool,
}

/// All names being resolved, and those that were.
#[derive(Debug)]
pub struct Resolver {
    setup: Setup,
    hosts: Hosts,
    /// The server that answered last, the one to ask first; where they take turns, the next one.
    first_server: usize,
    cache: Cache,
    lookups: Vec<Lookup>,
    /// Names that wait for a lookup to end.
    waiting: VecDeque<(u32, String)>,
    streams: Streams,
    wishes: VecDeque<Wish>,
    resolved: VecDeque<Resolved>,
}

/// What a lookup needs of the resolver while it works.
struct Desk<'a> {
    now: Instant,
    setup: &'a Setup,
    rng: &'a mut Rng,
    wishes: &'a mut VecDeque<Wish>,
    streams: &'a mut Streams,
    /// Index of the server that the next name is put to first.
    first_server: &'a mut usize,
}

/// How many streams there are, and the name of the last one.
#[derive(Debug, Default)]
struct Streams {
    open: usize,
    last: u32,
}

impl Streams {
    fn open(&mut self) -> Option<u32> {
        if self.open >= DNS_STREAMS_MAX {
            return None;
        }
        self.open += 1;
        self.last = self.last.wrapping_add(1);
        Some(self.last)
    }

    fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

impl Resolver {
    /// A resolver that asks as `setup` says about what is not in `hosts`.
    pub fn new(setup: Setup, hosts: Hosts) -> Self {
        Self {
            setup,
            hosts,
            first_server: 0,
            cache: Cache::default(),
            lookups: Vec::new(),
            waiting: VecDeque::new(),
            streams: Streams::default(),
            wishes: VecDeque::new(),
            resolved: VecDeque::new(),
        }
    }

    /// The system has changed its mind. Other servers may know other names: nothing is remembered, and what is being
    /// looked up begins again with them. False if only `hosts` are others.
    pub fn configure(&mut self, now: Instant, setup: Setup, hosts: Hosts, rng: &mut Rng) -> bool {
        self.hosts = hosts;
        if setup == self.setup {
            return false;
        }
        self.setup = setup;
        self.first_server = 0;
        self.cache = Cache::default();
        self.each_lookup(now, rng, |lookup, desk| {
            let names = desk.setup.names(&lookup.key);
            lookup.restart(desk, names);
            false
        });
        self.finish(now, rng);
        true
    }

    /// The next wish, in order.
    pub fn next_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// The next answer.
    pub fn next_resolved(&mut self) -> Option<Resolved> {
        self.resolved.pop_front()
    }

    /// When [`Resolver::on_time`] wants to be called; `None` while nothing is being looked up.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lookups.iter().filter_map(Lookup::deadline).min()
    }

    /// Somebody wants the addresses of `host`. The answer carries `query` and may be there at once.
    pub fn resolve(&mut self, now: Instant, query: u32, host: &str, rng: &mut Rng) {
        self.admit(now, query, host.to_ascii_lowercase(), rng);
        self.finish(now, rng);
    }

    /// A datagram came in. Whatever does not answer a question of ours is ignored.
    pub fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], rng: &mut Rng) {
        let Some(server) = self.server(from) else { return };
        self.each_lookup(now, rng, |lookup, desk| lookup.on_datagram(desk, server, bytes));
        self.finish(now, rng);
    }

    /// A datagram could not be sent to `server`, or nobody listens there: the next one is asked.
    pub fn on_unreachable(&mut self, now: Instant, server: SocketAddr, rng: &mut Rng) {
        let Some(server) = self.server(server) else { return };
        self.each_lookup(now, rng, |lookup, desk| {
            lookup.on_unreachable(desk, server);
            false
        });
        self.finish(now, rng);
    }

    /// Bytes came on a stream.
    pub fn on_stream_bytes(&mut self, now: Instant, stream: u32, bytes: &[u8], rng: &mut Rng) {
        self.each_lookup(now, rng, |lookup, desk| lookup.on_stream_bytes(desk, stream, bytes));
        self.finish(now, rng);
    }

    /// A stream could not be opened, or the other side has closed it.
    pub fn on_stream_closed(&mut self, now: Instant, stream: u32, rng: &mut Rng) {
        self.each_lookup(now, rng, |lookup, desk| lookup.on_stream_closed(desk, stream));
        self.finish(now, rng);
    }

    /// Does what is due: asks the next server, gives up, or answers with one family.
    pub fn on_time(&mut self, now: Instant, rng: &mut Rng) {
        self.each_lookup(now, rng, |lookup, desk| {
            lookup.on_time(desk);
            false
        });
        self.finish(now, rng);
    }

    fn server(&self, address: SocketAddr) -> Option<usize> {
        self.setup.servers.iter().position(|&server| server == address)
    }

    /// Tells the lookups a fact, up to the one that says that it was meant.
    fn each_lookup(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        mut tell: impl FnMut(&mut Lookup, &mut Desk<'_>) -> bool,
    ) {
        let Self { setup, wishes, streams, lookups, first_server, .. } = self;
        let mut desk = Desk { now, setup, rng, wishes, streams, first_server };
        lookups.iter_mut().any(|lookup| tell(lookup, &mut desk));
    }

    /// What can be said without asking anybody.
    fn known(&self, now: Instant, host: &str) -> Option<Vec<IpAddr>> {
        let bare = host.strip_suffix('.').unwrap_or(host);
        let literal = bare.parse().ok().map(|ip| [ip].into());
        literal.or_else(|| self.hosts.get(bare)).or_else(|| self.cache.get(now, host).map(Into::into))
    }

    fn answer(&mut self, query: u32, addresses: &[IpAddr], complete: bool) {
        let addresses = addresses.iter().take(ADDRESSES_PER_NAME_MAX).copied().collect();
        self.resolved.push_back(Resolved { query, addresses, complete });
    }

    /// Gives a name its place: an answer, a lookup, or the end of the queue.
    fn admit(&mut self, now: Instant, query: u32, host: String, rng: &mut Rng) {
        let names = self.setup.names(&host);
        if let Some(addresses) = self.known(now, &host) {
            self.answer(query, &addresses, true);
        } else if names.is_empty() {
            self.answer(query, &[], true);
        } else if let Some(lookup) = self.lookups.iter_mut().find(|lookup| lookup.key == host) {
            // Many torrents have the same tracker: they share one lookup.
            match lookup.queries.len() < DNS_WAITING_MAX {
                true => lookup.queries.push(query),
                false => self.answer(query, &[], true),
            }
        } else if self.has_room(now, rng) {
            let first_server = self.first_server;
            if self.setup.rotate {
                self.first_server = (first_server + 1).checked_rem(self.setup.servers.len()).unwrap_or(0);
            }
            self.lookups.push(Lookup::new(now, host, names, query, first_server));
            // It is the only one to which something is due.
            self.each_lookup(now, rng, |lookup, desk| {
                lookup.on_time(desk);
                false
            });
        } else if self.waiting.len() < DNS_WAITING_MAX {
            self.waiting.push_back((query, host));
        } else {
            self.answer(query, &[], true);
        }
    }

    /// True if there is room for another lookup. One that has told the addresses of one family makes some.
    fn has_room(&mut self, now: Instant, rng: &mut Rng) -> bool {
        if self.lookups.len() < DNS_LOOKUPS_MAX {
            return true;
        }
        let Some(told) = self.lookups.iter().position(|lookup| lookup.told) else { return false };
        let mut lookup = self.lookups.swap_remove(told);
        let Self { setup, wishes, streams, first_server, .. } = self;
        lookup.cut_off(&mut Desk { now, setup, rng, wishes, streams, first_server });
        self.tell(now, &lookup);
        true
    }

    /// Answers for the lookups that know enough, and gives the places of those that are over to those that waited.
    fn finish(&mut self, now: Instant, rng: &mut Rng) {
        while let Some(at) = self.lookups.iter().position(|lookup| lookup.is_over() || lookup.may_tell(now)) {
            let mut lookup = self.lookups.swap_remove(at);
            self.tell(now, &lookup);
            if !lookup.is_over() {
                lookup.told = true;
                self.lookups.push(lookup);
            }
        }
        while !self.waiting.is_empty()
            && self.has_room(now, rng)
            && let Some((query, host)) = self.waiting.pop_front()
        {
            self.admit(now, query, host, rng);
        }
    }

    /// Answers those who wait for `lookup`, and remembers the answer.
    fn tell(&mut self, now: Instant, lookup: &Lookup) {
        let found = lookup.found();
        for &query in &lookup.queries {
            self.answer(query, &found.addresses, lookup.is_over());
        }
        self.cache.put(now, lookup.key.clone(), found);
    }
}

/// The lines of a text without comments; those that are not UTF-8 are left out.
fn lines<'a>(text: &'a [u8], comment: &'static [u8]) -> impl Iterator<Item = &'a str> {
    let code = move |line: &'a [u8]| line.split(|byte| comment.contains(byte)).next().unwrap_or_default();
    text.split(|&byte| byte == b'\n').filter_map(move |line| core::str::from_utf8(code(line)).ok())
}
