//! Names into addresses without ever blocking the loop: reads the system's files for the pure resolver and carries its
//! datagrams and streams.

mod datagrams;
mod files;
mod streams;

pub use files::NameFiles;

use crate::base::limits::{DNS_STREAMS_MAX, NAME_SERVERS_MAX};
use crate::base::{Instant, Rng};
use crate::resolver::{Hosts, Resolved, Resolver, Setup, Wish};
use crate::rim::bind::Bind;
use datagrams::Datagrams;
use files::Watch;
use mio::{Registry, Token};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use streams::{Heard, Streams};

/// Tokens for all sockets: first those for datagrams, then those of the streams. Between two polls the servers may
/// change, and the streams to the old ones be closed and others opened.
pub const SOCKETS_MAX: usize = NAME_SERVERS_MAX + DNS_STREAMS_MAX;

/// The pure resolver and what it needs of the system.
#[derive(Debug)]
pub struct Names {
    watch: Watch,
    resolver: Resolver,
    rng: Rng,
    datagrams: Datagrams,
    streams: Streams,
    first_token: usize,
    /// Where questions leave from; anywhere if `None`.
    place: Option<Bind>,
    answers: VecDeque<Resolved>,
}

impl Names {
    /// Finds names as `files` say, which are read with the first question. Its sockets have [`SOCKETS_MAX`] tokens from
    /// `first_token` up.
    pub fn new(files: NameFiles, rng: Rng, first_token: usize) -> Self {
        Self {
            watch: Watch::new(files),
            resolver: Resolver::new(Setup::new(&[]), Hosts::default()),
            rng,
            datagrams: Datagrams::default(),
            streams: Streams::default(),
            first_token,
            place: None,
            answers: VecDeque::new(),
        }
    }

    /// Lets questions leave from `place` only. Servers on this machine are asked as ever: nothing leaves it on the way
    /// to them, and some answer only those who ask from there.
    pub fn bind(&mut self, place: Bind) {
        self.place = Some(place);
    }

    /// Asks for the addresses of `host`; [`Names::next_answer`] has them sooner or later.
    pub fn ask(&mut self, now: Instant, registry: &Registry, query: u32, host: &str) {
        self.look_at_files(now, registry);
        self.resolver.resolve(now, query, host, &mut self.rng);
        self.settle(now, registry);
    }

    /// The next answer that is there.
    pub fn next_answer(&mut self) -> Option<Resolved> {
        self.answers.pop_front()
    }

    /// When [`Names::turn`] has to be called at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.resolver.next_deadline()
    }

    /// True if there is something to do without waiting for the poll.
    pub fn is_ready(&self) -> bool {
        !self.answers.is_empty() || self.datagrams.is_ready() || self.streams.is_ready()
    }

    /// The poll says that something has happened to a socket.
    pub fn on_event(&mut self, token: Token) {
        match token.0.checked_sub(self.first_token) {
            Some(nth @ ..NAME_SERVERS_MAX) => self.datagrams.on_event(nth),
            Some(nth) => self.streams.on_event(nth - NAME_SERVERS_MAX),
            None => {}
        }
    }

    /// Reads what has come and does what is due.
    pub fn turn(&mut self, now: Instant, registry: &Registry) {
        let due = self.resolver.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            // A server that is late may be one of the network that we have left.
            self.look_at_files(now, registry);
        }
        if due || self.datagrams.is_ready() || self.streams.is_ready() {
            self.receive(now);
            self.resolver.on_time(now, &mut self.rng);
            self.settle(now, registry);
        }
    }

    fn look_at_files(&mut self, now: Instant, registry: &Registry) {
        if let Some((setup, hosts)) = self.watch.news(now)
            && self.resolver.configure(now, setup, hosts, &mut self.rng)
        {
            // There are tokens for as many servers as one file may name.
            self.datagrams.close(registry);
        }
    }

    fn receive(&mut self, now: Instant) {
        let Self { resolver, rng, .. } = self;
        self.datagrams.receive(|server, message| match message {
            Some(bytes) => resolver.on_datagram(now, server, bytes, rng),
            None => resolver.on_unreachable(now, server, rng),
        });
        self.streams.turn(|stream, heard| match heard {
            Heard::Bytes(bytes) => resolver.on_stream_bytes(now, stream, bytes, rng),
            Heard::Closed => resolver.on_stream_closed(now, stream, rng),
        });
    }

    /// Carries out what the resolver wishes, collects its answers, and closes the sockets when nothing is looked up.
    fn settle(&mut self, now: Instant, registry: &Registry) {
        while let Some(wish) = self.resolver.next_wish() {
            self.carry_out(now, registry, wish);
        }
        while let Some(resolved) = self.resolver.next_resolved() {
            self.answers.push_back(resolved);
        }
        if self.resolver.next_deadline().is_none() {
            self.datagrams.close(registry);
        }
    }

    fn carry_out(&mut self, now: Instant, registry: &Registry, wish: Wish) {
        let place = |server: SocketAddr| self.place.as_ref().filter(|_| !server.ip().is_loopback());
        match wish {
            Wish::Send { server, bytes } => {
                match self.datagrams.send(server, &bytes, place(server), registry, self.first_token) {
                    // A full buffer loses the datagram, as any network may; it is repeated when no answer comes.
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        self.resolver.on_unreachable(now, server, &mut self.rng);
                    }
                    _ => {}
                }
            }
            Wish::Open { stream, server, bytes } => {
                let first_token = self.first_token + NAME_SERVERS_MAX;
                let wish = (stream, server, bytes);
                if self.streams.open(wish, place(server), registry, first_token).is_err() {
                    self.resolver.on_stream_closed(now, stream, &mut self.rng);
                }
            }
            Wish::Close { stream } => self.streams.close(registry, stream),
        }
    }
}

#[cfg(test)]
mod tests;
