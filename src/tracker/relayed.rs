//! Trackers that are told by datagrams which a proxy carries, as far as it does.

use super::exchange::{Step, is_proxied};
use super::lane::Errand;
use super::member::State;
use super::talk::Talk;
use super::{News, Trackers};
use crate::base::{Instant, Rng};
use crate::wire::url::Scheme;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

impl Trackers {
    /// The proxy brings a datagram, and may say `from` where. Whoever asked something else does not hear it.
    pub fn on_relayed(&mut self, now: Instant, from: Option<SocketAddr>, bytes: &[u8], rng: &mut Rng) {
        self.on_relay_fact(now, rng, |talk, rng| talk.on_relayed(now, from, bytes, rng));
    }

    /// The proxy carries no datagrams at the moment; why, in words.
    pub fn on_relay_lost(&mut self, now: Instant, why: &str, rng: &mut Rng) {
        self.on_relay_fact(now, rng, |talk, _| talk.on_relay_lost(why));
    }

    /// The proxy will never carry datagrams; why, in words. Trackers that only they would reach are passed over.
    pub fn on_relay_refused(&mut self, now: Instant, why: &str) {
        for at in 0..self.members.len() {
            let url = self.members[at].url.as_ref();
            if url.is_some_and(|url| url.scheme() == Scheme::Udp && is_proxied(url, &self.routes)) {
                self.pass_over(now, at, format!("UDP does not go through the proxy: {why}"));
            }
        }
        self.settle();
    }

    fn pass_over(&mut self, now: Instant, at: usize, why: String) {
        (0..2).for_each(|lane| self.hang_up(at, lane));
        let member = &mut self.members[at];
        let tier = member.tier;
        (member.url, member.scrape, member.round) = (None, None, None);
        member.state = State::Unsupported(why.clone());
        member.lanes = Default::default();
        self.tiers[tier].order.retain(|&other| other != at);
        self.hand_over(now, tier);
        self.news.push_back(News::Unsupported { tracker: at, why });
    }

    /// Tells a fact to all talks: those that go another way do not hear it.
    fn on_relay_fact(&mut self, now: Instant, rng: &mut Rng, fact: impl Fn(&mut Talk, &mut Rng) -> Step) {
        for at in 0..self.members.len() {
            for lane in 0..2 {
                if self.members[at].lanes[lane].is_talking() {
                    self.advance(now, at, lane, rng, |errand, rng| match errand {
                        Errand::Datagrams(talk) => fact(talk, rng),
                        Errand::Stream(_) => Step::Wait,
                    });
                }
            }
        }
        self.settle();
    }
}
