//! Between the downloads and the files: stores, checks, and what follows from their faults.

use super::torrents::Stall;
use super::{Action, Note, Outcome, Session, StorageFault, StorageFaultKind, StoreId, StoreView};
use crate::base::limits::{READ_FAULTS_MAX, STORE_RETRY_INTERVAL, STORE_TRIES_MAX};
use crate::base::{Instant, TorrentId};
use crate::download::{Check, Verdict};
use alloc::vec::Vec;

/// Files that a check cannot read and that are said, each in a line.
const UNREADABLE_FILES_SAID: u32 = 10;

impl Session {
    /// Hashes up to `budget_bytes` of complete pieces, and goes on with cut searches. True if more waits: call again in
    /// the next turn, without sleeping.
    pub fn work(&mut self, now: Instant, mut budget_bytes: usize) -> bool {
        let more_comes = core::mem::take(&mut self.reading.blocks_came);
        for nth in 0..self.torrents.len() {
            let id = TorrentId(nth as u32);
            while budget_bytes > 0 {
                let download = &mut self.torrents[nth].download;
                let verdict = download.hash(now, &mut budget_bytes, more_comes, &mut self.pool);
                let Some(verdict) = verdict else { break };
                self.on_verdict(now, id, verdict);
            }
        }
        let searching = self.go_on_searching(now);
        self.settle(now);
        searching || self.torrents.iter().any(|torrent| torrent.download.has_work())
    }

