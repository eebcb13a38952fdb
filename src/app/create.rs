//! `--create`: writes a `.torrent` for a file or a directory.
//!
//! The same files give the same torrent: entries are sorted by the bytes of their names and no time is written. Names
//! that are not UTF-8 stay as they are. Symlinks and special files are refused, because neither can be a part of it.

mod pieces;

use crate::app::cli::NewTorrent;
use crate::base::Printable;
use crate::base::limits::{FILES_MAX, PIECE_BYTES_MAX, PIECES_MAX};
use crate::base::text::Quoted;
use crate::base::units::Bytes;
use crate::meta::{Metainfo, MetainfoFault, check_url};
use lava_torrent::bencode::BencodeElem;
use pieces::{hash, suitable_piece_bytes};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A torrent that has been written.
#[derive(Clone, Debug)]
pub struct Created {
    /// Where.
    pub file: PathBuf,
    /// What it says, read back.
    pub metainfo: Metainfo,
}

/// Why no torrent was written.
#[derive(Debug)]
pub enum CreateFault {
    /// This file or directory could not be read or written.
    Io(PathBuf, io::Error),
    /// A symlink.
    Symlink(PathBuf),
    /// Neither a file nor a directory.
    Special(PathBuf),
    /// A path that ends in no name, as `/` does.
    NoName(PathBuf),
    /// There are no bytes in it.
    NoBytes(PathBuf),
    /// More files than a torrent may have.
    TooManyFiles(PathBuf),
    /// Its length changed while it was read.
    Changed(PathBuf),
    /// Pieces cannot have this length, or there would be too many of them.
    PieceBytes(u32),
    /// The tracker's URL, and what is wrong with it.
    Announce(String, &'static str),
    /// The torrent would be beyond what is read here.
    Refused(MetainfoFault),
}

impl fmt::Display for CreateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| Printable(path.as_os_str().as_bytes()).to_string();
        match self {
            Self::Io(path, error) if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{}: exists already: move it away, or name another with -o", shown(path))
            }
            Self::Io(path, error) => write!(f, "{}: {error}", shown(path)),
            Self::Symlink(path) => write!(f, "{}: is a symlink, which a torrent cannot hold", shown(path)),
            Self::Special(path) => write!(f, "{}: is neither a file nor a directory", shown(path)),
            Self::NoName(path) => write!(f, "{}: has no name to call the torrent by", shown(path)),
            Self::NoBytes(path) => write!(f, "{}: there is nothing in it to share", shown(path)),
            Self::TooManyFiles(path) => write!(f, "{}: more than {FILES_MAX} files", shown(path)),
            Self::Changed(path) => write!(f, "{}: its length changed while it was read", shown(path)),
            Self::PieceBytes(bytes) => {
                let (bytes, most) = (Bytes(u64::from(*bytes)), Bytes(u64::from(PIECE_BYTES_MAX)));
                write!(f, "pieces of {bytes}: allowed are 1 to {PIECES_MAX} pieces of at most {most}")
            }
            Self::Announce(url, why) => {
                write!(f, "announce URL {}: {why}", Quoted(url))
            }
            Self::Refused(fault) => write!(f, "the torrent cannot be used: {fault}"),
        }
    }
}

impl std::error::Error for CreateFault {}

/// Writes a torrent for the file or directory `path` into `out`, or into `NAME.torrent` of the current directory. What is
/// there already is not overwritten. Reads every byte once, in bounded memory.
pub fn create(path: &Path, out: Option<&Path>, says: &NewTorrent) -> Result<Created, CreateFault> {
    let file = match out {
        Some(file) => file.to_owned(),
        None => default_out(&name_of(path)?),
    };
    let fault = |error| CreateFault::Io(file.clone(), error);
    // Told before hours are spent on hashing; that nothing is overwritten is `create_new`'s care.
    if fs::symlink_metadata(&file).is_ok() {
        return Err(fault(io::ErrorKind::AlreadyExists.into()));
    }
    let bytes = encode(path, says)?;
    let metainfo = Metainfo::parse(&bytes).map_err(CreateFault::Refused)?;
    let mut handle = OpenOptions::new().write(true).create_new(true).open(&file).map_err(fault)?;
    let written = handle.write_all(&bytes).and_then(|()| handle.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(&file);
        return Err(fault(error));
    }
    Ok(Created { file, metainfo })
}

