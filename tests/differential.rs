//! Our reader against lava_torrent's: thousands of generated torrents and the real ones must be read alike; where they
//! may not agree, the table of [`they_differ_where_lava_torrent_is_wrong`] says who is right.
//!
//! lava_torrent (0.11) computes the info-hash of what it understood, not of what stands there, and turns paths into
//! `PathBuf`s; so this reader and not that one is used for what strangers wrote.
#![cfg(feature = "create")]

use lava_torrent::torrent::v1::Torrent;
use std::path::Path;
use swarmlet::app::cli::NewTorrent;
use swarmlet::app::create::encode;
use swarmlet::base::{InfoHash, Rng};
use swarmlet::meta::{Metainfo, MetainfoFault};

#[test]
fn real_torrents_are_read_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torrents");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "torrent") {
            assert_eq!(compare(&std::fs::read(&path).unwrap()), Verdict::Alike, "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn generated_torrents_are_read_alike() {
    for seed in 0..4000 {
        let torrent = generate(&mut Rng::new(seed));
        assert_eq!(compare(&torrent), Verdict::Alike, "seed {seed}: {}", torrent.escape_ascii());
    }
}

#[test]
fn damaged_torrents_are_never_read_differently_unless_we_say_so() {
    let mut both = 0;
    for seed in 0..6000 {
        let mut rng = Rng::new(seed);
        let mut torrent = generate(&mut rng);
        for _ in 0..=rng.below(3) {
            damage(&mut torrent, &mut rng);
        }
        swarmlet::fuzzing::meta::metainfo(&torrent);
        match compare(&torrent) {
            Verdict::Alike => both += 1,
            Verdict::Differ(why) => panic!("seed {seed}: {why}: {}", torrent.escape_ascii()),
            Verdict::WeCleaned | Verdict::WeRefuse(_) | Verdict::TheyRefuse | Verdict::BothRefuse => {}
        }
    }
    assert!(both > 200, "only {both} were read by both: the damage is too great to compare anything");
}

#[test]
fn torrents_that_we_write_are_read_alike() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in [source.clone(), source.join("lib.rs")] {
        let options =
            NewTorrent { announce: Some("http://127.0.0.1:6969/announce".into()), ..NewTorrent::default() };
        let torrent = encode(&path, &options).unwrap();
        assert_eq!(compare(&torrent), Verdict::Alike, "{}", path.display());
    }
}

/// What became of one torrent.
#[derive(Debug, PartialEq)]
enum Verdict {
    Alike,
    /// Read by both, and we said that something was cleaned.
    WeCleaned,
    WeRefuse(String),
    TheyRefuse,
    BothRefuse,
    Differ(&'static str),
}

fn compare(torrent: &[u8]) -> Verdict {
    match (Metainfo::parse(torrent), Torrent::read_from_bytes(torrent)) {
        (Ok(ours), Ok(_)) if !ours.cleaned.is_empty() && !is_only_urls(&ours) => Verdict::WeCleaned,
        (Ok(ours), Ok(theirs)) => difference(&ours, &theirs).map_or(Verdict::Alike, Verdict::Differ),
        (Ok(_), Err(_)) => Verdict::TheyRefuse,
        (Err(fault), Ok(_)) => Verdict::WeRefuse(fault.to_string()),
        (Err(_), Err(_)) => Verdict::BothRefuse,
    }
}

fn is_only_urls(ours: &Metainfo) -> bool {
    ours.cleaned.iter().all(|line| line.starts_with("web seed ") || line.starts_with("tracker "))
}

/// The first fact in which the two readings differ.
fn difference(ours: &Metainfo, theirs: &Torrent) -> Option<&'static str> {
    let lengths = |torrent: &Torrent| match &torrent.files {
        Some(files) => files.iter().map(|file| file.length as u64).collect(),
        None => vec![torrent.length as u64],
    };
    let paths: Vec<_> = match &theirs.files {
        Some(files) => files.iter().map(|file| Path::new(&theirs.name).join(&file.path)).collect(),
        None => vec![Path::new(&theirs.name).to_owned()],
    };
    let our_paths = ours.layout.files().map(|file| String::from_utf8(file.path()).unwrap_or_default());
    let same = [
        (ours.info_hash.0[..] == theirs.info_hash_bytes()[..], "info-hash"),
        (ours.name == theirs.name.as_bytes(), "name"),
        (i64::from(ours.piece_bytes) == theirs.piece_length, "piece length"),
        (ours.hashes.iter().eq(theirs.pieces.iter().map(|piece| &piece[..])), "pieces"),
        (ours.layout.files().map(|file| file.length).eq(lengths(theirs)), "lengths"),
        (our_paths.eq(paths.iter().map(|path| path.to_str().unwrap())), "paths"),
        (ours.layout.total_bytes() == theirs.length as u64, "total"),
        (ours.private == theirs.is_private(), "private"),
    ];
    same.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}

