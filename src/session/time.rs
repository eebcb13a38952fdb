//! What is due when.

use super::Session;
use super::peers::Farewell;
use super::streams::{Role, Stage};
use crate::base::limits::STARVED_INTERVAL;
use crate::base::{Instant, StreamId, TorrentId};
use crate::peer::TimerNews;

impl Session {
    /// When [`Session::on_time`] wants to be called; `None` if only an event can change anything.
    pub fn next_deadline(&self) -> Option<Instant> {
        let torrents = self.torrents.iter().flat_map(|torrent| {
            let announce = torrent.trackers.next_deadline();
            let flush = torrent.download.next_deadline().filter(|_| torrent.stall.is_none());
            let durable = torrent.durable_deadline(&self.device);
            let told = torrent.untold.deadline();
            [announce, flush, torrent.stall.map(|stall| stall.retry), durable, told]
        });
        let giving =
            [self.serving.deadline, self.telling.spread_deadline, self.pace_deadline(), self.seed_deadline()];
        let giving = giving.into_iter().filter(|_| self.ending.quitting.is_none());
        let own = [self.peers_deadline, self.dial_deadline(), self.end_deadline(), self.give_up_deadline()];
        let own = own.into_iter().chain([self.relaying.deadline()]);
        torrents.chain(own).chain(giving).flatten().min()
    }

    /// Does what is due by `now`.
    pub fn on_time(&mut self, now: Instant) {
        for nth in 0..self.torrents.len() {
            let id = TorrentId(nth as u32);
            if self.torrents[nth].trackers.next_deadline().is_some_and(|due| due <= now) {
                self.announce_due(now, id);
            }
            self.torrents[nth].download.on_time(now);
            self.wish_stores(id);
            self.retry_stores(now, id);
            self.tell_in_time(now, id);
            self.make_durable(now, id);
        }
        if self.serving.deadline.is_some_and(|due| due <= now) {
            self.choke_round(now);
        }
        if self.telling.spread_deadline.is_some_and(|due| due <= now) {
            self.spread_in_time(now);
        }
        self.end_relaying_in_time(now);
        self.pace(now);
        self.end_seeding_in_time(now);
        if self.peers_deadline.is_some_and(|due| due <= now) {
            self.walk_peers(now);
        }
        self.dial_candidates(now);
        if self.give_up_deadline().is_some_and(|due| due <= now) {
            self.give_up(now);
        }
        self.settle(now);
    }

    /// Looks at every peer: timeouts, keep-alives, silence, and peers that could not be given anything. How soon it has to
    /// be done again follows from what it finds, so that a quiet box sleeps.
    fn walk_peers(&mut self, now: Instant) {
        let streams: alloc::vec::Vec<StreamId> = self.streams.iter().map(|(stream, _)| stream).collect();
        for stream in streams {
            self.look_after(now, stream);
        }
        self.drop_late_arrivals(now);
        if self.torrents.iter().any(|torrent| torrent.is_downloading()) {
            self.ask_starved(now);
        }
        self.replace_useless(now);
        self.plan_walk(now);
    }

    fn look_after(&mut self, now: Instant, stream: StreamId) {
        let Some(connection) = self.streams.connection(stream) else { return };
        if let Stage::Open(open) = &mut connection.stage {
            open.note_deafness(now);
            if !open.is_read() && !open.is_deaf() {
                // Whoever is not heard is not silent.
                open.peer.last_received = now;
            }
        }
        let farewell = match &mut connection.stage {
            Stage::Connecting(deadline) => (*deadline <= now).then_some(Farewell::ConnectTimeout),
            Stage::Shaking { deadline, .. } => (*deadline <= now).then_some(Farewell::HandshakeTimeout),
            Stage::Open(open) if open.is_stuck(now) => Some(Farewell::NeverReads),
            Stage::Open(open) => (open.peer.on_time(now) == TimerNews::Idle).then_some(Farewell::Idle),
        };
        if let Some(why) = farewell {
            return self.drop_peer(now, stream, why);
        }
        if let Some((_, open)) = self.streams.open(stream) {
            if open.silence_deadline().is_some_and(|due| due <= now) {
                self.snub(now, stream);
            }
            self.update_interest(stream);
            self.flush(stream);
        }
    }

    /// Settles when the peers are looked at again.
    fn plan_walk(&mut self, now: Instant) {
        let is_busy = self.torrents.iter().any(|torrent| torrent.is_downloading());
        let next = self.streams.iter().filter_map(|(_, role)| match role {
            Role::Peer(connection) => Some(match &connection.stage {
                Stage::Connecting(deadline) | Stage::Shaking { deadline, .. } => *deadline,
                Stage::Open(open) => {
                    let starved = open.starved && open.wanted > 0 && !open.peer.choking && is_busy;
                    let hungry = starved.then_some((now + STARVED_INTERVAL).max(open.rests_until));
                    let silence = open.silence_deadline();
                    [hungry, silence, open.deaf_deadline()]
                        .into_iter()
                        .flatten()
                        .fold(open.peer.next_deadline(), Ord::min)
                }
            }),
            Role::Arrival(arrival) => Some(arrival.deadline),
            Role::Tracker { .. } | Role::Relay => None,
        });
        let next = next.chain(self.cull_deadline(now));
        // Never in a hurry: what is due a little earlier is found a little later.
        self.peers_deadline = next.min().map(|due| due.max(now + STARVED_INTERVAL));
    }

    /// Something about a peer is due at `due`.
    pub(super) fn walk_by(&mut self, due: Instant) {
        self.peers_deadline = Some(self.peers_deadline.map_or(due, |planned| planned.min(due)));
    }

    fn end_deadline(&self) -> Option<Instant> {
        self.ending.quitting.or(self.ending.leaving)
    }
}
