//! Room for pieces that are larger than memory: the map of a file without a name.
//!
//! Its pages are the page cache's, which the kernel can write out and take back; they count against nobody's memory. The
//! file lies beside the output, where there is room for the piece in any case, and is gone with the process. A disk that
//! fails under it ends the run with a line and a code: pieces are in it, and nobody else may be blamed for their bytes.

use super::reserve::{Allocate, Reserver};
use super::{sigbus, sys};
use memmap2::{MmapMut, MmapOptions};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Maps `bytes` of a file without a name in `folder`, which is made if it is missing, for good. All of its space is
/// taken, so that no touch of it can fail for lack of space.
///
/// # Errors
/// No space, no right to write there, or no room in the address space.
pub fn arena(folder: &Path, bytes: u64) -> io::Result<&'static mut [u8]> {
    fs::create_dir_all(folder)?;
    let file = nameless_file(folder)?;
    sys::write_in_place(&file);
    let (mut reserver, mut done) = (Reserver::new(Allocate::Full), 0);
    while done < bytes {
        if reserver.reserve(&file, &mut done, bytes)?.is_none() {
            fill(&file, bytes)?;
            break;
        }
    }
    let length = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // SAFETY: nobody else has the file, so nobody shortens or changes it behind the map.
    let map = unsafe { MmapOptions::new().len(length).map_mut(&file)? };
    let map: &'static mut MmapMut = Box::leak(Box::new(map));
    let addresses = map.as_ptr_range();
    sigbus::watch_arena(addresses.start as usize..addresses.end as usize);
    Ok(map)
}

/// Takes the space of the first `bytes` where it cannot be reserved.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes), &mut file).map(drop)
}

/// A file that is gone as soon as it is closed.
fn nameless_file(folder: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    // Not every file system and kernel can do it.
    options.open(folder).or_else(|_| unnamed_file(folder))
}

/// The same, made with a name. What has that name already was left behind by one that was killed in between, which had our
/// number: in a container that may be the number of every run.
fn unnamed_file(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(".swarmlet-{}.tmp", std::process::id()));
    let make = || File::options().read(true).write(true).create_new(true).open(&path);
    let file = match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(&path)?;
            make()?
        }
        made => made?,
    };
    remove(&path)?;
    Ok(file)
}

/// Removes a file that somebody else with our number may have removed just then.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_arena_holds_bytes_and_leaves_no_file() {
        let folder = std::env::temp_dir().join(format!("swarmlet-arena-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let arena = arena(&folder, 3 << 20).unwrap();
        arena.fill(9);
        assert_eq!((arena.len(), arena[(3 << 20) - 1]), (3 << 20, 9));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        let left_behind = folder.join(format!(".swarmlet-{}.tmp", std::process::id()));
        for make in [nameless_file, unnamed_file] {
            fs::write(&left_behind, "x").unwrap();
            let file = make(&folder).unwrap();
            assert_eq!((file.metadata().unwrap().len(), file.metadata().unwrap().nlink()), (0, 0));
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
        let file = nameless_file(&std::env::temp_dir()).unwrap();
        fill(&file, 100_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100_000);
    }
}
