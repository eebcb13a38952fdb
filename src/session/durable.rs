//! What is on the device for certain, and when to sync.
//!
//! Stored bytes are the kernel's until they are synced, and a power cut takes them. So syncs follow each other while
//! there is something to be synced, and no more than the device takes in about a second waits ([`Device`]): above that
//! stores wait, the buffers fill, nobody is asked for more, and the sockets are read no further.

use super::device::Device;
use super::saving::Saving;
use super::torrents::Torrent;
use super::{Action, Session};
use crate::base::limits::{STORE_RETRY_INTERVAL, STORE_TRIES_MAX, SYNC_AGE_MAX};
use crate::base::{Bitfield, Instant, TorrentId};
use crate::resume::Past;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How safe the pieces of a torrent are.
#[derive(Debug)]
pub(super) struct Durability {
    /// Pieces that are on the device.
    pub(super) durable: Bitfield,
    /// Pieces that will be when the sync under way is done.
    syncing: Bitfield,
    sync: Option<SyncUnderWay>,
    /// Stores that are wished for and not answered, with their bytes.
    wished: BTreeMap<u32, u64>,
    /// Bytes stored since the last sync began, and since when there are any.
    dirty_bytes: u64,
    dirty_since: Option<Instant>,
    /// Its next store waits until others' bytes or its own are synced.
    waits: bool,
    /// There are pieces that no sync of this run has seen: the next one is of everything.
    unproven: bool,
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
    /// Pieces that the device may have refused, and memory keeps as if they were written: a sync makes them durable only
    /// after they have been written again. Without room for any as long as there are none.
    pub(super) refused: Bitfield,
    /// Not even memory takes them again; until a sync of everything succeeds.
    pub refuses_renewal: bool,
    pub(super) saving: Saving,
    /// What runs before this one have done.
    pub past: Past,
}

#[derive(Clone, Copy, Debug)]
struct SyncUnderWay {
    bytes: u64,
    /// It belongs to a round of syncs.
    in_round: bool,
    /// What was there when it began is durable by its end.
    is_proof: bool,
}

impl Durability {
    /// Nothing is there yet, of so many pieces.
    pub fn new(pieces: u32) -> Self {
        Self {
            durable: Bitfield::new(pieces),
            syncing: Bitfield::new(pieces),
            sync: None,
            wished: BTreeMap::new(),
            dirty_bytes: 0,
            dirty_since: None,
            waits: false,
            unproven: false,
            failures: 0,
            full_since: None,
            completing: 0,
            rests_until: Instant::ZERO,
            suspects: Vec::new(),
            recheck: false,
            refused: Bitfield::new(0),
            refuses_renewal: false,
            saving: Saving::default(),
            past: Past::default(),
        }
    }

    /// Bytes that a power cut may take, and those of them that are stored and in no sync.
    pub fn unsynced_bytes(&self) -> (u64, u64) {
        let on_their_way: u64 = self.wished.values().sum();
        (on_their_way + self.dirty_bytes + self.sync.map_or(0, |sync| sync.bytes), self.dirty_bytes)
    }

    /// True if the next store, which has so many bytes, need not wait for its turn.
    pub fn admits(&mut self, device: &mut Device, id: TorrentId, bytes: u64) -> bool {
        let is_first = !device.is_waited_for() && device.admits(bytes);
        if !is_first {
            self.wait(device, id);
        }
        is_first
    }

    /// The next store has its turn after those that wait already.
    pub fn wait(&mut self, device: &mut Device, id: TorrentId) {
        if !core::mem::replace(&mut self.waits, true) {
            device.wait(id);
        }
    }

    /// The torrent has left those who wait.
    pub fn end_wait(&mut self) {
        self.waits = false;
    }

    /// `store`, which has so many bytes, is wished for. False if it was, and is not answered yet.
    pub fn wish(&mut self, device: &mut Device, store: u32, bytes: u64) -> bool {
        let is_new = self.wished.insert(store, bytes).is_none();
        device.wished(if is_new { bytes } else { 0 });
        is_new
    }

