//! What is on the device for certain: when to sync, how much may wait for it, and what the resume state says.
//!
//! Stored bytes are the kernel's until they are synced, and a power cut takes them. So syncs follow each other while
//! there is something to be synced, and no more than the device takes in about a second waits: above that stores wait,
//! the buffers fill, nobody is asked for more, and the sockets are read no further.

use super::bound::Bound;
use super::torrents::Torrent;
use super::{Action, Note, Session, StorageFault};
use crate::base::limits::{
    STATE_INTERVAL, STATE_TOTALS_INTERVAL, STORE_RETRY_INTERVAL, STORE_TRIES_MAX, SYNC_AGE_MAX,
};
use crate::base::{Bitfield, Instant, TorrentId};
use crate::resume::{Era, Past, Stamp, State, Wall};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// How safe the pieces of a torrent are.
#[derive(Debug)]
pub(super) struct Durability {
    /// Pieces that are on the device.
    durable: Bitfield,
    /// Pieces that will be when the sync under way is done.
    syncing: Bitfield,
    sync: Option<SyncUnderWay>,
    /// Stores that are wished for and not answered, with their bytes, and all of these.
    wished: BTreeMap<u32, u64>,
    wished_bytes: u64,
    /// Bytes stored since the last sync began, and since when there are any.
    dirty_bytes: u64,
    dirty_since: Option<Instant>,
    /// A store waits until a sync is done.
    waits: bool,
    /// There are pieces that no sync of this run has seen: the next one is of everything.
    unproven: bool,
    bound: Bound,
    /// Syncs that failed since one has succeeded that was of stored bytes; want of room does not count.
    failures: u32,
    /// Since when syncs have failed for want of room, until one has succeeded that was of stored bytes.
    full_since: Option<Instant>,
    /// Wishes to complete the torrent that are not answered.
    completing: u32,
    /// After a failure nothing is synced until then.
    rests_until: Instant,
    /// Pieces that were stored in part when a sync failed.
    suspects: Vec<u32>,
    /// Pieces that are not durable are to be read as soon as nothing else is.
    recheck: bool,
    saving: Saving,
    /// What runs before this one have done.
    pub past: Past,
}

#[derive(Clone, Copy, Debug)]
struct SyncUnderWay {
    since: Instant,
    bytes: u64,
}

/// The resume state.
#[derive(Debug, Default)]
struct Saving {
    /// In which era the files are; `None` if no state is kept.
    era: Option<Era>,
    /// It says less than is known.
    is_due: bool,
    is_under_way: bool,
    /// When it was last saved, or that was last tried, in this run.
    at: Option<Instant>,
    /// Bytes that had been given by then.
    uploaded_bytes: u64,
    has_failed: bool,
}

impl Durability {
    /// Nothing is there yet, of so many pieces.
    pub fn new(pieces: u32, memory_bytes: u64) -> Self {
        Self {
            durable: Bitfield::new(pieces),
            syncing: Bitfield::new(pieces),
            sync: None,
            wished: BTreeMap::new(),
            wished_bytes: 0,
            dirty_bytes: 0,
            dirty_since: None,
            waits: false,
            unproven: false,
            bound: Bound::new(memory_bytes),
            failures: 0,
            full_since: None,
            completing: 0,
            rests_until: Instant::ZERO,
            suspects: Vec::new(),
            recheck: false,
            saving: Saving::default(),
            past: Past::default(),
        }
    }

    /// From now on a state is kept. An earlier one said that these pieces are durable; what is said of them is at once
    /// said anew, as only our own state tells which changes of the files are ours.
    pub fn keep_state(&mut self, era: Era, past: Past, durable: Bitfield) {
        self.saving.era = Some(era);
        self.saving.is_due = durable.count() > 0;
        self.past = past;
        self.durable = durable;
    }

    /// Bytes that a power cut may take.
    fn unsynced_bytes(&self) -> u64 {
        self.wished_bytes + self.dirty_bytes + self.sync.map_or(0, |sync| sync.bytes)
    }

    /// True if a store of so many bytes need not wait. One is always let through, however large.
    pub fn admits(&mut self, bytes: u64) -> bool {
        let unsynced_bytes = self.unsynced_bytes();
        let fits = unsynced_bytes == 0 || unsynced_bytes.saturating_add(bytes) <= self.bound.bytes;
        self.waits |= !fits;
        fits
    }

    /// `store`, which has so many bytes, is wished for. False if it was, and is not answered yet.
    pub fn wish(&mut self, store: u32, bytes: u64) -> bool {
        let is_new = self.wished.insert(store, bytes).is_none();
        self.wished_bytes += if is_new { bytes } else { 0 };
        is_new
    }

