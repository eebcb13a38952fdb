//! What follows when that which was stored may not be there: a device that does not take it, or somebody who has been at
//! the files. Nothing is believed that was not read again, and no peer is to blame.

use super::torrents::{Stall, Torrent};
use super::{Action, Note, Outcome, Session, StorageFault, StorageFaultKind};
use crate::base::limits::STORE_RETRY_INTERVAL;
use crate::base::{Bitfield, Instant, TorrentId};
use crate::download::Check;

impl Torrent {
    /// Somebody has been at the files: nothing that was stored before is believed unseen.
    pub fn distrust(&mut self) {
        self.recheck = true;
        self.durability.forget();
        self.durability.suspect(self.download.partly_stored().collect());
    }

    /// A sync of `bytes` has failed for want of room.
    fn stall_unsynced(&mut self, now: Instant, mut fault: StorageFault, bytes: u64) {
        let before = self.stall.map_or(bytes, |stall| stall.fault.missing_bytes);
        if fault.missing_bytes == 0 {
            // Files that have their whole length need nothing more, as far as the file system tells.
            fault.missing_bytes = before;
        }
        let (since, retry) = (self.durability.full_since(now), now + STORE_RETRY_INTERVAL);
        self.stall = Some(Stall { fault, since, retry, tries: 0, is_unsynced: true });
    }
}

impl Session {
    /// What was stored since the last sync may be lost: those pieces are read again, all of them if somebody has been at
    /// the files. Where there is no room, everything waits until there is some.
    pub(super) fn on_sync_failed(&mut self, now: Instant, id: TorrentId, fault: StorageFault) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let is_full = fault.kind == StorageFaultKind::NoSpace;
        let is_news = !is_full || torrent.stall.is_none_or(|stall| stall.fault.kind != fault.kind);
        let bytes = torrent.durability.doubt(now, torrent.download.partly_stored().collect());
        let is_hopeless = if is_full {
            torrent.stall_unsynced(now, fault, bytes);
            let since = torrent.durability.full_since(now);
            self.settings.give_up.is_some_and(|patience| now.since(since) >= patience)
        } else {
            // A device that has failed at the end does not mend itself.
            let is_final = torrent.complete && fault.kind != StorageFaultKind::Changed;
            torrent.durability.count_failure() || is_final
        };
        if is_news {
            self.note(Note::StorageFault { torrent: id, fault });
        }
        if is_hopeless || self.quitting.is_some() {
            return self.fail(now, Outcome::of(fault));
        }
        let torrent = &mut self.torrents[id.0 as usize];
        (torrent.complete, torrent.durable, torrent.spreading) = (false, false, None);
        if fault.kind == StorageFaultKind::Changed {
            torrent.distrust();
        }
        self.wish_stores(id);
        self.check_doubtful(now, id);
    }

    /// What was written may not be on the disk, or is not what was written: nobody is told that it is complete.
    pub(super) fn on_complete_failed(&mut self, now: Instant, id: TorrentId, fault: StorageFault) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        torrent.durability.end_completing();
        self.on_sync_failed(now, id, fault);
    }

    /// Reads what is in doubt, if nothing else is being read: all pieces, or those that are not durable.
    pub(super) fn check_doubtful(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        // Before the device takes everything, nothing that is read tells what it has.
        let is_unsynced = torrent.stall.is_some_and(|stall| stall.is_unsynced);
        if is_unsynced || torrent.checking.is_some() || self.quitting.is_some() {
            return;
        }
        let (all, some) = (core::mem::take(&mut torrent.recheck), torrent.durability.take_doubt());
        if all {
            self.start_checking(now, id);
        } else if some {
            let geometry = torrent.download.geometry();
            let mut known = Bitfield::full(geometry.pieces);
            torrent.undurable().for_each(|piece| assert!(known.remove(piece), "ours: the set was full"));
            torrent.checking = Some(Check::except(geometry, known, Bitfield::new(geometry.pieces)));
            self.go_on_checking(now, id);
        }
    }

    /// Finds out whether the device takes by now what a sync could not bring to it.
    pub(super) fn try_to_sync(&mut self, now: Instant, id: TorrentId) {
        if self.torrents[id.0 as usize].durability.begin_trial(now) {
            self.actions.push_back(Action::Sync { torrent: id, everything: true });
        }
    }

    /// The device takes everything: what was in doubt is read, and what waits is stored.
    pub(super) fn end_trial(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let Some(stall) = torrent.stall.as_mut().filter(|stall| stall.is_unsynced) else { return };
        (stall.is_unsynced, stall.retry) = (false, now);
        self.check_doubtful(now, id);
        self.retry_stores(now, id);
    }
}
