//! What is to be read: whether it is in memory, and how it gets there while the loop goes on.

use super::{Storage, ahead};
use crate::base::limits::{BLOCK_BYTES, READ_AHEAD_FILES_MAX};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

impl Storage {
    /// True if the bytes of the torrent from `offset` on can be read without waiting for a device, as far as can be told
    /// cheaply. If not, they and what follows them are on their way: ask again.
    pub fn is_at_hand(&mut self, offset: u64, length: usize) -> bool {
        let is_at_hand = self.probe(offset, length as u64);
        if is_at_hand {
            self.reach.came(offset, length as u64, Instant::now);
        } else {
            self.reach.missed(offset, Instant::now());
            self.announced_to = offset;
            self.read_on(offset);
        }
        is_at_hand
    }

    fn probe(&mut self, offset: u64, length: u64) -> bool {
        let mut probe = self.probe;
        let is_at_hand =
            self.each_file(offset, length, |file, at, length| probe.is_at_hand(file, at, length));
        self.probe = probe;
        is_at_hand
    }

    /// Reading goes on at `offset`: keeps the device as far ahead of it as is good.
    pub fn read_on(&mut self, offset: u64) {
        let end = offset.saturating_add(self.reach.bytes());
        if !(offset..=end).contains(&self.announced_to) {
            self.announced_to = offset;
        }
        if end - self.announced_to >= self.reach.bytes() / 2 {
            self.announce(self.announced_to, end - self.announced_to);
            self.announced_to = end;
        }
    }

    /// True if the last of what was announced with the bytes at `offset`, which are not at hand, has come.
    pub fn is_passed(&mut self, offset: u64) -> bool {
        let end = self.metainfo.layout.total_bytes().min(offset.saturating_add(self.reach.bytes()));
        let last = end.saturating_sub(u64::from(BLOCK_BYTES)).max(offset);
        self.probe(last, end.saturating_sub(last))
    }

    /// Starts reading the bytes of the torrent from `offset` on, as far as a few files go.
    pub fn announce(&mut self, offset: u64, length: u64) {
        self.each_file(offset, length, |file, offset, length| {
            ahead::announce(file, offset, length);
            true
        });
    }

    /// Does something with the parts of a range that lie in files that can be opened, the first few, until it answers
    /// false.
    fn each_file(&mut self, offset: u64, length: u64, mut act: impl FnMut(&File, u64, u64) -> bool) -> bool {
        let metainfo = Arc::clone(&self.metainfo);
        let segments = metainfo.layout.segments(offset, length).filter(|segment| segment.length > 0);
        for segment in segments.take(READ_AHEAD_FILES_MAX) {
            let Some(file) = metainfo.layout.file(segment.file).filter(|file| !file.is_pad()) else {
                continue;
            };
            let opened = self.files.get(&mut self.tree, segment.file, &file, false, self.now);
            if opened.is_ok_and(|open| !act(&open.file, segment.file_offset, segment.length)) {
                return false;
            }
        }
        true
    }
}