    /// True if a store is wished for and not answered.
    pub fn awaits_answers(&self) -> bool {
        !self.wished.is_empty()
    }

    /// `store` is answered.
    pub fn answered(&mut self, now: Instant, store: u32, stored: bool) {
        let bytes = self.wished.remove(&store).unwrap_or(0);
        self.wished_bytes -= bytes;
        if stored && bytes > 0 {
            self.dirty_bytes += bytes;
            self.dirty_since.get_or_insert(now);
        }
    }

    /// A piece that was there before this run is right.
    pub fn found(&mut self, piece: u32) {
        self.unproven |= !self.durable.has(piece);
    }

    /// A piece is not what it was.
    pub fn lost(&mut self, piece: u32) {
        let was_durable = self.durable.remove(piece);
        self.saving.is_due |= was_durable && self.saving.era.is_some();
        self.syncing.remove(piece);
    }

    /// Somebody has been at the files: nothing is believed any more.
    pub fn forget(&mut self) {
        let none = Bitfield::new(self.durable.len());
        (self.durable, self.syncing) = (none.clone(), none);
        self.unproven = true;
        self.saving.is_due |= self.saving.era.is_some();
    }

    /// A sync has failed: what is not durable may be lost, and is to be read, `partly_stored` pieces as soon as they are
    /// wholly stored. Answers the bytes that may be lost.
    pub fn doubt(&mut self, now: Instant, partly_stored: Vec<u32>) -> u64 {
        self.rests_until = now + STORE_RETRY_INTERVAL;
        self.recheck = true;
        self.unproven = true;
        self.waits = false;
        self.suspects = partly_stored;
        let dirty_bytes = core::mem::take(&mut self.dirty_bytes);
        self.dirty_since = None;
        dirty_bytes + self.sync.take().map_or(0, |sync| sync.bytes)
    }

    /// Counts a failure of a sync that is no want of room. True if there were too many.
    pub fn count_failure(&mut self) -> bool {
        self.failures += 1;
        self.failures > STORE_TRIES_MAX
    }

    /// A sync has failed for want of room; since when they do.
    pub fn full_since(&mut self, now: Instant) -> Instant {
        *self.full_since.get_or_insert(now)
    }

    /// Begins a sync that makes nothing durable of what is in doubt: it shows whether the device takes what waits. False
    /// if a sync is under way.
    pub fn begin_trial(&mut self, now: Instant) -> bool {
        if self.sync.is_some() {
            return false;
        }
        self.sync = Some(SyncUnderWay { since: now, bytes: 0 });
        self.syncing.clone_from(&self.durable);
        true
    }

    /// A wish to complete the torrent is answered. True if it was the last one.
    pub fn end_completing(&mut self) -> bool {
        self.completing = self.completing.saturating_sub(1);
        self.completing == 0
    }

    /// Pieces that were stored in part when their files were changed.
    pub fn suspect(&mut self, partly_stored: Vec<u32>) {
        self.suspects = partly_stored;
    }

    /// True, once, if what is not durable is to be read.
    pub fn take_doubt(&mut self) -> bool {
        core::mem::take(&mut self.recheck)
    }

    /// Pieces that were stored in part in doubtful times are wholly stored: they are to be read.
    pub fn on_wholly_stored(&mut self, pieces: &[u32]) {
        for &piece in pieces {
            self.recheck |= self.take_suspect(piece);
        }
    }

    /// True if a sync is under way.
    pub fn is_syncing(&self) -> bool {
        self.sync.is_some()
    }

    /// True if what is not durable may be lost.
    pub fn is_in_doubt(&self) -> bool {
        self.recheck
    }

    /// The run ends: what has been given since the state was saved is worth saving, too.
    pub fn note_end(&mut self, uploaded_bytes: u64, is_seeding: bool) {
        self.saving.is_due |= is_seeding || uploaded_bytes != self.saving.uploaded_bytes;
    }

    /// True if a piece was stored in part when a sync failed: the other part may be lost.
    fn take_suspect(&mut self, piece: u32) -> bool {
        let before = self.suspects.len();
        self.suspects.retain(|&suspect| suspect != piece);
        self.suspects.len() < before
    }

    /// When a sync is due, if one may begin.
    fn sync_deadline(&self) -> Option<Instant> {
        let is_much = self.dirty_bytes >= self.bound.bytes / 2 || (self.waits && self.dirty_bytes > 0);
        let at_once = (self.unproven || is_much).then_some(Instant::ZERO);
        let due = at_once.or(self.dirty_since.map(|since| since + SYNC_AGE_MAX));
        due.filter(|_| self.sync.is_none()).map(|due| due.max(self.rests_until))
    }