/// The bytes of a torrent for the file or directory `path`.
pub fn encode(path: &Path, says: &NewTorrent) -> Result<Vec<u8>, CreateFault> {
    if let Some(url) = says.announce.as_deref() {
        check_url(url.as_bytes()).map_err(|why| CreateFault::Announce(url.to_owned(), why))?;
    }
    let name = name_of(path)?;
    let sources = collect(path)?;
    let total: u64 = sources.iter().map(|source| source.length).sum();
    if total == 0 {
        return Err(CreateFault::NoBytes(path.to_owned()));
    }
    let piece_bytes = says.piece_bytes.unwrap_or_else(|| suitable_piece_bytes(total));
    // Told before hours are spent on hashing.
    let last_piece = (total - 1).checked_div(u64::from(piece_bytes)).unwrap_or(u64::MAX);
    if piece_bytes > PIECE_BYTES_MAX || last_piece >= u64::from(PIECES_MAX) {
        return Err(CreateFault::PieceBytes(piece_bytes));
    }
    let mut info = dictionary([
        ("name", BencodeElem::Bytes(name)),
        ("piece length", BencodeElem::Integer(i64::from(piece_bytes))),
        ("pieces", BencodeElem::Bytes(hash(&sources, piece_bytes)?)),
    ]);
    if says.private {
        info.insert("private".into(), BencodeElem::Integer(1));
    }
    match &sources[..] {
        [only] if only.components.is_empty() => info.insert("length".into(), only.length_elem()),
        many => info.insert("files".into(), BencodeElem::List(many.iter().map(Source::elem).collect())),
    };
    let mut torrent = dictionary([
        ("created by", BencodeElem::String(concat!("swarmlet/", env!("CARGO_PKG_VERSION")).into())),
        ("info", BencodeElem::Dictionary(info)),
    ]);
    if let Some(url) = says.announce.as_deref() {
        torrent.insert("announce".into(), BencodeElem::String(url.into()));
    }
    Ok(BencodeElem::Dictionary(torrent).encode())
}

fn dictionary<const N: usize>(entries: [(&str, BencodeElem); N]) -> HashMap<String, BencodeElem> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The last component; of `.` and `..` that of the directory they stand for.
fn name_of(path: &Path) -> Result<Vec<u8>, CreateFault> {
    let named = match path.file_name() {
        Some(_) => path.to_owned(),
        None => fs::canonicalize(path).map_err(|error| CreateFault::Io(path.to_owned(), error))?,
    };
    let name = named.file_name().ok_or_else(|| CreateFault::NoName(path.to_owned()))?;
    Ok(name.as_bytes().to_vec())
}

fn default_out(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&[name, b".torrent"].concat()))
}

/// A file to be put into the torrent.
struct Source {
    /// Below the directory that was named; empty for a file that was named itself.
    components: Vec<Vec<u8>>,
    path: PathBuf,
    length: u64,
}

impl Source {
    /// The length as the torrent has it; no file system has files beyond 63 bits.
    fn length_elem(&self) -> BencodeElem {
        BencodeElem::Integer(i64::try_from(self.length).unwrap_or(i64::MAX))
    }

    fn elem(&self) -> BencodeElem {
        let path = self.components.iter().cloned().map(BencodeElem::Bytes).collect();
        BencodeElem::Dictionary(dictionary([
            ("length", self.length_elem()),
            ("path", BencodeElem::List(path)),
        ]))
    }
}

