//! Somebody else has been at the files: it is noticed before anything is called durable or complete.

use super::*;
use std::time::{Duration, SystemTime};

/// What a sync says; `everything`: also of what was there before.
fn sync(storage: &mut Storage, everything: bool) -> Result<(), StorageFaultKind> {
    match done(storage, Task::Sync { everything }) {
        Done::Synced(result) => result.map_err(|fault| fault.kind),
        other => panic!("{other:?}"),
    }
}

fn completed(storage: &mut Storage) -> Result<(), StorageFaultKind> {
    complete(storage).map_err(|fault| fault.kind)
}

const CHANGED: Result<(), StorageFaultKind> = Err(StorageFaultKind::Changed);

#[test]
fn files_that_others_change_are_noticed() {
    let place = Place::new("changed");
    let metainfo = torrent("x", &[("", 4 * E, "")]);
    let path = place.path.join("x");
    let shorten = |length| File::options().write(true).open(&path).and_then(|file| file.set_len(length));
    for options in [FULL, NEVER] {
        let (mut storage, _) = open(&place.path, &metainfo, &options);
        assert_eq!(store(&mut storage, 0, E), Ok(()));
        shorten(5).expect("shorter");
        assert_eq!(store(&mut storage, E, E), Err(StorageFaultKind::Changed));
        assert_eq!(store(&mut storage, E, E), Ok(()), "told once; then the session has checked it anew");
        // Also while it was closed for a while.
        storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
        shorten(5).expect("shorter");
        assert_eq!(store(&mut storage, E, E), Err(StorageFaultKind::Changed));
        assert_eq!(store(&mut storage, 0, E), Ok(()));
        fs::remove_file(&path).expect("there");
        assert_eq!(store(&mut storage, E, E), Err(StorageFaultKind::Changed));
        assert_eq!(store(&mut storage, 0, 4 * E), Ok(()));
        complete(&mut storage).expect("complete");
        assert!(fs::read(&path).expect("there") == content(0, 4 * E));
        fs::remove_file(&path).expect("there");
    }
}

#[test]
fn what_is_stored_into_a_file_without_its_name_is_not_durable() {
    let metainfo = torrent("x", &[("", 4 * E, "")]);
    type Case<'a> = (&'a str, fn(&Path));
    let cases: [Case<'_>; 5] = [
        ("moved", |x| fs::rename(x, x.with_extension("y")).expect("there")),
        ("deleted", |x| fs::remove_file(x).expect("there")),
        ("copied", |x| {
            fs::rename(x, x.with_extension("y")).expect("there");
            fs::copy(x.with_extension("y"), x).expect("room");
        }),
        ("replaced", |x| {
            fs::copy(x, x.with_extension("z")).expect("room");
            fs::rename(x.with_extension("z"), x).expect("there");
        }),
        ("shortened", |x| File::options().write(true).open(x).and_then(|x| x.set_len(5)).expect("there")),
    ];
    for (name, meddle) in cases {
        for everything in [false, true] {
            let place = Place::new(&format!("nameless-{name}-{everything}"));
            let (mut storage, _) = open(&place.path, &metainfo, &FULL);
            assert_eq!(store(&mut storage, 0, E), Ok(()));
            assert_eq!(sync(&mut storage, everything), Ok(()));
            assert_eq!(store(&mut storage, E, E), Ok(()));
            meddle(&place.path.join("x"));
            assert_eq!(sync(&mut storage, everything), CHANGED, "{name}");
            // It was told; then everything is read, and stored where it is missing.
            load(&mut storage, 0, 4 * E);
            assert_eq!(store(&mut storage, 0, 4 * E), Ok(()), "{name}");
            assert_eq!(sync(&mut storage, everything), Ok(()), "{name}");
            assert_eq!(completed(&mut storage), Ok(()), "{name}");
        }
    }
}

