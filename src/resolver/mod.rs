//! Names into addresses without ever blocking: a stub resolver (RFC 1034, 5.3.1) that is told datagrams and time and
//! wishes datagrams. The rim owns it together with one UDP socket; the session only wishes names resolved.
//!
//! Absent: answers over TCP, search lists, `options` of the resolver configuration.

mod cache;
mod hosts;
mod lookup;
#[cfg(test)]
mod tests;

pub use hosts::{Hosts, name_servers};

use crate::base::limits::{ADDRESSES_PER_NAME_MAX, DNS_LOOKUPS_MAX, DNS_WAITING_MAX, NAME_SERVERS_MAX};
use crate::base::{Instant, Rng};
use crate::wire::address::canonical;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use cache::Cache;
use core::mem;
use core::net::{IpAddr, SocketAddr};
use lookup::Lookup;

/// A wish: send these bytes to this server. Answers come in by [`Resolver::on_datagram`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub server: SocketAddr,
    /// A whole message.
    pub bytes: Vec<u8>,
}

/// The answer to [`Resolver::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The number that was given.
    pub query: u32,
    /// The addresses, best first, at most [`ADDRESSES_PER_NAME_MAX`]; none if there are none or nobody knows.
    pub addresses: Vec<IpAddr>,
}

/// All names being resolved, and those that were.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    /// The server that answered last: the one to ask first.
    good_server: usize,
    hosts: Hosts,
    cache: Cache,
    lookups: Vec<Lookup>,
    /// Names that wait for a lookup to end.
    waiting: VecDeque<(u32, String)>,
    datagrams: Vec<Datagram>,
    resolved: VecDeque<Resolved>,
}

impl Resolver {
    /// A resolver that asks `servers` (see [`name_servers`]; at most [`NAME_SERVERS_MAX`] are used) about what is not
    /// in `hosts`.
    pub fn new(servers: &[SocketAddr], hosts: Hosts) -> Self {
        let servers: Vec<SocketAddr> =
            servers.iter().take(NAME_SERVERS_MAX).map(|&server| canonical(server)).collect();
        Self {
            servers,
            good_server: 0,
            hosts,
            cache: Cache::default(),
            lookups: Vec::new(),
            waiting: VecDeque::new(),
            datagrams: Vec::new(),
            resolved: VecDeque::new(),
        }
    }

    /// The next datagram to be sent. The order does not matter.
    pub fn next_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop()
    }

    /// The next answer.
    pub fn next_resolved(&mut self) -> Option<Resolved> {
        self.resolved.pop_front()
    }

    /// When [`Resolver::on_time`] wants to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lookups.iter().filter_map(Lookup::deadline).min()
    }

    /// Somebody wants the addresses of `host`. The answer carries `query` and may be there at once.
    pub fn resolve(&mut self, now: Instant, query: u32, host: &str, rng: &mut Rng) {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.admit(now, query, host, rng);
        self.finish(now, rng);
    }

    /// A datagram came in. Whatever does not answer a question of ours is ignored.
    pub fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], rng: &mut Rng) {
        let from = canonical(from);
        let Some(server) = self.servers.iter().position(|&server| server == from) else { return };
        let Self { lookups, servers, datagrams, .. } = self;
        if lookups.iter_mut().any(|lookup| lookup.on_datagram(now, server, bytes, servers, rng, datagrams)) {
            self.good_server = server;
            self.finish(now, rng);
        }
    }

    /// A datagram could not be sent to `server`, or nobody listens there: the next one is asked.
    pub fn on_unreachable(&mut self, now: Instant, server: SocketAddr, rng: &mut Rng) {
        let server = canonical(server);
        let Some(server) = self.servers.iter().position(|&other| other == server) else { return };
        for lookup in &mut self.lookups {
            lookup.on_unreachable(now, server, &self.servers, rng, &mut self.datagrams);
        }
        self.finish(now, rng);
    }

    /// Does what is due: asks the next server, or gives up.
    pub fn on_time(&mut self, now: Instant, rng: &mut Rng) {
        for lookup in &mut self.lookups {
            lookup.on_time(now, &self.servers, rng, &mut self.datagrams);
        }
        self.finish(now, rng);
    }

    /// What can be said without asking anybody.
    fn known(&self, now: Instant, host: &str) -> Option<Vec<IpAddr>> {
        let literal = host.parse().ok().map(|ip| [ip].into());
        literal.or_else(|| self.hosts.get(host)).or_else(|| self.cache.get(now, host).map(Into::into))
    }

    fn answer(&mut self, query: u32, addresses: &[IpAddr]) {
        let addresses = &addresses[..addresses.len().min(ADDRESSES_PER_NAME_MAX)];
        self.resolved.push_back(Resolved { query, addresses: addresses.into() });
    }

    /// Gives a name its place: an answer, a lookup, or the end of the queue.
    fn admit(&mut self, now: Instant, query: u32, host: String, rng: &mut Rng) {
        if let Some(addresses) = self.known(now, &host) {
            self.answer(query, &addresses);
        } else if let Some(lookup) = self.lookups.iter_mut().find(|lookup| lookup.host == host) {
            // Many torrents have the same tracker: they share one lookup.
            match lookup.queries.len() < DNS_WAITING_MAX {
                true => lookup.queries.push(query),
                false => self.answer(query, &[]),
            }
        } else if self.lookups.len() < DNS_LOOKUPS_MAX {
            let mut lookup = Lookup::new(now, host, query, self.good_server);
            lookup.on_time(now, &self.servers, rng, &mut self.datagrams);
            self.lookups.push(lookup);
        } else if self.waiting.len() < DNS_WAITING_MAX {
            self.waiting.push_back((query, host));
        } else {
            self.answer(query, &[]);
        }
    }

    /// Answers for the lookups that are over, and gives their places to those that waited.
    fn finish(&mut self, now: Instant, rng: &mut Rng) {
        while let Some(at) = self.lookups.iter().position(|lookup| lookup.is_over(now)) {
            let mut lookup = self.lookups.swap_remove(at);
            let (host, queries) = (mem::take(&mut lookup.host), mem::take(&mut lookup.queries));
            let (addresses, ttl_seconds) = lookup.result();
            queries.into_iter().for_each(|query| self.answer(query, &addresses));
            self.cache.put(now, host, addresses, ttl_seconds);
            while self.lookups.len() < DNS_LOOKUPS_MAX
                && let Some((query, host)) = self.waiting.pop_front()
            {
                self.admit(now, query, host, rng);
            }
        }
    }
}
