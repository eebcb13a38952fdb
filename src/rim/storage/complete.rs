//! The end of a download: a file with its exact length and mode.

use super::fault::of_file;
use super::files::Files;
use super::known::stale;
use super::tree::Tree;
use crate::meta;
use crate::session::StorageFaultKind;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;

/// Brings the file `index`, which is `file` in the torrent and is closed, to its exact length and mode; makes it if there
/// never was one. True if that changed anything.
///
/// # Errors
/// `ENOENT` or `ESTALE` if it is not as it was when it was last seen: what was verified in it may be gone.
pub(super) fn complete_file(
    tree: &mut Tree,
    files: &mut Files,
    index: u32,
    file: &meta::File<'_>,
) -> io::Result<bool> {
    // Read-only is enough for a file that is what it should be, and works on a read-only file system.
    let is_changed = match files.with_descriptors(|| tree.open(file, libc::O_RDONLY)) {
        // What was never seen was verified to be zeros, which is what making it gives.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !files.is_known(index) => {
            let made = files.with_descriptors(|| tree.open(file, libc::O_RDWR | libc::O_CREAT))?;
            adjust(&made, file).and_then(|_| files.note(index, &made)).map(|()| true)?
        }
        opened => {
            let mut opened = opened?;
            let length = opened.metadata()?.len();
            if length > 0 || files.is_known(index) {
                files.expect(index, &opened, true)?;
            }
            if length < file.length {
                opened = files.with_descriptors(|| tree.open(file, libc::O_RDWR))?;
            }
            let is_changed = adjust(&opened, file)?;
            files.note(index, &opened)?;
            is_changed
        }
    };
    Ok(is_changed)
}

fn adjust(opened: &File, file: &meta::File<'_>) -> io::Result<bool> {
    let metadata = opened.metadata()?;
    if !metadata.is_file() || metadata.len() > file.length {
        return Err(stale());
    }
    // Verified bytes that are missing at the end are zeros, which is what lengthening gives.
    let is_short = metadata.len() < file.length;
    if is_short {
        opened.set_len(file.length)?;
    }
    let mode = metadata.permissions().mode();
    let executable = mode | (mode & 0o444) >> 2;
    let is_plain = file.executable && mode != executable;
    if is_plain {
        match opened.set_permissions(Permissions::from_mode(executable)) {
            // Somebody else's file, or one that cannot be changed: what is in it is right all the same.
            Err(error) if of_file(0, &error).kind == StorageFaultKind::Denied => {
                log::debug!("a file cannot be made executable: {error}");
                return Ok(is_short);
            }
            changed => changed?,
        }
    }
    Ok(is_short || is_plain)
}
