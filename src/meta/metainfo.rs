//! A `.torrent` as a whole (BEP 3, with 12, 19, 23, 27, 47 and the version 1 half of 52).

use super::cleaned::Cleaned;
use super::fault::{Expected, MetainfoFault};
use super::info::Info;
use super::layout::Layout;
use super::urls;
use crate::base::limits::{METAINFO_TEXT_BYTES_MAX, TORRENT_FILE_BYTES_MAX};
use crate::base::{Geometry, InfoHash};
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

    /// How the bytes are cut into pieces.
    pub fn geometry(&self) -> Geometry {
        Geometry {
            total_bytes: self.layout.total_bytes(),
            piece_bytes: self.piece_bytes,
            pieces: self.hashes.len() as u32,
        }
    }

    /// How many pieces there are; at least 1.
    pub fn pieces(&self) -> u32 {
        self.hashes.len() as u32
    }

    /// Bytes of piece `piece`: the last is what remains; 0 beyond it.
    pub fn piece_length(&self, piece: u32) -> u32 {
        self.geometry().piece_length(piece)
    }
}

/// Refuses a dictionary in which two programs could read two torrents.
fn unique<'a>(of: &'static str, dict: Dict<'a>) -> Result<Dict<'a>, MetainfoFault> {
    dict.check_keys().map_err(|fault| MetainfoFault::keys(of, fault))?;
    Ok(dict)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::FILES_MAX;
    use std::time::{Duration, Instant};

    const SMALL: &str = "d8:announce8:http://a7:comment2:hi10:created by1:c13:creation datei7e4:infod6:lengthi5e\
        4:name1:a12:piece lengthi3e6:pieces40:AAAAAAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBBBBBe8:url-list8:http://we";

    fn fault(bytes: &[u8]) -> String {
        Metainfo::parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn everything_around_info_is_read() {
        let metainfo = Metainfo::parse(SMALL.as_bytes()).unwrap();
        assert_eq!(metainfo.tiers, [["http://a"]]);
        assert_eq!(metainfo.web_seeds, ["http://w"]);
        assert_eq!((&metainfo.comment[..], &metainfo.created_by[..]), (&b"hi"[..], &b"c"[..]));
        assert_eq!((metainfo.creation_date, metainfo.hybrid), (Some(7), false));
        assert_eq!(metainfo.hashes[..], [[b'A'; 20], [b'B'; 20]]);
        let lengths: Vec<_> = (0..4).map(|piece| metainfo.piece_length(piece)).collect();
        assert_eq!(lengths, [3, 2, 0, 0]);
        assert_eq!(metainfo.cleaned, Vec::<String>::new());
    }

    #[test]
    fn the_info_hash_is_over_the_bytes_as_they_stand() {
        let sorted = Metainfo::parse(SMALL.as_bytes()).unwrap();
        let unsorted = SMALL.replace("6:lengthi5e4:name1:a", "4:name1:a6:lengthi5e1:?le");
        let unsorted = Metainfo::parse(unsorted.as_bytes()).unwrap();
        assert_eq!((&unsorted.layout, &unsorted.hashes), (&sorted.layout, &sorted.hashes));
        assert_eq!(sorted.info_hash.to_string(), "8be48505192d203b4872248199fd4cde20d1349b");
        assert_eq!(unsorted.info_hash.to_string(), "942a583069a28462dfe65fbc7bf4146a71efd99a");
    }

    #[test]
    fn what_is_no_torrent_is_told_with_its_place() {
        let cases: [(&[u8], &str); 8] = [
            (b"", "not bencode: cut short at byte 0"),
            (b"<html>", "not bencode: expected a dictionary at byte 0"),
            (b"d4:infoi-0ee", "not bencode: an integer is -0 at byte 7"),
            (b"de", "info is missing"),
            (b"d4:infolee", "info is not a dictionary"),
            (b"d4:infode4:infodee", "the torrent has the key \"info\" twice"),
            (b"d4:infode1:a1:b4:infodee", "the torrent has the key \"info\" twice"),
            (b"d4:infodee!", "not bencode: something follows the value at byte 10"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(fault(bytes), expected, "{}", bytes.escape_ascii());
        }
        assert!(Metainfo::parse(format!("{SMALL}\r\n").as_bytes()).is_ok());
        assert_eq!(fault(&vec![b'd'; 33 << 20]), "34603008 bytes long, at most 33554432 are read");
    }

    #[test]
    fn every_cut_of_a_torrent_is_a_fault() {
        for cut in 0..SMALL.len() {
            assert!(fault(&SMALL.as_bytes()[..cut]).starts_with("not bencode: "), "{cut}");
        }
    }

    #[test]
    fn every_changed_byte_is_read_or_refused_without_panic() {
        for at in 0..SMALL.len() {
            for byte in [0, b'0', b'9', b'e', b'd', b'i', b'-', b':', 0xff] {
                let mut bytes = SMALL.as_bytes().to_vec();
                bytes[at] = byte;
                crate::fuzzing::meta::metainfo(&bytes);
            }
        }
    }

    /// The most files there may be: all of one name, out of order, in order. It takes half a second; the bound only tells
    /// that from a search for each file, on a busy machine too.
    #[test]
    fn a_million_files_are_read_in_time() {
        type Path = fn(usize) -> String;
        let paths: [(Path, bool); 3] = [
            (|_| "1:a".into(), false),
            (|n| format!("5:{:05x}", n.wrapping_mul(0x3_79b9) % FILES_MAX), true),
            (|n| format!("5:{n:05x}"), true),
        ];
        for (path, all_differ) in paths {
            let mut torrent = b"d4:infod5:filesl".to_vec();
            for n in 0..FILES_MAX {
                torrent.extend_from_slice(format!("d6:lengthi1e4:pathl{}ee", path(n)).as_bytes());
            }
            torrent.extend_from_slice(b"e4:name1:n12:piece lengthi1048576e6:pieces20:AAAAAAAAAAAAAAAAAAAAee");
            let start = Instant::now();
            let metainfo = Metainfo::parse(&torrent).unwrap();
            let took = start.elapsed();
            assert_eq!(metainfo.layout.count() as usize, FILES_MAX);
            assert_eq!(metainfo.cleaned.is_empty(), all_differ);
            assert!(took < Duration::from_secs(30), "{took:?}");
        }
    }
}