/// A torrent as programs write them: sorted keys, sane and distinct paths, text in UTF-8; but everything optional comes
/// and goes, and there are keys nobody knows.
fn generate(rng: &mut Rng) -> Vec<u8> {
    let piece_bytes = [1, 3, 16384, 1 << 20, 1 << 29][rng.below(5) as usize];
    let (contents, total) = generate_contents(rng, piece_bytes);
    let mut info = vec![contents];
    let mut hashes = vec![0xff; total.div_ceil(piece_bytes) as usize * 20];
    rng.fill(&mut hashes);
    hashes[0] = 0xff; // what happens to be UTF-8 is refused by lava_torrent
    info.push(("name", string(word(rng).as_bytes())));
    info.push(("piece length", format!("i{piece_bytes}e").into_bytes()));
    info.push(("pieces", string(&hashes)));
    if rng.one_in(3) {
        info.push(("private", format!("i{}e", rng.below(2)).into_bytes()));
    }
    if rng.one_in(4) {
        info.push(("x-unknown", b"d1:ali-7e0:d1:b1:\xffeee".to_vec()));
    }
    let mut torrent = Vec::new();
    if !rng.one_in(5) {
        torrent.push(("announce", string(b"http://tracker.example:6969/announce")));
    }
    if rng.one_in(2) {
        torrent.push(("announce-list", b"ll8:http://ael8:udp://b:8:http://cee".to_vec()));
    }
    if rng.one_in(2) {
        torrent.push(("comment", string(word(rng).as_bytes())));
    }
    torrent.push(("info", dictionary(info)));
    if rng.one_in(3) {
        torrent.push(("url-list", b"l13:http://seed/ae".to_vec()));
    }
    dictionary(torrent)
}

/// `files` or `length`, and the bytes in all.
fn generate_contents(rng: &mut Rng, piece_bytes: u64) -> ((&'static str, Vec<u8>), u64) {
    let files = rng.below(12);
    let mut total = 0;
    let mut length = |rng: &mut Rng, is_last: bool| {
        let room = (piece_bytes * 40 - total) / 3;
        let drawn = if rng.one_in(4) { 0 } else { rng.next_u64() % (room + 1) };
        // A torrent without a byte is refused by both.
        let length = if is_last && total + drawn == 0 { 1 } else { drawn };
        total += length;
        format!("i{length}e").into_bytes()
    };
    if files == 0 {
        let bytes = length(rng, true);
        return (("length", bytes), total);
    }
    let mut list = b"l".to_vec();
    for file in 0..files {
        let mut path = b"l".to_vec();
        (0..rng.below(4))
            .for_each(|depth| path.extend(string(format!("dir{depth} {}", word(rng)).as_bytes())));
        path.extend(string(format!("{file}{}", word(rng)).as_bytes()));
        path.push(b'e');
        let mut keys = vec![("length", length(rng, file + 1 == files)), ("path", path)];
        if rng.one_in(3) {
            keys.push(("md5sum", string(&[b'0'; 32])));
        }
        list.extend(dictionary(keys));
    }
    list.push(b'e');
    (("files", list), total)
}

fn word(rng: &mut Rng) -> String {
    let letters = ["a", "Z", "0", " ", "-", "_", ".x", "ü", "世", "🐝", "'", "\"", "\\", "~", "#", "e"];
    let count = 1 + rng.below(9);
    "w".to_owned() + &(0..count).map(|_| letters[rng.below(16) as usize]).collect::<String>()
}

fn string(text: &[u8]) -> Vec<u8> {
    [format!("{}:", text.len()).as_bytes(), text].concat()
}

/// Sorted, as BEP 3 wants it.
fn dictionary(mut entries: Vec<(&str, Vec<u8>)>) -> Vec<u8> {
    entries.sort();
    let body: Vec<u8> =
        entries.iter().flat_map(|(key, value)| [string(key.as_bytes()), value.clone()].concat()).collect();
    [b"d", &body[..], b"e"].concat()
}

fn damage(torrent: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(torrent.len() as u32) as usize;
    let byte = b"0123456789deil:-+/. \0\xff\xc3"[rng.below(23) as usize];
    match rng.below(4) {
        0 => torrent[at] = byte,
        1 => torrent.insert(at, byte),
        2 => drop(torrent.remove(at)),
        _ => torrent[at] ^= 1 << rng.below(8),
    }
}

/// What lava_torrent does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Theirs {
    /// Refuses what is good, or what is bad.
    Refuses,
    /// Reads it under an info-hash that no other client has.
    WrongHash,
    /// Reads it with the hash of its bytes.
    Reads,
}

