//! The end of a download: a file with its exact length and mode.

use super::tree::Tree;
use crate::meta;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;

/// Brings `file` to its exact length and mode; makes it if it is missing. True if that changed anything.
pub(super) fn complete_file(tree: &mut Tree, file: &meta::File<'_>) -> io::Result<bool> {
    // Read-only is enough for a file that is what it should be, and works on a read-only file system.
    match tree.open(file, libc::O_RDONLY) {
        Ok(opened) if opened.metadata()?.len() == file.length => adjust(&opened, file),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => adjust(&tree.open(file, libc::O_RDWR | libc::O_CREAT)?, file).map(|_| true),
    }
}

fn adjust(opened: &File, file: &meta::File<'_>) -> io::Result<bool> {
    let metadata = opened.metadata()?;
    if !metadata.is_file() || metadata.len() > file.length {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
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
        opened.set_permissions(Permissions::from_mode(executable))?;
    }
    Ok(is_short || is_plain)
}
