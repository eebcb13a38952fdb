//! What is due when.

use super::peers::Farewell;
use super::streams::{Role, Stage};
use super::torrents::Torrent;
use super::{Outcome, Session};
use crate::base::limits::STARVED_INTERVAL;
use crate::base::{Instant, StreamId, TorrentId};
use crate::peer::TimerNews;

impl Session {
    /// When [`Session::on_time`] wants to be called; `None` if only an event can change anything.
    pub fn next_deadline(&self) -> Option<Instant> {
        let torrents = self.torrents.iter().flat_map(|torrent| {
            let announce = torrent.trackers.next_deadline();
            let flush = torrent.download.next_deadline().filter(|_| torrent.stall.is_none());
            let durable = torrent.durable_deadline();
            let told = torrent.untold.deadline();
            [announce, flush, torrent.stall.map(|stall| stall.retry), durable, told]
        });
        let giving = [self.choke_deadline, self.spread_deadline, self.pace_deadline(), self.seed_deadline()];
        let giving = giving.into_iter().filter(|_| self.quitting.is_none());
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
        if self.choke_deadline.is_some_and(|due| due <= now) {
            self.choke_round(now);
        }
        if self.spread_deadline.is_some_and(|due| due <= now) {
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
            self.fail(now, Outcome::GaveUp);
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
        self.quitting.or(self.leaving)
    }

    fn give_up_deadline(&self) -> Option<Instant> {
        let patience = self.settings.give_up.filter(|_| !self.reached && self.quitting.is_none())?;
        Some(self.looking_since? + patience)
    }

    /// Notes since when peers are looked for: not while all that is missing is being checked, or has to wait for the user.
    pub(super) fn settle_looking(&mut self, now: Instant) {
        if self.settings.give_up.is_none() || self.reached {
            return;
        }
        let looks = |torrent: &Torrent| torrent.wants_peers() && !torrent.complete;
        let looks = !self.settings.check_only && self.torrents.iter().any(looks);
        self.looking_since = if looks { self.looking_since.or(Some(now)) } else { None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::rig::{NOW, session, settings};
    use crate::session::{Action, Command, Event, Settings};
    use core::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        NOW + Duration::from_secs(seconds)
    }

    /// A session whose one torrent is being checked.
    fn checking(check_only: bool) -> Session {
        let peers = alloc::vec![([9, 9, 9, 9], 5).into()];
        session(Settings { peers, give_up: Some(PATIENCE), check_only, ..settings() }, false)
    }

    /// The outcome, if all that is due by `now` is done.
    fn outcome(session: &mut Session, now: Instant) -> Option<Outcome> {
        session.on_time(now);
        core::iter::from_fn(|| session.next_action()).find_map(|action| match action {
            Action::Finish(outcome) => Some(outcome),
            _ => None,
        })
    }

    #[test]
    fn nobody_is_given_up_before_anybody_was_looked_for() {
        for (check_only, expected) in [(false, None), (true, Some(Outcome::CheckFailed))] {
            let mut session = checking(check_only);
            assert_eq!(outcome(&mut session, at(1000)), None);
            session.handle(at(1000), Event::Loaded { torrent: TorrentId(0), offset: 0, bytes: &[1; 9] });
            assert_eq!(outcome(&mut session, at(1029)), expected, "check only: {check_only}");
            let rest = outcome(&mut session, at(1030));
            assert_eq!(rest, (!check_only).then_some(Outcome::GaveUp), "check only: {check_only}");
        }
    }

    #[test]
    fn a_pause_is_no_time_in_which_nobody_is_found() {
        let mut session = checking(false);
        session.handle(at(0), Event::Loaded { torrent: TorrentId(0), offset: 0, bytes: &[1; 9] });
        session.handle(at(20), Event::Command(Command::Pause));
        assert_eq!(outcome(&mut session, at(500)), None);
        session.handle(at(500), Event::Command(Command::Resume));
        assert_eq!(outcome(&mut session, at(529)), None);
        assert_eq!(outcome(&mut session, at(530)), Some(Outcome::GaveUp));
    }
}
