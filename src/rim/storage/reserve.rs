//! Room on the device, taken before the bytes come: a disk that fills up is seen at the start of a file, and a page
//! of a map always has a block to go to.

use super::sys;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

/// How space is taken on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocate {
    /// All of a file when its first byte is stored; checked against the free space at the start.
    #[default]
    Full,
    /// Only what is written, as it is written; holes stay holes. Nothing is checked, nothing is mapped.
    Sparse,
}

/// Reserves, as far as the file system can.
pub(super) struct Reserver {
    active: bool,
}

impl Reserver {
    /// One per torrent, as its files mostly lie on one file system.
    pub(super) fn new(allocate: Allocate) -> Self {
        Self { active: allocate == Allocate::Full }
    }

    /// Takes room for the first `length` bytes of `file` and makes it that long; answers how many bytes that took. `None`
    /// if it is not to be had here: the user or the file system does not want it.
    ///
    /// The length is not set ahead where nothing can be reserved: vfat would fill the file with zeros then and there.
    pub(super) fn reserve(&mut self, file: &File, length: u64) -> io::Result<Option<u64>> {
        if !self.active {
            return Ok(None);
        }
        let before = file.metadata()?;
        let wanted = length.saturating_sub(allocated(&before));
        if before.len() >= length && wanted == 0 {
            return Ok(Some(0));
        }
        // Asking first is cheap. Trying would take what there is from everybody, and give it back, with each try.
        if sys::free_bytes(file).is_some_and(|free| free < wanted) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        match sys::reserve(file, length) {
            Ok(()) => Ok(Some(wanted)),
            Err(fault) if is_unsupported(&fault) => {
                log::debug!("the file system cannot reserve space ({fault}): writing without");
                self.active = false;
                Ok(None)
            }
            Err(fault) => {
                // ext4 keeps what it got, which leaves nothing to anybody. If this fails too, the first fault counts.
                let _ = file.set_len(before.len());
                Err(fault)
            }
        }
    }
}

/// Bytes that a file has on its device.
pub(super) fn allocated(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}

/// True for the answers of a file system (vfat, NFS, ramfs, old FUSE) or kernel that does not know `fallocate`.
fn is_unsupported(fault: &io::Error) -> bool {
    matches!(fault.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::ENODEV))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_holes_takes_the_room_that_it_lacks_and_a_whole_one_none() {
        let path = std::env::temp_dir().join(format!("swarmlet-reserve-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        file.set_len(1 << 20).expect("a hole");
        let mut reserver = Reserver::new(Allocate::Full);
        let took = reserver.reserve(&file, 1 << 20).expect("room for a mebibyte");
        // A file system that cannot reserve says so, and is not asked again.
        if took.is_some() {
            assert_eq!(took, Some(1 << 20));
            assert!(allocated(&file.metadata().expect("open")) >= 1 << 20);
            assert_eq!(reserver.reserve(&file, 1 << 20).expect("the same room"), Some(0));
        }
        assert_eq!(Reserver::new(Allocate::Sparse).reserve(&file, 2 << 20).expect("not asked"), None);
    }
}
