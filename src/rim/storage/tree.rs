//! From the output directory down to a file, one component at a time, following no symlink: whatever the names are,
//! and whatever lies in the way, nothing outside of the output directory is touched.

use super::names::Names;
use super::sys;
use crate::meta;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A directory that is only a place to start from: needs no permission to list it.
const DIRECTORY: libc::c_int = libc::O_PATH | libc::O_DIRECTORY;

/// The output directory and the way down from it.
pub(super) struct Tree {
    root: PathBuf,
    names: Names,
    base: Option<File>,
    /// The directory of the last file, because the next one mostly lies in it too.
    parent: Option<File>,
    /// The names of that directory, each with a slash behind it.
    parent_names: Vec<u8>,
    /// The names that are looked for; kept for its memory.
    wanted_names: Vec<u8>,
}

impl Tree {
    /// Nothing is opened or made yet.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            names: Names::All,
            base: None,
            parent: None,
            parent_names: Vec::new(),
            wanted_names: Vec::new(),
        }
    }

    /// From now on names are made such that the file system takes them.
    pub(super) fn take_names(&mut self, names: Names) {
        self.names = names;
    }

    /// Opens `file` with `flags`. With `O_CREAT` in them it is made, if missing, and so are its directories.
    pub(super) fn open(&mut self, file: &meta::File<'_>, flags: libc::c_int) -> io::Result<File> {
        let mut directories = file.components();
        let name = directories.next_back().ok_or(io::ErrorKind::InvalidInput)?;
        let name = self.names.fitting(name);
        let parent = self.parent(directories, flags & libc::O_CREAT != 0)?;
        let mode = if file.executable { 0o777 } else { 0o666 };
        sys::retry(|| sys::open_at(parent, &name, flags, mode)).map(File::from)
    }

    /// What lies in the place of `file`; a symlink is itself and not what it points to. `None` if nothing does.
    pub(super) fn look(&mut self, file: &meta::File<'_>) -> io::Result<Option<Metadata>> {
        match self.open(file, libc::O_PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found?.metadata().map(Some),
        }
    }

    /// An error if `file`, which is there, may not be read and written.
    pub(super) fn may_write(&mut self, file: &meta::File<'_>) -> io::Result<()> {
        let mut directories = file.components();
        let name = directories.next_back().ok_or(io::ErrorKind::InvalidInput)?;
        sys::may_write_at(self.parent(directories, false)?, name)
    }

    /// An error if `file`, which is missing, may not be made, as far as the nearest directory above it tells.
    pub(super) fn may_make(&mut self, file: &meta::File<'_>) -> io::Result<()> {
        let depths = file.components().count();
        for depth in (0..depths).rev() {
            match self.parent(file.components().take(depth), false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return sys::may_make_in(found?),
            }
        }
        Ok(())
    }

    /// The place of these names, for people. What lies there may not be what was opened.
    pub(super) fn place<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> PathBuf {
        let mut place = self.root.clone();
        names.for_each(|name| place.push(OsStr::from_bytes(&self.names.fitting(name))));
        place
    }

    /// The output directory, made if it may be: a place to start from.
    pub(super) fn root(&mut self, create: bool) -> io::Result<BorrowedFd<'_>> {
        if self.base.is_none() {
            if create {
                std::fs::create_dir_all(&self.root)?;
            }
            self.base = Some(open_directory(&self.root)?);
        }
        Ok(self.base.as_ref().expect("set above, or an error was returned").as_fd())
    }

    /// The directory `names`, each with a slash behind it, for more than a place to start from.
    pub(super) fn open_directory(&mut self, names: &[u8]) -> io::Result<File> {
        let names = names.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let directory = self.parent(names, false)?;
        sys::reopen_directory(directory).map(File::from)
    }

    /// The directories above the output directory in which a name has to be made for it: its parent, which an earlier run
    /// may not have synced, and so on up to the first that exists.
    pub(super) fn above(&self) -> Vec<PathBuf> {
        let absolute = std::path::absolute(&self.root).unwrap_or_default();
        let above: Vec<PathBuf> = absolute.ancestors().skip(1).map(Path::to_owned).collect();
        let existing = above.iter().position(|directory| directory.is_dir());
        above.into_iter().take(existing.map_or(0, |at| at + 1)).collect()
    }

    /// Forgets open directories: someone may have moved or removed them.
    pub(super) fn forget(&mut self) {
        self.base = None;
        self.parent = None;
    }

    /// Bytes free on the file system of the output directory, or of the nearest directory above that exists; `None` where
    /// they are not counted.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        sys::free_bytes(&self.nearest()?)
    }

    /// The output directory, or the nearest directory above it that exists.
    pub(super) fn nearest(&self) -> Option<File> {
        let absolute = std::path::absolute(&self.root).ok()?;
        absolute.ancestors().find_map(|directory| open_directory(directory).ok())
    }

    /// The directory of these names, made if it may be.
    fn parent<'a>(
        &mut self,
        names: impl Iterator<Item = &'a [u8]>,
        create: bool,
    ) -> io::Result<BorrowedFd<'_>> {
        self.wanted_names.clear();
        for name in names {
            self.wanted_names.extend_from_slice(&self.names.fitting(name));
            self.wanted_names.push(b'/');
        }
        if self.parent.is_none() || self.parent_names != self.wanted_names {
            self.parent = None;
            self.parent = Some(self.descend(create)?);
            std::mem::swap(&mut self.parent_names, &mut self.wanted_names);
        }
        Ok(self.parent.as_ref().expect("set above, or an error was returned").as_fd())
    }

    /// Opens the wanted directory, from the output directory down.
    fn descend(&mut self, create: bool) -> io::Result<File> {
        let mut directory = File::from(self.root(create)?.try_clone_to_owned()?);
        for name in self.wanted_names.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let open = || sys::retry(|| sys::open_at(directory.as_fd(), name, DIRECTORY, 0));
            let below = match open() {
                Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                    sys::make_directory_at(directory.as_fd(), name)?;
                    open()?
                }
                opened => opened?,
            };
            directory = below.into();
        }
        Ok(directory)
    }
}

/// Opens a directory by its path, symlinks followed: the output directory is the user's own choice.
fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(DIRECTORY).open(path)
}