    /// The bytes of a wish to store that is not answered yet.
    pub fn store(&self, torrent: TorrentId, store: StoreId) -> Option<StoreView<'_>> {
        let (offset, parts) = self.torrents.get(torrent.0 as usize)?.download.store(store.0)?;
        Some(StoreView { offset, parts })
    }

    fn on_verdict(&mut self, now: Instant, id: TorrentId, verdict: Verdict) {
        match verdict {
            Verdict::Verified { piece, guilty } => {
                self.unwant(id, piece);
                guilty.into_iter().for_each(|stream| self.ban(now, id, stream, piece));
                self.wish_stores(id);
            }
            Verdict::Corrupt { piece, guilty } => {
                let torrent = &mut self.torrents[id.0 as usize];
                torrent.corrupt_bytes += u64::from(torrent.download.geometry().piece_length(piece));
                self.note(Note::PieceFailed { torrent: id, piece });
                guilty.into_iter().for_each(|stream| self.ban(now, id, stream, piece));
                self.demand.returned = true;
            }
        }
    }

    /// Nobody is asked for `piece` any more.
    fn unwant(&mut self, id: TorrentId, piece: u32) {
        for (_, torrent, open) in self.streams.iter_open_mut() {
            if torrent == id && open.peer.has.has(piece) {
                open.wanted = open.wanted.saturating_sub(1);
                open.peer.set_interested(open.wanted > 0);
            }
        }
    }

    /// `piece`, which was there, has to be fetched again.
    fn want_again(&mut self, id: TorrentId, piece: u32) {
        for (_, torrent, open) in self.streams.iter_open_mut() {
            if torrent == id && open.peer.has.has(piece) {
                open.wanted += 1;
                open.peer.set_interested(true);
            }
        }
    }

    /// `piece` is not what it was. False if it was not there. What peers have asked for of it is refused when its turn comes.
    pub(super) fn lose_piece(&mut self, now: Instant, id: TorrentId, piece: u32) -> bool {
        let was_there = self.torrents[id.0 as usize].lose(piece);
        if was_there {
            self.tell_upload_only(now, id, false);
            self.want_again(id, piece);
            self.break_off(now, id, piece);
        }
        was_there
    }

    /// Another torrent needs memory, and this one keeps it for what cannot be stored: the piece that was verified last is
    /// fetched again when that works. True if there was one.
    pub(super) fn give_up_held(&mut self, id: TorrentId) -> bool {
        let torrent = &mut self.torrents[id.0 as usize];
        if torrent.stall.is_none() || torrent.durability.awaits_answers() {
            return false;
        }
        let piece = torrent.download.give_up_held(&mut self.pool);
        piece.inspect(|&piece| self.want_again(id, piece)).is_some()
    }

    /// The run ends: all stores, and then all syncs.
    pub(super) fn store_and_sync_at_the_end(&mut self, now: Instant) {
        self.ids().for_each(|id| self.wish_stores(id));
        self.ids().for_each(|id| self.make_durable(now, id));
    }

    /// True if storing would keep the run from ending: a file system may let who writes wait until a sync is done (ext4 with
    /// a journal), and a device that hangs does not end it.
    fn may_not_store(&self) -> bool {
        self.ending.quitting.is_some() && self.torrents.iter().any(|torrent| torrent.durability.is_syncing())
    }

    /// Passes the download's stores on as wishes.
    pub(super) fn wish_stores(&mut self, id: TorrentId) {
        if self.may_not_store() {
            return;
        }
        let torrent = &mut self.torrents[id.0 as usize];
        // While storing fails, everything waits for the next try; at the end, nothing waits.
        let (may_wish, may_wait) = (torrent.stall.is_none(), self.ending.quitting.is_none());
        while let Some(bytes) = torrent.download.next_store_bytes() {
            if may_wish && may_wait && !torrent.durability.admits(&mut self.device, id, bytes) {
                break;
            }
            let store = torrent.download.next_store().filter(|_| may_wish);
            if let Some(store) =
                store.filter(|&store| torrent.durability.wish(&mut self.device, store, bytes))
            {
                self.actions.push_back(Action::Store { torrent: id, store: StoreId(store) });
            }
        }
    }

    /// Passes on the stores that waited for the device, as far as there is room by now: one of each torrent in turn, so
    /// that nobody waits for ever. Who waits behind one that is too large for now waits with it.
    pub(super) fn let_stores_in(&mut self) {
        while let Some(id) = self.device.first_waiting() {
            let torrent = &mut self.torrents[id.0 as usize];
            // What cannot be stored for now is tried again in its own time.
            let next = torrent.download.next_store_bytes().filter(|_| torrent.stall.is_none());
            if next.is_some_and(|bytes| !self.device.admits(bytes)) {
                return;
            }
            self.device.end_first_wait();
            torrent.durability.end_wait();
            let store = torrent.download.next_store().filter(|_| next.is_some());
            let (own, bytes) = (&mut torrent.durability, next.unwrap_or(0));
            if let Some(store) = store.filter(|&store| own.wish(&mut self.device, store, bytes)) {
                self.actions.push_back(Action::Store { torrent: id, store: StoreId(store) });
            }
            if torrent.download.next_store_bytes().is_some() {
                own.wait(&mut self.device, id);
            }
        }
    }

    pub(super) fn on_stored(&mut self, now: Instant, id: TorrentId, store: StoreId) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let mut stored: Vec<u32> = Vec::new();
        torrent.durability.answered(&mut self.device, now, store.0, true);
        torrent.download.stored(store.0, &mut self.pool, |piece| stored.push(piece));
        self.recover(now, id);
        for &piece in &stored {
            let torrent = &mut self.torrents[id.0 as usize];
            torrent.done_bytes += torrent.wanted_bytes(piece);
            self.note(Note::PieceStored { torrent: id, piece });
        }
        self.tell_soon(now, id, &stored);
        self.demand.returned = true;
        self.torrents[id.0 as usize].durability.on_wholly_stored(&stored);
        self.check_doubtful(now, id);
        self.complete_if_done(now, id);
        self.make_durable(now, id);
    }

    /// Verifies what is on disk, from the first piece to the last.
    pub(super) fn start_checking(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.check(Check::new(torrent.download.geometry()));
        torrent.trackers.hold(true);
        torrent.read_faults = 0;
        self.go_on_checking(now, id);
    }

    /// Storing works. A stall lasts until all that waits is stored: a small store may fit where a large one did not. That
    /// bytes can be stored does not show that the device takes them.
    fn recover(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let Some(stall) = torrent.stall.as_mut().filter(|stall| !stall.is_unsynced) else { return };
        stall.tries = 0;
        if torrent.download.pending_stores().next().is_none() {
            torrent.stall = None;
            self.note(Note::StorageRecovered { torrent: id });
            self.ask_all(now);
            self.dial_candidates(now);
        }
    }

    pub(super) fn on_store_failed(
        &mut self,
        now: Instant,
        id: TorrentId,
        store: StoreId,
        fault: StorageFault,
    ) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        torrent.durability.answered(&mut self.device, now, store.0, false);
        let before = torrent.stall;
        let tries = before.map_or(0, |stall| stall.tries);
        let since = before.map_or(now, |stall| stall.since);
        let is_unsynced = torrent.is_unsynced();
        torrent.stall = Some(Stall { fault, since, retry: now + STORE_RETRY_INTERVAL, tries, is_unsynced });
        if fault.kind == StorageFaultKind::Changed {
            self.distrust(now, id);
        }
        // Somebody may make room, or raise a limit; a broken disk does not mend itself.
        let is_hopeless = match fault.kind {
            StorageFaultKind::NoSpace | StorageFaultKind::TooLong => {
                self.settings.give_up.is_some_and(|patience| now.since(since) >= patience)
            }
            _ => tries >= STORE_TRIES_MAX,
        };
        // While quitting there is no time to wait for a better disk: what is not stored is fetched again next time.
        let retried = !is_hopeless && self.ending.quitting.is_none();
        // One line for each kind of trouble: while it lasts, tries may fail at one file and then at another.
        if before.is_none_or(|stall| stall.fault.kind != fault.kind) {
            self.note(Note::StorageFault { torrent: id, fault, retried });
        }
        if !retried {
            self.fail(now, Outcome::of(fault));
        }
    }

    /// Tries all stores again that failed: those that are not answered yet are under way.
    pub(super) fn retry_stores(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let Some(stall) = torrent.stall.as_mut().filter(|stall| stall.retry <= now) else { return };
        stall.retry = now + STORE_RETRY_INTERVAL;
        if stall.is_unsynced {
            return self.try_to_sync(id);
        }
        stall.tries += 1;
        while torrent.download.next_store().is_some() {}
        for store in torrent.download.pending_stores() {
            let bytes = torrent.download.store_bytes(store);
            if torrent.durability.wish(&mut self.device, store, bytes) {
                self.actions.push_back(Action::Store { torrent: id, store: StoreId(store) });
            }
        }
        if torrent.download.pending_stores().next().is_none() {
            self.recover(now, id);
        }
    }

    /// True if what the session wished to read of a torrent is still of use: at the end it is not.
    pub fn awaits_load(&self, id: TorrentId) -> bool {
        self.torrents.get(id.0 as usize).is_some_and(|torrent| torrent.checking.is_some())
    }

    /// Wishes for the next slice of a check, or ends it.
    pub(super) fn go_on_checking(&mut self, now: Instant, id: TorrentId) {
        self.pass_holes(now, id);
        let torrent = &mut self.torrents[id.0 as usize];
        let Some(check) = &mut torrent.checking else { return };
        if let Some((offset, length)) = check.wants() {
            let piece = check.piece();
            check.begin(torrent.download.have().has(piece) && torrent.durability.is_refused(piece));
            let renew = check.is_renewing();
            return self.actions.push_back(Action::Load { torrent: id, offset, length, renew });
        }
        torrent.checking = None;
        torrent.trackers.hold(false);
        let (good, pieces) = (torrent.download.have().count(), torrent.download.geometry().pieces);
        let unreadable = torrent.unreadable.pieces;
        self.note(Note::Checked { torrent: id, good, pieces, unreadable });
        self.check_doubtful(now, id);
        let torrent = &mut self.torrents[id.0 as usize];
        if torrent.checking.is_none() {
            torrent.unread = false;
            self.end_distrust(now, id);
            self.check_is_over(now, id);
            self.make_durable(now, id);
        }
    }

    /// Judges the pieces that need not be read to know what is in them.
    fn pass_holes(&mut self, now: Instant, id: TorrentId) {
        loop {
            let torrent = &mut self.torrents[id.0 as usize];
            let hole = torrent.checking.as_mut().and_then(Check::next_hole);
            let Some((piece, digest)) = hole else { return };
            let is_right = torrent.metainfo.hashes.get(piece as usize) == Some(&digest);
            self.on_checked(now, id, piece, is_right);
        }
    }

    /// The check that wishes for the bytes at `offset`; none if they were wished for by one that has begun anew since.
    fn check_of(&mut self, id: TorrentId, offset: u64) -> Option<&mut Check> {
        let check = self.torrents.get_mut(id.0 as usize)?.checking.as_mut()?;
        let is_wanted = check.wants().is_some_and(|(wanted, _)| wanted == offset);
        is_wanted.then_some(check)
    }

    pub(super) fn on_loaded(&mut self, now: Instant, id: TorrentId, offset: u64, bytes: &[u8]) {
        let Some(check) = self.check_of(id, offset) else { return };
        let (was_renewing, was_renewed) = (check.is_renewing(), check.is_renewed());
        if let Some((piece, digest)) = check.on_bytes(bytes) {
            let torrent = &mut self.torrents[id.0 as usize];
            let is_right = torrent.metainfo.hashes.get(piece as usize) == Some(&digest);
            if was_renewed {
                torrent.durability.renewed(piece);
            }
            if !is_right || was_renewing || !torrent.renew(piece) {
                self.on_checked(now, id, piece, is_right);
            }
        }
        self.go_on_checking(now, id);
    }

    /// A piece was read from disk.
    pub(super) fn on_checked(&mut self, now: Instant, id: TorrentId, piece: u32, is_right: bool) {
        let torrent = &mut self.torrents[id.0 as usize];
        if !is_right {
            self.lose_piece(now, id, piece);
            return;
        }
        let is_new = torrent.download.found(piece);
        // Who only checks has no use for a sync.
        if torrent.download.have().has(piece) && !self.settings.check_only {
            torrent.durability.found(piece);
        }
        if is_new {
            torrent.done_bytes += torrent.wanted_bytes(piece);
            self.unwant(id, piece);
        }
    }

    pub(super) fn on_load_failed(&mut self, now: Instant, id: TorrentId, offset: u64, fault: StorageFault) {
        let Some(check) = self.check_of(id, offset) else { return };
        let (piece, was_renewing) = (check.piece(), check.is_renewing());
        check.skip_piece();
        // Want of room is a fault of writing, and the piece is still there to be read.
        if was_renewing && fault.is_for_want_of_room() {
            return self.on_renewal_failed(now, id, piece, fault);
        }
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.read_faults += 1;
        // One line for each file, not one for each piece, and not for every file of a disk that fails.
        if torrent.unreadable.add(fault.file) && torrent.unreadable.files <= UNREADABLE_FILES_SAID {
            self.note(Note::StorageFault { torrent: id, fault, retried: false });
        }
        self.on_checked(now, id, piece, false);
        self.go_on_checking(now, id);
    }

    /// What was stored could not be read again. In other files than those that were written, everything is looked at
    /// anew; a disk that does so again and again ends the run.
    pub(super) fn doubt_disk(&mut self, now: Instant, id: TorrentId, fault: StorageFault) {
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.read_faults += 1;
        if torrent.read_faults > READ_FAULTS_MAX {
            self.fail(now, Outcome::of(fault));
        } else if fault.kind == StorageFaultKind::Changed {
            self.distrust(now, id);
            self.check_doubtful(now, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::session::rig::{NOW, PIECE_BYTES as PIECE, settings, torrent};
    use crate::session::{Event, Report, Settings};
    use sha1::{Digest, Sha1};

    const ID: TorrentId = TorrentId(0);

    /// A check of some pieces: for each, whether it is right, or the file that cannot be read. The files that are said, and
    /// how the run ends.
    fn checked(pieces: &[Result<bool, u32>]) -> (Vec<u32>, Option<Outcome>) {
        let hash: [u8; 20] = Sha1::digest([7; PIECE]).into();
        let mut session = Session::new(NOW, Rng::new(1), Settings { check_only: true, ..settings() });
        session.add_torrent(NOW, torrent(&alloc::vec![hash; pieces.len()]), false);
        let (mut said, mut outcome) = (Vec::new(), None);
        let mut answers = pieces.iter();
        while let Some(action) = session.next_action() {
            match action {
                Action::Load { offset, .. } => match answers.next().expect("as many") {
                    Ok(is_right) => {
                        let bytes = [if *is_right { 7 } else { 8 }; PIECE];
                        session.handle(NOW, Event::Loaded { torrent: ID, offset, bytes: &bytes });
                    }
                    &Err(file) => {
                        let kind = StorageFaultKind::Denied;
                        let fault = StorageFault { kind, file, os_error: 13, missing_bytes: 0 };
                        session.handle(NOW, Event::LoadFailed { torrent: ID, offset, fault });
                    }
                },
                Action::Sync { .. } | Action::Complete { .. } => panic!("nothing was stored"),
                Action::Say(Report::Note(Note::StorageFault { fault, .. })) => said.push(fault.file),
                Action::Finish(end) => outcome = Some(end),
                _ => {}
            }
        }
        (said, outcome)
    }

    #[test]
    fn each_file_that_cannot_be_read_is_said_once_and_is_not_called_bad() {
        let unreadable = [Err(0), Err(0), Ok(true), Err(3), Ok(false), Err(3), Err(4)];
        assert_eq!(checked(&unreadable), (Vec::from([0, 3, 4]), Some(Outcome::IoError)));
        assert_eq!(checked(&[Ok(true), Ok(false)]), (Vec::new(), Some(Outcome::CheckFailed)));
        assert_eq!(checked(&[Ok(true), Ok(true)]), (Vec::new(), Some(Outcome::Complete)));
        let many: Vec<Result<bool, u32>> = (0..3 * UNREADABLE_FILES_SAID).map(Err).collect();
        assert_eq!(checked(&many).0.len(), UNREADABLE_FILES_SAID as usize);
    }
}
