//! A `.torrent` as a whole (BEP 3, with 12, 19, 23, 27, 47 and the version 1 half of 52).

use super::cleaned::Cleaned;
use super::fault::{Expected, MetainfoFault};
use super::files::{self, Attributes};
use super::layout::Layout;
use super::paths::clean_component;
use super::urls;
use crate::base::limits::{METAINFO_TEXT_BYTES_MAX, PIECE_BYTES_MAX, PIECES_MAX, TORRENT_FILE_BYTES_MAX};
use crate::base::{InfoHash, Printable};
use crate::wire::bencode::{self, Dict, Value};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use sha1::{Digest, Sha1};

/// What a `.torrent` says. Every value is within its bounds, and every path safe to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// SHA-1 of the raw bytes of `info`.
    pub info_hash: InfoHash,
    /// The file, or the directory of all files: one safe component of a path; not always UTF-8.
    pub name: Vec<u8>,
    /// Bytes of every piece but the last, in `1..=PIECE_BYTES_MAX`.
    pub piece_bytes: u32,
    /// SHA-1 of each piece.
    pub hashes: Box<[[u8; 20]]>,
    /// The files.
    pub layout: Layout,
    /// Peers may only come from the trackers (BEP 27).
    pub private: bool,
    /// Trackers, tier by tier (BEP 12); `announce` alone is one tier. Each URL once.
    pub tiers: Vec<Vec<String>>,
    /// HTTP servers that have the files (BEP 19 `url-list`).
    pub web_seeds: Vec<String>,
    /// What its maker had to say; any bytes.
    pub comment: Vec<u8>,
    /// The program that made it; any bytes.
    pub created_by: Vec<u8>,
    /// When, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// It is a torrent for version 2 as well (BEP 52), read as version 1.
    pub hybrid: bool,
    /// What was cleaned or left out, in lines for the user: fit for a terminal.
    pub cleaned: Vec<String>,
}

impl Metainfo {
    /// Reads a `.torrent`. Takes time linear in `bytes`, which may be hostile.
    ///
    /// # Errors
    /// One [`MetainfoFault`] that names the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoFault> {
        if bytes.len() > TORRENT_FILE_BYTES_MAX {
            return Err(MetainfoFault::TooLong(bytes.len()));
        }
        let outer = Outer::read(unique("the torrent", bencode::parse_dict(bytes)?)?)?;
        let mut cleaned = Cleaned::default();
        let info = Info::read(unique("info", outer.info)?);
        let name = info.name(&mut cleaned)?;
        let piece_bytes = info.piece_bytes()?;
        let layout = info.layout(&name, &mut cleaned)?;
        let hashes = info.hashes(layout.total_bytes(), piece_bytes)?;
        Ok(Self {
            info_hash: InfoHash(Sha1::digest(outer.info.raw()).into()),
            name,
            piece_bytes,
            hashes,
            layout,
            private: info.private,
            tiers: urls::tiers(outer.announce, outer.announce_list, &mut cleaned),
            web_seeds: urls::web_seeds(outer.url_list, &mut cleaned),
            comment: outer.comment_utf8.or(outer.comment).unwrap_or_default().into(),
            created_by: outer.created_by.unwrap_or_default().into(),
            creation_date: outer.creation_date,
            hybrid: info.version2,
            cleaned: cleaned.into_lines(),
        })
    }

    /// How many pieces there are; at least 1.
    pub fn pieces(&self) -> u32 {
        self.hashes.len() as u32
    }

    /// Bytes of piece `piece`: the last is what remains; 0 beyond it.
    pub fn piece_length(&self, piece: u32) -> u32 {
        let left = self.layout.total_bytes().saturating_sub(self.piece_offset(piece));
        left.min(u64::from(self.piece_bytes)) as u32
    }

    /// First byte of piece `piece` in the torrent.
    pub fn piece_offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_bytes)
    }
}

/// Refuses a dictionary in which two programs could read two torrents.
fn unique<'a>(of: &'static str, dict: Dict<'a>) -> Result<Dict<'a>, MetainfoFault> {
    match dict.duplicate() {
        Some(key) => Err(MetainfoFault::Duplicate { of, key: key.into() }),
        None => Ok(dict),
    }
}

/// The outer dictionary.
struct Outer<'a> {
    info: Dict<'a>,
    announce: Option<Value<'a>>,
    announce_list: Option<Value<'a>>,
    url_list: Option<Value<'a>>,
    comment: Option<&'a [u8]>,
    comment_utf8: Option<&'a [u8]>,
    created_by: Option<&'a [u8]>,
    creation_date: Option<i64>,
}

impl<'a> Outer<'a> {
    fn read(dict: Dict<'a>) -> Result<Self, MetainfoFault> {
        let mut info = None;
        let (mut announce, mut announce_list, mut url_list) = (None, None, None);
        let (mut comment, mut comment_utf8, mut created_by, mut creation_date) = (None, None, None, None);
        for (key, value) in dict.entries() {
            match key {
                b"info" => info = Some(value),
                b"announce" => announce = Some(value),
                b"announce-list" => announce_list = Some(value),
                b"url-list" => url_list = Some(value),
                b"comment" => comment = text(value),
                b"comment.utf-8" => comment_utf8 = text(value),
                b"created by" => created_by = text(value),
                b"creation date" => creation_date = value.as_int(),
                _ => {}
            }
        }
        let info = info.ok_or(MetainfoFault::Missing("info"))?;
        let info =
            info.as_dict().ok_or(MetainfoFault::Type { field: "info", expected: Expected::Dictionary })?;
        Ok(Self { info, announce, announce_list, url_list, comment, comment_utf8, created_by, creation_date })
    }
}

