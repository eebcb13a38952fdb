//! The user's commands.

use super::streams::Open;
use super::torrents::Torrent;
use super::{Action, Command, Report, Session};
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
