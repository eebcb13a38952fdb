//! What can go wrong with files, and what it means.

use crate::base::Printable;
use crate::base::units::Bytes;
use crate::session::{StorageFault, StorageFaultKind};
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Why the files of a torrent cannot be worked on at all.
#[derive(Debug)]
pub enum OpenFault {
    /// The file system has less room than is still needed.
    NoSpace {
        /// Bytes still needed, those for other torrents of the run that come first included.
        needed: u64,
        /// Bytes free for us.
        free: u64,
    },
    /// The file system does not have files as long as one of the torrent.
    TooLong {
        /// Which; may hold what a stranger wrote.
        path: PathBuf,
        /// The length that the torrent says, in bytes.
        length: u64,
        /// The longest that is possible, in bytes.
        most: u64,
    },
    /// Two files of the torrent would be one.
    Alike {
        /// One of them; may hold what a stranger wrote.
        path: PathBuf,
        /// The other; may hold what a stranger wrote.
        other: PathBuf,
    },
    /// The process may not write files as long as one of the torrent (`ulimit -f`).
    Limited {
        /// Which; may hold what a stranger wrote.
        path: PathBuf,
        /// The length that the torrent says, in bytes.
        length: u64,
        /// The longest that is allowed, in bytes.
        most: u64,
    },
    /// Where the output has to be there is something else, which we neither overwrite nor follow.
    Occupied {
        /// Where; may hold what a stranger wrote.
        path: PathBuf,
        /// What is there.
        found: Found,
    },
    /// Something of it is missing, and may not be made good.
    Denied {
        /// In this file; may hold what a stranger wrote.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process works on the same output.
    Busy {
        /// Whose lock says so; may hold what a stranger wrote.
        path: PathBuf,
    },
    /// A signal has asked to end before anything was begun.
    Ended,
    /// The operating system does not let us look.
    System {
        /// At what; may hold what a stranger wrote.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A symbolic link.
    Symlink,
    /// A directory where a file has to be.
    Directory,
    /// A file where a directory has to be.
    File,
    /// A FIFO, socket or device.
    Special,
    /// A file that is longer than the torrent says.
    Longer {
        /// Its length, in bytes.
        length: u64,
        /// The length that the torrent says.
        expected: u64,
    },
}

impl Found {
    /// What a thing that is not wanted is.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        if kind.is_symlink() {
            Self::Symlink
        } else if kind.is_dir() {
            Self::Directory
        } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            Self::Special
        } else {
            Self::File
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => write!(f, "a symbolic link"),
            Self::Directory => write!(f, "a directory instead of a file"),
            Self::File => write!(f, "a file instead of a directory"),
            Self::Special => write!(f, "a FIFO, socket or device"),
            Self::Longer { length, expected } => write!(f, "a file of {length} bytes instead of {expected}"),
        }
    }
}

impl fmt::Display for OpenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace { needed, free } => {
                let (missing, needed, free) =
                    (Bytes(needed.saturating_sub(*free)), Bytes(*needed), Bytes(*free));
                write!(
                    f,
                    "not enough space: {missing} are missing, {needed} are needed and {free} are free; "
                )?;
                f.write_str("make room, choose another -o, or --allocate sparse")
            }
            Self::TooLong { path, length, most } => {
                let (length, most) = (Bytes(*length), Bytes(*most));
                write!(
                    f,
                    "{} is {length} long, and the file system has no files longer than {most}; ",
                    printable(path)
                )?;
                f.write_str("choose another -o, on another file system than FAT")
            }
            Self::Alike { path, other } => {
                let (path, other) = (printable(path), printable(other));
                write!(
                    f,
                    "{path} and {other} are one file on this file system; choose another -o, not on FAT"
                )
            }
            Self::Limited { path, length, most } => {
                let (length, most) = (Bytes(*length), Bytes(*most));
                write!(f, "{} is {length} long, and ulimit -f allows {most}; raise it", printable(path))
            }
            Self::Occupied { path, found } => {
                write!(f, "output {} exists and is {found}", printable(path))
            }
            Self::Busy { path } => {
                write!(f, "another process works on this output: it has locked {}", printable(path))
            }
            Self::Denied { path, error } => {
                let path = printable(path);
                let trouble = "is missing or too short, and we may not write there";
                write!(f, "output {path} {trouble}: {error}; allow it, or choose another -o")
            }
            Self::Ended => f.write_str("a signal has ended the run before anything was begun"),
            Self::System { path, error } => write!(f, "cannot use output {}: {error}", printable(path)),
        }
    }
}

impl std::error::Error for OpenFault {}

fn printable(path: &Path) -> Printable<'_> {
    Printable(path.as_os_str().as_bytes())
}

/// The fault of the file `file`, from what the operating system said.
pub(super) fn of_file(file: u32, error: &io::Error) -> StorageFault {
    StorageFault { kind: kind(error), file, os_error: error.raw_os_error().unwrap_or(0), missing_bytes: 0 }
}

/// Sorts an error of the operating system by what happens next.
fn kind(error: &io::Error) -> StorageFaultKind {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => StorageFaultKind::NoSpace,
        Some(libc::EFBIG) => StorageFaultKind::TooLong,
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => StorageFaultKind::Denied,
        // A symlink, file or directory in the way; gone between two calls; deleted or shortened behind our back.
        Some(libc::ELOOP | libc::ENOTDIR | libc::EISDIR | libc::ENXIO | libc::ENOENT | libc::ESTALE) => {
            StorageFaultKind::Changed
        }
        _ => StorageFaultKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_happens_next() {
        let cases = [
            (libc::ENOSPC, StorageFaultKind::NoSpace),
            (libc::EDQUOT, StorageFaultKind::NoSpace),
            (libc::EFBIG, StorageFaultKind::TooLong),
            (libc::EROFS, StorageFaultKind::Denied),
            (libc::EACCES, StorageFaultKind::Denied),
            (libc::ELOOP, StorageFaultKind::Changed),
            (libc::ESTALE, StorageFaultKind::Changed),
            (libc::EIO, StorageFaultKind::Io),
            (libc::EFAULT, StorageFaultKind::Io),
        ];
        for (number, expected) in cases {
            let fault = of_file(3, &io::Error::from_raw_os_error(number));
            assert_eq!((fault.kind, fault.file, fault.os_error), (expected, 3, number));
        }
        assert_eq!(of_file(0, &io::ErrorKind::WriteZero.into()).kind, StorageFaultKind::Io);
    }

    #[test]
    fn who_has_no_space_hears_how_much_is_missing_and_what_helps() {
        let text = OpenFault::NoSpace { needed: 3 << 30, free: (3 << 30) - (5 << 20) }.to_string();
        let wanted = "not enough space: 5.0 MiB are missing, 3.00 GiB are needed and 3.00 GiB are free; make room, \
                      choose another -o, or --allocate sparse";
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_a_stranger_named_cannot_control_the_terminal() {
        let fault =
            OpenFault::Occupied { path: PathBuf::from("/x/\u{1b}[2J\n\u{202e}"), found: Found::Symlink };
        assert!(fault.to_string().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{fault}");
    }
}