/// A text that nobody acts on: too long a one is cut.
fn text(value: Value<'_>) -> Option<&[u8]> {
    value.as_bytes().map(|text| &text[..text.len().min(METAINFO_TEXT_BYTES_MAX)])
}

/// The `info` dictionary, not yet judged.
struct Info<'a> {
    name: Option<Value<'a>>,
    name_utf8: Option<&'a [u8]>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    length: Option<Value<'a>>,
    files: Option<Value<'a>>,
    attr: Option<Value<'a>>,
    private: bool,
    version2: bool,
}

impl<'a> Info<'a> {
    fn read(dict: Dict<'a>) -> Self {
        let (mut name, mut name_utf8, mut piece_length, mut pieces) = (None, None, None, None);
        let (mut length, mut files, mut attr) = (None, None, None);
        let (mut private, mut version2) = (false, false);
        for (key, value) in dict.entries() {
            match key {
                b"name" => name = Some(value),
                b"name.utf-8" => name_utf8 = value.as_bytes().filter(|text| is_utf8_name(text)),
                b"piece length" => piece_length = Some(value),
                b"pieces" => pieces = Some(value),
                b"length" => length = Some(value),
                b"files" => files = Some(value),
                b"attr" => attr = Some(value),
                b"private" => private = value.as_int().is_some_and(|flag| flag != 0),
                b"meta version" => version2 |= value.as_int() == Some(2),
                b"file tree" => version2 |= value.as_dict().is_some(),
                _ => {}
            }
        }
        Self { name, name_utf8, piece_length, pieces, length, files, attr, private, version2 }
    }

    fn name(&self, cleaned: &mut Cleaned) -> Result<Vec<u8>, MetainfoFault> {
        let name = match (self.name_utf8, self.name) {
            (Some(name), _) => name,
            (None, Some(name)) => bytes(name, "name")?,
            (None, None) => return Err(MetainfoFault::Missing("name")),
        };
        if name.is_empty() {
            return Err(MetainfoFault::EmptyName);
        }
        let mut clean = Vec::new();
        if clean_component(name, &mut clean) {
            let (old, new) = (Printable(name).within(60), Printable(&clean).within(60));
            cleaned.note(format_args!("the name \"{old}\" is written as \"{new}\": it was not safe"));
        }
        Ok(clean)
    }

    fn piece_bytes(&self) -> Result<u32, MetainfoFault> {
        let length = int(self.piece_length.ok_or(MetainfoFault::Missing("piece length"))?, "piece length")?;
        let fitting = u32::try_from(length).ok().filter(|length| (1..=PIECE_BYTES_MAX).contains(length));
        fitting.ok_or(MetainfoFault::PieceLength(length))
    }

    fn layout(&self, name: &[u8], cleaned: &mut Cleaned) -> Result<Layout, MetainfoFault> {
        let layout = match (self.length, self.files) {
            (Some(_), Some(_)) => return Err(MetainfoFault::LengthAndFiles),
            (Some(length), None) => files::single(name, int(length, "length")?, Attributes::of(self.attr))?,
            (None, Some(list)) => {
                let fault = MetainfoFault::Type { field: "files", expected: Expected::List };
                files::many(name, list.as_list().ok_or(fault)?, cleaned)?
            }
            (None, None) if self.version2 => return Err(MetainfoFault::OnlyVersion2),
            (None, None) => return Err(MetainfoFault::Missing("length or files")),
        };
        if layout.wanted_bytes() == 0 {
            return Err(MetainfoFault::NoBytes);
        }
        Ok(layout)
    }

    fn hashes(&self, total_bytes: u64, piece_bytes: u32) -> Result<Box<[[u8; 20]]>, MetainfoFault> {
        let pieces = match self.pieces {
            Some(pieces) => bytes(pieces, "pieces")?,
            None if self.version2 => return Err(MetainfoFault::OnlyVersion2),
            None => return Err(MetainfoFault::Missing("pieces")),
        };
        let (hashes, rest) = pieces.as_chunks::<20>();
        if !rest.is_empty() {
            return Err(MetainfoFault::PiecesLength(pieces.len()));
        }
        if hashes.len() > PIECES_MAX as usize {
            return Err(MetainfoFault::TooManyPieces(hashes.len()));
        }
        let pieces = total_bytes.div_ceil(u64::from(piece_bytes));
        if hashes.len() as u64 != pieces {
            return Err(MetainfoFault::PieceCount { hashes: hashes.len(), pieces });
        }
        Ok(hashes.into())
    }
}

/// A name that the key `name.utf-8` promises; without it `name` is believed.
fn is_utf8_name(text: &[u8]) -> bool {
    !text.is_empty() && core::str::from_utf8(text).is_ok()
}

fn bytes<'a>(value: Value<'a>, field: &'static str) -> Result<&'a [u8], MetainfoFault> {
    value.as_bytes().ok_or(MetainfoFault::Type { field, expected: Expected::Bytes })
}

fn int(value: Value<'_>, field: &'static str) -> Result<i64, MetainfoFault> {
    value.as_int().ok_or(MetainfoFault::Type { field, expected: Expected::Integer })
}
