//! Between the tracker rooms and the outside: their wishes become streams, their news become candidates and notes.

use super::streams::{Outgoing, Role};
use super::{Action, CloseCause, Note, Session};
use crate::base::limits::{ANSWERS_BYTES_MAX, DNS_LOOKUPS_MAX, HUNGRY_PEERS};
use crate::base::{Instant, StreamId, TorrentId};
use crate::candidates::Source;
use crate::tracker::{Handle, News, Totals, Wish};
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// A name that is being looked up for a tracker.
#[derive(Clone, Copy, Debug)]
struct Query {
    number: u32,
    torrent: TorrentId,
    handle: Handle,
}

/// Names that are being looked up.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    open: Vec<Query>,
    /// The last of those that were answered with addresses of one family: the other's may follow. True for IPv6.
    half_answered: VecDeque<(Query, bool)>,
    last_number: u32,
}

impl Session {
    /// Starts the announces that are due.
    pub(super) fn announce_due(&mut self, now: Instant, id: TorrentId) {
        let totals = self.totals(id);
        self.settle_hunger(id);
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.trackers.on_time(now, &totals, &mut self.rng);
        self.settle_trackers(now, id);
    }

    /// Tells the trackers of a torrent whether more peers would be of use.
    pub(super) fn settle_hunger(&mut self, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let hungry = torrent.is_downloading() && torrent.peers < HUNGRY_PEERS;
        torrent.trackers.set_hungry(hungry);
    }

    /// Somebody looks at the trackers: those that have not told the numbers of their swarm lately are asked for them.
    pub(super) fn scrape_trackers(&mut self, now: Instant) {
        for id in self.ids() {
            self.torrents[id.0 as usize].trackers.scrape_now(now);
            self.announce_due(now, id);
        }
    }

    /// What a tracker is told of our progress.
    pub(super) fn totals(&self, id: TorrentId) -> Totals {
        let torrent = &self.torrents[id.0 as usize];
        Totals {
            uploaded: torrent.up.total_bytes(),
            downloaded: torrent.down.total_bytes(),
            left: torrent.metainfo.layout.wanted_bytes().saturating_sub(torrent.done_bytes),
        }
    }

    /// Carries the wishes and news of a torrent's trackers on.
    pub(super) fn settle_trackers(&mut self, now: Instant, id: TorrentId) {
        while let Some(wish) = self.torrents[id.0 as usize].trackers.next_wish() {
            self.fulfil(now, id, wish);
        }
        while let Some(news) = self.torrents[id.0 as usize].trackers.next_news() {
            self.on_tracker_news(now, id, news);
        }
    }

    fn fulfil(&mut self, now: Instant, id: TorrentId, wish: Wish) {
        match wish {
            Wish::Resolve { handle, host } => {
                self.lookups.last_number = self.lookups.last_number.wrapping_add(1);
                let query = self.lookups.last_number;
                self.lookups.open.push(Query { number: query, torrent: id, handle });
                self.actions.push_back(Action::Resolve { query, host });
            }
            Wish::Connect { handle, address } => {
                let request = Outgoing::default();
                let stream = self.streams.insert(Role::Tracker { torrent: id, handle, request });
                self.actions.push_back(Action::Connect { stream, address });
            }
            Wish::Reach { handle, server } => {
                let request = Outgoing::default();
                let stream = self.streams.insert(Role::Tracker { torrent: id, handle, request });
                self.actions.push_back(Action::Reach { stream, server });
            }
            Wish::Send { handle, bytes } => {
                let Some(stream) = self.tracker_stream(id, handle) else { return };
                if let Some(Role::Tracker { request, .. }) = self.streams.get_mut(stream) {
                    *request = Outgoing::new(bytes);
                    self.actions.push_back(Action::Flush { stream });
                }
            }
            Wish::Post { server, bytes } => self.post(now, server, bytes),
            Wish::Close { handle } => {
                if let Some(stream) = self.tracker_stream(id, handle) {
                    self.streams.remove(stream);
                    self.actions.push_back(Action::Close { stream });
                }
            }
        }
    }

