//! Why a `.torrent` is refused.

use crate::base::Printable;
use crate::base::limits::{FILES_MAX, PATH_DEPTH_MAX, PIECE_BYTES_MAX, PIECES_MAX, TORRENT_FILE_BYTES_MAX};
use crate::wire::bencode::{self, KeysFault};
use alloc::boxed::Box;
use core::fmt;

/// What is wrong with a `.torrent`; one line that names the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetainfoFault {
    /// More bytes than [`TORRENT_FILE_BYTES_MAX`]; how many.
    TooLong(usize),
    /// Not bencode.
    Bencode(bencode::Fault),
    /// A key that stands twice in this dictionary: two programs could read two torrents in it.
    Duplicate {
        /// The dictionary, in words.
        of: &'static str,
        /// The key.
        key: Box<[u8]>,
    },
    /// This dictionary has too many keys out of order to tell whether one stands twice.
    TooManyKeys(&'static str),
    /// This field is not there.
    Missing(&'static str),
    /// This field is there, but not what it must be.
    Type {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: Expected,
    },
    /// A torrent for version 2 of the protocol alone (BEP 52).
    OnlyVersion2,
    /// `name` is empty.
    EmptyName,
    /// `piece length` is not in `1..=PIECE_BYTES_MAX`.
    PieceLength(i64),
    /// The bytes of `pieces` are not a number of hashes.
    PiecesLength(usize),
    /// More pieces than [`PIECES_MAX`].
    TooManyPieces(usize),
    /// Not as many hashes as the files have pieces.
    PieceCount {
        /// Hashes in `pieces`.
        hashes: usize,
        /// Pieces that the sizes of the files make.
        pieces: u64,
    },
    /// Both `length` and `files`.
    LengthAndFiles,
    /// `files` is empty.
    NoFiles,
    /// More files than [`FILES_MAX`].
    TooManyFiles,
    /// There are files but no bytes in them.
    NoBytes,
    /// A file of negative length.
    Length {
        /// The file, from 0.
        file: usize,
        /// Its length.
        length: i64,
    },
    /// The lengths of the files together go beyond 64 bits; at this file.
    TotalTooLarge(usize),
    /// A field of one file is missing or not what it must be.
    File {
        /// The file, from 0.
        file: usize,
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: Expected,
    },
    /// A file whose `path` has no components.
    EmptyPath(usize),
    /// A file whose `path` has more components than [`PATH_DEPTH_MAX`].
    DeepPath(usize),
}

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A string.
    Bytes,
    /// An integer.
    Integer,
    /// A list.
    List,
    /// A dictionary.
    Dictionary,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "a string",
            Self::Integer => "an integer",
            Self::List => "a list",
            Self::Dictionary => "a dictionary",
        })
    }
}

impl MetainfoFault {
    /// What is wrong with the keys of the dictionary `of`, given in words.
    pub(super) fn keys(of: &'static str, fault: KeysFault<'_>) -> Self {
        match fault {
            KeysFault::Twice(key) => Self::Duplicate { of, key: key.into() },
            KeysFault::TooMany => Self::TooManyKeys(of),
        }
    }
}

impl From<bencode::Fault> for MetainfoFault {
    fn from(fault: bencode::Fault) -> Self {
        Self::Bencode(fault)
    }
}

impl fmt::Display for MetainfoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(f, "{bytes} bytes long, at most {TORRENT_FILE_BYTES_MAX} are read")
            }
            Self::Bencode(fault) => fault.fmt(f),
            Self::Duplicate { of, key } => {
                write!(f, "{of} has the key \"{}\" twice", Printable(key).within(60))
            }
            Self::TooManyKeys(of) => write!(f, "{of} has too many keys, and not in order"),
            Self::Missing(field) => write!(f, "{field} is missing"),
            Self::Type { field, expected } => write!(f, "{field} is not {expected}"),
            Self::OnlyVersion2 => {
                f.write_str("a torrent for BitTorrent version 2 only (BEP 52), which is not spoken here")
            }
            Self::EmptyName => f.write_str("name is empty"),
            Self::PieceLength(length) => {
                write!(f, "piece length is {length}, must be 1 to {PIECE_BYTES_MAX}")
            }
            Self::PiecesLength(bytes) => write!(f, "pieces is {bytes} bytes long, not a multiple of 20"),
            Self::TooManyPieces(pieces) => {
                write!(f, "pieces has {pieces} hashes, at most {PIECES_MAX} are read")
            }
            Self::PieceCount { hashes, pieces } => {
                write!(f, "pieces has {hashes} hashes, but the files have {pieces} pieces")
            }
            Self::LengthAndFiles => f.write_str("both length and files, which contradict each other"),
            Self::NoFiles => f.write_str("files is empty"),
            Self::TooManyFiles => write!(f, "files has more than {FILES_MAX} files"),
            Self::NoBytes => f.write_str("nothing to download: all files are empty"),
            Self::Length { file, length } => {
                write!(f, "length of file {file} is {length}, must not be negative")
            }
            Self::TotalTooLarge(file) => write!(f, "length of file {file} makes the torrent too large"),
            Self::File { file, field, expected } => write!(f, "{field} of file {file} is not {expected}"),
            Self::EmptyPath(file) => write!(f, "path of file {file} is empty"),
            Self::DeepPath(file) => {
                write!(f, "path of file {file} is more than {PATH_DEPTH_MAX} directories deep")
            }
        }
    }
}

impl core::error::Error for MetainfoFault {}
