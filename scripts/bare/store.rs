//! Two ways to put bytes into a file whose space is reserved, and one that drops them.

use memmap2::{Advice, MmapOptions};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Of a map: one huge page.
const WINDOW_BYTES: u64 = 2 << 20;

pub enum Store {
    None,
    /// By pwrite, a piece at a time.
    Positioned(File),
    /// Through a map of the range, aligned and long enough for a huge page.
    Window(File),
}

impl Store {
    /// Creates the file and reserves its space.
    pub fn create(how: &str, path: &Path, bytes: u64) -> io::Result<Self> {
        if how == "none" {
            return Ok(Self::None);
        }
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(bytes)?;
        let len = i64::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: no memory is passed; the descriptor is open.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } != 0 {
            return Err(io::Error::last_os_error());
        }
        match how {
            "pwrite" => Ok(Self::Positioned(file)),
            "window" => Ok(Self::Window(file)),
            _ => Err(io::Error::other(format!("no such store: {how}"))),
        }
    }

    /// The least that is stored at a time.
    pub fn unit_bytes(&self) -> u64 {
        if matches!(self, Self::Window(_)) { WINDOW_BYTES } else { 0 }
    }

    pub fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Positioned(file) => file.write_all_at(bytes, offset),
            Self::Window(file) => {
                // SAFETY: the file is ours alone, and its space is reserved.
                let mut map = unsafe { MmapOptions::new().offset(offset).len(bytes.len()).map_mut(file) }?;
                // A kernel that does not know the advice maps small pages.
                let _ = map.advise(Advice::HugePage);
                map.copy_from_slice(bytes);
                Ok(())
            }
        }
    }
}