    /// The stream of an announce. Looks at all streams: announces are rare.
    fn tracker_stream(&self, id: TorrentId, wanted: Handle) -> Option<StreamId> {
        let is_it = |role: &Role| matches!(role, Role::Tracker { torrent, handle, .. } if *torrent == id && *handle == wanted);
        self.streams.iter().find(|(_, role)| is_it(role)).map(|(stream, _)| stream)
    }

    pub(super) fn on_resolved(&mut self, now: Instant, number: u32, addresses: &[IpAddr]) {
        let Some(nth) = self.lookups.open.iter().position(|query| query.number == number) else {
            return self.on_second_family(now, number, addresses);
        };
        let query = self.lookups.open.swap_remove(nth);
        if let Some(first) = addresses.first()
            && addresses.iter().all(|ip| ip.is_ipv6() == first.is_ipv6())
        {
            if self.lookups.half_answered.len() >= DNS_LOOKUPS_MAX {
                self.lookups.half_answered.pop_front();
            }
            self.lookups.half_answered.push_back((query, first.is_ipv6()));
        }
        let trackers = &mut self.torrents[query.torrent.0 as usize].trackers;
        trackers.on_resolved(now, query.handle, addresses, &mut self.rng);
        self.settle_trackers(now, query.torrent);
    }

    /// The addresses of the other family have been found as well.
    fn on_second_family(&mut self, now: Instant, number: u32, addresses: &[IpAddr]) {
        let Some(nth) = self.lookups.half_answered.iter().position(|(query, _)| query.number == number)
        else {
            return;
        };
        let Some((Query { torrent, handle, .. }, v6)) = self.lookups.half_answered.remove(nth) else {
            return;
        };
        let others: Vec<IpAddr> = addresses.iter().filter(|ip| ip.is_ipv6() != v6).copied().collect();
        let trackers = &mut self.torrents[torrent.0 as usize].trackers;
        trackers.on_second_family(now, handle, &others, &mut self.rng);
        self.settle_trackers(now, torrent);
    }

