//! The real program on disks that fill up, fail, go away or are somebody else's, too. Needs root, to mount.
#![cfg(feature = "io")]

mod mounts;
mod order;
#[path = "../interop/process.rs"]
#[allow(dead_code, reason = "the client under test is asked in a way of its own")]
mod process;
mod stage;

use mounts::{Faults, Mounted};
use process::Scratch;
use stage::{Client, Payload, Seeder, built, number};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

const PIECE: usize = 256 << 10;
const FAST_KIB: u32 = 200_000;

/// No innocent peer was dropped or banned, whatever the disk did.
fn assert_nobody_blamed(client: &Client, status: &str) {
    assert_eq!((number(status, "peers"), number(status, "corrupt_bytes")), (1, 0), "{status}");
    let log = client.log();
    assert!(!["banned", "dropped", " gone: "].iter().any(|word| log.contains(word)), "{log}");
}

/// The disk fills up behind the program's back; everything waits, and goes on when there is room.
fn waits_for_room(arguments: &[&str]) {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 24, PIECE);
    let disk = Mounted::ext4(&scratch, &scratch.path().join("image"), 64);
    let seeder = Seeder::new(&payload, FAST_KIB);
    let mut client = Client::start(&scratch, &payload, &disk.path, arguments);
    client.status();
    let filler = disk.fill(8 << 20);
    client.type_line(&format!("add {}", seeder.peer));
    let stalled = client.wait_for_status(r#""phase":"stalled""#);
    assert!(stalled.contains("no space left for it"), "{stalled}");
    let missing = number(&stalled, "missing_bytes");
    let done = number(&stalled, "done_bytes");
    assert!((12 << 20..=payload.bytes).contains(&(missing + done)), "{missing} missing, {done} done");
    // Longer than a few tries: nothing is lost meanwhile, nothing is fetched twice, and it is said once.
    std::thread::sleep(std::time::Duration::from_secs(7));
    let later = client.wait_for_status(r#""phase":"stalled""#);
    assert!(number(&later, "done_bytes") >= done);
    assert_nobody_blamed(&client, &later);
    assert_eq!(client.log().matches("no space left for it").count(), 1, "{}", client.log());
    fs::remove_file(filler).unwrap();
    assert_eq!(client.end().code(), Some(0), "{}", client.log());
    assert!(client.log().contains("storing works again"), "{}", client.log());
    payload.assert_same(&disk.path);
    seeder.end();
}

#[test]
fn a_disk_that_is_full_when_space_is_reserved_is_waited_for() {
    waits_for_room(&[]);
}

#[test]
fn a_disk_that_is_full_when_bytes_are_written_is_waited_for() {
    waits_for_room(&["--allocate", "sparse"]);
}

#[test]
fn too_little_space_is_refused_with_both_numbers_and_an_own_code() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 24, PIECE);
    let disk = Mounted::ext4(&scratch, &scratch.path().join("image"), 16);
    let mut client = Client::start(&scratch, &payload, &disk.path, &[]);
    assert_eq!(client.end().code(), Some(4));
    let wanted = [
        " are missing, 24.0 MiB are needed and ",
        " are free; make room, choose another -o, or --allocate sparse",
    ];
    assert!(wanted.iter().all(|part| client.log().contains(part)), "{}", client.log());
    let mut client = Client::start(&scratch, &payload, &disk.path, &["--allocate", "sparse"]);
    client.wait_for_status(r#""phase":"downloading""#);
}

#[test]
fn who_does_not_want_to_wait_for_room_gets_an_own_code() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 24, PIECE);
    let disk = Mounted::ext4(&scratch, &scratch.path().join("image"), 64);
    let seeder = Seeder::new(&payload, FAST_KIB);
    let arguments = ["--allocate", "sparse", "--give-up", "4", "--peer", &seeder.peer];
    disk.fill(8 << 20);
    let mut client = Client::start(&scratch, &payload, &disk.path, &arguments);
    assert_eq!(client.end().code(), Some(4), "{}", client.log());
    seeder.end();
}

