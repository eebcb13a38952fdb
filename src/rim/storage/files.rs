//! The files that are open: a few, the least recently used is closed for the next. A torrent may have a million.

use super::known::{Known, stale};
use super::tree::Tree;
use crate::base::Instant;
use crate::base::limits::OPEN_FILES_MAX;
use crate::meta;
use crate::resume::Stamp;
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
    /// Up to here room was taken for it since it was opened, in bytes.
    pub(super) reserved_bytes: u64,
    /// When it was last used.
    pub(super) used: Instant,
}

impl OpenFile {
    /// What the file is at the moment; an error (`ESTALE`) if someone shortened or deleted it since it was opened.
    pub(super) fn unchanged(&self) -> io::Result<Metadata> {
        let metadata = self.file.metadata()?;
        let changed = metadata.len() < self.length || metadata.nlink() == 0;
        if changed { Err(stale()) } else { Ok(metadata) }
    }
}

/// The open files, and what tells a file from another one of the same name.
pub(super) struct Files {
    /// The most recently used first.
    open: Vec<OpenFile>,
    /// How each file of the torrent was when it was last seen.
    known: Box<[Known]>,
    /// As many may be open.
    most: usize,
}

impl Files {
    /// None is open; `stamps` tells how each file of the torrent is.
    pub(super) fn new(stamps: &[Stamp]) -> Self {
        let known = stamps.iter().map(Known::of_stamp).collect();
        Self { open: Vec::new(), known, most: OPEN_FILES_MAX }
    }

    /// As many may be open from now on, at least 1.
    pub(super) fn keep_open(&mut self, most: usize) {
        self.most = most.clamp(1, OPEN_FILES_MAX);
        self.keep_newest(self.most);
    }

    /// What `open` answers. Where no descriptor is left for it, files that were not used for longest are closed, until
    /// there is one or none is open any more.
    pub(super) fn with_descriptors<T>(&mut self, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match open() {
                Err(error) if is_lack_of_descriptors(&error) && !self.open.is_empty() => {
                    self.keep_newest(self.open.len() / 2);
                }
                answer => return answer,
            }
        }
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

    /// Another descriptor of the file `index`, if it is open for writing.
    pub(super) fn writer(&mut self, index: u32) -> io::Result<Option<File>> {
        let Some(at) = self.open.iter().position(|open| open.index == index && open.writable) else {
            return Ok(None);
        };
        // The last that is closed for want of descriptors.
        self.open[..=at].rotate_right(1);
        loop {
            match self.open[0].file.try_clone() {
                Err(error) if is_lack_of_descriptors(&error) && self.open.len() > 1 => {
                    self.keep_newest(self.open.len() / 2);
                }
                clone => return clone.map(Some),
            }
        }
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
            let opened = self.with_descriptors(|| tree.open(file, flags))?;
            let metadata = opened.metadata()?;
            if !metadata.is_file() || metadata.len() > file.length {
                return Err(stale());
            }
            self.recognise(index, &opened, &metadata)?;
            let (length, reserved_bytes) = (metadata.len(), 0);
            self.add(OpenFile { index, file: opened, writable, length, reserved_bytes, used: now });
        }
        Ok(&mut self.open[0])
    }

    /// An error (`ESTALE`) if the file is another one than it was before, or shorter; until [`Files::forget`].
    fn recognise(&mut self, index: u32, file: &File, metadata: &Metadata) -> io::Result<()> {
        let Some(known) = self.known.get_mut(index as usize) else { return Ok(()) };
        let now = Known::of(file, metadata);
        known.fits(&now)?;
        *known = now;
        Ok(())
    }

    /// An error (`ESTALE`) if `found`, which the name of the file `index` leads to, is not the file that is open under
    /// that name, or not the one that was, or shorter. `at_rest`: nobody but somebody else has changed it since.
    pub(super) fn expect(&self, index: u32, found: &File, at_rest: bool) -> io::Result<Metadata> {
        let metadata = found.metadata()?;
        let now = Known::of(found, &metadata);
        if let Some(open) = self.peek(index) {
            let ours = open.unchanged()?;
            // Some file systems give a new number each time that they look: then the rest has to tell.
            let is_same_inode = (ours.dev(), ours.ino()) == (metadata.dev(), metadata.ino());
            if !is_same_inode && Known::of(&open.file, &ours) != now {
                return Err(stale());
            }
        }
        let known = self.known.get(index as usize).copied().unwrap_or_default();
        known.fits(&now)?;
        if at_rest { known.is_unchanged(&now).map(|()| metadata) } else { Ok(metadata) }
    }

    /// True if a file was seen under the name of file `index`.
    pub(super) fn is_known(&self, index: u32) -> bool {
        self.known.get(index as usize).is_some_and(|known| *known != Known::default())
    }

    /// Notes how the file `index` is.
    pub(super) fn note(&mut self, index: u32, file: &File) -> io::Result<()> {
        let now = Known::of(file, &file.metadata()?);
        if let Some(known) = self.known.get_mut(index as usize) {
            *known = now;
        }
        Ok(())
    }

    /// Whatever is there under the name of file `index` is taken for it the next time: it was told that it has changed.
    pub(super) fn forget(&mut self, index: u32) {
        if let Some(known) = self.known.get_mut(index as usize) {
            *known = Known::default();
        }
    }

    /// Adds a file; the same file opened otherwise is closed, or else the one that was not used for longest.
    fn add(&mut self, open: OpenFile) {
        self.close(open.index);
        self.keep_newest(self.most - 1);
        self.open.insert(0, open);
    }

    /// Closes the file `index`, if it is open.
    pub(super) fn close(&mut self, index: u32) {
        self.close_if(|open| open.index == index);
    }

    /// Closes all.
    pub(super) fn close_all(&mut self) {
        self.close_if(|_| true);
    }

    /// Closes what was not used for `span`.
    pub(super) fn close_idle(&mut self, now: Instant, span: Duration) {
        self.close_if(|open| now.since(open.used) >= span);
    }

    /// Closes all but the most recently used.
    fn keep_newest(&mut self, count: usize) {
        while self.open.len() > count
            && let Some(index) = self.open.last().map(|open| open.index)
        {
            self.close(index);
        }
    }

    /// Closes some. What we have written to is known as it is then, without what somebody else does to it later.
    fn close_if(&mut self, is_closed: impl Fn(&OpenFile) -> bool) {
        while let Some(at) = self.open.iter().position(&is_closed) {
            let open = self.open.remove(at);
            // A file that cannot be looked at is known as it was, and one that somebody has shortened or deleted as it
            // would be without that.
            let is_noted =
                !open.writable || open.unchanged().is_ok() && self.note(open.index, &open.file).is_ok();
            if let Some(known) = self.known.get_mut(open.index as usize).filter(|_| !is_noted) {
                known.is_at_least(open.length);
            }
        }
    }
}

