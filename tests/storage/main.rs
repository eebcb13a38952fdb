//! The files of a torrent on real file systems: tmpfs, ramfs and ext4, full, read-only, and changed by others.
//! Mounting needs root (`CAP_SYS_ADMIN`); without it these tests fail and say so.
#![cfg(feature = "io")]

mod denied;
mod descriptors;
mod growth;
mod meddled;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use swarmlet::base::limits::{EXTENT_BYTES, FILE_IDLE_MAX, OPEN_FILES_MAX};
use swarmlet::base::{Instant, TorrentId};
use swarmlet::meta::Metainfo;
use swarmlet::rim::storage::{
    Allocate, Done, Existing, Found, Map, OpenFault, Options, Storage, Syncer, Task,
};
use swarmlet::session::{StorageFault, StorageFaultKind};

const E: u64 = EXTENT_BYTES;
const FULL: Options = Options { allocate: Allocate::Full, map: Map::Auto, claimed_bytes: 0, kind: None };
const SPARSE: Options = Options { allocate: Allocate::Sparse, map: Map::Auto, claimed_bytes: 0, kind: None };
const NEVER: Options = Options { allocate: Allocate::Full, map: Map::Never, claimed_bytes: 0, kind: None };

/// A directory of this test, which goes with it.
struct Place {
    path: PathBuf,
    mounted: bool,
}

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("swarmlet-storage-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a new directory for the test");
        Self { path, mounted: false }
    }

    /// A fresh file system: `mount -t kind -o options source path`.
    fn mounted(name: &str, kind: &str, options: &str, source: &str) -> Self {
        let mut place = Self::new(name);
        place.mount(&["-t", kind, "-o", options, source]);
        place.mounted = true;
        place
    }

    fn mount(&self, arguments: &[&str]) {
        let answer =
            Command::new("mount").args(arguments).arg(&self.path).output().expect("mount(8) is there");
        let text = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "this test needs root, to `mount {}`: {text}", arguments.join(" "));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes everything durable and complete, as the loop would, but for waiting itself.
fn complete(storage: &mut Storage) -> Result<(), StorageFault> {
    match done(storage, Task::Complete) {
        Done::Completed(result) => result,
        other => panic!("{other:?}"),
    }
}

/// Does a task from its begin to its end.
fn done(storage: &mut Storage, task: Task) -> Done {
    storage.begin(task);
    goes_on(storage, &mut Syncer::waiting())
}

/// Goes on with a task to its end.
fn goes_on(storage: &mut Storage, syncer: &mut Syncer) -> Done {
    loop {
        if let Some(done) = storage.go_on(TorrentId(0), syncer) {
            return done;
        }
        syncer.turn();
        while let Some(done) = syncer.next_done() {
            storage.synced(done);
        }
    }
}

/// A file of a torrent: path, length, attributes of BEP 47.
type Entry<'a> = (&'a str, u64, &'a str);

fn text(value: &str) -> String {
    format!("{}:{value}", value.len())
}

