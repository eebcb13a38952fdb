//! The end of a download: files with their exact lengths, on the device to the last byte.

use super::sys;
use super::tree::Tree;
use crate::meta;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// Up to so many files are synced one by one. Each costs a flush of the device, so that for more it is cheaper to sync
/// the whole file system once, the bytes of others included: 20,000 files took 0.5 s instead of 3.5 s on a fast disk.
const FILES_MAX: u32 = 64;

/// Brings `file` to its exact length and mode; makes it if it is missing.
pub(super) fn complete_file(tree: &mut Tree, file: &meta::File<'_>) -> io::Result<File> {
    // Read-only is enough for a file that is what it should be, and works on a read-only file system.
    let opened = match tree.open(file, libc::O_RDONLY) {
        Ok(opened) if opened.metadata()?.len() == file.length => opened,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => tree.open(file, libc::O_RDWR | libc::O_CREAT)?,
    };
    let metadata = opened.metadata()?;
    if !metadata.is_file() || metadata.len() > file.length {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    // Verified bytes that are missing at the end are zeros, which is what lengthening gives.
    if metadata.len() < file.length {
        opened.set_len(file.length)?;
    }
    let mode = metadata.permissions().mode();
    let executable = mode | (mode & 0o444) >> 2;
    if file.executable && mode != executable {
        opened.set_permissions(Permissions::from_mode(executable))?;
    }
    Ok(opened)
}

/// Waits for the device, file by file or once for all.
pub(super) struct Sync {
    each: bool,
    /// The last file and the file system that it is on, which is still to be synced.
    last: Option<(u64, File)>,
}

impl Sync {
    /// For a torrent of `count` files.
    pub(super) fn new(count: u32) -> Self {
        Self { each: count <= FILES_MAX, last: None }
    }

    /// Syncs `file`, or leaves it to [`Sync::finish`].
    pub(super) fn add(&mut self, file: File) -> io::Result<()> {
        if self.each {
            return file.sync_data();
        }
        let device = file.metadata()?.dev();
        match self.last.replace((device, file)) {
            // A directory of the torrent may be the mount point of another disk.
            Some((before, last)) if before != device => sys::sync_file_system(&last),
            _ => Ok(()),
        }
    }

    /// Syncs what is left.
    pub(super) fn finish(self) -> io::Result<()> {
        self.last.map_or(Ok(()), |(_, file)| sys::sync_file_system(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    /// A descriptor that no kernel syncs: a sync that is left out shows, because nobody refuses it.
    fn unsyncable() -> File {
        File::options().read(true).custom_flags(libc::O_PATH).open("/dev/null").expect("/dev/null is there")
    }

    #[test]
    fn few_files_are_synced_one_by_one_and_many_all_together() {
        for count in [1, FILES_MAX, FILES_MAX + 1] {
            let mut sync = Sync::new(count);
            let added = sync.add(unsyncable());
            assert_eq!(added.is_err(), count <= FILES_MAX, "{count} files");
            let refused = added.and_then(|()| sync.finish()).expect_err("somebody has asked the kernel");
            assert_eq!(refused.raw_os_error(), Some(libc::EBADF), "{count} files");
        }
    }
}
