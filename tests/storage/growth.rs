//! File systems without holes: long files are made longer step by step.

use super::*;
use swarmlet::base::limits::GROWTH_BYTES;
use swarmlet::rim::storage::{Kind, Names};

const FILLING: Options = Options {
    kind: Some(Kind { fills_holes: true, file_bytes_max: u64::MAX, names: Names::Folded }),
    ..FULL
};

/// Lets the file grow until bytes may be stored at `offset`; how long it was after each step.
fn grow(storage: &mut Storage, offset: u64, path: &Path) -> Vec<u64> {
    let (mut syncer, mut lengths) = (Syncer::waiting(), Vec::new());
    while storage.grows(offset) {
        assert_eq!(storage.go_on(TorrentId(0), &mut syncer), None);
        if syncer.is_busy() {
            assert!(!storage.is_busy(), "it waits for the device");
            lengths.push(fs::metadata(path).expect("there").len());
            while syncer.is_busy() {
                syncer.turn();
                syncer.next_done().into_iter().for_each(|done| storage.synced(done));
            }
        }
    }
    lengths
}

#[test]
fn a_store_far_behind_the_end_waits_until_the_file_is_long_enough() {
    let place = Place::new("growth");
    let metainfo = torrent("x", &[("", 20 * E, "")]);
    let path = place.path.join("x");
    let (mut storage, _) = open(&place.path, &metainfo, &FILLING);
    assert_eq!(grow(&mut storage, GROWTH_BYTES, &path), [0; 0], "so much is filled by the store itself");
    let steps: Vec<u64> = (1..=9).map(|step| step * GROWTH_BYTES).collect();
    assert_eq!((grow(&mut storage, 18 * E, &path), GROWTH_BYTES), (steps, 2 * E));
    for offset in [18 * E, 0, 5 * E] {
        assert!(!storage.grows(offset));
        assert_eq!(store(&mut storage, offset, E), Ok(()));
    }
    let mut expected = vec![0; 20 * E as usize];
    for offset in [18 * E, 0, 5 * E] {
        expected[offset as usize..(offset + E) as usize].copy_from_slice(&content(offset, E));
    }
    assert!(load(&mut storage, 0, 20 * E) == expected);
    assert_eq!(fs::metadata(&path).expect("there").len(), 19 * E, "nothing is filled that need not be");
    complete(&mut storage).expect("complete");
    assert!(fs::read(&path).expect("there") == expected);
}

#[test]
fn files_of_zeros_are_made_step_by_step_at_the_end() {
    let place = Place::new("growth-end");
    let metainfo = torrent("x", &[("a", 5, ""), ("b", 10 * E, ""), ("c", 7 * E, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &FILLING);
    let (mut syncer, mut longest) = (Syncer::waiting(), 0);
    let length = |name: &str| fs::metadata(place.path.join("x").join(name)).map_or(0, |found| found.len());
    storage.begin(Task::Complete);
    let mut before = 0;
    loop {
        let done = storage.go_on(TorrentId(0), &mut syncer);
        longest = longest.max(length("b") + length("c") - before);
        before = length("b") + length("c");
        if let Some(done) = done {
            assert_eq!(done, Done::Completed(Ok(())));
            break;
        }
        syncer.turn();
        syncer.next_done().into_iter().for_each(|done| storage.synced(done));
    }
    assert_eq!([length("a"), length("b"), length("c")], [5, 10 * E, 7 * E]);
    assert!(longest <= GROWTH_BYTES, "{longest} at once");
}

#[test]
fn a_disk_that_is_full_before_the_file_is_long_enough_is_told_by_the_store() {
    let place = Place::mounted("growth-full", "tmpfs", "size=15m", "none");
    let metainfo = torrent("x", &[("", 20 * E, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &Options { allocate: Allocate::Sparse, ..FILLING });
    let path = place.path.join("x");
    assert_eq!(grow(&mut storage, 18 * E, &path).last(), Some(&(12 << 20)));
    assert_eq!(store(&mut storage, 18 * E, E), Err(StorageFaultKind::NoSpace));
    // There is no end of trying, and each try says so.
    assert!(storage.grows(18 * E));
    grow(&mut storage, 18 * E, &path);
    assert_eq!(store(&mut storage, 18 * E, E), Err(StorageFaultKind::NoSpace));
    drop(storage);
    assert!(fs::metadata(&path).expect("there").len() >= 12 << 20);
}

#[test]
fn a_file_that_is_replaced_while_it_grows_is_not_written_to() {
    let place = Place::new("growth-replaced");
    let metainfo = torrent("x", &[("", 20 * E, "")]);
    let path = place.path.join("x");
    let (mut storage, _) = open(&place.path, &metainfo, &FILLING);
    assert!(storage.grows(18 * E));
    fs::rename(&path, path.with_extension("moved")).expect("there");
    fs::write(&path, b"theirs").expect("room");
    grow(&mut storage, 18 * E, &path);
    // The next that is stored goes to a file that was opened anew.
    storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
    assert!(!storage.grows(10 * E) && store(&mut storage, 10 * E, E).is_err());
    assert_eq!(fs::read(&path).expect("there"), b"theirs");
}

#[test]
fn a_file_longer_than_the_file_system_has_is_refused_at_the_start() {
    let place = Place::new("too-long");
    let metainfo = torrent("x", &[("a", 5, ""), ("b", 3 * E, "")]);
    let options = Options { kind: Some(Kind { file_bytes_max: 2 * E, ..Kind::PLAIN }), ..FULL };
    let refused = Storage::open(&place.path, metainfo, &options).err().expect("refused").to_string();
    assert!(
        refused.contains("x/b is 6.0 MiB long, and the file system has no files longer than 4.0 MiB"),
        "{refused}"
    );
}

#[test]
fn names_that_are_not_taken_are_written_differently_and_found_again() {
    let place = Place::new("names");
    let metainfo = torrent("Who?", &[("a: b/c.", 5, ""), ("plain", 7, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &FILLING);
    storage.take().expect("nobody else has it");
    assert!(place.path.join(".Who_.swarmlet").exists());
    assert_eq!(store(&mut storage, 0, 12), Ok(()));
    complete(&mut storage).expect("complete");
    assert!(fs::read(place.path.join("Who_/a_ b/c_")).expect("there") == content(0, 5));
    drop(storage);
    let (mut storage, existing) = open(&place.path, &metainfo, &FILLING);
    assert_eq!((existing, load(&mut storage, 0, 12)), (Existing::Something, content(0, 12)));
}

#[test]
fn files_that_would_be_one_are_refused() {
    let place = Place::new("alike");
    let alike: [[&str; 2]; 3] = [["a", "A"], ["Ä/x", "ä/X"], ["a:", "a?"]];
    for [one, other] in alike {
        let metainfo = torrent("t", &[(one, 5, ""), ("between", 5, ""), (other, 5, "")]);
        let refused = Storage::open(&place.path, metainfo, &FILLING).err().expect("refused");
        assert!(matches!(refused, OpenFault::Alike { .. }), "{refused}");
    }
    let metainfo = torrent("t", &[("a", 5, ""), ("b", 5, "")]);
    assert!(Storage::open(&place.path, metainfo, &FILLING).is_ok());
}