/// What it is, the torrent, what we make of it (paths or the fault), what they do.
type Case = (&'static str, Vec<u8>, Result<&'static [u8], &'static str>, Theirs);

const END: &[u8] = b"12:piece lengthi8e6:pieces20:\xff\xfe234567890123456789";
const ONE: &[u8] = b"6:lengthi5e4:name1:a";

fn info(parts: &[&[u8]]) -> Vec<u8> {
    [b"d4:infod", &parts.concat()[..], b"ee"].concat()
}

fn files(files: &[u8]) -> Vec<u8> {
    info(&[b"5:filesl", files, b"e4:name1:n", END])
}

fn path(path: &[u8]) -> Vec<u8> {
    files(&[b"d6:lengthi5e4:pathl", path, b"ee"].concat())
}

fn around(before: &[u8], after: &[u8]) -> Vec<u8> {
    [b"d", before, b"4:infod", ONE, END, b"e", after].concat()
}

/// How it is written.
fn syntax_cases() -> Vec<Case> {
    use Theirs::*;
    vec![
        ("plain", info(&[ONE, END]), Ok(b"a"), Reads),
        ("unsorted keys in info", info(&[b"4:name1:a6:lengthi5e", END]), Ok(b"a"), Refuses),
        ("unsorted keys around info", around(b"8:url-list0:", b"e"), Ok(b"a"), Refuses),
        (
            "a sign before a number",
            info(&[b"6:lengthi+5e4:name1:a", END]),
            Err("not bencode: expected a digit at byte 17"),
            WrongHash,
        ),
        (
            "a sign before a length",
            info(&[b"6:lengthi5e4:name+1:a", END]),
            Err("not bencode: expected a value at byte 25"),
            WrongHash,
        ),
        (
            "a key twice in info",
            info(&[b"6:lengthi4e6:lengthi5e4:name1:a", END]),
            Err("info has the key \"length\" twice"),
            WrongHash,
        ),
        (
            "a key twice around info",
            around(b"8:announce8:http://a8:announce8:http://b", b"e"),
            Err("the torrent has the key"),
            Reads,
        ),
        ("a line end behind it", around(b"", b"e\n"), Ok(b"a"), Refuses),
        ("a flat announce-list", around(b"13:announce-listl8:http://ae", b"e"), Ok(b"a"), Refuses),
        ("a name that is not UTF-8", info(&[b"6:lengthi5e4:name2:\xffa", END]), Ok(b"\xffa"), Refuses),
        ("a path that is not UTF-8", path(b"2:\xffa"), Ok(b"n/\xffa"), Refuses),
        ("a key that is not UTF-8", info(&[ONE, END, b"2:\xffai1e"]), Ok(b"a"), Refuses),
        (
            "pieces that are UTF-8",
            info(&[ONE, b"12:piece lengthi8e6:pieces20:01234567890123456789"]),
            Ok(b"a"),
            Refuses,
        ),
    ]
}

/// Names and paths.
fn path_cases() -> Vec<Case> {
    use Theirs::*;
    vec![
        ("a name that leads out", info(&[b"6:lengthi5e4:name7:../../x", END]), Ok(b".._.._x"), Reads),
        ("an absolute name", info(&[b"6:lengthi5e4:name4:/etc", END]), Ok(b"_etc"), Reads),
        ("an empty name", info(&[b"6:lengthi5e4:name0:", END]), Err("name is empty"), Reads),
        ("a path that leads out", path(b"2:.."), Ok(b"n/__"), Refuses),
        ("a component that leads out", path(b"9:a/../../b"), Ok(b"n/a_.._.._b"), WrongHash),
        ("an absolute component", path(b"1:a11:/etc/passwd"), Ok(b"n/a/_etc_passwd"), WrongHash),
        ("an empty component", path(b"1:a0:1:b"), Ok(b"n/a/_/b"), WrongHash),
        ("a component with NUL", path(b"3:a\0b"), Ok(b"n/a_b"), Reads),
        ("two files of one path", files(&b"d6:lengthi1e4:pathl1:aee".repeat(2)), Ok(b"n/a n/a.1"), Reads),
        (
            "a file that is a directory",
            files(b"d6:lengthi1e4:pathl1:aeed6:lengthi1e4:pathl1:a1:bee"),
            Ok(b"n/a.1 n/a/b"),
            Reads,
        ),
    ]
}

/// Numbers and versions.
fn number_cases() -> Vec<Case> {
    use Theirs::*;
    vec![
        (
            "more hashes than pieces",
            info(&[ONE, b"12:piece lengthi8e6:pieces40:\xff\xfe23456789012345678901234567890123456789"]),
            Err("pieces has 2 hashes, but the files have 1 pieces"),
            Reads,
        ),
        (
            "an endless piece",
            info(&[ONE, b"12:piece lengthi9223372036854775807e6:pieces20:\xff\xfe234567890123456789"]),
            Err("piece length is 9223372036854775807, must be"),
            Reads,
        ),
        (
            "a piece of nothing",
            info(&[ONE, b"12:piece lengthi0e6:pieces0:"]),
            Err("piece length is 0, must be"),
            Refuses,
        ),
        ("both length and files", info(&[b"5:filesle", ONE, END]), Err("both length and files"), Refuses),
        (
            "a negative length",
            info(&[b"6:lengthi-5e4:name1:a", END]),
            Err("length of file 0 is -5, must"),
            Refuses,
        ),
        (
            "version 2 beside version 1",
            info(&[b"9:file treede6:lengthi5e12:meta versioni2e4:name1:a", END]),
            Ok(b"a"),
            Reads,
        ),
        (
            "version 2 alone",
            info(&[b"9:file treede12:meta versioni2e4:name1:a12:piece lengthi16384e"]),
            Err("a torrent for BitTorrent version 2 only"),
            Refuses,
        ),
    ]
}

#[test]
fn they_differ_where_lava_torrent_is_wrong() {
    let cases = [syntax_cases(), path_cases(), number_cases()].concat();
    assert_eq!(cases.len(), 30);
    for (what, torrent, expected, theirs) in cases {
        let ours = Metainfo::parse(&torrent);
        check_ours(what, &ours, expected);
        let got = match Torrent::read_from_bytes(&torrent) {
            Err(_) => Theirs::Refuses,
            Ok(read) if read.info_hash_bytes() == hash_of_info(&torrent).0 => Theirs::Reads,
            Ok(_) => Theirs::WrongHash,
        };
        assert_eq!(got, theirs, "{what}: lava_torrent");
        if let Ok(ours) = ours {
            assert_eq!(ours.info_hash, hash_of_info(&torrent), "{what}");
        }
    }
}

fn check_ours(what: &str, ours: &Result<Metainfo, MetainfoFault>, expected: Result<&[u8], &str>) {
    match (ours, expected) {
        (Ok(ours), Ok(paths)) => {
            let read: Vec<_> = ours.layout.files().map(|file| file.path()).collect();
            assert_eq!(
                read.join(&b" "[..]).escape_ascii().to_string(),
                paths.escape_ascii().to_string(),
                "{what}"
            );
        }
        (Err(fault), Err(expected)) => {
            assert!(fault.to_string().starts_with(expected), "{what}: {fault}");
        }
        _ => panic!("{what}: {ours:?}, expected {expected:?}"),
    }
}

/// SHA-1 from `4:info` to the end of the torrent, which is `e` and at most a line end: where these tests put it.
fn hash_of_info(torrent: &[u8]) -> InfoHash {
    use sha1::{Digest, Sha1};
    let start = torrent.windows(6).position(|window| window == b"4:info").unwrap() + 6;
    let end = torrent.trim_ascii_end().len() - 1;
    InfoHash(Sha1::digest(&torrent[start..end]).into())
}