    fn save_deadline(&self, uploaded_bytes: u64) -> Option<Instant> {
        let saving = &self.saving;
        if saving.era.is_none() || saving.is_under_way {
            None
        } else if saving.is_due && !saving.has_failed {
            Some(saving.at.map_or(Instant::ZERO, |at| at + STATE_INTERVAL))
        } else {
            let has_news = saving.is_due || uploaded_bytes != saving.uploaded_bytes;
            has_news.then(|| saving.at.unwrap_or(Instant::ZERO) + STATE_TOTALS_INTERVAL)
        }
    }

    /// True if stores wait until a sync is done.
    pub fn holds_stores(&self) -> bool {
        self.waits
    }

    /// True if nothing is on its way to the device, or is to be.
    fn is_settled(&self, may_sync: bool) -> bool {
        let saved = self.saving.era.is_none() || !(self.saving.is_due || self.saving.is_under_way);
        let synced = self.sync.is_none() && (self.dirty_bytes == 0 || !may_sync);
        synced && self.completing == 0 && saved
    }
}

impl Torrent {
    /// Begins a sync, if it is time for one.
    fn begin_sync(&mut self, now: Instant, hurry: bool) -> Option<Action> {
        let is_due = self.sync_deadline().is_some_and(|due| due <= now);
        let is_doubted = self.is_doubted();
        let own = &mut self.durability;
        let is_last = hurry && own.dirty_bytes > 0 && own.sync.is_none() && !is_doubted && !self.complete;
        if !is_due && !is_last {
            return None;
        }
        own.sync = Some(SyncUnderWay { since: now, bytes: own.dirty_bytes });
        own.syncing.clone_from(self.download.have());
        (own.dirty_bytes, own.dirty_since) = (0, None);
        let everything = core::mem::take(&mut own.unproven);
        Some(Action::Sync { torrent: self.id, everything })
    }

    fn sync_deadline(&self) -> Option<Instant> {
        // What is being read is not proven, and the sync of the end sees to everything.
        let is_certain = self.checking.is_none() && !self.is_doubted();
        let may_begin = is_certain && !self.complete && !self.is_unsynced();
        self.durability.sync_deadline().filter(|_| may_begin)
    }

    /// When [`Session::make_durable`] has something to do.
    pub(super) fn durable_deadline(&self) -> Option<Instant> {
        let save = self.durability.save_deadline(self.up.total_bytes());
        [self.sync_deadline(), save].into_iter().flatten().min()
    }

    /// Pieces that are there and may not be on the device.
    pub(super) fn undurable(&self) -> impl Iterator<Item = u32> + '_ {
        self.download.have().iter().filter(|&piece| !self.durability.durable.has(piece))
    }
}

impl Session {
    /// What all runs have done for a torrent, this one included.
    pub fn past(&self, now: Instant, id: TorrentId) -> Past {
        let Some(torrent) = self.torrents.get(id.0 as usize) else { return Past::default() };
        let before = torrent.durability.past;
        let since = torrent.completed.filter(|_| torrent.is_seeding());
        Past {
            downloaded_bytes: before.downloaded_bytes.saturating_add(torrent.down.total_bytes()),
            uploaded_bytes: before.uploaded_bytes.saturating_add(torrent.up.total_bytes()),
            seeded: before.seeded.saturating_add(since.map_or(Duration::ZERO, |since| now.since(since))),
        }
    }

    /// Settles what runs before this one have done for a torrent, which else its resume state tells. For tests.
    #[doc(hidden)]
    pub fn set_past(&mut self, id: TorrentId, past: Past) {
        if let Some(torrent) = self.torrents.get_mut(id.0 as usize) {
            torrent.durability.past = past;
        }
    }

    /// The resume state of a torrent as bytes: see [`resume`](crate::resume). `wall` is what the clock
    /// shows, and `stamps` tells how each file was when it was last synced.
    pub fn state(&self, now: Instant, id: TorrentId, wall: Wall, stamps: &[Stamp]) -> Vec<u8> {
        let Some(torrent) = self.torrents.get(id.0 as usize) else { return Vec::new() };
        let own = &torrent.durability;
        // While pieces are in doubt, only what is durable is said to be there.
        let in_doubt = torrent.is_doubted() || torrent.checking.is_some();
        let stored = if in_doubt { &own.durable } else { torrent.download.have() };
        let state = State {
            info_hash: torrent.metainfo.info_hash,
            era: own.saving.era.unwrap_or_default(),
            written_ns: wall.now_ns,
            boot_ns: wall.boot_ns,
            past: self.past(now, id),
            stamps: stamps.into(),
            durable: own.durable.clone(),
            stored: stored.clone(),
        };
        state.encode()
    }