/// A torrent called `name`; a single file if the only entry has no path.
fn torrent(name: &str, entries: &[Entry<'_>]) -> Arc<Metainfo> {
    let total: u64 = entries.iter().map(|entry| entry.1).sum();
    let content = match entries {
        [("", length, _)] => format!("6:lengthi{length}e"),
        _ => {
            let files = entries.iter().map(|(path, length, attributes)| {
                let path: String = path.split('/').map(text).collect();
                format!("d4:attr{}6:lengthi{length}e4:pathl{path}ee", text(attributes))
            });
            format!("5:filesl{}e", files.collect::<String>())
        }
    };
    let pieces = total.div_ceil(E).max(1) * 20;
    let mut bytes =
        format!("d4:infod{content}4:name{}12:piece lengthi{E}e6:pieces{pieces}:", text(name)).into_bytes();
    bytes.extend((0..pieces).map(|n| n as u8));
    bytes.extend(b"ee");
    Arc::new(Metainfo::parse(&bytes).expect("a good torrent"))
}

/// What the torrent has from `offset` on.
fn content(offset: u64, length: u64) -> Vec<u8> {
    (offset..offset + length).map(|n| (n % 251) as u8 ^ (n / 65_536) as u8).collect()
}

fn store(storage: &mut Storage, offset: u64, length: u64) -> Result<(), StorageFaultKind> {
    store_in_slices(storage, offset, length, E).map(drop)
}

/// Stores in slices of about `most` bytes; answers how many bytes each slice had.
fn store_in_slices(
    storage: &mut Storage,
    offset: u64,
    length: u64,
    most: u64,
) -> Result<Vec<u64>, StorageFaultKind> {
    let bytes = content(offset, length);
    let parts: Vec<&[u8]> = bytes.chunks(16 << 10).collect();
    let (mut done, mut slices) = (0, Vec::new());
    while done < length {
        let now = storage.store(offset, &parts, done, most).map_err(|fault| fault.kind)?;
        slices.push(now - done);
        done = now;
    }
    assert_eq!(done, length);
    Ok(slices)
}

fn load(storage: &mut Storage, offset: u64, length: u64) -> Vec<u8> {
    let mut buffer = vec![0xee; length as usize];
    storage.load(offset, &mut buffer).expect("readable");
    buffer
}

fn open(root: &Path, metainfo: &Arc<Metainfo>, options: &Options) -> (Storage, Existing) {
    Storage::open(root, Arc::clone(metainfo), options).unwrap_or_else(|fault| panic!("{fault}"))
}

fn refused(root: &Path, metainfo: &Arc<Metainfo>) -> OpenFault {
    Storage::open(root, Arc::clone(metainfo), &FULL).err().expect("refused")
}

/// Stores everything in steps of `step` bytes, backwards, and compares files and what is read.
fn round_trip(root: &Path, options: &Options, step: u64) -> Storage {
    let entries: [Entry<'_>; 8] = [
        ("a/first", 3 * E + 100, ""),
        ("a/empty", 0, ""),
        (".pad/0", E - 100, "p"),
        ("a/b/extents", 4 * E, ""),
        ("a/b/small", 7, ""),
        ("a/b/run", 20_000, "x"),
        ("c/last", 2 * E + 1, ""),
        ("c/end", 0, ""),
    ];
    let metainfo = torrent("t", &entries);
    let total = metainfo.layout.total_bytes();
    let (mut storage, existing) = open(root, &metainfo, options);
    assert_eq!(existing, Existing::Nothing);
    assert_eq!(load(&mut storage, 0, 1000), [0; 1000], "missing files read as zeros");
    assert!(!root.join("t").exists(), "nothing is made before the first store");
    for offset in (0..total).step_by(step as usize).collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(store(&mut storage, offset, step.min(total - offset)), Ok(()));
    }
    complete(&mut storage).expect("complete");
    for (index, (path, length, attributes)) in entries.into_iter().enumerate() {
        let file = metainfo.layout.file(index as u32).expect("in the torrent");
        let path = root.join("t").join(path);
        let mut expected = content(file.offset, length);
        if attributes == "p" {
            expected.fill(0);
            assert!(!path.exists(), "pad files are not written");
        } else {
            assert!(fs::read(&path).expect("there") == expected, "{}", path.display());
            let executable = fs::metadata(&path).expect("there").permissions().mode() & 0o111 != 0;
            assert_eq!(executable, attributes == "x");
        }
        assert!(load(&mut storage, file.offset, length) == expected, "{}", path.display());
    }
    assert_eq!(open(root, &metainfo, options).1, Existing::Something);
    storage
}

#[test]
fn every_way_of_storing_gives_the_same_files() {
    for (name, options) in [("full", FULL), ("sparse", SPARSE), ("never", NEVER)] {
        for step in [E, 2 * E, 12 * E, 300_000] {
            let place = Place::new(&format!("ways-{name}-{step}"));
            let tally = round_trip(&place.path.join("made/when/needed"), &options, step).tally();
            // What the kernel makes of windows here is its own affair, but the first one is tried.
            let windows = name == "full" && step >= E;
            assert_eq!(tally.mapped_bytes >= E, windows, "{name} {step}: {tally:?}");
        }
    }
}

#[test]
fn what_is_written_over_is_not_mapped_as_that_would_read_it_first() {
    let place = Place::new("over");
    let metainfo = torrent("t", &[("old", 4 * E, ""), ("new", 4 * E, "")]);
    fs::create_dir_all(place.path.join("t")).expect("ours");
    fs::write(place.path.join("t/old"), vec![7; 4 * E as usize]).expect("room");
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(store(&mut storage, 0, 4 * E), Ok(()));
    assert_eq!(storage.tally().mapped_bytes, 0);
    assert_eq!(store(&mut storage, 4 * E, 4 * E), Ok(()));
    assert!(storage.tally().mapped_bytes >= E, "{:?}", storage.tally());
    assert!(load(&mut storage, 0, 8 * E) == content(0, 8 * E));
}

