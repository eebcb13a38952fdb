//! The torrents of a run: read from their files, bounded, each once, none in another's way.

use crate::app::text::clean;
use crate::base::TorrentId;
use crate::base::limits::TORRENT_FILE_BYTES_MAX;
use crate::base::units::Bytes;
use crate::meta::{Metainfo, MetainfoFault};
use crate::rim::storage::state_names;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One torrent.
#[derive(Clone, Debug)]
pub struct Torrent {
    /// The `.torrent` it was read from.
    pub file: PathBuf,
    /// What that says.
    pub metainfo: Arc<Metainfo>,
    /// The file or directory that it becomes.
    pub output: PathBuf,
}

impl Torrent {
    /// Reads a `.torrent` whose files go into `directory`.
    ///
    /// # Errors
    /// [`Unreadable`] says why it is none.
    pub fn read(file: &Path, directory: &Path) -> Result<Self, Unreadable> {
        let metainfo = no_link(file)
            .and_then(read_bounded)
            .and_then(|bytes| Metainfo::parse(&bytes).map_err(|fault| known_kind(&bytes, fault)));
        let metainfo = metainfo.map_err(|why| Unreadable { file: file.to_path_buf(), why })?;
        let output = directory.join(OsStr::from_bytes(&metainfo.name));
        Ok(Self { file: file.to_path_buf(), metainfo: Arc::new(metainfo), output })
    }

    /// Its name, fit for a terminal.
    pub fn name(&self) -> String {
        clean(&self.metainfo.name)
    }
}

/// What people give who have no .torrent yet.
fn no_link(file: &Path) -> Result<&Path, Why> {
    let text = file.as_os_str().as_bytes();
    let begins =
        |head: &str| text.get(..head.len()).is_some_and(|it| it.eq_ignore_ascii_case(head.as_bytes()));
    let is_url = ["http://", "https://", "ftp://", "file://"].into_iter().any(begins);
    if begins("magnet:") {
        Err(Why::Magnet)
    } else if is_url {
        Err(Why::Url)
    } else {
        Ok(file)
    }
}