    /// True if a store is wished for and not answered.
    pub fn awaits_answers(&self) -> bool {
        !self.wished.is_empty()
    }

    /// `store` is answered.
    pub fn answered(&mut self, device: &mut Device, now: Instant, store: u32, stored: bool) {
        let bytes = self.wished.remove(&store).unwrap_or(0);
        if !stored {
            device.released(bytes);
        } else if bytes > 0 {
            device.stored(bytes);
            self.dirty_bytes += bytes;
            self.dirty_since.get_or_insert(now);
        }
    }

    /// Nothing is known any more of what was stored since the last sync began; how many bytes that was.
    fn forget_dirty(&mut self, device: &mut Device) -> u64 {
        let bytes = core::mem::take(&mut self.dirty_bytes);
        self.dirty_since = None;
        device.begun_to_sync(bytes);
        device.released(bytes);
        bytes
    }

    /// A sync of what was stored since the last one begins.
    fn begin_sync(&mut self, device: &mut Device, in_round: bool) {
        let bytes = core::mem::take(&mut self.dirty_bytes);
        self.dirty_since = None;
        device.begun_to_sync(bytes);
        self.sync = Some(SyncUnderWay { bytes, in_round, is_proof: true });
    }

    /// The sync under way is answered, if there is one.
    fn end_sync(&mut self, device: &mut Device, now: Instant, good: bool) -> Option<SyncUnderWay> {
        let sync = self.sync.take()?;
        device.released(sync.bytes);
        if sync.in_round {
            device.leave_round(now, good);
        }
        Some(sync)
    }

    /// Everything is durable: `have`.
    pub(super) fn all_is_durable(&mut self, device: &mut Device, have: &Bitfield) {
        self.forget_dirty(device);
        (self.failures, self.full_since) = (0, None);
        self.durable.clone_from(have);
        self.saving.is_behind();
    }

    /// The sync under way makes nothing durable that was not.
    fn prove_nothing(&mut self) {
        self.syncing.clone_from(&self.durable);
        if let Some(sync) = &mut self.sync {
            sync.is_proof = false;
        }
    }

    /// A piece that was there before this run is right.
    pub fn found(&mut self, piece: u32) {
        self.unproven |= !self.durable.has(piece);
    }

    /// A piece is not what it was.
    pub fn lost(&mut self, piece: u32) {
        let was_durable = self.durable.remove(piece);
        if was_durable {
            self.saving.is_behind();
        }
        self.syncing.remove(piece);
        self.refused.remove(piece);
    }

    /// The device may have refused `piece`.
    pub fn refuse(&mut self, piece: u32) {
        if self.refused.is_empty() {
            self.refused = Bitfield::new(self.durable.len());
        }
        self.refused.insert(piece);
    }

    /// True if the device may have refused `piece`.
    pub fn is_refused(&self, piece: u32) -> bool {
        self.refused.has(piece)
    }

    /// The device will be given `piece` again.
    pub fn renewed(&mut self, piece: u32) {
        self.refused.remove(piece);
    }

    /// Somebody has been at the files: nothing is believed any more.
    pub fn forget(&mut self) {
        let none = Bitfield::new(self.durable.len());
        (self.durable, self.syncing) = (none.clone(), none);
        self.unproven = true;
        self.saving.is_behind();
    }

    /// A sync has failed; how many bytes it was of.
    pub fn sync_failed(&mut self, device: &mut Device, now: Instant) -> u64 {
        self.end_sync(device, now, false).map_or(0, |sync| sync.bytes)
    }