    /// Every tracker that waits for a datagram looks at it: who did not ask does not hear it.
    pub(super) fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.on_sign_of_life(now);
        for id in self.ids() {
            let trackers = &mut self.torrents[id.0 as usize].trackers;
            if trackers.awaits_datagrams() {
                trackers.on_datagram(now, from, bytes, &mut self.rng);
                self.settle_trackers(now, id);
            }
        }
    }

    pub(super) fn on_undeliverable(&mut self, now: Instant, address: SocketAddr, cause: CloseCause) {
        let why = cause.to_string();
        for id in self.ids() {
            let trackers = &mut self.torrents[id.0 as usize].trackers;
            if trackers.awaits_datagrams() {
                trackers.on_undeliverable(now, address, &why, &mut self.rng);
                self.settle_trackers(now, id);
            }
        }
    }

    pub(super) fn on_tracker_connected(&mut self, now: Instant, stream: StreamId) {
        let Some(&Role::Tracker { torrent, handle, .. }) = self.streams.get(stream) else { return };
        self.torrents[torrent.0 as usize].trackers.on_connected(now, handle, &mut self.rng);
        self.settle_trackers(now, torrent);
    }

    pub(super) fn on_tracker_bytes(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        let Some(&Role::Tracker { torrent, handle, .. }) = self.streams.get(stream) else { return };
        self.torrents[torrent.0 as usize].trackers.on_bytes(now, handle, bytes, &mut self.rng);
        self.settle_trackers(now, torrent);
        self.bound_answers(now);
    }

    /// Gives up the longest of the answers that are not whole, as long as all of them together take too much.
    fn bound_answers(&mut self, now: Instant) {
        while self.answers_bytes() > ANSWERS_BYTES_MAX {
            let longest = |id: &TorrentId| self.torrents[id.0 as usize].trackers.longest_answer_bytes();
            let Some(id) = self.ids().max_by_key(longest) else { return };
            self.torrents[id.0 as usize].trackers.give_up_longest_answer(now, &mut self.rng);
            self.settle_trackers(now, id);
        }
    }

    /// Bytes that are kept of trackers' answers that are not whole.
    fn answers_bytes(&self) -> usize {
        self.torrents.iter().map(|torrent| torrent.trackers.answers_bytes()).sum()
    }

    pub(super) fn on_tracker_closed(
        &mut self,
        now: Instant,
        torrent: TorrentId,
        handle: Handle,
        why: Option<&str>,
    ) {
        self.torrents[torrent.0 as usize].trackers.on_closed(now, handle, why, &mut self.rng);
        self.settle_trackers(now, torrent);
    }

    fn on_tracker_news(&mut self, now: Instant, id: TorrentId, news: News) {
        let url = |session: &Self, tracker| {
            let view = session.torrents[id.0 as usize].trackers.view(tracker);
            view.map_or_else(Default::default, |view| view.url.to_string())
        };
        match news {
            News::Answered { tracker, peers, warning, next, from } => {
                let url = url(self, tracker);
                if let Some(text) = warning {
                    self.note(Note::TrackerWarning { torrent: id, url: url.clone(), text });
                }
                self.note(Note::TrackerAnswered { torrent: id, url, peers: peers.len() as u32, next });
                self.on_peers(now, id, peers, from);
            }
            News::Failed { tracker, fault, next, again } => {
                let url = url(self, tracker);
                let why = fault.to_string();
                self.note_tracker_fault(&url, &why);
                self.note(Note::TrackerFailed { torrent: id, url, why, next, again });
            }
            // Who leaves, or only checks what is there, asks nobody.
            News::Unsupported { .. } if self.ending.quitting.is_some() => {}
            News::Unsupported { tracker, why } => {
                let url = url(self, tracker);
                self.note(Note::TrackerSkipped { torrent: id, url, why });
            }
        }
    }

    fn on_peers(&mut self, now: Instant, id: TorrentId, peers: Vec<SocketAddr>, from: Option<SocketAddr>) {
        self.looking.reached = true;
        let torrent = &mut self.torrents[id.0 as usize];
        if from.is_some_and(|tracker| tracker.ip().to_canonical().is_loopback()) {
            torrent.candidates.allow_loopback();
        }
        for address in peers {
            torrent.candidates.add(now, address, Source::Tracker);
        }
        self.dial_candidates(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Metainfo;
    use crate::session::Event;
    use crate::session::rig::{NOW, settings};
    use alloc::sync::Arc;
    use core::time::Duration;

    const TRACKERS: usize = 40;

    /// A torrent with that many trackers, of one tier.
    fn torrent(nth: u8) -> Arc<Metainfo> {
        let url =
            |at: usize| alloc::format!("23:http://9.9.{at:03}.{nth:03}:80/a", at = at + 100, nth = nth + 100);
        let urls: alloc::string::String = (0..TRACKERS).map(url).collect();
        let head = alloc::format!(
            "d13:announce-listll{urls}ee4:infod6:lengthi9e4:name1:{nth}12:piece lengthi9e6:pieces20:"
        );
        Arc::new(Metainfo::parse(&[head.as_bytes(), &[b'x'; 20], b"ee"].concat()).expect("a good torrent"))
    }

    #[test]
    fn answers_that_are_not_whole_are_bounded_over_all_torrents_and_short_ones_get_through() {
        let mut session = Session::new(NOW, crate::base::Rng::new(1), settings());
        for nth in 0..3 {
            session.add_torrent(NOW, torrent(nth), true);
        }
        let long = [&b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"[..], &[b'x'; 1_000_000]].concat();
        let short = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nd5:peers0:e";
        let (mut now, mut asked, mut shorts, mut most) = (NOW, 0, 0, 0);
        for _ in 0..200 {
            session.on_time(now);
            while let Some(action) = session.next_action() {
                let Action::Connect { stream, .. } = action else { continue };
                session.handle(now, Event::Connected { stream });
                asked += 1;
                let is_short = asked % 5 == 0;
                shorts += u32::from(is_short);
                let bytes = if is_short { &short[..] } else { &long };
                bytes.chunks(64 << 10).for_each(|part| session.received(now, stream, part));
                most = most.max(session.answers_bytes());
            }
            now = now + Duration::from_millis(100);
        }
        let good: u32 = session.torrents.iter().map(|torrent| torrent.trackers.counts().1).sum();
        assert!(asked > 20 && good == shorts, "{asked} asked, {good} of {shorts} that can be read");
        assert!((1 << 20..=ANSWERS_BYTES_MAX).contains(&most), "{most} bytes");
    }
}
