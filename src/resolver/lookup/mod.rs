//! One name being resolved: both families side by side, and what the search list makes of the name one after the other.

mod half;

use crate::base::Instant;
use crate::base::limits::{
    ADDRESSES_PER_NAME_MAX, DNS_FAILURE_TTL, DNS_HALF_TTL_MAX, DNS_NEGATIVE_TTL_MAX, DNS_SECOND_FAMILY_WAIT,
    DNS_TTL_MAX, DNS_TTL_MIN,
};
use crate::resolver::Desk;
use crate::wire::dns::{Answer, Family};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use half::{Half, Outcome, Place};

/// A name and what has been asked about it.
#[derive(Debug)]
pub(super) struct Lookup {
    /// What it is remembered as.
    pub key: String,
    /// Those who wait for it, by the numbers that they gave.
    pub queries: Vec<u32>,
    /// They have the addresses of one family, and the other's are to follow.
    pub told: bool,
    /// What the name may mean, the first to be tried first.
    names: Vec<String>,
    /// Which of the names is being tried.
    nth: usize,
    /// Index of the server that is asked first.
    first_server: usize,
    halves: [Half; 2],
    /// When the one family that has addresses is not kept waiting for the other any more.
    enough: Option<Instant>,
}

/// What is known of a name, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub addresses: Vec<IpAddr>,
    pub ttl: Duration,
}

fn halves(now: Instant) -> [Half; 2] {
    [Half::new(Family::V4, now), Half::new(Family::V6, now)]
}

impl Lookup {
    /// A search for the first of `names` that has addresses, on behalf of `query`. It starts with the first
    /// [`Lookup::on_time`].
    pub fn new(now: Instant, key: String, names: Vec<String>, query: u32, first_server: usize) -> Self {
        let queries = [query].into();
        Self { key, queries, told: false, names, nth: 0, first_server, halves: halves(now), enough: None }
    }

    /// Begins again with other servers, which may find other `names`.
    pub fn restart(&mut self, desk: &mut Desk<'_>, names: Vec<String>) {
        self.cut_off(desk);
        (self.names, self.nth, self.first_server) = (names, 0, 0);
        (self.halves, self.enough) = (halves(desk.now), None);
        self.on_time(desk);
    }

    /// When [`Lookup::on_time`] or [`Lookup::may_tell`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let asking = self.halves.iter().filter_map(Half::deadline);
        asking.chain(self.enough.filter(|_| !self.told)).min()
    }

    /// True if nothing more is waited for.
    pub fn is_over(&self) -> bool {
        self.halves.iter().all(|half| half.outcome.is_some())
    }

    /// True if one family has had its grace and nobody knows of it.
    pub fn may_tell(&self, now: Instant) -> bool {
        !self.told && self.enough.is_some_and(|enough| now >= enough)
    }

    /// Ends it with what is known.
    pub fn cut_off(&mut self, desk: &mut Desk<'_>) {
        for half in self.halves.iter_mut().filter(|half| half.outcome.is_none()) {
            half.end(desk, Outcome::Silent);
        }
    }

    /// What is known, first IPv4 and then one of each family in turns (RFC 8305, 4): most trackers and peers have IPv4,
    /// and a broken route of one family is found out only by waiting.
    pub fn found(&self) -> Found {
        let answers = self.halves.each_ref().map(|half| match &half.outcome {
            Some(Outcome::Answered(answer)) => Some(answer),
            _ => None,
        });
        let lists = answers.map(|answer| answer.map_or(&[][..], |answer| &answer.addresses));
        let turns = (0..ADDRESSES_PER_NAME_MAX).flat_map(|nth| lists.map(|list| list.get(nth)));
        let addresses = turns.flatten().take(ADDRESSES_PER_NAME_MAX).copied().collect();
        Found { addresses, ttl: ttl(answers) }
    }

    /// Asks the next server wherever the present one is late.
    pub fn on_time(&mut self, desk: &mut Desk<'_>) {
        self.each(desk, |half, desk, place| {
            half.on_time(desk, place);
            false
        });
    }

    /// A server cannot be reached: asks the next one at once.
    pub fn on_unreachable(&mut self, desk: &mut Desk<'_>, server: usize) {
        self.each(desk, |half, desk, place| {
            half.on_unreachable(desk, place, server);
            false
        });
    }

    /// A datagram came from `server`. True if it was an answer to one of our questions.
    pub fn on_datagram(&mut self, desk: &mut Desk<'_>, server: usize, bytes: &[u8]) -> bool {
        self.each(desk, |half, desk, place| half.on_datagram(desk, place, server, bytes))
    }

    /// Bytes came on a stream. True if it is one of ours.
    pub fn on_stream_bytes(&mut self, desk: &mut Desk<'_>, stream: u32, bytes: &[u8]) -> bool {
        self.each(desk, |half, desk, place| half.on_stream_bytes(desk, place, stream, bytes))
    }

    /// A stream could not be opened, or is closed. True if it was one of ours.
    pub fn on_stream_closed(&mut self, desk: &mut Desk<'_>, stream: u32) -> bool {
        self.each(desk, |half, desk, place| half.on_stream_closed(desk, place, stream))
    }

    /// Tells the halves a fact, up to the one that says that it was meant, and draws the conclusions.
    fn each(
        &mut self,
        desk: &mut Desk<'_>,
        mut tell: impl FnMut(&mut Half, &mut Desk<'_>, Place<'_>) -> bool,
    ) -> bool {
        let name = self.names.get(self.nth).map_or("", String::as_str);
        let place = Place { name, first_server: self.first_server };
        let meant = self.halves.iter_mut().any(|half| tell(half, desk, place));
        self.conclude(desk);
        meant
    }

    /// Tries the next name if this one has no addresses. If nobody answers, nobody would about the next one either.
    fn conclude(&mut self, desk: &mut Desk<'_>) {
        let has_some = |half: &Half| matches!(&half.outcome, Some(Outcome::Answered(answer)) if !answer.addresses.is_empty());
        if self.halves.iter().any(has_some) {
            self.enough = self.enough.or(Some(desk.now + DNS_SECOND_FAMILY_WAIT));
            return;
        }
        let silent = |half: &Half| matches!(half.outcome, Some(Outcome::Silent));
        if self.is_over() && self.nth + 1 < self.names.len() && !self.halves.iter().any(silent) {
            self.nth += 1;
            self.halves = halves(desk.now);
            // At most as many times as there are names, of which there are few.
            self.on_time(desk);
        }
    }
}

/// For how long it may be remembered what both families have answered, if they have.
fn ttl(answers: [Option<&Answer>; 2]) -> Duration {
    let seconds = |answer: &Answer| Duration::from_secs(u64::from(answer.ttl_seconds));
    let with_addresses = answers.iter().flatten().filter(|answer| !answer.addresses.is_empty());
    match (with_addresses.map(|answer| seconds(answer)).min(), answers) {
        (Some(ttl), [Some(_), Some(_)]) => ttl.clamp(DNS_TTL_MIN, DNS_TTL_MAX),
        (Some(ttl), _) => ttl.clamp(DNS_TTL_MIN, DNS_HALF_TTL_MAX),
        (None, [Some(v4), Some(v6)]) => {
            seconds(v4).min(seconds(v6)).clamp(DNS_FAILURE_TTL, DNS_NEGATIVE_TTL_MAX)
        }
        (None, _) => DNS_FAILURE_TTL,
    }
}