    /// What we `have` and is not durable may be lost, and is to be read, `partly_stored` pieces as soon as they are wholly
    /// stored. A sync that is under way proves nothing any more. Answers the bytes that may be lost beside those of a sync.
    pub fn doubt(
        &mut self,
        device: &mut Device,
        now: Instant,
        have: &Bitfield,
        partly_stored: Vec<u32>,
    ) -> u64 {
        for piece in have.iter() {
            if !self.durable.has(piece) {
                self.refuse(piece);
            }
        }
        self.rests_until = now + STORE_RETRY_INTERVAL;
        self.recheck = true;
        self.unproven = true;
        self.suspects = partly_stored;
        self.prove_nothing();
        self.forget_dirty(device)
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
    pub fn begin_trial(&mut self) -> bool {
        if self.sync.is_some() {
            return false;
        }
        self.sync = Some(SyncUnderWay { bytes: 0, in_round: false, is_proof: false });
        self.prove_nothing();
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
            if self.take_suspect(piece) {
                self.recheck = true;
                self.refuse(piece);
            }
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

    /// True if a piece was stored in part when a sync failed: the other part may be lost.
    fn take_suspect(&mut self, piece: u32) -> bool {
        let before = self.suspects.len();
        self.suspects.retain(|&suspect| suspect != piece);
        self.suspects.len() < before
    }

    /// True if stores wait until a sync is done.
    pub fn holds_stores(&self) -> bool {
        self.waits
    }

    /// True if whatever was stored was synced, or is in doubt.
    pub(super) fn is_at_rest(&self) -> bool {
        self.unsynced_bytes() == (0, 0) && self.sync.is_none() && self.completing == 0
    }

    /// True if nothing is on its way to the device, or is to be.
    fn is_settled(&self, may_sync: bool) -> bool {
        let synced = self.sync.is_none() && (self.dirty_bytes == 0 || !may_sync);
        synced && self.completing == 0 && self.saving.is_settled()
    }
}

impl Torrent {
    /// Begins a sync of all that was stored.
    fn begin_sync(&mut self, device: &mut Device, in_round: bool) -> Action {
        let is_certain = self.is_certain();
        let own = &mut self.durability;
        own.begin_sync(device, in_round);
        if !is_certain {
            // Others wait for the room; what no sync has proven is synced once more when it is certain.
            own.prove_nothing();
            own.unproven = true;
            return Action::Sync { torrent: self.id, everything: false };
        }
        own.syncing.clone_from(self.download.have());
        let everything = core::mem::take(&mut own.unproven);
        Action::Sync { torrent: self.id, everything }
    }

    /// True if what a sync brings to the device is durable: what is being read is not proven.
    fn is_certain(&self) -> bool {
        self.checking.is_none() && !self.is_doubted()
    }

    /// True if a sync may begin. The sync of the end sees to everything.
    fn may_sync(&self) -> bool {
        !self.complete && !self.is_unsynced() && !self.durability.is_syncing()
    }

    /// True if its next sync is of everything. That may take long, so nobody goes along or waits for its end.
    fn syncs_alone(&self) -> bool {
        self.durability.unproven && self.is_certain()
    }

    /// True if it goes along with a round of syncs. `is_pressing`: others need the room.
    fn joins_round(&self, now: Instant, is_pressing: bool) -> bool {
        let own = &self.durability;
        let is_wanted = own.dirty_bytes > 0 && (is_pressing || self.is_certain());
        is_wanted && !self.syncs_alone() && self.may_sync() && own.rests_until <= now
    }

    /// When a sync is due for its sake.
    fn sync_deadline(&self, device: &Device) -> Option<Instant> {
        let (own, alone) = (&self.durability, self.syncs_alone());
        let at_once = alone || own.dirty_bytes > 0 && device.is_pressing();
        let in_time = own.dirty_since.filter(|_| self.is_certain()).map(|since| since + SYNC_AGE_MAX);
        let due = at_once.then_some(Instant::ZERO).or(in_time).map(|due| due.max(own.rests_until));
        due.filter(|_| self.may_sync() && (alone || !device.is_in_round()))
    }

    /// When [`Session::make_durable`] has something to do.
    pub(super) fn durable_deadline(&self, device: &Device) -> Option<Instant> {
        let save = self.durability.saving.deadline(self.up.total_bytes());
        [self.sync_deadline(device), save].into_iter().flatten().min()
    }

    /// Pieces that are there and may not be on the device.
    pub(super) fn undurable(&self) -> impl Iterator<Item = u32> + '_ {
        self.download.have().iter().filter(|&piece| !self.durability.durable.has(piece))
    }
}

impl Session {
    /// Begins syncs or saves the state, if it is time for that.
    pub(super) fn make_durable(&mut self, now: Instant, id: TorrentId) {
        let hurry = self.ending.quitting.is_some();
        let torrent = &mut self.torrents[id.0 as usize];
        if torrent.sync_deadline(&self.device).is_some_and(|due| due <= now) {
            if torrent.syncs_alone() {
                self.actions.push_back(torrent.begin_sync(&mut self.device, false));
            } else {
                self.begin_round(now);
            }
        }
        let torrent = &mut self.torrents[id.0 as usize];
        let is_last = hurry && torrent.stall.is_none() && !torrent.is_doubted() && torrent.may_sync();
        if is_last && torrent.durability.dirty_bytes > 0 {
            self.actions.push_back(torrent.begin_sync(&mut self.device, false));
        }
        self.save_in_time(now, id);
    }

