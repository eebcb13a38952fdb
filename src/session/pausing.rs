//! The user's `pause` and `resume`: nothing is asked for meanwhile, and what was asked for is taken back.

use super::{Phase, Session};
use crate::base::{Instant, StreamId, TorrentId};
use crate::wire::Message;
use alloc::string::String;
use alloc::vec::Vec;

impl Session {
    /// Fetches nothing more, or goes on. What becomes of it, in words.
    pub(super) fn set_paused(&mut self, now: Instant, paused: bool) -> String {
        for id in self.ids() {
            let torrent = &mut self.torrents[id.0 as usize];
            // Who has everything has nothing to pause, and giving goes on.
            torrent.paused = paused && !torrent.complete;
            let stops = torrent.paused;
            self.settle_hunger(id);
            if stops {
                self.withdraw_requests(now, id);
                // What is verified is safer in its file, and memory is wanted elsewhere.
                self.torrents[id.0 as usize].download.flush();
                self.wish_stores(id);
                self.make_durable(now, id);
            }
        }
        if !paused {
            self.ask_all(now);
            self.dial_candidates(now);
        }
        self.pause_in_words(paused)
    }

    /// Takes back what peers of a torrent were asked for. What they have sent already is still welcome.
    fn withdraw_requests(&mut self, now: Instant, id: TorrentId) {
        let download = &mut self.torrents[id.0 as usize].download;
        let mut told: Vec<StreamId> = Vec::new();
        for (stream, of, open) in self.streams.iter_open_mut() {
            if of != id || open.pipeline.expected().next().is_none() {
                continue;
            }
            open.pipeline.release(|block| download.unrequest(stream, block));
            download.forget(stream);
            // BEP 3: requests to a peer that chokes us are void anyway. BEP 6: they are until it has rejected them.
            if open.peer.fast || !open.peer.choking {
                // What does not fit into the outbox is not taken back.
                open.pipeline.withdraw(now, |block| open.peer.outbox.push(Message::Cancel(block)));
                told.push(stream);
            }
        }
        told.into_iter().for_each(|stream| self.flush(stream));
    }

    fn pause_in_words(&self, paused: bool) -> String {
        let any = |phase: Phase| self.torrents.iter().any(|torrent| torrent.phase() == phase);
        let text = if self.torrents.iter().all(|torrent| torrent.complete) {
            match (any(Phase::Seeding), paused) {
                (true, _) => "everything is there; giving goes on",
                (false, true) => "everything is there; nothing to pause",
                (false, false) => "everything is there; nothing to go on with",
            }
        } else if paused {
            "paused; \"resume\" goes on"
        } else if any(Phase::Downloading) {
            "downloading"
        } else if any(Phase::Checking) {
            "downloading as soon as the check is over"
        } else {
            "downloading as soon as storing works again"
        };
        String::from(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::download::Check;
    use crate::session::rig::{NOW, said, session, settings};
    use crate::session::torrents::{Stall, Torrent};
    use crate::session::{Command, StorageFault, StorageFaultKind};

    #[test]
    fn the_answer_says_what_goes_on() {
        fn check(torrent: &mut Torrent) {
            torrent.checking = Some(Check::new(torrent.download.geometry()));
        }
        fn stall(torrent: &mut Torrent) {
            let fault =
                StorageFault { kind: StorageFaultKind::Denied, file: 0, os_error: 0, missing_bytes: 0 };
            torrent.stall = Some(Stall { fault, since: NOW, retry: NOW, tries: 0, is_unsynced: false });
        }
        let (paused, giving) = ("paused; \"resume\" goes on", "everything is there; giving goes on");
        type Change = fn(&mut Torrent);
        let cases: [(Change, &str, &str); 5] = [
            (|_| {}, paused, "downloading"),
            (check, paused, "downloading as soon as the check is over"),
            (stall, paused, "downloading as soon as storing works again"),
            (|torrent| torrent.complete = true, giving, giving),
            (
                |torrent| (torrent.complete, torrent.ended) = (true, true),
                "everything is there; nothing to pause",
                "everything is there; nothing to go on with",
            ),
        ];
        for (change, on_pause, on_resume) in cases {
            let mut session = session(settings(), true);
            change(&mut session.torrents[0]);
            assert_eq!(said(&mut session, Command::Pause), on_pause);
            assert_eq!(said(&mut session, Command::Resume), on_resume);
            assert!(!session.torrents[0].paused);
        }
    }
}