#[test]
fn nothing_is_complete_over_files_that_somebody_has_changed() {
    let entries = [("a", E, ""), ("b", 2 * E, ""), ("c", 100, ""), ("d", 0, "")];
    let metainfo = torrent("t", &entries);
    type Case<'a> = (&'a str, fn(&Path));
    let earlier = |path: &Path| {
        let file = File::options().write(true).open(path).expect("there");
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).expect("ours");
    };
    let cases: [Case<'_>; 4] = [
        ("deleted", |t| fs::remove_file(t.join("b")).expect("there")),
        ("shortened", |t| {
            File::options().write(true).open(t.join("b")).and_then(|b| b.set_len(E)).expect("there");
        }),
        ("all", |t| fs::remove_dir_all(t).expect("there")),
        ("replaced", |t| {
            fs::rename(t.join("b"), t.join("old")).expect("there");
            File::create(t.join("b")).and_then(|b| b.set_len(2 * E)).expect("new");
        }),
    ];
    for (name, meddle) in cases {
        let place = Place::new(&format!("not-complete-{name}"));
        let (mut storage, _) = open(&place.path, &metainfo, &FULL);
        assert_eq!(store(&mut storage, 0, 3 * E + 100), Ok(()));
        assert_eq!(sync(&mut storage, false), Ok(()));
        // In the middle or long after the last store.
        storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
        meddle(&place.path.join("t"));
        assert_eq!(completed(&mut storage), CHANGED, "{name}");
        load(&mut storage, 0, 3 * E + 100);
        assert_eq!(store(&mut storage, 0, 3 * E + 100), Ok(()), "{name}");
        assert_eq!(completed(&mut storage), Ok(()), "{name}");
        assert!(fs::read(place.path.join("t/b")).expect("there") == content(E, 2 * E), "{name}");
    }
    let place = Place::new("not-complete-times");
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(store(&mut storage, 0, 3 * E + 100), Ok(()));
    storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
    for path in ["t/a", "t/c"] {
        earlier(&place.path.join(path));
    }
    assert_eq!(completed(&mut storage), CHANGED, "its length is right, and its time is not");
    load(&mut storage, 0, 3 * E + 100);
    assert_eq!(completed(&mut storage), Ok(()), "all of them are told at once, and once");
}

#[test]
fn a_file_that_was_shortened_while_it_was_open_is_noticed_after_it_was_closed() {
    let metainfo = torrent("x", &[("", 4 * E, "")]);
    for (name, options) in [("full", FULL), ("sparse", SPARSE)] {
        let place = Place::new(&format!("shortened-open-{name}"));
        let path = place.path.join("x");
        let begin = || {
            let (mut storage, _) = open(&place.path, &metainfo, &options);
            assert_eq!((store(&mut storage, 0, 4 * E), sync(&mut storage, false)), (Ok(()), Ok(())));
            File::options().write(true).open(&path).and_then(|file| file.set_len(5)).expect("shorter");
            storage
        };
        assert_eq!(completed(&mut begin()), CHANGED, "{name}");
        let mut storage = begin();
        storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
        assert_eq!(store(&mut storage, E, E), CHANGED, "{name}");
    }
}

#[test]
fn whoever_looks_ahead_does_not_use_up_the_news_that_a_file_was_replaced() {
    let place = Place::new("ahead");
    let metainfo = torrent("x", &[("", 4 * E, "")]);
    let (path, other) = (place.path.join("x"), place.path.join("y"));
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!((store(&mut storage, 0, 4 * E), sync(&mut storage, false)), (Ok(()), Ok(())));
    storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
    // Shorter, as not all file systems tell when a file was made.
    fs::write(&other, [7; 5]).and_then(|()| fs::rename(&other, &path)).expect("another file");
    storage.is_at_hand(0, 16 << 10);
    storage.announce(0, 4 * E);
    let loaded = storage.load(0, &mut [0; 16]).map_err(|fault| fault.kind);
    assert_eq!(loaded, CHANGED);
}

