//! Going on where an earlier run has stopped.

use super::{Note, Session};
use crate::base::{Bitfield, Instant, TorrentId};
use crate::download::Check;
use crate::meta::Metainfo;
use crate::resume::{Belief, Era, Present, Stamp, Wall};
use alloc::sync::Arc;

/// What is on disk when a torrent is added.
#[derive(Debug)]
pub struct Remains<'a> {
    /// The resume state as it was found; empty if there is none.
    pub state: &'a [u8],
    /// How each file is.
    pub stamps: &'a [Stamp],
    /// Pieces that are all zeros for certain: one is read for all.
    pub holes: Bitfield,
    /// In which era the files are.
    pub era: Era,
    /// What the clock by which they are stamped shows.
    pub wall: Wall,
    /// Nothing is there, so that nothing has to be read.
    pub empty: bool,
    /// No earlier run is known to have worked on the files: if nothing in them is of the torrent, they are somebody's own.
    pub foreign: bool,
    /// Files that have their length and may not be written to, if there are any, and the operating system's number for why:
    /// what is wrong in them cannot be made good.
    pub read_only: Option<(Bitfield, i32)>,
}

impl Session {
    /// Adds a torrent of which an earlier run may have left something, and keeps a resume state for it from now on. What
    /// the state says is believed as far as it can be, and the rest is read and verified.
    pub fn resume_torrent(
        &mut self,
        now: Instant,
        metainfo: Arc<Metainfo>,
        remains: Remains<'_>,
    ) -> TorrentId {
        let id = self.enter(now, metainfo);
        let Remains { state, stamps, holes, era, wall, empty, foreign, read_only } = remains;
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.foreign = foreign && holes.count() < holes.len();
        torrent.read_only = read_only;
        let mut belief = Belief::new(&torrent.metainfo, state, &Present { stamps, era, wall });
        if self.settings.check_only {
            belief = Belief::nothing(holes.len());
        } else {
            torrent.durability.keep_state(era, belief.past, belief.pieces.clone());
        }
        // What the file system has nothing for was never refused.
        for piece in belief.refused.iter().filter(|&piece| !holes.has(piece)) {
            torrent.durability.refuse(piece);
        }
        for piece in belief.pieces.iter() {
            if torrent.download.found(piece) {
                torrent.done_bytes += torrent.wanted_bytes(piece);
            }
        }
        let (believed, pieces) = (belief.pieces.count(), belief.pieces.len());
        let (doubtful_files, fault) = (belief.doubtful_files, belief.fault);
        torrent.checking = Some(Check::except(torrent.download.geometry(), belief.pieces, holes));
        if believed > 0 || doubtful_files > 0 || fault.is_some() {
            self.note(Note::Resumed { torrent: id, believed, pieces, doubtful_files, fault });
        }
        let torrent = &mut self.torrents[id.0 as usize];
        if empty && !self.settings.check_only {
            torrent.checking = None;
            self.start(now, id);
        } else {
            // Trackers are told what is missing, which is not known before.
            torrent.trackers.hold(true);
            self.go_on_checking(now, id);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::session::rig::{NOW, PIECE_BYTES as PIECE, settings, torrent};
    use crate::session::{Action, Event, Outcome};
    use sha1::{Digest, Sha1};

    /// How a run ends, if it does when all is read: of two pieces, with a second that is right or wrong, in a file that may
    /// not be written to.
    fn read_only(second: u8) -> Option<Outcome> {
        let hashes = [7, 7].map(|byte| <[u8; 20]>::from(Sha1::digest([byte; PIECE])));
        let mut session = Session::new(NOW, Rng::new(1), settings());
        let remains = Remains {
            state: &[],
            stamps: &[Stamp { length: 2 * PIECE as u64, changed_ns: 5 }],
            holes: Bitfield::new(2),
            era: Era::default(),
            wall: Wall { now_ns: 9, boot_ns: 1, kept: true },
            empty: false,
            foreign: false,
            read_only: Some((Bitfield::full(1), 13)),
        };
        let torrent = session.resume_torrent(NOW, torrent(&hashes), remains);
        let (mut bytes, mut outcome) = ([7, second].into_iter(), None);
        while let Some(action) = session.next_action() {
            match action {
                Action::Load { offset, .. } => {
                    let bytes = [bytes.next().expect("two pieces"); PIECE];
                    session.handle(NOW, Event::Loaded { torrent, offset, bytes: &bytes });
                }
                Action::Finish(end) => outcome = Some(end),
                Action::Sync { torrent, .. } => session.handle(NOW, Event::Synced { torrent }),
                Action::Save { torrent } => session.handle(NOW, Event::Saved { torrent, result: Ok(()) }),
                _ => {}
            }
        }
        outcome
    }

    #[test]
    fn a_file_that_may_not_be_written_to_has_to_be_right() {
        let denied = Outcome::Denied { torrent: TorrentId(0), file: 0, os_error: 13 };
        assert_eq!((read_only(8), read_only(7)), (Some(denied), None));
    }
}
