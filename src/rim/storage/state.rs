//! The file of the resume state, beside the output: `.NAME.swarmlet`. A new state is written beside it and takes its
//! place when it is on the device, so that at any moment there is one that is whole.
//!
//! Its lock says that somebody works on the output. What is in it is the session's business; see
//! [`resume`](crate::resume).

use super::sys;
use super::tree::Tree;
use crate::base::limits::{PATH_COMPONENT_BYTES_MAX, STATE_BYTES_MAX};
use crate::meta::Metainfo;
use crate::resume::MAGIC;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// How often the file may be replaced between opening and locking before that is a fault of its own.
const TRIES: u32 = 10;

/// The state file of one torrent.
pub(super) struct StateFile {
    name: Vec<u8>,
    /// The file in its place, locked.
    locked: Option<File>,
    /// The next one, locked too.
    next: Option<File>,
    /// Nothing was ever written to it.
    is_empty: bool,
}

/// What locking found.
pub(super) enum Locked {
    /// It is ours; this is what was in it.
    Ours(Vec<u8>),
    /// Another process has it.
    Busy,
    /// There is none and there cannot be one, or what is there is no state: it is left alone.
    Absent(io::Error),
}

impl StateFile {
    /// Nothing is opened or made yet.
    pub(super) fn new(metainfo: &Metainfo) -> Self {
        Self { name: name(metainfo), locked: None, next: None, is_empty: true }
    }

    /// The name of the file within the output directory.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Makes the file, if it is missing, locks and reads it.
    pub(super) fn lock(&mut self, tree: &mut Tree) -> Locked {
        for _ in 0..TRIES {
            match self.try_lock(tree) {
                Ok(Some(locked)) => return locked,
                Ok(None) => {}
                Err(error) => return Locked::Absent(error),
            }
        }
        Locked::Busy
    }

    /// `None` if it was replaced meanwhile.
    fn try_lock(&mut self, tree: &mut Tree) -> io::Result<Option<Locked>> {
        let root = tree.root(true)?;
        let open = |flags| sys::retry(|| sys::open_at(root, &self.name, flags, 0o666)).map(File::from);
        let mut file = open(libc::O_RDWR | libc::O_CREAT)?;
        if !sys::try_lock(&file)? {
            return Ok(Some(Locked::Busy));
        }
        let (ours, theirs) = (file.metadata()?, open(libc::O_PATH)?.metadata()?);
        if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        (&mut file).take(STATE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if !ours.is_file() || !(bytes.is_empty() || bytes.starts_with(MAGIC)) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        self.is_empty = bytes.is_empty();
        self.locked = Some(file);
        Ok(Some(Locked::Ours(bytes)))
    }

    /// Writes `bytes` beside the state; they are still to be synced.
    ///
    /// # Errors
    /// What the system says; `ENOLCK` if the state was never locked.
    pub(super) fn write(&mut self, tree: &mut Tree, bytes: &[u8]) -> io::Result<File> {
        if self.locked.is_none() {
            return Err(io::Error::from_raw_os_error(libc::ENOLCK));
        }
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
        let root = tree.root(true)?;
        let mut file = sys::retry(|| sys::open_at(root, &self.next_name(), flags, 0o666)).map(File::from)?;
        // Whoever finds the new one in its place finds it locked.
        if !sys::try_lock(&file)? {
            return Err(io::Error::from_raw_os_error(libc::ENOLCK));
        }
        file.write_all(bytes)?;
        self.next = Some(file.try_clone()?);
        Ok(file)
    }

    /// Puts what was written in the place of the state.
    pub(super) fn put(&mut self, tree: &mut Tree) -> io::Result<()> {
        let next = self.next.take().ok_or(io::ErrorKind::NotFound)?;
        sys::rename_at(tree.root(false)?, &self.next_name(), &self.name)?;
        self.locked = Some(next);
        self.is_empty = false;
        Ok(())
    }

    /// Removes the state: there is nothing to be resumed.
    pub(super) fn remove(&mut self, tree: &mut Tree) {
        let Some(locked) = self.locked.take() else { return };
        if let Ok(root) = tree.root(false) {
            // What cannot be removed is found wanting by the next run.
            let _ = sys::remove_at(root, &self.next_name());
            let _ = sys::remove_at(root.as_fd(), &self.name);
        }
        drop(locked);
    }

    /// Leaves no empty file behind.
    pub(super) fn remove_if_empty(&mut self, tree: &mut Tree) {
        if self.is_empty {
            self.remove(tree);
        }
    }

    fn next_name(&self) -> Vec<u8> {
        [&self.name, &b".new"[..]].concat()
    }
}

/// `.NAME.swarmlet`, or with the info-hash for a name that is too long for that.
fn name(metainfo: &Metainfo) -> Vec<u8> {
    let fits = metainfo.name.len() + b"..swarmlet.new".len() <= PATH_COMPONENT_BYTES_MAX;
    let hash = metainfo.info_hash.to_string();
    let middle = if fits { &metainfo.name[..] } else { hash.as_bytes() };
    [b".", middle, b".swarmlet"].concat()
}