/// Downloads onto a file system to which `words` are told after the start and `later` when the status has `sign`; the exit
/// code.
fn with_faults(words: &str, sign: &str, later: &str) -> (Option<i32>, String) {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 12, PIECE);
    let disk = Faults::new(&scratch.folder("mount"));
    let seeder = Seeder::new(&payload, FAST_KIB);
    let mut client = Client::start(&scratch, &payload, &disk.path, &[]);
    client.status();
    disk.tell(words);
    client.type_line(&format!("add {}", seeder.peer));
    if !sign.is_empty() {
        let status = client.wait_for_status(sign);
        assert_nobody_blamed(&client, &status);
        disk.tell(later);
    }
    let status = client.end();
    assert_eq!(status.signal(), None, "{}", client.log());
    if status.success() {
        payload.assert_same(&disk.path);
        assert!(client.log().contains("storing works again"), "{}", client.log());
    }
    seeder.end();
    (status.code(), client.log())
}

#[test]
fn a_quota_or_a_limit_of_files_is_waited_for_like_a_full_disk() {
    let cases = [
        ("edquot-reserve", "fallocate=EDQUOT", "no space left for it"),
        ("edquot-write", "noreserve write=EDQUOT", "no space left for it"),
        ("enospc-write", "nomap write=ENOSPC", "no space left for it"),
        ("efbig", "noreserve write=EFBIG", "takes no file so long"),
    ];
    for (name, words, line) in cases {
        let (code, log) = with_faults(words, r#""phase":"stalled""#, "");
        assert_eq!(code, Some(0), "{name}: {log}");
        assert!(log.contains(line), "{name}: {log}");
    }
}

/// The device takes bytes and then has no room for them: everything waits until a sync succeeds.
fn waits_for_a_sync(mib: u64) {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, mib, PIECE);
    let disk = Faults::new(&scratch.folder("mount"));
    let seeder = Seeder::new(&payload, FAST_KIB);
    disk.tell("fsync=ENOSPC");
    let mut client = Client::start(&scratch, &payload, &disk.path, &["--peer", &seeder.peer]);
    let stalled = client.wait_for_status(r#""phase":"stalled""#);
    assert!(stalled.contains("no space left for it"), "{stalled}");
    assert!((1..=payload.bytes).contains(&number(&stalled, "missing_bytes")), "{stalled}");
    // What was asked for still comes.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before = client.wait_for_status(r#""phase":"stalled""#);
    std::thread::sleep(std::time::Duration::from_secs(7));
    // A few tries later; after each, what may be lost is read.
    let later = client.wait_for_status(r#""phase":"stalled""#);
    assert_eq!(number(&later, "downloaded_bytes"), number(&before, "downloaded_bytes"), "{}", client.log());
    // At the end everybody was let go, and somebody is found again.
    assert!(number(&later, "corrupt_bytes") == 0 && !client.log().contains("banned"), "{later}");
    assert_eq!(client.log().matches("no space left for it").count(), 1, "{}", client.log());
    disk.tell("");
    assert_eq!(client.end().code(), Some(0), "{}", client.log());
    assert!(client.log().contains("storing works again"), "{}", client.log());
    payload.assert_same(&disk.path);
    seeder.end();
}

#[test]
fn a_device_that_has_no_room_for_what_it_took_is_waited_for_in_the_middle() {
    waits_for_a_sync(24);
}

#[test]
fn a_device_that_has_no_room_for_what_it_took_is_waited_for_at_the_end() {
    waits_for_a_sync(1);
}

#[test]
fn who_does_not_want_to_wait_for_a_sync_either_gets_the_same_code() {
    for mib in [1, 24] {
        let scratch = Scratch::new();
        let payload = Payload::new(&scratch, mib, PIECE);
        let disk = Faults::new(&scratch.folder("mount"));
        let seeder = Seeder::new(&payload, FAST_KIB);
        disk.tell("fsync=ENOSPC");
        let arguments = ["--give-up", "4", "--peer", &seeder.peer];
        let mut client = Client::start(&scratch, &payload, &disk.path, &arguments);
        assert_eq!(client.end().code(), Some(4), "{}", client.log());
        assert!(!client.log().contains("storing works again"), "{}", client.log());
        seeder.end();
    }
}

#[test]
fn a_folder_in_which_nothing_can_be_made_is_refused_at_the_start() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 1, PIECE);
    let disk = Faults::new(&scratch.folder("mount"));
    disk.tell("open=EROFS");
    let mut client = Client::start(&scratch, &payload, &disk.path, &[]);
    assert_eq!(client.end().code(), Some(1), "{}", client.log());
    assert!(client.log().contains("cannot use output"), "{}", client.log());
}