/// True if all descriptors are taken, ours or the system's.
pub(super) fn is_lack_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(index: u32, writable: bool, used: Instant) -> OpenFile {
        let file = File::open("/dev/null").expect("/dev/null is there");
        OpenFile { index, file, writable, length: 0, reserved_bytes: 0, used }
    }

    fn indexes(files: &Files) -> Vec<u32> {
        files.open.iter().map(|open| open.index).collect()
    }

    #[test]
    fn the_least_recently_used_file_makes_room() {
        let mut files = Files::new(&[Stamp::default(); 8]);
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
    fn where_no_descriptor_is_left_files_give_theirs() {
        let mut files = Files::new(&[Stamp::default(); 8]);
        (0..5).for_each(|index| files.add(open(index, true, Instant::ZERO)));
        let lack = |lacks: bool| if lacks { Err(io::Error::from_raw_os_error(libc::EMFILE)) } else { Ok(7) };
        let mut tries = 0;
        let answer = files.with_descriptors(|| {
            tries += 1;
            lack(tries < 3)
        });
        assert_eq!((answer.expect("there is one"), indexes(&files)), (7, vec![4]));
        let error = files.with_descriptors(|| lack(true)).expect_err("never").raw_os_error();
        assert_eq!((error, indexes(&files).len()), (Some(libc::EMFILE), 0));
    }

    #[test]
    fn as_many_files_are_open_as_may_be() {
        let mut files = Files::new(&[Stamp::default(); 8]);
        (0..5).for_each(|index| files.add(open(index, true, Instant::ZERO)));
        files.keep_open(3);
        assert_eq!(indexes(&files), [4, 3, 2]);
        files.add(open(7, true, Instant::ZERO));
        assert_eq!(indexes(&files), [7, 4, 3]);
        files.keep_open(0);
        files.add(open(6, true, Instant::ZERO));
        assert_eq!(indexes(&files), [6]);
    }

    #[test]
    fn a_file_open_for_reading_is_opened_anew_for_writing() {
        let mut files = Files::new(&[Stamp::default(); 8]);
        files.add(open(7, false, Instant::ZERO));
        assert!(files.find(7, false, Instant::ZERO).is_some());
        assert!(files.find(7, true, Instant::ZERO).is_none());
        files.add(open(7, true, Instant::ZERO));
        assert!(files.find(7, true, Instant::ZERO).is_some() && indexes(&files) == [7]);
    }

    #[test]
    fn idle_files_are_closed() {
        let mut files = Files::new(&[Stamp::default(); 8]);
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        files.add(open(1, true, at(0)));
        files.add(open(2, true, at(0)));
        assert!(files.find(1, true, at(50)).is_some());
        files.close_idle(at(70), Duration::from_secs(60));
        assert_eq!(indexes(&files), [1]);
    }
}
