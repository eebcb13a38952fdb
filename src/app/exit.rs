//! How the program ends: one stable number for each reason, listed in `--help` and README.

#[cfg(feature = "create")]
use crate::app::create::CreateFault;
use crate::rim::storage::OpenFault;
use crate::session::Outcome;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// Why the program ended, as the number that a script sees. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// A file could not be read or written.
    IoError = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// A `.torrent` could not be read, or is none.
    TorrentUnreadable = 3,
    /// No space, quota or file-size limit.
    NoSpace = 4,
    /// In the place of an output file is something else, which is left alone.
    OutputTaken = 5,
    /// The user or a signal ended it before everything was there.
    Incomplete = 6,
    /// `--check` found pieces that are bad or missing.
    CheckFailed = 7,
    /// Nobody was found within `--give-up`.
    GaveUp = 8,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What an error of the operating system means for the output.
    pub fn of_system(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::NoSpace,
            ErrorKind::AlreadyExists => Self::OutputTaken,
            _ => Self::IoError,
        }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Complete => Self::Done,
            Outcome::Incomplete => Self::Incomplete,
            Outcome::NoSpace | Outcome::TooLong => Self::NoSpace,
            Outcome::IoError | Outcome::Denied { .. } => Self::IoError,
            Outcome::Occupied { .. } => Self::OutputTaken,
            Outcome::CheckFailed => Self::CheckFailed,
            Outcome::GaveUp => Self::GaveUp,
        }
    }
}

impl From<&OpenFault> for Exit {
    fn from(fault: &OpenFault) -> Self {
        match fault {
            OpenFault::NoSpace { .. } | OpenFault::TooLong { .. } | OpenFault::Limited { .. } => {
                Self::NoSpace
            }
            OpenFault::Occupied { .. } | OpenFault::Busy { .. } | OpenFault::Alike { .. } => {
                Self::OutputTaken
            }
            OpenFault::Ended => Self::Incomplete,
            OpenFault::Denied { error, .. } | OpenFault::System { error, .. } => Self::of_system(error),
        }
    }
}

#[cfg(feature = "create")]
impl From<&CreateFault> for Exit {
    fn from(fault: &CreateFault) -> Self {
        match fault {
            CreateFault::Io(_, error) => Self::of_system(error),
            CreateFault::Announce(..) | CreateFault::PieceBytes(_) => Self::Usage,
            _ => Self::IoError,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TorrentId;

    #[test]
    fn only_a_complete_download_ends_with_zero() {
        use Outcome::{CheckFailed, Complete, GaveUp, Incomplete, IoError, NoSpace, Occupied, TooLong};
        let taken = Occupied { torrent: TorrentId(0) };
        let denied = Outcome::Denied { torrent: TorrentId(0), file: 0, os_error: libc::EACCES };
        assert_eq!(Exit::from(denied).code(), 1);
        let codes = [Complete, IoError, NoSpace, TooLong, taken, Incomplete, CheckFailed, GaveUp]
            .map(|o| Exit::from(o).code());
        assert_eq!(codes, [0, 1, 4, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn no_space_has_its_code_whoever_finds_it() {
        let of = |number| Exit::of_system(&io::Error::from_raw_os_error(number));
        assert_eq!([libc::ENOSPC, libc::EDQUOT, libc::EFBIG].map(of), [Exit::NoSpace; 3]);
        assert_eq!([libc::EIO, libc::EROFS, libc::EACCES].map(of), [Exit::IoError; 3]);
        let fault = OpenFault::NoSpace { needed: 2, free: 1 };
        assert_eq!((Exit::from(&fault), of(libc::EEXIST)), (Exit::NoSpace, Exit::OutputTaken));
    }
}