#[test]
fn a_read_only_archive_is_given_if_it_is_whole_and_refused_at_the_start_if_not() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 1, PIECE);
    let disk = Mounted::ext4(&scratch, &scratch.path().join("image"), 16);
    payload.put(&disk.path);
    disk.remount("ro");
    let mut client = Client::start(&scratch, &payload, &disk.path, &["--seed"]);
    client.wait_for_status(r#""phase":"seeding""#);
    client.type_line("quit");
    assert_eq!(client.end().code(), Some(0), "{}", client.log());
    disk.remount("rw");
    let file = File::options().write(true).open(disk.path.join("payload")).unwrap();
    file.write_all_at(&[0; 9], payload.bytes - 9).unwrap();
    drop(file);
    disk.remount("ro");
    let mut client = Client::start(&scratch, &payload, &disk.path, &[]);
    assert_eq!(client.end().code(), Some(1), "{}", client.log());
    let line =
        "payload: pieces of it are bad or missing, and it may not be written to: Read-only file system";
    assert!(client.log().contains(line), "{}", client.log());
}

#[test]
fn a_check_says_what_cannot_be_read_and_why_and_does_not_call_it_bad() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 1, PIECE);
    let disk = Faults::new(&scratch.folder("mount"));
    payload.put(&disk.path);
    let cases = [
        ("", 0, "all 5 pieces are good"),
        ("read=EIO", 1, "payload: cannot be read or written: Input/output error"),
        ("open=EACCES", 1, "payload: may not be read or written: Permission denied"),
    ];
    for (words, code, line) in cases {
        disk.tell(words);
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
        command.args(["--check", "-o"]).arg(&disk.path).arg(&payload.torrent);
        let mut client = Client::spawn(&scratch, &mut command);
        assert_eq!(client.end().code(), Some(code), "{words}: {}", client.log());
        let log = client.log();
        assert!(log.contains(line), "{words}: {log}");
        assert_eq!(
            log.contains("5 of 5 pieces bad or missing (5 of them cannot be read)"),
            code == 1,
            "{log}"
        );
    }
}

#[test]
fn a_fault_of_the_device_that_passes_is_survived() {
    for (name, words) in
        [("eio-write", "nomap write=EIO"), ("eio-reserve", "fallocate=EIO"), ("erofs", "open=EROFS")]
    {
        let (code, log) = with_faults(words, r#""phase":"stalled""#, "");
        assert_eq!(code, Some(0), "{name}: {log}");
    }
}

#[test]
fn a_fault_of_the_device_that_stays_ends_the_run_with_a_line_and_a_code() {
    let cases = [
        ("eio", "nomap write=EIO", "cannot be read or written"),
        ("read-only", "open=EROFS write=EROFS", "may not be read or written"),
        ("sync", "fsync=EIO", "cannot be read or written"),
    ];
    for (name, words, line) in cases {
        let (code, log) = with_faults(words, "", "");
        assert_eq!(code, Some(1), "{name}: {log}");
        assert!(log.contains(line) && !log.contains("banned"), "{name}: {log}");
    }
}

/// Somebody meddles with the file in the middle of a download; it is noticed, and made good.
fn meddled(meddle: impl Fn(&Path)) {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 32, PIECE);
    let folder = scratch.folder("mount");
    let seeder = Seeder::new(&payload, 12_000);
    let mut client = Client::start(&scratch, &payload, &folder, &["--peer", &seeder.peer]);
    client.wait_for("half of it", |client| {
        Some(client.status()).filter(|status| number(status, "done_bytes") > 8 << 20)
    });
    meddle(&folder.join("payload"));
    assert_eq!(client.end().code(), Some(0), "{}", client.log());
    assert!(client.log().contains("is not the file it was"), "{}", client.log());
    payload.assert_same(&folder);
    seeder.end();
}

#[test]
fn a_file_cut_short_while_it_is_mapped_is_made_good() {
    meddled(|path| File::options().write(true).open(path).unwrap().set_len(100_000).unwrap());
}

