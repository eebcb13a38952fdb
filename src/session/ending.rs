//! The end: of a torrent, when everything is there and durable, and of the run.

use super::{Action, Note, Outcome, Phase, Session};
use crate::base::limits::{COMPLETED_TIMEOUT, STOP_TIMEOUT};
use crate::base::{Instant, TorrentId};

/// How far the run is on its way to the end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Everything is there; the trackers are told until then.
    pub leaving: Option<Instant>,
    /// The run ends, at the latest by then.
    pub quitting: Option<Instant>,
    /// How it ends, if not as usual.
    outcome: Option<Outcome>,
    finished: bool,
}

impl Session {
    /// Says goodbye: what is verified is stored, the trackers are told, then the run ends.
    pub(super) fn quit(&mut self, now: Instant) {
        if self.ending.quitting.is_some() {
            return;
        }
        self.ending.quitting = Some(now + STOP_TIMEOUT);
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
        self.ending.outcome = self.ending.outcome.or(Some(outcome));
        self.quit(now);
    }

    /// Ends the run as soon as nothing is left to be waited for.
    pub(super) fn finish_if_quiet(&mut self, now: Instant) {
        let Some(deadline) = self.ending.quitting.filter(|_| !self.ending.finished) else { return };
        let is_quiet = self.torrents.iter().all(|torrent| {
            let is_flushed = torrent.download.is_flushed() || torrent.stall.is_some();
            torrent.trackers.is_quiet() && is_flushed && Self::is_settled(torrent)
        });
        if !is_quiet && now < deadline {
            return;
        }
        let complete = self.torrents.iter().all(|torrent| torrent.durable && torrent.download.is_complete());
        let usual = if complete { Outcome::Complete } else { Outcome::Incomplete };
        self.ending.finished = true;
        self.actions.push_back(Action::Finish(self.ending.outcome.unwrap_or(usual)));
    }

    /// A check has ended: the download begins, or the run is over.
    pub(super) fn check_is_over(&mut self, now: Instant, id: TorrentId) {
        if self.settings.check_only {
            let is_over = self.torrents.iter().all(|torrent| torrent.phase() != Phase::Checking);
            if is_over {
                self.ending.outcome = Some(self.verdict());
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
            self.ending.leaving = Some(now + COMPLETED_TIMEOUT);
            self.leave_if_told(now);
        }
    }

    /// Everything is there: the run ends as soon as the trackers know, or do not answer. `stopped` would break their
    /// announces off, and trackers count downloads by `completed`.
    pub(super) fn leave_if_told(&mut self, now: Instant) {
        let Some(deadline) = self.ending.leaving.filter(|_| self.ending.quitting.is_none()) else { return };
        if now >= deadline || self.torrents.iter().all(|torrent| torrent.trackers.is_quiet()) {
            self.quit(now);
            self.ending.quitting = Some(deadline + (STOP_TIMEOUT - COMPLETED_TIMEOUT));
        }
    }
}
