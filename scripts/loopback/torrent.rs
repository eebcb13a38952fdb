//! What of a `.torrent` a seeder must know. The file is our own, so the reader trusts it and is small.

use sha1::{Digest as _, Sha1};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A torrent, as far as a seeder cares.
pub struct Torrent {
    pub info_hash: [u8; 20],
    pub piece_bytes: u64,
    pub total_bytes: u64,
    /// In the order of the content.
    pub files: Vec<File>,
}

/// A file of the content.
pub struct File {
    pub bytes: u64,
    /// Below the torrent's folder; none for the only file of a torrent without folder.
    pub path: Option<PathBuf>,
    /// A pad file (BEP 47): zeros that nobody stores.
    pub pad: bool,
}

impl Torrent {
    /// Number of pieces.
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.total_bytes.div_ceil(self.piece_bytes)).unwrap_or(u32::MAX)
    }

    /// Length of a piece; the last one may be shorter. 0 past the end.
    pub fn piece_len(&self, piece: u32) -> u64 {
        self.total_bytes.saturating_sub(u64::from(piece) * self.piece_bytes).min(self.piece_bytes)
    }
}

/// Reads a `.torrent` file.
pub fn read(path: &Path) -> io::Result<Torrent> {
    let bytes = fs::read(path)?;
    parse(&bytes).ok_or_else(|| io::Error::other(format!("{} is not a usable .torrent", path.display())))
}

fn parse(bytes: &[u8]) -> Option<Torrent> {
    let info = dict_get(bytes, b"info")?;
    let piece_bytes = integer(dict_get(info, b"piece length")?)?;
    let files = match dict_get(info, b"files") {
        None => vec![File { bytes: integer(dict_get(info, b"length")?)?, path: None, pad: false }],
        Some(list) => list_items(list)?.into_iter().map(file).collect::<Option<_>>()?,
    };
    let total_bytes = files.iter().map(|file| file.bytes).sum();
    Some(Torrent { info_hash: Sha1::digest(info).into(), piece_bytes, total_bytes, files })
}

fn file(entry: &[u8]) -> Option<File> {
    use std::os::unix::ffi::OsStrExt as _;
    let names = list_items(dict_get(entry, b"path")?)?;
    let names = names.into_iter().map(|name| string(name).map(|(name, _)| std::ffi::OsStr::from_bytes(name)));
    let attributes = dict_get(entry, b"attr").and_then(string).map_or(&b""[..], |(text, _)| text);
    Some(File {
        bytes: integer(dict_get(entry, b"length")?)?,
        path: Some(names.collect::<Option<PathBuf>>()?),
        pad: attributes.contains(&b'p'),
    })
}

/// The raw value of a key.
pub fn dict_get<'a>(dict: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut rest = dict.strip_prefix(b"d")?;
    while rest.first()? != &b'e' {
        let (key, after) = string(rest)?;
        let after_value = skip(after)?;
        if key == wanted {
            return Some(&after[..after.len() - after_value.len()]);
        }
        rest = after_value;
    }
    None
}

fn list_items(list: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = list.strip_prefix(b"l")?;
    let mut items = Vec::new();
    while rest.first()? != &b'e' {
        let after = skip(rest)?;
        items.push(&rest[..rest.len() - after.len()]);
        rest = after;
    }
    Some(items)
}

/// What follows the value at the start.
fn skip(value: &[u8]) -> Option<&[u8]> {
    match value.first()? {
        b'i' => Some(&value[value.iter().position(|&byte| byte == b'e')? + 1..]),
        b'l' | b'd' => {
            let mut rest = &value[1..];
            while rest.first()? != &b'e' {
                rest = skip(rest)?;
            }
            Some(&rest[1..])
        }
        _ => Some(string(value)?.1),
    }
}

/// The string at the start, and what follows it.
fn string(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = value.iter().position(|&byte| byte == b':')?;
    let len = std::str::from_utf8(&value[..colon]).ok()?.parse().ok()?;
    value[colon + 1..].split_at_checked(len)
}

fn integer(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.strip_prefix(b"i")?.strip_suffix(b"e")?).ok()?.parse().ok()
}
