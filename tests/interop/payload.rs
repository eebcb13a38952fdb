//! What is downloaded: files of pseudo-random bytes, always the same, and their `.torrent`, written here and not by
//! swarmlet, so that the two check each other.

use sha1::{Digest as _, Sha1};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Content on disk, with its hashes.
pub struct Payload {
    /// Name of the torrent: its file or folder.
    name: String,
    /// Paths below the folder; none for a single file.
    files: Vec<(String, u64)>,
    single: bool,
    piece_bytes: usize,
    hashes: Vec<u8>,
    /// Where it lies.
    folder: PathBuf,
}

/// One file of 1 GiB and a bit, so that the last piece is short.
pub fn large() -> &'static Payload {
    static PAYLOAD: OnceLock<Payload> = OnceLock::new();
    PAYLOAD
        .get_or_init(|| Payload::make("large file.bin", vec![(String::new(), (1 << 30) + 12_345)], 1 << 20))
}

/// 2,000 small files, some of them empty, in nested folders.
pub fn many() -> &'static Payload {
    static PAYLOAD: OnceLock<Payload> = OnceLock::new();
    PAYLOAD.get_or_init(|| {
        let file = |n: u64| {
            let path = format!("{}/{:02}/{}/file-{n:04}.dat", n % 3, n % 17, n % 5);
            (path, if n.is_multiple_of(50) { 0 } else { mix(n) % 40_000 })
        };
        Payload::make("many", (0..2000).map(file).collect(), 64 << 10)
    })
}

/// Names with spaces, and with letters that ASCII does not have.
pub fn names() -> &'static Payload {
    static PAYLOAD: OnceLock<Payload> = OnceLock::new();
    PAYLOAD.get_or_init(|| {
        let names = [
            "a file with  spaces.txt",
            "naïve café/crème brûlée.bin",
            "日本語/ファイル 名.dat",
            "кириллица/файл.bin",
            "emoji 🎈.bin",
            "it's (100%) & more; $HOME `x`.bin",
        ];
        let sizes = (0..).map(|n| 3_000_000 + mix(n) % 3_000_000);
        Payload::make("Größe – 中文", names.map(String::from).into_iter().zip(sizes).collect(), 256 << 10)
    })
}

impl Payload {
    /// Writes what is missing; keeps what an earlier run has written.
    fn make(name: &str, files: Vec<(String, u64)>, piece_bytes: usize) -> Self {
        let single = files.len() == 1;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-payloads");
        let hashes = Vec::new();
        let mut payload = Self { name: name.to_string(), files, single, piece_bytes, hashes, folder };
        let mut pieces = Pieces::new(piece_bytes);
        for (nth, (path, bytes)) in payload.paths(&payload.folder).into_iter().enumerate() {
            if fs::metadata(&path).map_or(u64::MAX, |data| data.len()) != bytes {
                write_file(&path, bytes, nth as u64);
            }
            pieces.add(File::open(&path).unwrap());
        }
        payload.hashes = pieces.finish();
        payload
    }

