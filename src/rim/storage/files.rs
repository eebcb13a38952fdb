//! The files that are open: a few, the least recently used is closed for the next. A torrent may have a million.

use super::sys;
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

/// The open files, and what tells a file from another one of the same name.
pub(super) struct Files {
    /// The most recently used first.
    open: Vec<OpenFile>,
    /// Of each file of the torrent, a digest of when it was made; 0 as long as it was not opened, or is not known.
    births: Box<[u32]>,
}

impl Files {
    /// None is open; `count` is how many the torrent has.
    pub(super) fn new(count: u32) -> Self {
        Self { open: Vec::new(), births: vec![0; count as usize].into() }
    }

    /// The open file `index`, if it is open and may be written to as wished.
    fn find(&mut self, index: u32, writable: bool, now: Instant) -> Option<&mut OpenFile> {
        let at = self.open.iter().position(|open| open.index == index && (open.writable || !writable))?;
        self.open[..=at].rotate_right(1);
        self.open[0].used = now;
        self.open.first_mut()
    }

    /// The open file `index`, without using it.
    pub(super) fn peek(&self, index: u32) -> Option<&OpenFile> {
        self.open.iter().find(|open| open.index == index)
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
                    self.open.truncate(self.open.len() / 2);
                    tree.open(file, flags)?
                }
                opened => opened?,
            };
            let metadata = opened.metadata()?;
            if !metadata.is_file() || metadata.len() > file.length {
                return Err(io::Error::from_raw_os_error(libc::ESTALE));
            }
            self.recognise(index, &opened)?;
            self.add(OpenFile { index, file: opened, writable, length: metadata.len(), used: now });
        }
        Ok(&mut self.open[0])
    }

    /// An error (`ESTALE`) if the file is another one than it was before, told once. Its number (inode) would not tell:
    /// some file systems give a new one each time that they look.
    fn recognise(&mut self, index: u32, file: &File) -> io::Result<()> {
        let Some(known) = self.births.get_mut(index as usize) else { return Ok(()) };
        let birth = birth(file);
        let before = std::mem::replace(known, if birth == 0 { *known } else { birth });
        let is_another = before != 0 && before != *known;
        if is_another { Err(io::Error::from_raw_os_error(libc::ESTALE)) } else { Ok(()) }
    }

    /// Whatever is there under the name of file `index` is taken for it the next time: it was told that it has changed.
    pub(super) fn forget_birth(&mut self, index: u32) {
        if let Some(known) = self.births.get_mut(index as usize) {
            *known = 0;
        }
    }

    /// Adds a file; the same file opened otherwise is closed, or else the one that was not used for longest.
    fn add(&mut self, open: OpenFile) {
        self.close(open.index);
        self.open.truncate(OPEN_FILES_MAX - 1);
        self.open.insert(0, open);
    }

    /// Closes the file `index`, if it is open.
    pub(super) fn close(&mut self, index: u32) {
        self.open.retain(|open| open.index != index);
    }

    /// Closes all.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// Closes what was not used for `span`.
    pub(super) fn close_idle(&mut self, now: Instant, span: Duration) {
        self.open.retain(|open| now.since(open.used) < span);
    }
}

/// A digest of when a file was made, to the nanosecond; 0 where the file system does not tell.
fn birth(file: &File) -> u32 {
    sys::birth(file).map_or(0, |(seconds, nanos)| (seconds as u32).rotate_left(30) ^ nanos | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(index: u32, writable: bool, used: Instant) -> OpenFile {
        let file = File::open("/dev/null").expect("/dev/null is there");
        OpenFile { index, file, writable, length: 0, used }
    }

    fn indexes(files: &Files) -> Vec<u32> {
        files.open.iter().map(|open| open.index).collect()
    }

    #[test]
    fn the_least_recently_used_file_makes_room() {
        let mut files = Files::new(8);
        for index in 0..OPEN_FILES_MAX as u32 {
            files.add(open(index, true, Instant::ZERO));
        }
        assert!(files.find(0, true, Instant::ZERO).is_some());
        files.add(open(1_000, true, Instant::ZERO));
        assert_eq!(files.open.len(), OPEN_FILES_MAX);
        assert!(files.find(1, true, Instant::ZERO).is_none(), "1 was used least recently");
        assert_eq!(indexes(&files)[..3], [1_000, 0, OPEN_FILES_MAX as u32 - 1]);
    }

    #[test]
    fn a_file_open_for_reading_is_opened_anew_for_writing() {
        let mut files = Files::new(8);
        files.add(open(7, false, Instant::ZERO));
        assert!(files.find(7, false, Instant::ZERO).is_some());
        assert!(files.find(7, true, Instant::ZERO).is_none());
        files.add(open(7, true, Instant::ZERO));
        assert!(files.find(7, true, Instant::ZERO).is_some() && indexes(&files) == [7]);
    }

    #[test]
    fn idle_files_are_closed() {
        let mut files = Files::new(8);
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        files.add(open(1, true, at(0)));
        files.add(open(2, true, at(0)));
        assert!(files.find(1, true, at(50)).is_some());
        files.close_idle(at(70), Duration::from_secs(60));
        assert_eq!(indexes(&files), [1]);
    }
}