/// All files at or below `top`, sorted by their components.
fn collect(top: &Path) -> Result<Vec<Source>, CreateFault> {
    let mut files = Vec::new();
    let mut waiting = vec![(Vec::new(), top.to_owned())];
    while let Some((components, path)) = waiting.pop() {
        let fault = |error| CreateFault::Io(path.clone(), error);
        let metadata = fs::symlink_metadata(&path).map_err(fault)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(fault)? {
                let entry = entry.map_err(fault)?;
                let mut below: Vec<Vec<u8>> = components.clone();
                below.push(entry.file_name().as_bytes().to_vec());
                waiting.push((below, entry.path()));
            }
        } else if metadata.is_file() {
            files.push(Source { components, path, length: metadata.len() });
        } else if metadata.is_symlink() {
            return Err(CreateFault::Symlink(path));
        } else {
            return Err(CreateFault::Special(path));
        }
        if files.len() + waiting.len() > 2 * FILES_MAX || files.len() > FILES_MAX {
            return Err(CreateFault::TooManyFiles(top.to_owned()));
        }
    }
    files.sort_unstable_by(|a, b| a.components.cmp(&b.components));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};

    /// A directory of its own that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("swarmlet-create-{test}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn write(&self, path: &[u8], bytes: &[u8]) -> PathBuf {
            let path = self.0.join(OsStr::from_bytes(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_file_is_read_back_as_it_was() {
        let scratch = Scratch::new("one");
        let path = scratch.write(b"data.bin", &[7; 100_000]);
        let out = scratch.0.join("x.torrent");
        let options =
            NewTorrent { announce: Some("http://127.0.0.1:1/announce".into()), ..NewTorrent::default() };
        let created = create(&path, Some(&out), &options).unwrap();
        let metainfo = Metainfo::parse(&fs::read(&out).unwrap()).unwrap();
        assert_eq!(metainfo, created.metainfo);
        assert_eq!(
            (&metainfo.name[..], metainfo.piece_bytes, metainfo.pieces()),
            (&b"data.bin"[..], 16384, 7)
        );
        assert_eq!(metainfo.hashes[0], <[u8; 20]>::from(Sha1::digest([7; 16384])));
        assert_eq!(metainfo.hashes[6], <[u8; 20]>::from(Sha1::digest([7; 100_000 - 6 * 16384])));
        assert_eq!(metainfo.tiers, [["http://127.0.0.1:1/announce"]]);
        assert!(matches!(create(&path, Some(&out), &options), Err(CreateFault::Io(..))), "never overwritten");
    }

    #[test]
    fn a_directory_is_sorted_and_names_are_bytes() {
        let scratch = Scratch::new("many");
        for (path, bytes) in
            [(&b"b"[..], &b"bb"[..]), (b"a/\xff\xfe", b"x"), (b"a.txt", b""), (b"a/b/c", b"yyy")]
        {
            scratch.write(path, bytes);
        }
        let options = NewTorrent { piece_bytes: Some(4), private: true, ..NewTorrent::default() };
        let bytes = encode(&scratch.0, &options).unwrap();
        let metainfo = Metainfo::parse(&bytes).unwrap();
        let paths: Vec<_> =
            metainfo.layout.files().map(|file| file.path()[metainfo.name.len()..].to_vec()).collect();
        assert_eq!(paths, [&b"/a/b/c"[..], b"/a/\xff\xfe", b"/a.txt", b"/b"]);
        assert_eq!(
            metainfo.hashes[..],
            [Sha1::digest(b"yyyx").into(), <[u8; 20]>::from(Sha1::digest(b"bb"))]
        );
        assert!(metainfo.private && metainfo.cleaned.is_empty());
        assert_eq!(bytes, encode(&scratch.0, &options).unwrap(), "the same files give the same torrent");
    }

    #[test]
    fn what_cannot_be_in_a_torrent_is_refused_by_name() {
        let scratch = Scratch::new("odd");
        let fault = |path: &Path| encode(path, &NewTorrent::default()).unwrap_err().to_string();
        assert!(fault(&scratch.0).ends_with(": there is nothing in it to share"));
        assert!(fault(&scratch.0.join("none")).contains("none: No such file"));
        let file = scratch.write(b"file", b"1");
        std::os::unix::fs::symlink("/etc", scratch.0.join("link")).unwrap();
        assert!(fault(&scratch.0).ends_with("/link: is a symlink, which a torrent cannot hold"));
        assert!(fault(Path::new("/dev/null")).ends_with("is neither a file nor a directory"));
        assert!(fault(Path::new("/")).ends_with("/: has no name to call the torrent by"));
        let refused = |options| encode(&file, &options).unwrap_err().to_string();
        let url = refused(NewTorrent { announce: Some("http://a b".into()), ..NewTorrent::default() });
        assert!(url.starts_with("announce URL 'http://a b': "), "{url}");
        let of = |bytes| NewTorrent { piece_bytes: Some(bytes), ..NewTorrent::default() };
        let wanted = "allowed are 1 to 2097152 pieces of at most 512.0 MiB";
        assert_eq!(refused(of(0)), format!("pieces of 0 B: {wanted}"));
        assert_eq!(refused(of(u32::MAX)), format!("pieces of 4.00 GiB: {wanted}"));
        let huge = scratch.write(b"huge", b"");
        fs::File::options().write(true).open(&huge).unwrap().set_len((1 << 35) + 1).unwrap();
        assert_eq!(
            encode(&huge, &of(16 << 10)).unwrap_err().to_string(),
            format!("pieces of 16.0 KiB: {wanted}")
        );
    }
}
