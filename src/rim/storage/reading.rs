//! What is read and sent: whether it is in memory, and how it gets there while the loop goes on.

use super::send::SendFault;
use super::{SendError, Storage, ahead, send, sys};
use crate::base::limits::{BLOCK_BYTES, READ_AHEAD_FILES_MAX};
use crate::meta::{self, Segment};
use crate::session::StorageFault;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

impl Storage {
    /// Reads the bytes of the torrent from `offset` until `buffer` is full. What is not there reads as zeros: holes,
    /// missing and short files, pad files, and all behind the end of the torrent.
    ///
    /// # Errors
    /// The first fault; then nothing is promised about `buffer`.
    pub fn load(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageFault> {
        let metainfo = Arc::clone(&self.metainfo);
        let mut rest = buffer;
        for segment in metainfo.layout.segments(offset, rest.len() as u64) {
            let (target, later) = rest.split_at_mut(segment.length as usize);
            rest = later;
            match metainfo.layout.file(segment.file) {
                Some(file) if !file.is_pad() => {
                    self.load_segment(&file, segment, target).map_err(|e| self.fault(segment.file, &e))?;
                }
                _ => target.fill(0),
            }
        }
        rest.fill(0);
        Ok(())
    }

    /// Sends some of the `length` bytes of the torrent from `offset` on to a socket; how many, at least 1.
    ///
    /// # Errors
    /// The socket's, or the file's with its index: then the bytes are not what was stored.
    pub fn send(&mut self, offset: u64, length: usize, to: BorrowedFd<'_>) -> Result<usize, SendError> {
        let metainfo = Arc::clone(&self.metainfo);
        let segment = metainfo.layout.segments(offset, length as u64).find(|segment| segment.length > 0);
        let Some((segment, file)) = segment.and_then(|one| Some((one, metainfo.layout.file(one.file)?)))
        else {
            return Err(SendError::Socket(io::ErrorKind::InvalidInput.into()));
        };
        let sent = if file.is_pad() {
            send::send_zeros(segment.length as usize, to)
        } else {
            let open = self.files.get(&mut self.tree, segment.file, &file, false, self.now);
            open.map_err(SendFault::File).and_then(|open| {
                send::send_file(&open.file, segment.file_offset, segment.length as usize, to)
            })
        };
        sent.map_err(|fault| match fault {
            SendFault::Socket(error) => SendError::Socket(error),
            SendFault::File(error) => SendError::Storage(self.fault(segment.file, &error)),
        })
    }

    fn load_segment(&mut self, file: &meta::File<'_>, segment: Segment, target: &mut [u8]) -> io::Result<()> {
        match self.files.get(&mut self.tree, segment.file, file, false, self.now) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => target.fill(0),
            opened => read_or_zero(&opened?.file, segment.file_offset, target)?,
        }
        Ok(())
    }

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

/// Reads until `target` is full; what lies behind the end of the file reads as zeros.
pub(super) fn read_or_zero(file: &File, mut offset: u64, mut target: &mut [u8]) -> io::Result<()> {
    while !target.is_empty() {
        let count = sys::retry(|| file.read_at(target, offset))?;
        if count == 0 {
            target.fill(0);
            break;
        }
        offset += count as u64;
        target = &mut target[count..];
    }
    Ok(())
}