/// What people get who fetch a .torrent, and get something else; or the fault itself.
fn known_kind(bytes: &[u8], fault: MetainfoFault) -> Why {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if text.starts_with(b"<") {
        Why::WebPage
    } else if bytes.starts_with(&[0x1f, 0x8b]) {
        Why::Gzip
    } else {
        Why::Metainfo(fault)
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Why> {
    let file = File::open(path).map_err(Why::Io)?;
    let metadata = file.metadata().map_err(Why::Io)?;
    if metadata.is_dir() {
        return Err(Why::Directory);
    }
    if metadata.len() > TORRENT_FILE_BYTES_MAX as u64 {
        return Err(Why::TooLong(metadata.len()));
    }
    let mut bytes = Vec::new();
    // What has no size beforehand, like a pipe, is bounded here: one byte more than allowed is enough to see
    // it.
    file.take(TORRENT_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Why::Io)?;
    match bytes.len() {
        0 => Err(Why::Empty),
        length if length > TORRENT_FILE_BYTES_MAX => Err(Why::TooLong(length as u64)),
        _ => Ok(bytes),
    }
}

/// A `.torrent` that cannot be used.
#[derive(Debug)]
pub struct Unreadable {
    file: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Magnet,
    Url,
    Io(io::Error),
    Directory,
    Empty,
    WebPage,
    Gzip,
    TooLong(u64),
    Metainfo(MetainfoFault),
}

impl fmt::Display for Unreadable {
    /// The file and the fault, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", shown(&self.file))?;
        match &self.why {
            Why::Magnet => f.write_str("is a magnet link; only .torrent files are taken"),
            Why::Url => f.write_str("is a URL; fetch the .torrent first, for instance with wget"),
            Why::Io(error) => write!(f, "cannot be read: {error}"),
            Why::Directory => f.write_str("is a directory, not a .torrent"),
            Why::Empty => f.write_str("is empty"),
            Why::WebPage => f.write_str("looks like a web page, not a .torrent"),
            Why::Gzip => f.write_str("is compressed (gzip), not a .torrent; unpack it first, with gunzip"),
            Why::TooLong(bytes) => {
                let most = Bytes(TORRENT_FILE_BYTES_MAX as u64);
                write!(f, "is {} or longer, a .torrent may have {most}", Bytes(*bytes))
            }
            Why::Metainfo(fault) => write!(f, "{}", clean(fault.to_string().as_bytes())),
        }
    }
}

/// A path, fit for a terminal.
pub fn shown(path: &Path) -> String {
    clean(path.as_os_str().as_bytes())
}

/// Two torrents do not go together: why, and what helps.
fn alone(one: &Torrent, other: &Torrent, why: &str) -> String {
    let (one, other) = (shown(&one.file), shown(&other.file));
    format!("{one} and {other}: {why}: run them one after the other, or with an --output of their own")
}

/// All torrents of a run, by [`TorrentId`].
#[derive(Clone, Debug, Default)]
pub struct Torrents(Vec<Torrent>);

impl Torrents {
    /// These torrents, each info-hash once. Also gives one line for each that was given twice.
    pub fn unique(given: Vec<Torrent>) -> (Self, Vec<String>) {
        let mut torrents: Vec<Torrent> = Vec::with_capacity(given.len());
        let mut twice = Vec::new();
        for torrent in given {
            let same = torrents.iter().find(|first| first.metainfo.info_hash == torrent.metainfo.info_hash);
            match same {
                Some(first) => {
                    twice.push(format!(
                        "{}: the same torrent as {}",
                        shown(&torrent.file),
                        shown(&first.file)
                    ));
                }
                None => torrents.push(torrent),
            }
        }
        (Self(torrents), twice)
    }

    /// Two torrents that want the same path, in one line.
    pub fn clash(&self) -> Option<String> {
        if self.0.len() < 2 {
            return None;
        }
        let (mut files, mut directories) = (HashSet::new(), HashSet::new());
        for torrent in &self.0 {
            let paths: Vec<_> = torrent
                .metainfo
                .layout
                .files()
                .filter(|file| !file.is_pad())
                .map(|file| file.path())
                .collect();
            let above = |path: &Vec<u8>| {
                let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
                ends.map(|end| path[..end].to_vec()).collect::<Vec<_>>()
            };
            let parents: HashSet<_> = paths.iter().flat_map(above).collect();
            let taken = paths.iter().find(|path| files.contains(*path) || directories.contains(*path));
            if let Some(path) = taken.or_else(|| parents.iter().find(|path| files.contains(*path))) {
                return Some(format!(
                    "{}: {} is already the output of another torrent of this run",
                    shown(&torrent.file),
                    clean(path)
                ));
            }
            files.extend(paths);
            directories.extend(parents);
        }
        None
    }

    /// Two torrents of which one's output, or resume state, would be in the place of the other's resume state, in one
    /// line.
    pub fn state_clash(&self) -> Option<String> {
        let mut states: HashMap<Vec<u8>, &Torrent> = HashMap::new();
        for torrent in &self.0 {
            for name in state_names(&torrent.metainfo) {
                if let Some(other) = states.insert(name, torrent) {
                    return Some(alone(torrent, other, "both have the same name"));
                }
            }
        }
        self.0.iter().find_map(|torrent| {
            let other = states.get(&torrent.metainfo.name)?;
            Some(alone(torrent, other, "its name is that of the other's resume state"))
        })
    }

    /// The torrent of this number.
    pub fn get(&self, id: TorrentId) -> Option<&Torrent> {
        self.0.get(id.0 as usize)
    }

    /// Its name, fit for a terminal.
    pub fn name(&self, id: TorrentId) -> String {
        self.get(id).map_or_else(|| format!("torrent {}", id.0), Torrent::name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Torrent> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bencoded(name: &str, info: &str) -> Vec<u8> {
        let hash = "x".repeat(20);
        format!("d4:infod{info}4:name{}:{name}12:piece lengthi1024e6:pieces20:{hash}ee", name.len())
            .into_bytes()
    }

    fn torrent(bytes: &[u8]) -> Torrent {
        let metainfo = Arc::new(Metainfo::parse(bytes).unwrap());
        let output = Path::new(".").join(OsStr::from_bytes(&metainfo.name));
        Torrent { file: PathBuf::from("some.torrent"), metainfo, output }
    }

    impl Torrents {
        /// Torrents of one file of 1 KiB each, with these names.
        pub fn samples(names: &[&str]) -> Self {
            Self(names.iter().map(|name| torrent(&bencoded(name, "6:lengthi1024e"))).collect())
        }
    }

    #[test]
    fn the_same_torrent_twice_is_taken_once() {
        let Torrents(mut given) = Torrents::samples(&["a", "b", "a"]);
        given[2].file = PathBuf::from("again\n.torrent");
        let (torrents, twice) = Torrents::unique(given);
        assert_eq!((torrents.len(), twice.len()), (2, 1));
        assert_eq!(twice[0], "again\\x0a.torrent: the same torrent as some.torrent");
    }

    #[test]
    fn torrents_that_want_the_same_path_are_found() {
        let directory = |name: &str, file: &str| {
            let files = format!("5:filesld6:lengthi1024e4:pathl{}:{file}eee", file.len());
            torrent(&bencoded(name, &files))
        };
        let single = |name: &str, bytes: u32| torrent(&bencoded(name, &format!("6:lengthi{bytes}e")));
        let clash = |list: Vec<Torrent>| Torrents(list).clash().is_some();
        assert!(clash(vec![single("a", 1000), single("a", 1001)]));
        assert!(clash(vec![single("a", 1000), directory("a", "b")]));
        assert!(clash(vec![directory("a", "b"), single("a", 1000)]));
        assert!(clash(vec![directory("a", "b"), directory("a", "b")]));
        assert!(!clash(vec![directory("a", "b"), directory("a", "c"), single("b", 1000)]));
    }

    #[test]
    fn torrents_that_want_the_same_state_are_found() {
        let clash = |names: &[&str]| Torrents::samples(names).state_clash();
        let same = clash(&["b", "a", "a"]).unwrap();
        assert!(same.starts_with("some.torrent and some.torrent: both have the same name: run"), "{same}");
        for names in [["a", ".a.swarmlet"], [".a.swarmlet", "a"], ["a", ".a.swarmlet.new"]] {
            assert!(clash(&names).unwrap().contains("its name is that of the other's resume state"));
        }
        assert_eq!(clash(&["a", ".b.swarmlet", "a.swarmlet"]), None);
        assert_eq!(clash(&["a"]), None);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_reason() {
        let fault = |path: &str| Torrent::read(Path::new(path), Path::new(".")).unwrap_err().to_string();
        assert!(fault("/nowhere/a.torrent").starts_with("/nowhere/a.torrent: cannot be read: No such file"));
        assert_eq!(fault("/"), "/: is a directory, not a .torrent");
        assert_eq!(fault("/dev/null"), "/dev/null: is empty");
        assert!(fault("/dev/zero").starts_with("/dev/zero: is 32.0 MiB or longer"));
    }
}