#[test]
fn a_store_does_not_go_on_in_another_file_than_it_has_begun_in() {
    let metainfo = torrent("x", &[("", 4 * E, "")]);
    type Notice = fn(&mut Storage) -> Result<(), StorageFaultKind>;
    let cases: [(&str, Notice); 3] = [
        ("read", |storage| storage.load(0, &mut [0; 16]).map_err(|fault| fault.kind)),
        ("synced", |storage| sync(storage, false)),
        ("completed", completed),
    ];
    for (name, notice) in cases {
        let place = Place::new(&format!("begun-{name}"));
        let (path, other) = (place.path.join("x"), place.path.join("y"));
        let (mut storage, _) = open(&place.path, &metainfo, &FULL);
        let bytes = content(0, 3 * E);
        let mut done = storage.store(0, &[&bytes], 0, E).expect("room");
        assert_eq!(done, E);
        storage.tick(Instant::ZERO + 2 * FILE_IDLE_MAX);
        // Shorter, as not all file systems tell when a file was made.
        fs::write(&other, [7; 5]).and_then(|()| fs::rename(&other, &path)).expect("another file");
        assert_eq!(notice(&mut storage), CHANGED, "{name}");
        while done < 3 * E {
            done = storage.store(0, &[&bytes], done, E).expect("room");
        }
        assert!(fs::read(&path).expect("there")[..3 * E as usize] == bytes, "{name}");
    }
}

#[test]
fn what_an_earlier_run_has_left_is_not_made_anew_at_the_end() {
    let place = Place::new("left");
    let metainfo = torrent("t", &[("a", E, ""), ("b", E, "")]);
    assert_eq!(store(&mut open(&place.path, &metainfo, &FULL).0, 0, 2 * E), Ok(()));
    // All of it is believed: no file is opened before the end.
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(completed(&mut storage), Ok(()));
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    fs::remove_file(place.path.join("t/a")).expect("there");
    assert_eq!(completed(&mut storage), CHANGED);
    assert!(!place.path.join("t/a").exists());
}

#[test]
fn a_file_that_nobody_has_seen_is_not_taken_for_zeros() {
    let place = Place::new("unseen");
    let metainfo = torrent("t", &[("zeros", E, ""), ("b", 5, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &SPARSE);
    assert_eq!(load(&mut storage, 0, E), vec![0; E as usize], "so much was verified");
    assert_eq!(store(&mut storage, E, 5), Ok(()));
    fs::write(place.path.join("t/zeros"), vec![1; E as usize]).expect("room");
    assert_eq!(completed(&mut storage), CHANGED);
}

#[test]
fn only_who_has_stored_the_same_torrent_before_finds_its_own_output() {
    let place = Place::new("whose");
    let (ours, theirs) = (torrent("x", &[("", 4 * E, "")]), torrent("x", &[("", 5 * E, "")]));
    fs::write(place.path.join("x"), b"a letter").expect("room");
    // Who has only looked, and was killed then, leaves an empty state.
    fs::write(place.path.join(".x.swarmlet"), b"").expect("room");
    let was_ours = |metainfo: &Arc<Metainfo>, stores: bool| {
        let (mut storage, _) = open(&place.path, metainfo, &FULL);
        storage.take().expect("nobody else has it");
        if stores {
            assert_eq!(store(&mut storage, 0, E), Ok(()));
        }
        storage.was_ours()
    };
    assert!(!was_ours(&ours, false));
    assert!(!was_ours(&ours, true));
    assert!(!was_ours(&theirs, false));
    assert!(was_ours(&ours, false));
}

#[test]
fn what_is_renewed_is_read_and_has_to_be_synced_again() {
    let place = Place::new("renewed");
    let metainfo = torrent("x", &[("a", 100_000, ""), ("b", 2 * E, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(store(&mut storage, 0, 2 * E), Ok(()));
    assert_eq!(sync(&mut storage, false), Ok(()));
    let before = ["x/a", "x/b"].map(|name| fs::metadata(place.path.join(name)).expect("there").modified());
    std::thread::sleep(Duration::from_millis(20));
    let mut bytes = vec![0; 256 << 10];
    storage.renew(50_000, &mut bytes).expect("readable and writable");
    assert!(bytes == content(50_000, 256 << 10));
    // They were written, and are the same.
    for (name, before) in ["x/a", "x/b"].iter().zip(before) {
        let after = fs::metadata(place.path.join(name)).expect("there").modified();
        assert!(after.expect("a time") > before.expect("a time"), "{name}");
    }
    assert!(load(&mut storage, 0, 2 * E) == content(0, 2 * E));
    assert_eq!(sync(&mut storage, false), Ok(()));
}
