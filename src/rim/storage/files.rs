//! The files that are open: a few, the least recently used is closed for the next. A torrent may have a million.

use super::tree::Tree;
use crate::base::Instant;
use crate::base::limits::OPEN_FILES_MAX;
use crate::meta;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// An open file of the torrent.
pub(super) struct OpenFile {
    /// Its index in the torrent.
    pub(super) index: u32,
    /// The descriptor.
    pub(super) file: File,
    /// True if it may be written to.
    pub(super) writable: bool,
    /// It was at least this long when it was last seen, in bytes.
    pub(super) length: u64,
    /// When it was last used.
    pub(super) used: Instant,
}

impl OpenFile {
    /// What the file is at the moment; an error (`ESTALE`) if someone shortened or deleted it since it was opened.
    pub(super) fn unchanged(&self) -> io::Result<Metadata> {
        let metadata = self.file.metadata()?;
        let changed = metadata.len() < self.length || metadata.nlink() == 0;
        if changed { Err(io::Error::from_raw_os_error(libc::ESTALE)) } else { Ok(metadata) }
    }
}

/// The open files, the most recently used first.
#[derive(Default)]
pub(super) struct Files(Vec<OpenFile>);

impl Files {
    /// The open file `index`, if it is open and may be written to as wished.
    fn find(&mut self, index: u32, writable: bool, now: Instant) -> Option<&mut OpenFile> {
        let at = self.0.iter().position(|open| open.index == index && (open.writable || !writable))?;
        self.0[..=at].rotate_right(1);
        self.0[0].used = now;
        self.0.first_mut()
    }

    /// The open file `index`, without using it.
    pub(super) fn peek(&self, index: u32) -> Option<&OpenFile> {
        self.0.iter().find(|open| open.index == index)
    }

    /// The file `index`, which is `file` in the torrent: opened if it is not open yet, made if it is to be written to.
    pub(super) fn get(
        &mut self,
        tree: &mut Tree,
        index: u32,
        file: &meta::File<'_>,
        writable: bool,
        now: Instant,
    ) -> io::Result<&mut OpenFile> {
        if self.find(index, writable, now).is_none() {
            let flags = if writable { libc::O_RDWR | libc::O_CREAT } else { libc::O_RDONLY };
            let opened = match tree.open(file, flags) {
                // No descriptors left: peers may have taken them.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    self.0.truncate(self.0.len() / 2);
                    tree.open(file, flags)?
                }
                opened => opened?,
            };
            let metadata = opened.metadata()?;
            if !metadata.is_file() || metadata.len() > file.length {
                return Err(io::Error::from_raw_os_error(libc::ESTALE));
            }
            self.add(OpenFile { index, file: opened, writable, length: metadata.len(), used: now });
        }
        Ok(&mut self.0[0])
    }

    /// Adds a file; the same file opened otherwise is closed, or else the one that was not used for longest.
    fn add(&mut self, open: OpenFile) {
        self.close(open.index);
        self.0.truncate(OPEN_FILES_MAX - 1);
        self.0.insert(0, open);
    }

    /// Closes the file `index`, if it is open.
    pub(super) fn close(&mut self, index: u32) {
        self.0.retain(|open| open.index != index);
    }

    /// Closes all.
    pub(super) fn close_all(&mut self) {
        self.0.clear();
    }

    /// Closes what was not used for `span`.
    pub(super) fn close_idle(&mut self, now: Instant, span: Duration) {
        self.0.retain(|open| now.since(open.used) < span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(index: u32, writable: bool, used: Instant) -> OpenFile {
        let file = File::open("/dev/null").expect("/dev/null is there");
        OpenFile { index, file, writable, length: 0, used }
    }

    fn indexes(files: &Files) -> Vec<u32> {
        files.0.iter().map(|open| open.index).collect()
    }

    #[test]
    fn the_least_recently_used_file_makes_room() {
        let mut files = Files::default();
        for index in 0..OPEN_FILES_MAX as u32 {
            files.add(open(index, true, Instant::ZERO));
        }
        assert!(files.find(0, true, Instant::ZERO).is_some());
        files.add(open(1_000, true, Instant::ZERO));
        assert_eq!(files.0.len(), OPEN_FILES_MAX);
        assert!(files.find(1, true, Instant::ZERO).is_none(), "1 was used least recently");
        assert_eq!(indexes(&files)[..3], [1_000, 0, OPEN_FILES_MAX as u32 - 1]);
    }

    #[test]
    fn a_file_open_for_reading_is_opened_anew_for_writing() {
        let mut files = Files::default();
        files.add(open(7, false, Instant::ZERO));
        assert!(files.find(7, false, Instant::ZERO).is_some());
        assert!(files.find(7, true, Instant::ZERO).is_none());
        files.add(open(7, true, Instant::ZERO));
        assert!(files.find(7, true, Instant::ZERO).is_some() && indexes(&files) == [7]);
    }

    #[test]
    fn idle_files_are_closed() {
        let mut files = Files::default();
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        files.add(open(1, true, at(0)));
        files.add(open(2, true, at(0)));
        assert!(files.find(1, true, at(50)).is_some());
        files.close_idle(at(70), Duration::from_secs(60));
        assert_eq!(indexes(&files), [1]);
    }
}
