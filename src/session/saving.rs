//! The resume state: what it says, and when it is saved.

use super::durable::Durability;
use super::{Action, Note, Session, StorageFault};
use crate::base::limits::{STATE_INTERVAL, STATE_TOTALS_INTERVAL};
use crate::base::{Bitfield, Instant, TorrentId};
use crate::resume::{Era, Past, Stamp, State, Wall};
use alloc::vec::Vec;
use core::time::Duration;

/// The resume state of a torrent.
#[derive(Debug, Default)]
pub(super) struct Saving {
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

impl Saving {
    /// It says less than is known, if there is one.
    pub fn is_behind(&mut self) {
        self.is_due |= self.era.is_some();
    }

    /// True if it says all that is known, and is on the device.
    pub fn is_settled(&self) -> bool {
        self.era.is_none() || !(self.is_due || self.is_under_way)
    }

    /// When it is to be saved; so many bytes have been given by now.
    pub fn deadline(&self, uploaded_bytes: u64) -> Option<Instant> {
        if self.era.is_none() || self.is_under_way {
            None
        } else if self.is_due && !self.has_failed {
            Some(self.at.map_or(Instant::ZERO, |at| at + STATE_INTERVAL))
        } else {
            let has_news = self.is_due || uploaded_bytes != self.uploaded_bytes;
            has_news.then(|| self.at.unwrap_or(Instant::ZERO) + STATE_TOTALS_INTERVAL)
        }
    }

    /// True if it is to be saved before the run ends.
    fn is_due_at_the_end(&self) -> bool {
        self.is_due && !self.is_under_way && self.era.is_some()
    }
}

impl Durability {
    /// From now on a state is kept. An earlier one said that these pieces are durable; what is said of them is at once
    /// said anew, as only our own state tells which changes of the files are ours.
    pub fn keep_state(&mut self, era: Era, past: Past, durable: Bitfield) {
        self.saving.era = Some(era);
        self.saving.is_due = durable.count() > 0;
        self.past = past;
        self.durable = durable;
    }

    /// The run ends: what has been given since the state was saved is worth saving, too. And the next run has to know in
    /// which era the device may have refused something.
    pub fn note_end(&mut self, uploaded_bytes: u64, is_seeding: bool) {
        if self.refused.count() > 0 {
            self.saving.is_behind();
        }
        self.saving.is_due |= is_seeding || uploaded_bytes != self.saving.uploaded_bytes;
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
            is_final: self.ending.quitting.is_some() && own.is_at_rest() && torrent.download.is_flushed(),
            stamps: stamps.into(),
            durable: own.durable.clone(),
            stored: stored.clone(),
        };
        state.encode()
    }

    /// Saves the state, if it is time for that.
    pub(super) fn save_in_time(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let uploaded_bytes = torrent.up.total_bytes();
        let ends = self.ending.quitting.is_some();
        // At the end nothing is written beside a sync, which may let who writes wait.
        let may_write = !ends || !torrent.durability.is_syncing();
        let saving = &mut torrent.durability.saving;
        let is_due = saving.deadline(uploaded_bytes).is_some_and(|due| due <= now);
        if may_write && (is_due || ends && saving.is_due_at_the_end()) {
            (saving.is_due, saving.is_under_way) = (false, true);
            (saving.at, saving.uploaded_bytes) = (Some(now), uploaded_bytes);
            self.actions.push_back(Action::Save { torrent: id });
        }
    }

    pub(super) fn on_saved(&mut self, now: Instant, id: TorrentId, result: Result<(), StorageFault>) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let saving = &mut torrent.durability.saving;
        saving.is_under_way = false;
        let had_failed = core::mem::replace(&mut saving.has_failed, result.is_err());
        // At the end there is no time for another try.
        saving.is_due |= result.is_err() && self.ending.quitting.is_none();
        if let Err(fault) = result
            && !had_failed
        {
            self.note(Note::StateNotSaved { torrent: id, fault });
        }
        self.make_durable(now, id);
    }

    /// Everything is durable. A state is of use only to those who stay and give: their next start reads nothing again.
    pub(super) fn keep_or_forget_state(&mut self, id: TorrentId, all_durable: bool) {
        let torrent = &mut self.torrents[id.0 as usize];
        let own = &mut torrent.durability;
        if all_durable {
            own.all_is_durable(&mut self.device, torrent.download.have());
        }
        // What is not on the disk yet may have to be fetched again, and others are to keep away from it meanwhile.
        if torrent.ended && torrent.durable && own.saving.era.take().is_some() {
            self.actions.push_back(Action::ForgetState { torrent: id });
        }
    }
}