    /// Begins a sync of every torrent that has stored something.
    fn begin_round(&mut self, now: Instant) {
        let is_pressing = self.device.is_pressing();
        for torrent in &mut self.torrents {
            if torrent.joins_round(now, is_pressing) {
                self.device.join_round(now, torrent.durability.dirty_bytes);
                self.actions.push_back(torrent.begin_sync(&mut self.device, true));
            }
        }
    }

    /// True if the end of the run need not wait for this torrent's files.
    pub(super) fn is_settled(torrent: &Torrent) -> bool {
        torrent.stall.is_some() || torrent.durability.is_settled(!torrent.is_doubted())
    }

    pub(super) fn on_synced(&mut self, now: Instant, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let own = &mut torrent.durability;
        let Some(sync) = own.end_sync(&mut self.device, now, true) else { return };
        own.durable.clone_from(&own.syncing);
        own.saving.is_behind();
        if sync.bytes > 0 && sync.is_proof {
            (own.failures, own.full_since) = (0, None);
        }
        self.end_trial(now, id);
        self.let_stores_in();
        self.complete_if_done(now, id);
        self.make_durable(now, id);
        if self.ending.quitting.is_some() {
            self.store_and_sync_at_the_end(now);
        }
    }

    /// Everything is being made durable, in one. No sync is under way.
    pub(super) fn sync_at_the_end(&mut self, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let own = &mut torrent.durability;
        own.completing += 1;
        // To complete many files may take long, and others may wait for the room.
        if own.unproven || own.dirty_bytes > 0 {
            self.actions.push_back(torrent.begin_sync(&mut self.device, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const ID: TorrentId = TorrentId(0);

    #[test]
    fn a_store_is_counted_once_until_it_is_synced_or_has_failed() {
        let (mut own, mut device) = (Durability::new(8), Device::new(u64::MAX));
        let now = Instant::from_micros(5);
        assert!(own.admits(&mut device, ID, 100 * MIB) && !own.waits);
        assert!(own.wish(&mut device, 7, 3 * MIB));
        assert!(!own.wish(&mut device, 7, 3 * MIB), "a store is wished for once at a time");
        assert!(own.admits(&mut device, ID, MIB) && !own.admits(&mut device, ID, MIB + 1) && own.waits);
        own.answered(&mut device, now, 7, true);
        assert_eq!((own.unsynced_bytes(), own.dirty_since), ((3 * MIB, 3 * MIB), Some(now)));
        assert!(own.wish(&mut device, 7, MIB));
        own.answered(&mut device, now, 7, false);
        own.answered(&mut device, now, 8, true);
        assert_eq!(own.unsynced_bytes(), (3 * MIB, 3 * MIB), "what failed is not stored");
        own.begin_sync(&mut device, false);
        assert_eq!(own.unsynced_bytes(), (3 * MIB, 0));
        assert_eq!(own.end_sync(&mut device, now, true).map(|sync| sync.bytes), Some(3 * MIB));
        assert_eq!(own.unsynced_bytes(), (0, 0));
        assert!(device.admits(u64::MAX), "all was counted back");
    }
}
