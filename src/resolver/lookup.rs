//! One name being resolved: a question for each family, side by side, put to one server after the other.

use crate::base::limits::{DNS_ROUNDS, DNS_SECOND_FAMILY_WAIT, DNS_TIMEOUT};
use crate::base::{Instant, Rng};
use crate::resolver::Datagram;
use crate::wire::dns::{self, Answer, DnsFault, Family};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// A name and what has been asked about it.
#[derive(Debug)]
pub(super) struct Lookup {
    pub host: String,
    /// Those who wait for it, by the numbers that they gave.
    pub queries: Vec<u32>,
    /// Index of the server that is asked first.
    first_server: usize,
    halves: [Half; 2],
    /// When the one family that has addresses is not kept waiting for the other any more.
    enough: Option<Instant>,
}

/// The search for addresses of one family.
#[derive(Debug)]
struct Half {
    family: Family,
    /// Questions asked so far.
    tries: usize,
    /// A server was met that changes the letters of names: they are not disguised any more.
    plain: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Asking { question: Vec<u8>, server: usize, until: Instant },
    Answered(Answer),
    Failed,
}

impl Lookup {
    /// A search for `host` on behalf of `query`; it starts with the first [`Lookup::on_time`].
    pub fn new(now: Instant, host: String, query: u32, first_server: usize) -> Self {
        let half = |family| {
            let state = State::Asking { question: Vec::new(), server: 0, until: now };
            Half { family, tries: 0, plain: false, state }
        };
        let halves = [half(Family::V4), half(Family::V6)];
        Self { host, queries: [query].into(), first_server, halves, enough: None }
    }

    /// When [`Lookup::on_time`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let asking = self.halves.iter().filter_map(|half| match half.state {
            State::Asking { until, .. } => Some(until),
            _ => None,
        });
        asking.chain(self.enough).min()
    }

    /// True if nothing more is waited for.
    pub fn is_over(&self, now: Instant) -> bool {
        let asking = self.halves.iter().any(|half| matches!(half.state, State::Asking { .. }));
        !asking || self.enough.is_some_and(|enough| now >= enough)
    }

    /// The addresses found, IPv4 first, and for how many seconds they are good. Most trackers and peers have IPv4,
    /// and a broken IPv6 route is found out only by waiting.
    pub fn result(self) -> (Vec<core::net::IpAddr>, u32) {
        let mut addresses = Vec::new();
        let mut ttl_seconds = u32::MAX;
        for half in self.halves {
            if let State::Answered(answer) = half.state {
                if !answer.addresses.is_empty() {
                    ttl_seconds = ttl_seconds.min(answer.ttl_seconds);
                }
                addresses.extend(answer.addresses);
            }
        }
        (addresses, ttl_seconds)
    }

    /// Asks the next server wherever the present one is late.
    pub fn on_time(&mut self, now: Instant, servers: &[SocketAddr], rng: &mut Rng, out: &mut Vec<Datagram>) {
        for half in &mut self.halves {
            if matches!(half.state, State::Asking { until, .. } if now >= until) {
                out.extend(half.ask(now, &self.host, self.first_server, servers, rng));
            }
        }
    }

    /// A server cannot be reached: asks the next one at once.
    pub fn on_unreachable(
        &mut self,
        now: Instant,
        server: usize,
        servers: &[SocketAddr],
        rng: &mut Rng,
        out: &mut Vec<Datagram>,
    ) {
        for half in &mut self.halves {
            if matches!(half.state, State::Asking { server: asked, .. } if asked == server) {
                out.extend(half.ask(now, &self.host, self.first_server, servers, rng));
            }
        }
    }

    /// A datagram came from `server`. True if it was an answer to one of our questions.
    pub fn on_datagram(
        &mut self,
        now: Instant,
        server: usize,
        bytes: &[u8],
        servers: &[SocketAddr],
        rng: &mut Rng,
        out: &mut Vec<Datagram>,
    ) -> bool {
        for half in &mut self.halves {
            let State::Asking { question, server: asked, .. } = &half.state else { continue };
            if *asked != server {
                continue;
            }
            match dns::answer(bytes, question) {
                Err(DnsFault::Stray) => continue,
                Err(fault) => {
                    half.plain |= fault == DnsFault::OtherCase;
                    out.extend(half.ask(now, &self.host, self.first_server, servers, rng));
                }
                Ok(answer) => {
                    if !answer.addresses.is_empty() {
                        self.enough = Some(now + DNS_SECOND_FAMILY_WAIT);
                    }
                    half.state = State::Answered(answer);
                }
            }
            return true;
        }
        false
    }
}

impl Half {
    /// Puts the question to the next server, after [`DNS_ROUNDS`] rounds to nobody. In the last round the name is not
    /// disguised: some servers do not answer such.
    fn ask(
        &mut self,
        now: Instant,
        host: &str,
        first: usize,
        servers: &[SocketAddr],
        rng: &mut Rng,
    ) -> Option<Datagram> {
        let round = self.tries.checked_div(servers.len()).unwrap_or(usize::from(DNS_ROUNDS));
        let server = (first + self.tries).checked_rem(servers.len()).unwrap_or(0);
        self.tries += 1;
        let disguise = !self.plain && round + 1 < usize::from(DNS_ROUNDS);
        let asked = servers.get(server).filter(|_| round < usize::from(DNS_ROUNDS));
        let question = dns::query(host, self.family, disguise, rng);
        let (Some(&address), Some(question)) = (asked, question) else {
            self.state = State::Failed;
            return None;
        };
        self.state = State::Asking { question: question.clone(), server, until: now + DNS_TIMEOUT };
        Some(Datagram { server: address, bytes: question })
    }
}
