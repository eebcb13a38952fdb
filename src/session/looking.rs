//! `--give-up`: how long peers are looked for while every tracker fails and nobody answers, and what was done meanwhile.

use super::torrents::Torrent;
use super::{Outcome, Session};
use crate::base::Instant;
use crate::tracker::{State, View};
use alloc::string::{String, ToString};
use core::net::SocketAddr;

/// What was done to find somebody, and how it ended last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Efforts {
    /// Trackers that were asked.
    pub trackers: u32,
    /// The URL of the one that failed last, without a password, and why.
    pub tracker_fault: Option<(String, String)>,
    /// Addresses of peers that were dialled and are still known.
    pub peers: u32,
    /// The one that failed last, and why.
    pub peer_fault: Option<(SocketAddr, String)>,
}

/// How the search for somebody goes.
#[derive(Debug, Default)]
pub(super) struct Looking {
    /// A tracker has given what it was asked for, or a peer has shaken hands.
    pub reached: bool,
    /// What was done for that.
    efforts: Efforts,
    /// Since when peers are looked for, as long as none was reached and the user does not want to wait for ever.
    since: Option<Instant>,
}

impl Session {
    /// What was done to find somebody, if the run has ended with [`Outcome::GaveUp`].
    pub fn efforts(&self) -> &Efforts {
        &self.looking.efforts
    }

    /// A tracker has failed.
    pub(super) fn note_tracker_fault(&mut self, url: &str, why: &str) {
        if !self.looking.reached && self.ending.quitting.is_none() {
            self.looking.efforts.tracker_fault = Some((url.to_string(), why.to_string()));
        }
    }

    /// A peer that was dialled did not answer as one.
    pub(super) fn note_peer_fault(&mut self, address: SocketAddr, why: &str) {
        if !self.looking.reached && self.ending.quitting.is_none() {
            self.looking.efforts.peer_fault = Some((address, why.to_string()));
        }
    }

    /// Nobody was found in time.
    pub(super) fn give_up(&mut self, now: Instant) {
        let was_asked = |view: &View<'_>| view.asking || matches!(view.state, State::Failed(_));
        let trackers = |torrent: &Torrent| torrent.trackers.views().filter(was_asked).count() as u32;
        self.looking.efforts.trackers = self.torrents.iter().map(trackers).sum();
        self.looking.efforts.peers = self.torrents.iter().map(|torrent| torrent.candidates.tried()).sum();
        self.fail(now, Outcome::GaveUp);
    }

    pub(super) fn give_up_deadline(&self) -> Option<Instant> {
        let patience =
            self.settings.give_up.filter(|_| !self.looking.reached && self.ending.quitting.is_none())?;
        Some(self.looking.since? + patience)
    }

    /// Notes since when peers are looked for: not while all that is missing is being checked, or has to wait for the user.
    pub(super) fn settle_looking(&mut self, now: Instant) {
        if self.settings.give_up.is_none() || self.looking.reached {
            return;
        }
        let looks = |torrent: &Torrent| torrent.wants_peers() && !torrent.complete;
        let looks = !self.settings.check_only && self.torrents.iter().any(looks);
        self.looking.since = if looks { self.looking.since.or(Some(now)) } else { None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TorrentId;
    use crate::session::rig::{NOW, session, settings};
    use crate::session::{Action, CloseCause, Command, Event, Settings};
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
    #[test]
    fn what_was_tried_is_known_in_the_end() {
        let mut session = checking(false);
        session.handle(at(0), Event::Loaded { torrent: TorrentId(0), offset: 0, bytes: &[1; 9] });
        let connect = |action| if let Action::Connect { stream, .. } = action { Some(stream) } else { None };
        let stream = core::iter::from_fn(|| session.next_action()).find_map(connect).unwrap();
        session.handle(at(1), Event::Closed { stream, cause: CloseCause::Refused });
        session.on_time(at(30));
        let peer_fault = Some((([9, 9, 9, 9], 5).into(), CloseCause::Refused.to_string()));
        assert_eq!(*session.efforts(), Efforts { peers: 1, peer_fault, ..Efforts::default() });
    }
}
