//! The `info` dictionary, the part of a `.torrent` that the info-hash covers.

use super::cleaned::Cleaned;
use super::fault::{Expected, MetainfoFault};
use super::files::{self, Attributes};
use super::layout::Layout;
use super::paths::clean_component;
use crate::base::Printable;
use crate::base::limits::{PIECE_BYTES_MAX, PIECES_MAX};
use crate::wire::bencode::{Dict, Value};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The `info` dictionary, not yet judged.
pub(super) struct Info<'a> {
    name: Option<Value<'a>>,
    name_utf8: Option<&'a [u8]>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    length: Option<Value<'a>>,
    files: Option<Value<'a>>,
    attr: Option<Value<'a>>,
    pub(super) private: bool,
    pub(super) version2: bool,
}

impl<'a> Info<'a> {
    pub(super) fn read(dict: Dict<'a>) -> Self {
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

    pub(super) fn name(&self, cleaned: &mut Cleaned) -> Result<Vec<u8>, MetainfoFault> {
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

    pub(super) fn piece_bytes(&self) -> Result<u32, MetainfoFault> {
        let length = int(self.piece_length.ok_or(MetainfoFault::Missing("piece length"))?, "piece length")?;
        let fitting = u32::try_from(length).ok().filter(|length| (1..=PIECE_BYTES_MAX).contains(length));
        fitting.ok_or(MetainfoFault::PieceLength(length))
    }

    pub(super) fn layout(&self, name: &[u8], cleaned: &mut Cleaned) -> Result<Layout, MetainfoFault> {
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

    pub(super) fn hashes(
        &self,
        total_bytes: u64,
        piece_bytes: u32,
    ) -> Result<Box<[[u8; 20]]>, MetainfoFault> {
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

#[cfg(test)]
mod tests {
    use super::super::Metainfo;
    use super::*;

    const PIECES: &str = "6:pieces20:AAAAAAAAAAAAAAAAAAAA";

    fn parse(info: &str) -> Result<Metainfo, MetainfoFault> {
        Metainfo::parse(format!("d4:infod{info}ee").as_bytes())
    }

    fn fault(info: &str) -> String {
        parse(info).unwrap_err().to_string()
    }

    #[test]
    fn each_field_has_its_own_fault() {
        let cases = [
            ("piece length is 0, must be 1 to 536870912", "6:lengthi5e4:name1:a12:piece lengthi0e"),
            ("piece length is -1, must be 1 to 536870912", "6:lengthi5e4:name1:a12:piece lengthi-1e"),
            (
                "piece length is 536870913, must be 1 to 536870912",
                "6:lengthi5e4:name1:a12:piece lengthi536870913e",
            ),
            (
                "piece length is 9223372036854775807, must be 1 to 536870912",
                "6:lengthi5e4:name1:a12:piece lengthi9223372036854775807e",
            ),
            ("piece length is not an integer", "6:lengthi5e4:name1:a12:piece length1:a"),
            ("piece length is missing", "6:lengthi5e4:name1:a"),
            ("name is missing", "6:lengthi5e12:piece lengthi8e"),
            ("name is empty", "6:lengthi5e4:name0:12:piece lengthi8e"),
            ("name is not a string", "6:lengthi5e4:namei1e12:piece lengthi8e"),
            ("length of file 0 is -1, must not be negative", "6:lengthi-1e4:name1:a12:piece lengthi8e"),
            ("length is not an integer", "6:lengthle4:name1:a12:piece lengthi8e"),
            ("length or files is missing", "4:name1:a12:piece lengthi8e"),
            (
                "both length and files, which contradict each other",
                "5:filesle6:lengthi1e4:name1:a12:piece lengthi8e",
            ),
            ("files is not a list", "5:filesi1e4:name1:a12:piece lengthi8e"),
            ("files is empty", "5:filesle4:name1:a12:piece lengthi8e"),
            ("nothing to download: all files are empty", "6:lengthi0e4:name1:a12:piece lengthi8e6:pieces0:"),
            ("pieces is missing", "6:lengthi5e4:name1:a12:piece lengthi8e"),
            ("pieces is not a string", "6:lengthi5e4:name1:a12:piece lengthi8e6:piecesi1e"),
            (
                "pieces is 3 bytes long, not a multiple of 20",
                "6:lengthi5e4:name1:a12:piece lengthi8e6:pieces3:AAA",
            ),
            (
                "pieces has 0 hashes, but the files have 1 pieces",
                "6:lengthi5e4:name1:a12:piece lengthi8e6:pieces0:",
            ),
            ("info has the key \"name\" twice", "6:lengthi5e4:name1:a4:name1:b12:piece lengthi8e"),
        ];
        for (expected, info) in cases {
            assert_eq!(fault(info), expected, "{info}");
        }
        let few = format!("6:lengthi5e4:name1:a12:piece lengthi2e{PIECES}");
        assert_eq!(fault(&few), "pieces has 1 hashes, but the files have 3 pieces");
        let huge = format!("6:lengthi9223372036854775807e4:name1:a12:piece lengthi2e{PIECES}");
        assert_eq!(fault(&huge), "pieces has 1 hashes, but the files have 4611686018427387904 pieces");
    }

    #[test]
    fn version_2_alone_is_refused_and_beside_version_1_is_read_as_1() {
        let tree = "9:file treed1:ad0:d6:lengthi5eeee12:meta versioni2e4:name1:a12:piece lengthi16384e";
        assert!(fault(tree).contains("version 2 only (BEP 52)"));
        let hybrid =
            format!("9:file treede6:lengthi5e12:meta versioni2e4:name1:a12:piece lengthi16384e{PIECES}");
        let hybrid = parse(&hybrid).unwrap();
        assert!(hybrid.hybrid && hybrid.pieces() == 1 && hybrid.piece_length(0) == 5);
    }

    #[test]
    fn names_prefer_their_utf_8_form_and_are_cleaned() {
        let name = |names: &str| parse(&format!("6:lengthi5e{names}12:piece lengthi8e{PIECES}")).unwrap();
        assert_eq!(name("4:name1:a10:name.utf-82:ä").name, "ä".as_bytes());
        assert_eq!(name("4:name1:a10:name.utf-80:").name, b"a", "an empty one is none");
        assert_eq!(name("10:name.utf-82:ä").name, "ä".as_bytes());
        let cleaned = name("4:name12:../../../etc");
        assert_eq!(cleaned.name, b".._.._.._etc");
        assert_eq!(cleaned.layout.file(0).unwrap().path(), b".._.._.._etc");
        assert_eq!(
            cleaned.cleaned,
            ["the name \"../../../etc\" is written as \".._.._.._etc\": it was not safe"]
        );
        assert_eq!(name("4:name1:/").name, b"_");
        assert_eq!(name("4:name2:..").name, b"__");
    }

    #[test]
    fn private_is_what_is_not_zero() {
        let private =
            |flag| parse(&format!("6:lengthi5e4:name1:a12:piece lengthi8e{PIECES}{flag}")).unwrap().private;
        assert!(!private(""));
        assert!(private("7:privatei1e"));
        assert!(!private("7:privatei0e"));
        assert!(!private("7:private1:1"));
    }
}