#[test]
fn a_file_deleted_while_it_is_written_is_made_good() {
    meddled(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_file_moved_away_while_it_is_written_is_made_good() {
    meddled(|path| fs::rename(path, path.with_extension("moved")).unwrap());
}

#[test]
fn a_file_moved_away_and_copied_back_while_it_is_written_is_made_good() {
    meddled(|path| {
        let moved = path.with_extension("moved");
        fs::rename(path, &moved).unwrap();
        fs::copy(&moved, path).unwrap();
    });
}

#[test]
fn a_file_replaced_by_another_of_its_length_is_made_good() {
    meddled(|path| {
        let other = path.with_extension("other");
        let length = fs::metadata(path).unwrap().len();
        File::create(&other).and_then(|file| file.set_len(length)).unwrap();
        fs::rename(&other, path).unwrap();
    });
}

#[test]
fn a_device_that_goes_away_ends_the_run_and_not_by_a_signal() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 64, PIECE);
    let mut disk = Faults::new(&scratch.folder("mount"));
    let seeder = Seeder::new(&payload, 20_000);
    let mut client = Client::start(&scratch, &payload, &disk.path, &["--peer", &seeder.peer]);
    client.wait_for("some of it", |client| {
        Some(client.status()).filter(|status| number(status, "done_bytes") > 8 << 20)
    });
    disk.unplug();
    let status = client.end();
    assert_eq!((status.signal(), status.code()), (None, Some(1)), "{}", client.log());
    assert!(!client.log().contains("banned"), "{}", client.log());
    seeder.end();
}

/// ext4 on a device whose writes fail: the page cache takes everything, and only the sync tells.
#[test]
fn write_back_that_fails_is_told_and_never_called_complete() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 16, PIECE);
    let below = Faults::new(&scratch.path().join("below"));
    let disk = Mounted::ext4(&scratch, &below.path.join("image"), 64);
    let seeder = Seeder::new(&payload, FAST_KIB);
    let mut client = Client::start(&scratch, &payload, &disk.path, &[]);
    client.status();
    below.tell("write=EIO fsync=EIO");
    client.type_line(&format!("add {}", seeder.peer));
    let status = client.end();
    assert_eq!((status.signal(), status.code()), (None, Some(1)), "{}", client.log());
    assert!(!client.log().contains("banned"), "{}", client.log());
    below.tell("");
    drop(disk);
}

/// The same for a while. Another program maps the file, so that the kernel keeps what it could not write, as if it were
/// written: to read it proves nothing.
#[test]
fn write_back_that_fails_for_a_while_leaves_no_hole_behind() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 32, PIECE);
    let below = Faults::new(&scratch.path().join("below"));
    let image = below.path.join("image");
    let disk = Mounted::ext4(&scratch, &image, 64);
    let seeder = Seeder::new(&payload, 3_000);
    let mut client = Client::start(&scratch, &payload, &disk.path, &["--peer", &seeder.peer]);
    client.wait_for("some of it", |client| {
        Some(client.status()).filter(|one| number(one, "done_bytes") > 1 << 20)
    });
    let file = File::open(disk.path.join("payload")).unwrap();
    // SAFETY: what is read is not looked at, and nobody makes the file shorter.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    assert_ne!(map.iter().step_by(4096).map(|byte| u64::from(*byte)).sum::<u64>(), 0);
    // The tables of the file system are whole.
    below.tell("write=EIO fsync=EIO skip=4194304");
    client.wait_for("a fault", |client| client.log().contains("cannot be read or written").then_some(()));
    below.tell("");
    assert_eq!(client.end().code(), Some(0), "{}", client.log());
    payload.assert_same(&disk.path);
    drop((map, file, disk));
    payload.assert_same(&Mounted::image(&scratch, &image).path);
    seeder.end();
}

#[test]
fn pieces_larger_than_memory_are_downloaded() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 130, 64 << 20);
    let seeder = Seeder::new(&payload, FAST_KIB);
    let folder = scratch.folder("mount");
    let arguments = ["--memory", "8", "--peer", &seeder.peer];
    let mut client = Client::start(&scratch, &payload, &folder, &arguments);
    let (status, anonymous_kib) = client.end_watched();
    assert_eq!(status.code(), Some(0), "{}", client.log());
    // What is put together is on the disk and goes when the memory is wanted: only the rest cannot go.
    assert!((1..=8 << 10).contains(&anonymous_kib), "{anonymous_kib} KiB");
    payload.assert_same(&folder);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else stays");
    assert!(fs::metadata(folder.join("payload")).unwrap().blocks() * 512 >= payload.bytes);
    seeder.end();
}

/// The cheap part of `scripts/filesystems`: it also fails if one takes seconds, as files that are always busy did on xfs.
/// What this kernel cannot mount is said, also when the test passes.
#[test]
fn every_file_system_gets_the_same_bytes() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/disks/main.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg("--built").arg(built()).args(["--size-mib", "48"]);
    let answer = command.output().expect("python3 is there");
    let (out, err) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(answer.status.success(), "{out}{err}");
    for line in out.lines().filter(|line| line.contains("NOT TRIED") || line.starts_with("tried")) {
        let _ = writeln!(std::io::stderr(), "file systems: {line}");
    }
}
