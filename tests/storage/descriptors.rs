//! Descriptors are scarce: files make do with few, and whatever is to be done is done.

use super::*;
use std::collections::VecDeque;

/// Tells the program that it is the one that has few descriptors.
const CHILD: &str = "SWARMLET_TEST_FEW_DESCRIPTORS";

/// Takes all descriptors but so many.
fn take_all_but(left: usize) -> Vec<File> {
    let mut taken: VecDeque<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    taken.drain(..left.min(taken.len()));
    taken.into()
}

#[test]
fn where_all_descriptors_are_taken_files_that_are_open_give_theirs() {
    if std::env::var_os(CHILD).is_none() {
        let script = r#"ulimit -n 80; exec "$0" --exact descriptors::where_all_descriptors_are_taken_files_that_are_open_give_theirs"#;
        let ourselves = std::env::current_exe().expect("ourselves");
        let child = Command::new("sh").args(["-c", script]).arg(ourselves).env(CHILD, "1").output();
        let child = child.expect("sh is there");
        assert!(child.status.success(), "{child:?}");
        return;
    }
    what_is_open_gives_way();
    what_is_only_read_gives_way();
    what_is_being_synced_is_waited_for();
    what_is_sent_while_it_is_completed_gives_way();
}

/// A torrent of so many executable files of 1,000 bytes, in five folders.
fn small_files(place: &Place, count: usize) -> Storage {
    let names: Vec<String> = (0..count).map(|nth| format!("d{}/f{nth}", nth % 5)).collect();
    let entries: Vec<Entry<'_>> = names.iter().map(|name| (name.as_str(), 1_000, "x")).collect();
    let (mut storage, _) = open(&place.path, &torrent("t", &entries), &FULL);
    storage.take().expect("nobody else has it");
    storage
}

fn is_done(storage: &mut Storage, task: Task) -> bool {
    format!("{:?}", done(storage, task)).contains("Ok")
}

fn what_is_open_gives_way() {
    let place = Place::new("few-open");
    let mut storage = small_files(&place, 24);
    let tasks = [
        Task::Sync { everything: false },
        Task::Sync { everything: true },
        Task::Save(vec![7; 100]),
        Task::Complete,
    ];
    for task in tasks {
        assert_eq!(store(&mut storage, 0, 24_000), Ok(()));
        let _taken = take_all_but(0);
        assert!(load(&mut storage, 0, 24_000) == content(0, 24_000));
        assert_eq!(store(&mut storage, 0, 24_000), Ok(()));
        assert!(is_done(&mut storage, task));
    }
}

fn what_is_only_read_gives_way() {
    let place = Place::new("few-read");
    let mut storage = small_files(&place, 24);
    storage.keep_open(10);
    assert_eq!(store(&mut storage, 0, 24_000), Ok(()));
    assert!(is_done(&mut storage, Task::Sync { everything: false }));
    assert_eq!(store(&mut storage, 0, 4_000), Ok(()));
    load(&mut storage, 4_000, 20_000);
    let _taken = take_all_but(0);
    assert!(is_done(&mut storage, Task::Sync { everything: false }));
}

fn what_is_being_synced_is_waited_for() {
    let place = Place::new("few-synced");
    let mut storage = small_files(&place, 24);
    storage.keep_open(1);
    assert_eq!(store(&mut storage, 0, 24_000), Ok(()));
    let _taken = take_all_but(4);
    assert!(is_done(&mut storage, Task::Sync { everything: false }));
}

fn what_is_sent_while_it_is_completed_gives_way() {
    let (place, mut syncer) = (Place::new("few-completed"), Syncer::waiting());
    let mut storage = small_files(&place, 200);
    assert_eq!(store(&mut storage, 0, 200_000), Ok(()));
    storage.begin(Task::Complete);
    assert_eq!(storage.go_on(TorrentId(0), &mut syncer), None);
    load(&mut storage, 0, 20_000);
    let _taken = take_all_but(0);
    assert_eq!(goes_on(&mut storage, &mut syncer), Done::Completed(Ok(())));
}

#[test]
fn a_torrent_keeps_as_many_files_open_as_it_may() {
    let place = Place::new("keeps");
    let names: Vec<String> = (0..20).map(|nth| nth.to_string()).collect();
    let entries: Vec<Entry<'_>> = names.iter().map(|name| (name.as_str(), 1_000, "")).collect();
    let (mut storage, _) = open(&place.path, &torrent("t", &entries), &FULL);
    storage.keep_open(3);
    assert_eq!(store(&mut storage, 0, 20_000), Ok(()));
    let links = fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    let files =
        links.filter(|link| fs::read_link(link.path()).is_ok_and(|to| to.starts_with(place.path.join("t"))));
    // The folder is open too.
    assert_eq!(files.count(), 4);
    assert!(load(&mut storage, 0, 20_000) == content(0, 20_000));
    complete(&mut storage).expect("complete");
}
