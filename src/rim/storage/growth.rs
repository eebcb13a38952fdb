//! Long files on file systems that know no holes (FAT, exFAT): what is stored far behind the end of such a file has all
//! before it filled with zeros, by one call that lasts as long as the device takes for that. So the file is made longer in
//! steps first, each of which is on the device before the next one begins, while the loop goes on.
//!
//! What is filled is written twice. The session fetches such torrents from front to back, so that little is.

use super::sync::{Synced, Syncer};
use super::{Storage, sys};
use crate::base::TorrentId;
use crate::base::limits::{GROWTH_BYTES, GROWTH_SLICE_TIME};
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

/// The number of a growing file's sync.
pub(super) const GROWTH: u32 = u32::MAX - 2;
/// Bytes of zeros at hand.
const ZEROS: usize = 64 << 10;

/// A file that is made longer.
pub(super) struct Growth {
    index: u32,
    /// A descriptor of its own: faults that its syncs tell of are still told to the one that stores.
    file: File,
    /// Zeros are written up to here,
    at: u64,
    /// and are to be up to here before the next sync,
    step: u64,
    /// and up to here in the end.
    to: u64,
    is_syncing: bool,
    /// Too many other files are being synced.
    is_put_off: bool,
}

impl Growth {
    /// True if more is to be written, and nothing is waited for.
    fn is_ready(&self) -> bool {
        self.at < self.to && !self.is_syncing && !self.is_put_off
    }
}

impl Storage {
    /// True if the file that the bytes of the torrent from `offset` on belong to has to be made longer first:
    /// [`Storage::go_on`] does that.
    pub fn grows(&mut self, offset: u64) -> bool {
        if !self.kind.fills_holes {
            return false;
        }
        let segment = self.metainfo.layout.segments(offset, 1).next();
        segment.is_some_and(|segment| self.has_to_grow(segment.file, segment.file_offset))
    }

    /// True if the file `index` is filled up to `to`, or is about to be. Whatever stands against it is found by those who
    /// store.
    pub(super) fn has_to_grow(&mut self, index: u32, to: u64) -> bool {
        if self.growth.as_ref().is_some_and(|growth| growth.is_syncing || growth.at < growth.to) {
            return true;
        }
        self.growth = None;
        self.kind.fills_holes && self.begin_growth(index, to).is_some()
    }

    fn begin_growth(&mut self, index: u32, to: u64) -> Option<()> {
        let metainfo = Arc::clone(&self.metainfo);
        let file = metainfo.layout.file(index).filter(|file| !file.is_pad())?;
        let at = self.files.get(&mut self.tree, index, &file, true, self.now).ok()?.length;
        if to <= at.saturating_add(GROWTH_BYTES) || self.growth_fault.is_some() {
            return None;
        }
        let file = self.tree.open(&file, libc::O_RDWR).ok()?;
        self.files.expect(index, &file, false).ok()?;
        self.growth = Some(Growth { index, file, at, step: at, to, is_syncing: false, is_put_off: false });
        Some(())
    }

    /// True if a file is to be made longer, and nothing is waited for.
    pub(super) fn is_growing(&self) -> bool {
        self.growth.as_ref().is_some_and(Growth::is_ready)
    }

    /// True if a file is made longer as soon as a sync is done.
    pub(super) fn waits_to_grow(&self) -> bool {
        self.growth.as_ref().is_some_and(|growth| growth.is_syncing || growth.is_put_off)
    }

    /// Makes the file longer, for a slice of time.
    pub(super) fn grow(&mut self, torrent: TorrentId, syncer: &mut Syncer) {
        if let Some(growth) = &mut self.growth {
            growth.is_put_off = !syncer.has_room();
        }
        let Some(mut growth) = self.growth.take_if(|growth| growth.is_ready()) else { return };
        match self.fill(&mut growth) {
            Ok(()) => self.growth = Some(growth),
            Err(error) => return self.growth_fault = Some(error),
        }
        let Some(growth) = self.growth.as_mut().filter(|growth| growth.at >= growth.step) else { return };
        match growth.file.try_clone() {
            Ok(file) => {
                growth.is_syncing = true;
                syncer.sync(torrent, GROWTH, file, Vec::new());
            }
            // What is not waited for here is waited for by those who write next.
            Err(error) => log::debug!("a growing file cannot be synced: {error}"),
        }
    }

    fn fill(&mut self, growth: &mut Growth) -> io::Result<()> {
        static NOTHING: [u8; ZEROS] = [0; ZEROS];
        let start = Instant::now();
        if growth.at >= growth.step {
            growth.step = growth.to.min(growth.at.saturating_add(GROWTH_BYTES));
        }
        let before = growth.at;
        while growth.at < growth.step && (growth.at == before || start.elapsed() < GROWTH_SLICE_TIME) {
            let length = (growth.step - growth.at).min(ZEROS as u64) as usize;
            let zeros = [IoSlice::new(&NOTHING[..length])];
            match sys::retry(|| sys::write_at(&growth.file, &zeros, growth.at))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => growth.at += written as u64,
            }
        }
        self.has_grown(growth.index, before, growth.at)
    }

    /// The file `index` reaches from `before` to `end` now.
    fn has_grown(&mut self, index: u32, before: u64, end: u64) -> io::Result<()> {
        let metainfo = Arc::clone(&self.metainfo);
        let Some(file) = metainfo.layout.file(index) else { return Ok(()) };
        let open = self.files.get(&mut self.tree, index, &file, true, self.now)?;
        open.length = open.length.max(end);
        open.reserved_bytes = open.reserved_bytes.max(end);
        open.unchanged()?;
        self.needed_bytes = self.needed_bytes.saturating_sub(end - before);
        self.write_back.note_file(index);
        self.state.stored();
        Ok(())
    }

    /// What was filled last is on the device.
    pub(super) fn has_grown_on_device(&mut self, answer: Synced) {
        if let Some(growth) = &mut self.growth {
            growth.is_syncing = false;
            if let Err(error) = answer.result {
                self.growth = None;
                self.growth_fault = Some(error);
            }
        }
    }
}