#[test]
fn slices_are_bounded_by_bytes_and_by_files_and_leave_no_gap() {
    const K: u64 = 1 << 10;
    let small: Vec<String> = (0..20).map(|nth| format!("small/{nth}")).collect();
    let mut entries: Vec<Entry<'_>> = vec![("large", E + 100 * K, ""), (".pad/0", 28 * K, "p")];
    entries.extend(small.iter().map(|path| (path.as_str(), 3 * K, "")));
    let metainfo = torrent("t", &entries);
    let total = metainfo.layout.total_bytes();
    let cases: [(u64, &[u64]); 3] = [
        (u64::MAX, &[E + (128 + 6 * 3) * K, 24 * K, 18 * K]),
        (E, &[E, (128 + 6 * 3) * K, 24 * K, 18 * K]),
        (E / 2, &[E / 2, E / 2, (128 + 6 * 3) * K, 24 * K, 18 * K]),
    ];
    for (most, expected) in cases {
        let place = Place::new(&format!("slices-{most}"));
        let (mut storage, _) = open(&place.path, &metainfo, &FULL);
        assert_eq!(store_in_slices(&mut storage, 0, total, most).as_deref(), Ok(expected), "{most}");
        let bytes = load(&mut storage, 0, total);
        let is_pad = |at: u64| (E + 100 * K..E + 128 * K).contains(&at);
        assert!((0..total).all(|at| is_pad(at) || bytes[at as usize] == content(at, 1)[0]), "{most}");
    }
    let place = Place::new("slices-small");
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    let slices = store_in_slices(&mut storage, 5, total - 5, 64 * K).expect("room");
    assert_eq!((slices[0], slices[1]), (64 * K - 5, 64 * K), "to where slices end in the file");
    assert_eq!(store_in_slices(&mut storage, total, 7, 64 * K), Ok(vec![7]), "nothing is behind the end");
}

#[test]
fn file_systems_differ_and_the_files_do_not() {
    let cases = [("tmpfs", "size=64m", true), ("ramfs", "mode=700", false)];
    for (kind, options, windows) in cases {
        let place = Place::mounted(&format!("fs-{kind}"), kind, options, "none");
        let tally = round_trip(&place.path, &FULL, E).tally();
        assert_eq!(tally.mapped_bytes > 0, windows, "{kind} {tally:?}");
    }
}

