//! Tasks, step by step, with a device that answers when the test lets it.

use super::super::Options;
use super::*;
use crate::meta::Metainfo;
use crate::resume::HEAD_BYTES;
use std::path::PathBuf;

const TORRENT: TorrentId = TorrentId(0);

/// A folder that goes with its test, the files of a torrent called `n` in it, and what syncs them.
struct Place {
    path: PathBuf,
    storage: Storage,
    syncer: Syncer,
}

impl Place {
    fn new(name: &str) -> Self {
        Self::of(name, b"6:lengthi1e")
    }

    /// The same, of a torrent that says so of its files.
    fn of(name: &str, files: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("swarmlet-tasks-{name}-{}", std::process::id()));
        let (head, tail) = (b"d4:infod", b"4:name1:n12:piece lengthi4e6:pieces20:xxxxxxxxxxxxxxxxxxxxee");
        let torrent = &[&head[..], files, tail].concat();
        let metainfo = Arc::new(Metainfo::parse(torrent).expect("a good torrent"));
        let (mut storage, _) = Storage::open(&path, metainfo, &Options::default()).expect("room");
        storage.take().expect("nobody else has it");
        Self { path, storage, syncer: Syncer::waiting() }
    }

    fn go_on(&mut self) -> Option<Done> {
        self.storage.go_on(TORRENT, &mut self.syncer)
    }

    /// The number of the sync that the task waits for, when it is done.
    fn wait(&mut self) -> Synced {
        assert!(self.syncer.is_busy(), "nothing is waited for");
        loop {
            self.syncer.turn();
            if let Some(synced) = self.syncer.next_done() {
                return synced;
            }
        }
    }

    fn state(&self) -> Vec<u8> {
        std::fs::read(self.path.join(".n.swarmlet")).expect("locked")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[test]
fn a_state_takes_its_place_when_the_device_has_it_and_is_saved_when_the_device_has_its_name() {
    let mut place = Place::new("order");
    place.storage.begin(Task::Save(vec![7; 100]));
    assert_eq!((place.go_on(), place.go_on()), (None, None));
    assert!(place.state().is_empty());
    let synced = place.wait();
    assert_eq!(synced.number, STATE);
    place.storage.synced(synced);
    while !place.syncer.is_busy() {
        assert_eq!(place.go_on(), None, "its name is not on the device");
    }
    assert_eq!(place.state()[..84], [7; 84]);
    while place.syncer.is_busy() {
        let synced = place.wait();
        assert_eq!(synced.number, DIRECTORY);
        place.storage.synced(synced);
    }
    assert_eq!(place.go_on(), Some(Done::Saved(Ok(()))));
}

#[test]
fn a_device_that_refuses_is_told_of() {
    let refused = |synced: Synced| Synced { result: Err(io::Error::from_raw_os_error(libc::EIO)), ..synced };
    let mut place = Place::new("refused");
    assert_eq!(place.storage.store(0, &[b"x"], 0, 1), Ok(1));
    for (task, number) in [(Task::Sync { everything: false }, 0), (Task::Save(vec![7; 100]), STATE)] {
        place.storage.begin(task);
        assert_eq!(place.go_on(), None);
        let synced = place.wait();
        assert_eq!(synced.number, number);
        place.storage.synced(refused(synced));
        let done = loop {
            if let Some(done) = place.go_on() {
                break done;
            }
            let synced = place.wait();
            place.storage.synced(synced);
        };
        let (Done::Synced(Err(fault)) | Done::Saved(Err(fault))) = done else { panic!("{done:?}") };
        assert_eq!(fault.os_error, libc::EIO);
    }
    assert_eq!(
        place.state().len(),
        HEAD_BYTES,
        "what the device refuses does not take the place of the last state"
    );
}

#[test]
fn a_turn_that_has_no_time_left_opens_one_file() {
    let files: Vec<u8> =
        (b'a'..=b'd').flat_map(|name| [b"d6:lengthi1e4:pathl1:", &[name][..], b"ee"].concat()).collect();
    let mut place = Place::of("time", &[b"5:filesl", &files[..], b"e"].concat());
    assert_eq!(place.storage.store(0, &[b"abcd"], 0, 4), Ok(4));
    // Settled one after the other, the first synced in the turn in which the last is settled.
    let syncs =
        [(Task::Complete, [0, 0, 0, 1, 2, 3, 4]), (Task::Sync { everything: true }, [1, 2, 3, 4, 4, 4, 4])];
    for (task, under_way) in syncs {
        place.storage.begin(task);
        let turns = under_way.map(|_| {
            place.syncer.end_time();
            assert!(place.storage.is_busy() || place.syncer.is_busy());
            assert_eq!(place.go_on(), None);
            place.storage.tasks.current.as_ref().map_or(0, |work| work.under_way)
        });
        assert_eq!(turns, under_way);
        let done = loop {
            let synced = place.wait();
            place.storage.synced(synced);
            if let Some(done) = place.go_on() {
                break done;
            }
        };
        assert!(matches!(done, Done::Completed(Ok(())) | Done::Synced(Ok(()))), "{done:?}");
    }
}

#[test]
fn a_file_that_nobody_has_changed_need_not_be_synced_where_it_cannot_be() {
    for (changed, number) in [
        (false, libc::EINVAL),
        (false, libc::EROFS),
        (false, libc::EIO),
        (true, libc::EINVAL),
        (true, libc::EROFS),
    ] {
        let mut place = Place::new(&format!("unsyncable-{changed}-{number}"));
        std::fs::write(place.path.join("n"), b"x").expect("room");
        if changed {
            assert_eq!(place.storage.store(0, &[b"x"], 0, 1), Ok(1));
        }
        place.storage.write_back.note_file(0);
        place.storage.begin(Task::Sync { everything: false });
        assert_eq!(place.go_on(), None);
        let synced = place.wait();
        place.storage.synced(Synced { result: Err(io::Error::from_raw_os_error(number)), ..synced });
        let done = loop {
            if let Some(done) = place.go_on() {
                break done;
            }
            let synced = place.wait();
            place.storage.synced(synced);
        };
        let is_fault = changed || number == libc::EIO;
        assert_eq!(matches!(done, Done::Synced(Err(_))), is_fault, "{changed} {number}");
    }
}

#[test]
fn the_directories_of_a_file_are_all_down_to_it() {
    let mut directories = BTreeSet::new();
    note_directories(&[b"a", b"b", b"c"], &mut directories);
    note_directories(&[b"d"], &mut directories);
    let all: Vec<&[u8]> = directories.iter().map(Vec::as_slice).collect();
    assert_eq!(all, [&b""[..], b"a/", b"a/b/"]);
}
