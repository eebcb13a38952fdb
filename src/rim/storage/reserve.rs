//! Room on the device, taken before the bytes come: a disk that fills up is seen at the start of a file, and a page
//! of a map always has a block to go to.

use super::sys;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Bytes that are reserved in any case, and the time after which no more are for now: file systems in memory clear every
/// page, and the loop waits for that. Others take milliseconds for any file, which is then whole from the start.
const SLICE_BYTES: u64 = 8 << 20;
const SLICE_TIME: Duration = Duration::from_millis(5);

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

    /// Takes room for bytes of `file` from `done` on, of `length` in all, and makes it long enough for them; moves `done` to
    /// where it came in a few milliseconds. Answers how many bytes that took. `None` if it is not to be had here: the user
    /// or the file system does not want it.
    ///
    /// The length is not set ahead where nothing can be reserved: vfat would fill the file with zeros then and there.
    pub(super) fn reserve(&mut self, file: &File, done: &mut u64, length: u64) -> io::Result<Option<u64>> {
        if !self.active {
            return Ok(None);
        }
        let before = file.metadata()?;
        let wanted = length.saturating_sub(allocated(&before));
        if before.len() >= length && wanted == 0 {
            *done = length;
            return Ok(Some(0));
        }
        // Asking first is cheap. Trying would take what there is from everybody, and give it back, with each try.
        if sys::free_bytes(file).is_some_and(|free| free < wanted) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        match reserve_for_a_while(file, *done, length) {
            Ok(end) => {
                *done = end;
                let lacking = length.saturating_sub(allocated(&file.metadata()?));
                Ok(Some(wanted - if end < length { lacking.min(wanted) } else { 0 }))
            }
            Err(fault) if is_unsupported(&fault) => {
                log::debug!("the file system cannot reserve space ({fault}): writing without");
                self.active = false;
                Ok(None)
            }
            Err(fault) => {
                // ext4 keeps what it got, which leaves nothing to anybody. If this fails too, the first fault counts.
                let _ = file.set_len(before.len());
                *done = 0;
                Err(fault)
            }
        }
    }
}

/// Reserves `file` from `from` on, in slices that grow as long as they cost no time. Answers where it ended.
fn reserve_for_a_while(file: &File, from: u64, length: u64) -> io::Result<u64> {
    let (start, mut at, mut slice) = (Instant::now(), from, SLICE_BYTES);
    while at < length && (at == from || start.elapsed() < SLICE_TIME) {
        let end = length.min(at.saturating_add(slice));
        sys::reserve(file, at, end - at)?;
        (at, slice) = (end, slice.saturating_mul(2));
    }
    Ok(at)
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
        let took = reserver.reserve(&file, &mut 0, 1 << 20).expect("room for a mebibyte");
        // A file system that cannot reserve says so, and is not asked again.
        if took.is_some() {
            assert_eq!(took, Some(1 << 20));
            assert!(allocated(&file.metadata().expect("open")) >= 1 << 20);
            assert_eq!(reserver.reserve(&file, &mut 0, 1 << 20).expect("the same room"), Some(0));
        }
        assert_eq!(Reserver::new(Allocate::Sparse).reserve(&file, &mut 0, 2 << 20).expect("not asked"), None);
    }

    #[test]
    fn a_long_file_is_whole_after_some_steps_each_of_which_takes_what_it_says() {
        const LENGTH: u64 = 3 * SLICE_BYTES + 5;
        let path = std::env::temp_dir().join(format!("swarmlet-reserve-long-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        let (mut reserver, mut done, mut taken) = (Reserver::new(Allocate::Full), 0, 0);
        while done < LENGTH {
            let before = done;
            let Some(took) = reserver.reserve(&file, &mut done, LENGTH).expect("room") else { return };
            assert!(done == LENGTH || done >= before + SLICE_BYTES, "{before} {done}");
            assert_eq!(file.metadata().expect("open").len(), done);
            taken += took;
        }
        assert_eq!((done, taken), (LENGTH, LENGTH));
    }
}