    /// Begins a sync or saves the state, if it is time for that.
    pub(super) fn make_durable(&mut self, now: Instant, id: TorrentId) {
        let hurry = self.quitting.is_some();
        let torrent = &mut self.torrents[id.0 as usize];
        let sync = torrent.begin_sync(now, hurry && torrent.stall.is_none());
        self.actions.extend(sync);
        let torrent = &mut self.torrents[id.0 as usize];
        let uploaded_bytes = torrent.up.total_bytes();
        let own = &mut torrent.durability;
        let due = own.save_deadline(uploaded_bytes).is_some_and(|due| due <= now);
        let last = hurry && own.sync.is_none() && own.saving.is_due && !own.saving.is_under_way;
        if due || (last && own.saving.era.is_some()) {
            let saving = &mut own.saving;
            (saving.is_due, saving.is_under_way) = (false, true);
            (saving.at, saving.uploaded_bytes) = (Some(now), uploaded_bytes);
            self.actions.push_back(Action::Save { torrent: id });
        }
    }

    /// True if the end of the run need not wait for this torrent's files.
    pub(super) fn is_settled(torrent: &Torrent) -> bool {
        torrent.stall.is_some() || torrent.durability.is_settled(!torrent.is_doubted())
    }

    pub(super) fn on_synced(&mut self, now: Instant, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let own = &mut torrent.durability;
        let Some(sync) = own.sync.take() else { return };
        own.durable.clone_from(&own.syncing);
        own.saving.is_due = true;
        own.waits = false;
        own.bound.learn(sync.bytes, now.since(sync.since));
        if sync.bytes > 0 {
            (own.failures, own.full_since) = (0, None);
        }
        self.end_trial(now, id);
        self.wish_stores(id);
        self.complete_if_done(now, id);
        self.make_durable(now, id);
    }

    pub(super) fn on_saved(&mut self, now: Instant, id: TorrentId, result: Result<(), StorageFault>) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let saving = &mut torrent.durability.saving;
        saving.is_under_way = false;
        let had_failed = core::mem::replace(&mut saving.has_failed, result.is_err());
        // At the end there is no time for another try.
        saving.is_due |= result.is_err() && self.quitting.is_none();
        if let Err(fault) = result
            && !had_failed
        {
            self.note(Note::StateNotSaved { torrent: id, fault });
        }
        self.make_durable(now, id);
    }

    /// Everything is being made durable, in one. No sync is under way.
    pub(super) fn sync_at_the_end(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let own = &mut torrent.durability;
        own.completing += 1;
        if core::mem::take(&mut own.unproven) {
            own.syncing.clone_from(torrent.download.have());
            own.sync = Some(SyncUnderWay { since: now, bytes: own.dirty_bytes });
            (own.dirty_bytes, own.dirty_since) = (0, None);
            self.actions.push_back(Action::Sync { torrent: id, everything: true });
        }
    }

    /// Everything is durable. A state is of use only to those who stay and give: their next start reads nothing again.
    pub(super) fn keep_or_forget_state(&mut self, id: TorrentId, all_durable: bool) {
        let torrent = &mut self.torrents[id.0 as usize];
        let own = &mut torrent.durability;
        if all_durable {
            (own.dirty_bytes, own.dirty_since) = (0, None);
            (own.failures, own.full_since) = (0, None);
            own.durable.clone_from(torrent.download.have());
            own.saving.is_due = true;
        }
        if torrent.ended && own.saving.era.take().is_some() {
            self.actions.push_back(Action::ForgetState { torrent: id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_store_waits_while_too_much_is_not_synced_and_one_never_does() {
        let mut own = Durability::new(8, u64::MAX);
        let now = Instant::from_micros(5);
        assert!(own.admits(100 * MIB) && !own.waits);
        assert!(own.wish(7, 3 * MIB) && !own.wish(7, 3 * MIB), "a store is wished for once at a time");
        assert!(own.admits(MIB) && !own.admits(MIB + 1) && own.waits);
        own.answered(now, 7, true);
        assert_eq!((own.unsynced_bytes(), own.dirty_since), (3 * MIB, Some(now)));
        assert!(own.wish(7, MIB));
        own.answered(now, 7, false);
        own.answered(now, 8, true);
        assert_eq!(own.unsynced_bytes(), 3 * MIB, "what failed is not stored");
    }
}