    /// The folder in which it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same files under another folder, without their bytes being copied: two seeders may not share one.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn link_to(&self, folder: &Path) {
        for ((ours, _), (theirs, _)) in self.paths(&self.folder).iter().zip(self.paths(folder)) {
            fs::create_dir_all(theirs.parent().unwrap()).unwrap();
            fs::hard_link(ours, theirs).unwrap();
        }
    }

    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// SHA-1 of `info`.
    pub fn info_hash(&self) -> [u8; 20] {
        Sha1::digest(self.info()).into()
    }

    /// Writes a `.torrent`, with a tracker or without.
    pub fn write_torrent(&self, path: &Path, announce: Option<&str>) {
        let mut bytes = b"d".to_vec();
        if let Some(url) = announce {
            string(&mut bytes, "announce");
            string(&mut bytes, url);
        }
        string(&mut bytes, "info");
        bytes.extend(self.info());
        bytes.push(b'e');
        fs::write(path, bytes).unwrap();
    }

    fn info(&self) -> Vec<u8> {
        let mut bytes = b"d".to_vec();
        if self.single {
            string(&mut bytes, "length");
            integer(&mut bytes, self.bytes());
        } else {
            string(&mut bytes, "files");
            bytes.push(b'l');
            for (path, size) in &self.files {
                bytes.push(b'd');
                string(&mut bytes, "length");
                integer(&mut bytes, *size);
                string(&mut bytes, "path");
                bytes.push(b'l');
                path.split('/').for_each(|component| string(&mut bytes, component));
                bytes.extend(b"ee");
            }
            bytes.push(b'e');
        }
        string(&mut bytes, "name");
        string(&mut bytes, &self.name);
        string(&mut bytes, "piece length");
        integer(&mut bytes, self.piece_bytes as u64);
        string(&mut bytes, "pieces");
        string(&mut bytes, &self.hashes);
        bytes.push(b'e');
        bytes
    }

    /// Compares a download byte for byte; nothing may be missing, and nothing more may lie there.
    pub fn assert_same(&self, output: &Path) {
        self.assert_same_files(output, 0);
    }

    /// The same for the files of at least so many bytes; shorter ones may be missing.
    pub fn assert_same_files(&self, output: &Path, least_bytes: u64) {
        let long = |(_, bytes): &(PathBuf, u64)| *bytes >= least_bytes;
        let files = |folder: &Path| self.paths(folder).into_iter().filter(long).collect::<Vec<_>>();
        let (ours, theirs) = (files(&self.folder), files(output));
        for ((ours, _), (theirs, bytes)) in ours.iter().zip(&theirs) {
            let same = same_bytes(ours, theirs);
            assert!(same.is_some(), "{} is missing", theirs.display());
            assert_eq!(same, Some(*bytes), "{} differs after that many bytes", theirs.display());
        }
        let mut expected: Vec<PathBuf> = theirs.into_iter().map(|(path, _)| path).collect();
        let mut found = files_below(output);
        found.retain(|path| least_bytes == 0 || fs::metadata(path).unwrap().len() >= least_bytes);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "other files than those of the torrent");
    }

    fn paths(&self, folder: &Path) -> Vec<(PathBuf, u64)> {
        let root = folder.join(&self.name);
        let path = |file: &str| if self.single { root.clone() } else { root.join(file) };
        self.files.iter().map(|(file, bytes)| (path(file), *bytes)).collect()
    }
}

/// Hashes pieces that run on from file to file.
struct Pieces {
    buffer: Vec<u8>,
    size: usize,
    hashes: Vec<u8>,
}

impl Pieces {
    fn new(size: usize) -> Self {
        Self { buffer: Vec::with_capacity(size), size, hashes: Vec::new() }
    }

    fn add(&mut self, mut file: impl Read) {
        while file
            .by_ref()
            .take((self.size - self.buffer.len()) as u64)
            .read_to_end(&mut self.buffer)
            .unwrap()
            > 0
        {
            if self.buffer.len() == self.size {
                self.hash();
            }
        }
    }

    fn hash(&mut self) {
        self.hashes.extend(Sha1::digest(&self.buffer));
        self.buffer.clear();
    }

    fn finish(mut self) -> Vec<u8> {
        if !self.buffer.is_empty() {
            self.hash();
        }
        self.hashes
    }
}

/// How many bytes are the same from the start; none if the second is missing.
fn same_bytes(ours: &Path, theirs: &Path) -> Option<u64> {
    let (mut ours, mut theirs) = (File::open(ours).unwrap(), File::open(theirs).ok()?);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut same = 0;
    loop {
        read_some(&mut ours, &mut left);
        read_some(&mut theirs, &mut right);
        if left != right {
            return Some(same + left.iter().zip(&right).take_while(|(a, b)| a == b).count() as u64);
        }
        if left.is_empty() {
            return Some(same);
        }
        same += left.len() as u64;
    }
}

/// The next MiB, less at the end.
fn read_some(file: &mut impl Read, buffer: &mut Vec<u8>) {
    buffer.clear();
    file.take(1 << 20).read_to_end(buffer).unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn write_file(path: &Path, bytes: u64, seed: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Under another name first: an interrupted run must not leave a file of the right length and wrong content.
    let part = path.with_extension("part");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&part).unwrap());
    let words = (0..bytes.div_ceil(8)).map(|n| mix(n ^ (seed << 40)).to_le_bytes());
    let mut left = usize::try_from(bytes).unwrap();
    for word in words {
        let len = left.min(8);
        file.write_all(&word[..len]).unwrap();
        left -= len;
    }
    file.into_inner().unwrap();
    fs::rename(part, path).unwrap();
}

/// The finalizer of splitmix64: numbers that look random and are the same in every run.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn string(bytes: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    bytes.extend(format!("{}:", text.len()).as_bytes());
    bytes.extend(text);
}

fn integer(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(format!("i{number}e").as_bytes());
}
