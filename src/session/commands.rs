//! The user's commands, and the end of the run.

use super::streams::Open;
use super::torrents::Torrent;
use super::{Action, Command, Note, Outcome, Phase, Report, Session};
use crate::base::limits::{COMPLETED_TIMEOUT, STOP_TIMEOUT};
use crate::base::units::Span;
use crate::base::{Instant, TorrentId};
use crate::candidates::Added;
use crate::wire::address::canonical;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

impl Session {
    pub(super) fn on_command(&mut self, now: Instant, command: Command) {
        let report = match command {
            Command::Info => Report::Info(self.ids().collect()),
            Command::Peers => Report::Peers(self.peer_statuses(now)),
            Command::Status => Report::Status(self.status(now)),
            Command::Files => Report::Files(self.file_statuses()),
            Command::Trackers => {
                self.scrape_trackers(now);
                Report::Trackers(self.tracker_statuses(now))
            }
            Command::Help => Report::Help,
            Command::Add(address) => Report::Done(self.add_peer(now, address)),
            Command::Announce => Report::Done(self.announce_now(now)),
            Command::Pause => Report::Done(self.set_paused(now, true)),
            Command::Resume => Report::Done(self.set_paused(now, false)),
            Command::Limit { up, rate } => Report::Done(self.set_limit(now, up, rate)),
            Command::Seed(on) => Report::Done(self.set_seeding(now, on)),
            Command::Quit => return self.quit(now),
        };
        self.actions.push_back(Action::Say(report));
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = TorrentId> + use<> {
        (0..self.torrents.len() as u32).map(TorrentId)
    }

    /// Adds a peer that the user named to every torrent.
    fn add_peer(&mut self, now: Instant, address: SocketAddr) -> String {
        let all = self.torrents.iter_mut().map(|torrent| torrent.add_named_peer(now, address));
        let all: Vec<Added> = all.collect();
        self.dial_candidates(now);
        let is_it = |open: &Open| open.peer.address == canonical(address);
        if self.streams.iter_open().any(|(.., open)| is_it(open)) {
            return format!("connected to {address} already");
        }
        let wants_peers = self.torrents.iter().any(Torrent::wants_peers);
        let added = if all.contains(&Added::New) { Some(&Added::New) } else { all.first() };
        match added {
            Some(Added::New) if wants_peers => format!("connecting to {address}"),
            Some(Added::New) => format!("{address} is remembered: no peers are wanted now"),
            Some(Added::Known) => format!("{address} is known already, and is tried in its turn"),
            Some(Added::Own) => format!("{address} is this very program"),
            Some(Added::Banned) => format!("{address} is banned: it has sent bad blocks"),
            Some(Added::Useless) => format!("{address} cannot be a peer"),
            Some(Added::Full) | None => format!("there is no room for {address}"),
        }
    }

    fn announce_now(&mut self, now: Instant) -> String {
        let mut next: Option<Instant> = None;
        for id in self.ids() {
            let due = self.torrents[id.0 as usize].trackers.announce_now(now);
            next = next.into_iter().chain(due).min();
            self.announce_due(now, id);
        }
        match next {
            None => String::from("no tracker to ask"),
            Some(due) if due <= now => String::from("asking the trackers"),
            Some(due) => {
                let span = Span(now.until(due) + Duration::from_secs(1));
                format!("the trackers may be asked again in {span}")
            }
        }
    }

    /// Says goodbye: what is verified is stored, the trackers are told, then the run ends.
    pub(super) fn quit(&mut self, now: Instant) {
        if self.quitting.is_some() {
            return;
        }
        self.quitting = Some(now + STOP_TIMEOUT);
        self.drop_arrivals();
        for id in self.ids() {
            let totals = self.totals(id);
            let torrent = &mut self.torrents[id.0 as usize];
            torrent.checking = None;
            torrent.download.flush();
            torrent.durability.note_end(torrent.up.total_bytes(), torrent.is_seeding());
            torrent.trackers.stop(now, &totals, &mut self.rng);
            self.settle_trackers(now, id);
            self.drop_all(now, id);
        }
        self.store_and_sync_at_the_end(now);
    }

    /// Ends the run because of a fault.
    pub(super) fn fail(&mut self, now: Instant, outcome: Outcome) {
        self.outcome = self.outcome.or(Some(outcome));
        self.quit(now);
    }

    /// Ends the run as soon as nothing is left to be waited for.
    pub(super) fn finish_if_quiet(&mut self, now: Instant) {
        let Some(deadline) = self.quitting.filter(|_| !self.finished) else { return };
        let is_quiet = self.torrents.iter().all(|torrent| {
            let is_flushed = torrent.download.is_flushed() || torrent.stall.is_some();
            torrent.trackers.is_quiet() && is_flushed && Self::is_settled(torrent)
        });
        if !is_quiet && now < deadline {
            return;
        }
        let complete = self.torrents.iter().all(|torrent| torrent.durable && torrent.download.is_complete());
        let usual = if complete { Outcome::Complete } else { Outcome::Incomplete };
        self.finished = true;
        self.actions.push_back(Action::Finish(self.outcome.unwrap_or(usual)));
    }

    /// A check has ended: the download begins, or the run is over.
    pub(super) fn check_is_over(&mut self, now: Instant, id: TorrentId) {
        if self.settings.check_only {
            let is_over = self.torrents.iter().all(|torrent| torrent.phase() != Phase::Checking);
            if is_over {
                self.outcome = Some(self.verdict());
                self.quit(now);
            }
            return;
        }
        let torrent = &mut self.torrents[id.0 as usize];
        if torrent.foreign && torrent.download.have().count() == 0 {
            return self.fail(now, Outcome::Occupied { torrent: id });
        }
        if let Some((file, os_error)) = torrent.take_denied() {
            return self.fail(now, Outcome::Denied { torrent: id, file, os_error });
        }
        self.complete_if_done(now, id);
        if !self.torrents[id.0 as usize].complete {
            self.announce_due(now, id);
            // Those who were there before have not been asked for anything meanwhile.
            self.ask_all(now);
            self.dial_candidates(now);
        }
    }

    /// What a run that only checks has found. What could not be read is neither good nor bad.
    fn verdict(&self) -> Outcome {
        if self.torrents.iter().any(|torrent| torrent.unreadable.pieces > 0) {
            Outcome::IoError
        } else if self.torrents.iter().all(|torrent| torrent.download.is_complete()) {
            Outcome::Complete
        } else {
            Outcome::CheckFailed
        }
    }

    /// The last piece is stored: what is left is to make the files durable.
    pub(super) fn complete_if_done(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let in_doubt = torrent.is_doubted() || torrent.checking.is_some();
        // A sync under way tells only of what was stored before it began.
        let is_busy = in_doubt || torrent.is_unsynced() || torrent.durability.is_syncing();
        if torrent.complete || is_busy || !torrent.download.is_complete() {
            return;
        }
        torrent.complete = true;
        self.tell_all(now, id);
        self.sync_at_the_end(id);
        self.actions.push_back(Action::Complete { torrent: id });
        self.keep_or_drop_peers(now, id);
    }

    /// The torrent is safe: tells everybody, and ends the run with the last one.
    pub(super) fn on_durable(&mut self, now: Instant, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let is_last = torrent.durability.end_completing();
        if !is_last || !torrent.complete || torrent.durability.is_in_doubt() {
            return;
        }
        torrent.durable = true;
        torrent.completed = Some(now);
        self.keep_or_forget_state(id, true);
        let torrent = &mut self.torrents[id.0 as usize];
        let (downloaded_bytes, took) = (torrent.down.total_bytes(), now.since(torrent.started));
        // A tracker counts downloads by this event, so it is not told when there was nothing to download.
        if downloaded_bytes > 0 {
            torrent.trackers.complete();
        }
        let stays = torrent.is_seeding();
        self.note(Note::Complete { torrent: id, downloaded_bytes, took, stays });
        if self.torrents.iter().all(|torrent| torrent.complete) {
            // Nothing is fetched any more, and a box that goes on as a seed has other uses for the memory.
            self.pool.shrink();
        }
        self.announce_due(now, id);
        self.end_seeding_if_given_enough(now, id);
        self.leave_if_all_ended(now);
    }

    /// Leaves if nothing is given to others (any more).
    pub(super) fn leave_if_all_ended(&mut self, now: Instant) {
        if self.torrents.iter().all(|torrent| torrent.durable && torrent.ended && torrent.parting.is_none()) {
            self.leaving = Some(now + COMPLETED_TIMEOUT);
            self.leave_if_told(now);
        }
    }

    /// Everything is there: the run ends as soon as the trackers know, or do not answer. `stopped` would break their
    /// announces off, and trackers count downloads by `completed`.
    pub(super) fn leave_if_told(&mut self, now: Instant) {
        let Some(deadline) = self.leaving.filter(|_| self.quitting.is_none()) else { return };
        if now >= deadline || self.torrents.iter().all(|torrent| torrent.trackers.is_quiet()) {
            self.quit(now);
            self.quitting = Some(deadline + (STOP_TIMEOUT - COMPLETED_TIMEOUT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::rig::{self, session, settings};

    /// The answer to `line`.
    fn said(session: &mut Session, line: &str) -> String {
        rig::said(session, Command::parse(line).unwrap().unwrap())
    }

    #[test]
    fn who_adds_a_peer_hears_what_becomes_of_it() {
        let mut session = session(settings(), true);
        session.torrents[0].candidates.add_own("9.9.9.1:5".parse().unwrap());
        session.torrents[0].candidates.ban("9.9.9.2:5".parse().unwrap());
        let cases = [
            ("add 9.9.9.9:5", "connecting to 9.9.9.9:5"),
            ("add 9.9.9.9:5", "9.9.9.9:5 is known already, and is tried in its turn"),
            ("add 9.9.9.1:5", "9.9.9.1:5 is this very program"),
            ("add 9.9.9.2:5", "9.9.9.2:5 is banned: it has sent bad blocks"),
            ("add 0.0.0.0:5", "0.0.0.0:5 cannot be a peer"),
            ("pause", "paused; \"resume\" goes on"),
            ("add 9.9.9.8:5", "9.9.9.8:5 is remembered: no peers are wanted now"),
        ];
        for (line, wanted) in cases {
            assert_eq!(said(&mut session, line), wanted);
        }
    }

    #[test]
    fn limits_are_said_as_they_are_from_then_on() {
        let mut session = session(settings(), true);
        assert_eq!(said(&mut session, "limit down 5"), "down is limited to 5 KiB/s");
        assert_eq!(said(&mut session, "limit up 0"), "up is not limited");
    }
}