#[test]
fn offsets_beyond_32_bits_are_kept() {
    let place = Place::new("beyond");
    let metainfo = torrent("big", &[("one", 5 << 30, ""), ("two", 5 << 30, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &SPARSE);
    for offset in [(4 << 30) + 5, (5 << 30) - 1000, (10 << 30) - 2000] {
        assert_eq!(store(&mut storage, offset, 2000), Ok(()));
        assert!(load(&mut storage, offset, 2000) == content(offset, 2000));
    }
    assert_eq!(load(&mut storage, (10 << 30) - 1, 3)[1..], [0, 0], "nothing lies behind the end");
}

#[test]
fn thousands_of_files_need_few_descriptors() {
    let place = Place::new("many");
    let names: Vec<String> = (0..2_000).map(|n| format!("d{}/f{n}", n % 40)).collect();
    let entries: Vec<Entry<'_>> = names.iter().map(|name| (name.as_str(), 1_000, "")).collect();
    let metainfo = torrent("many", &entries);
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(store(&mut storage, 0, 2_000_000), Ok(()));
    let links = fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    let ours = links.filter(|link| fs::read_link(link.path()).is_ok_and(|to| to.starts_with(&place.path)));
    let descriptors = ours.count();
    assert!((1..=OPEN_FILES_MAX + 2).contains(&descriptors), "{descriptors}");
    assert!(load(&mut storage, 0, 2_000_000) == content(0, 2_000_000));
    storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
    complete(&mut storage).expect("complete");
}

#[test]
fn too_little_space_is_refused_before_anything_is_made() {
    let place = Place::mounted("refused", "tmpfs", "size=8m", "none");
    let metainfo = torrent("t", &[("x", 16 << 20, "")]);
    match refused(&place.path, &metainfo) {
        OpenFault::NoSpace { needed, free } => {
            assert!(needed == 16 << 20 && free <= 8 << 20, "{needed} {free}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::read_dir(&place.path).expect("there").count(), 0);
    // What is there already is not needed again, and sparse files are not asked how long they are.
    open(&place.path, &metainfo, &SPARSE);
    let metainfo = torrent("u", &[("x", 6 << 20, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(store(&mut storage, 0, 10), Ok(()));
    assert_eq!(open(&place.path, &metainfo, &FULL).1, Existing::Something);
}

/// The disk fills up after the start: nothing dies, room is given back, and it goes on when there is some.
fn fills_up(place: &Place, options: &Options) {
    let metainfo = torrent("t", &[("x", 6 * E, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, options);
    let filler = place.path.join("filler");
    let block = vec![1; 1 << 20];
    let mut hog = File::create(&filler).expect("new");
    for _ in 0..11 {
        std::io::Write::write_all(&mut hog, &block).expect("still room");
    }
    hog.sync_all().expect("still room");
    let stored: Vec<_> = (0..6).map(|n| store(&mut storage, n * E, E)).collect();
    assert_eq!(stored.last(), Some(&Err(StorageFaultKind::NoSpace)), "{stored:?}");
    if options.allocate == Allocate::Full {
        let file = fs::metadata(place.path.join("t/x")).expect("made");
        assert_eq!((file.len(), file.blocks()), (0, 0), "what was reserved in vain is given back");
    }
    // A child that another test has just begun may hold the file open: removing alone would give nothing back.
    hog.set_len(0).expect("ours");
    fs::remove_file(&filler).expect("ours");
    for n in 0..6 {
        assert_eq!(store(&mut storage, n * E, E), Ok(()));
    }
    complete(&mut storage).expect("complete");
    assert!(fs::read(place.path.join("t/x")).expect("there") == content(0, 6 * E));
}

#[test]
fn a_disk_that_fills_up_is_a_fault_that_passes() {
    for (name, options) in [("full", FULL), ("sparse", SPARSE), ("never", NEVER)] {
        fills_up(&Place::mounted(&format!("fills-{name}"), "tmpfs", "size=16m", "none"), &options);
    }
}

#[test]
fn a_full_ext4_gets_back_what_it_gave_in_part() {
    let image = Place::new("ext4-image");
    let path = image.path.join("image");
    File::create(&path).and_then(|file| file.set_len(20 << 20)).expect("a sparse image");
    let made = Command::new("mkfs.ext4").args(["-q", "-m", "0", "-O", "^has_journal"]).arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "this test needs mkfs.ext4 (Debian: e2fsprogs)");
    let source = path.to_str().expect("our own name");
    for (name, options) in [("full", FULL), ("sparse", SPARSE)] {
        let place = Place::mounted(&format!("ext4-{name}"), "ext4", "loop", source);
        fills_up(&place, &options);
        fs::remove_dir_all(place.path.join("t")).expect("ours");
    }
}

#[test]
fn symlinks_are_refused_wherever_they_are() {
    let place = Place::new("symlinks");
    let outside = place.path.join("outside");
    fs::create_dir(&outside).expect("new");
    let metainfo = torrent("t", &[("a/b", 10, ""), ("c", 10, "")]);
    for link in ["t", "t/a", "t/a/b", "t/c"] {
        let root = place.path.join(link.replace('/', "-"));
        let path = root.join(link);
        fs::create_dir_all(path.parent().expect("below root")).expect("new");
        symlink(&outside, &path).expect("new");
        match refused(&root, &metainfo) {
            OpenFault::Occupied { path: told, found: Found::Symlink } => assert_eq!(told, path),
            other => panic!("{link}: {other}"),
        }
    }
    assert_eq!(fs::read_dir(&outside).expect("there").count(), 0);
}

#[test]
fn symlinks_that_come_later_are_not_followed_either() {
    let place = Place::new("later");
    let outside = place.path.join("outside");
    fs::create_dir(&outside).expect("new");
    let metainfo = torrent("t", &[("a/b", 10, ""), ("c", 10, "")]);
    let root = place.path.join("root");
    let (mut storage, _) = open(&root, &metainfo, &FULL);
    fs::create_dir_all(root.join("t")).expect("new");
    symlink(&outside, root.join("t/a")).expect("new");
    symlink(outside.join("c"), root.join("t/c")).expect("new");
    assert_eq!(store(&mut storage, 0, 10), Err(StorageFaultKind::Changed));
    assert_eq!(store(&mut storage, 10, 10), Err(StorageFaultKind::Changed));
    assert!(complete(&mut storage).is_err_and(|fault| fault.kind == StorageFaultKind::Changed));
    assert_eq!(fs::read_dir(&outside).expect("there").count(), 0);
    // The output directory itself is the user's: it may be a symlink.
    let chosen = place.path.join("chosen");
    symlink(&outside, &chosen).expect("new");
    assert_eq!(store(&mut open(&chosen, &metainfo, &FULL).0, 0, 20), Ok(()));
    assert!(outside.join("t/a/b").is_file());
}

#[test]
fn what_is_something_else_is_refused() {
    let place = Place::new("else");
    let metainfo = torrent("t", &[("a/b", 10, "")]);
    type Case<'a> = (&'a str, fn(&Path), Found);
    let cases: [Case<'_>; 4] = [
        ("fifo", |t| make_fifo(&t.join("a/b")), Found::Special),
        ("directory", |t| fs::create_dir(t.join("a/b")).expect("new"), Found::Directory),
        (
            "longer",
            |t| fs::write(t.join("a/b"), [1; 11]).expect("new"),
            Found::Longer { length: 11, expected: 10 },
        ),
        (
            "file",
            |t| fs::remove_dir(t.join("a")).and_then(|()| fs::write(t.join("a"), "x")).expect("new"),
            Found::File,
        ),
    ];
    for (name, make, expected) in cases {
        let root = place.path.join(name);
        fs::create_dir_all(root.join("t/a")).expect("new");
        make(&root.join("t"));
        match refused(&root, &metainfo) {
            OpenFault::Occupied { found, .. } => assert_eq!(found, expected),
            other => panic!("{name}: {other}"),
        }
    }
    let root = place.path.join("shorter");
    fs::create_dir_all(root.join("t/a")).expect("new");
    fs::write(root.join("t/a/b"), content(0, 4)).expect("new");
    let (mut storage, existing) = open(&root, &metainfo, &FULL);
    assert_eq!(existing, Existing::Something);
    assert_eq!(load(&mut storage, 0, 10), [content(0, 4), vec![0; 6]].concat());
    assert_eq!(store(&mut storage, 4, 6), Ok(()));
    assert!(fs::read(root.join("t/a/b")).expect("there") == content(0, 10));
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success()), "mkfifo");
}

#[test]
fn a_fifo_that_comes_later_blocks_nobody() {
    let place = Place::new("fifo");
    let metainfo = torrent("x", &[("", 10, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    make_fifo(&place.path.join("x"));
    assert_eq!(store(&mut storage, 0, 10), Err(StorageFaultKind::Changed));
    assert!(storage.load(0, &mut [0; 10]).is_err_and(|fault| fault.kind == StorageFaultKind::Changed));
}

#[test]
fn completing_makes_what_nobody_stored() {
    let place = Place::new("complete");
    let metainfo = torrent("t", &[("zeros", 3 * E, ""), ("deep/er/empty", 0, "x"), ("tail", 500, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &SPARSE);
    assert_eq!(store(&mut storage, 3 * E, 100), Ok(()));
    complete(&mut storage).expect("complete");
    complete(&mut storage).expect("again is harmless");
    let meta = |path: &str| fs::metadata(place.path.join("t").join(path)).expect("there");
    let lengths = ["zeros", "deep/er/empty", "tail"].map(|path| meta(path).len());
    assert_eq!(lengths, [3 * E, 0, 500]);
    assert_ne!(meta("deep/er/empty").permissions().mode() & 0o111, 0);
}

#[test]
fn a_file_size_limit_is_a_fault_and_not_the_end() {
    const CHILD: &str = "SWARMLET_TEST_FILE_SIZE_LIMIT";
    if std::env::var_os(CHILD).is_some() {
        let place = Place::new("limit");
        for (name, options) in [("full", FULL), ("sparse", SPARSE)] {
            let (mut storage, _) = open(&place.path, &torrent(name, &[("", 4 * E, "")]), &options);
            let bytes = vec![1; E as usize];
            let fault = storage.store(3 * E, &[&bytes], 0, E).expect_err("too far");
            // What is free on the disk says nothing about it.
            assert_eq!((fault.kind, fault.missing_bytes), (StorageFaultKind::TooLong, 0), "{name}");
        }
        return;
    }
    let script = r#"ulimit -f 2048; exec "$0" --exact a_file_size_limit_is_a_fault_and_not_the_end"#;
    let ourselves = std::env::current_exe().expect("ourselves");
    let child = Command::new("sh").args(["-c", script]).arg(ourselves).env(CHILD, "1").output();
    let child = child.expect("sh is there");
    assert!(child.status.success(), "{child:?}");
}
