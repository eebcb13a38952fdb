//! Files, commands, signals, the screen, and how long a turn sleeps.

use crate::script::{Fact, Paper, TORRENT, play, play_with, play_with_files};
use core::time::Duration;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use swarmlet::base::limits::CHECK_SLICE_BYTES;
use swarmlet::base::{Instant, TorrentId};
use swarmlet::meta::Metainfo;
use swarmlet::rim::storage::{Done, OpenFault, Options, Storage, Syncer, Task};
use swarmlet::rim::{Files, Rim};
use swarmlet::session::{Action, Command, Outcome, Report, StorageFault, StoreId};

#[test]
fn reading_the_files_takes_a_turn_each_and_keeps_no_command_waiting() {
    let (commands, mut typed) = io::pipe().unwrap();
    typed.write_all(b"status\n").unwrap();
    let run = play_with(&commands, Paper::default(), |desk, fact| match fact {
        Fact::Start => (0..20).for_each(|nth| {
            desk.wish(Action::Load {
                torrent: TORRENT,
                offset: nth,
                length: CHECK_SLICE_BYTES - nth as usize,
                renew: nth % 2 == 1,
            });
        }),
        Fact::Loaded(offset, bytes) => {
            assert_eq!(bytes, vec![b'a' + offset as u8; CHECK_SLICE_BYTES - offset as usize]);
            desk.note(format!("{offset}"));
            if offset == 19 {
                desk.wish(Action::Load { torrent: TORRENT, offset: 77, length: 1, renew: false });
            }
        }
        Fact::LoadFailed(offset) => {
            desk.note(format!("failed {offset}"));
            desk.finish();
        }
        fact => desk.note(format!("{fact:?}")),
    });
    let mut expected: Vec<_> = (0..20).map(|nth| nth.to_string()).collect();
    expected.insert(0, "Command(Status)".into());
    expected.push("failed 77".into());
    assert_eq!(run.desk.notes, expected);
    assert!(run.turns >= 21, "{} turns", run.turns);
}

#[test]
fn a_file_that_is_made_longer_first_keeps_no_command_waiting() {
    let (commands, mut typed) = io::pipe().unwrap();
    let run = play_with(&commands, Paper::default(), |desk, fact| match fact {
        Fact::Start => {
            desk.wish(Action::Store { torrent: TORRENT, store: StoreId(3) });
            typed.write_all(b"status\n").unwrap();
        }
        fact => {
            desk.note(format!("{fact:?}"));
            if matches!(fact, Fact::Stored(_)) {
                desk.finish();
            }
        }
    });
    assert_eq!(run.desk.notes, ["Command(Status)", "Stored(3)"]);
    assert!(run.turns >= 5, "{} turns", run.turns);
}

#[test]
fn what_is_of_no_use_any_more_is_not_read() {
    play(|desk, fact| match fact {
        Fact::Start => {
            desk.forgets_loads = true;
            desk.deadline = Some(desk.now + Duration::from_millis(20));
            (0..2).for_each(|offset| {
                desk.wish(Action::Load { torrent: TORRENT, offset, length: 1, renew: false });
            });
        }
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
}

#[test]
fn storing_is_answered_with_success_or_the_fault() {
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            for store in [1, 5, 99] {
                desk.wish(Action::Store { torrent: TORRENT, store: StoreId(store) });
            }
            for everything in [true, false] {
                desk.wish(Action::Sync { torrent: TORRENT, everything });
            }
            desk.wish(Action::Save { torrent: TORRENT });
            desk.wish(Action::Complete { torrent: TORRENT });
        }
        fact => {
            desk.note(format!("{fact:?}"));
            if matches!(fact, Fact::CompleteFailed(_)) {
                desk.finish();
            }
        }
    });
    let full = format!("StoreFailed(5, {})", libc::ENOSPC);
    let broken = format!("CompleteFailed({})", libc::EIO);
    let expected = ["Stored(1)", &full, "Synced(true)", "Synced(false)", "Saved(true)", &broken];
    assert_eq!(run.desk.notes, expected);
}

#[test]
fn a_slow_store_keeps_nobody_waiting_but_what_comes_after_it() {
    let (commands, mut typed) = io::pipe().unwrap();
    typed.write_all(b"status\n").unwrap();
    let run = play_with(&commands, Paper::default(), |desk, fact| match fact {
        Fact::Start => {
            (0..2).for_each(|_| desk.wish(Action::Store { torrent: TORRENT, store: StoreId(2) }));
            desk.wish(Action::Sync { torrent: TORRENT, everything: true });
            desk.wish(Action::Store { torrent: TORRENT, store: StoreId(3) });
            desk.wish(Action::Save { torrent: TORRENT });
        }
        Fact::Saved(_) => desk.finish(),
        fact => desk.note(format!("{fact:?}")),
    });
    let at = |what: &str| run.desk.notes.iter().position(|note| note == what).expect("told");
    assert_eq!(at("Command(Status)"), 0, "heard before the slow stores are done");
    assert_eq!((at("Stored(2)"), at("Synced(true)") > 2, run.desk.notes.len()), (1, true, 5));
    assert_eq!(run.slices, [(2, 0), (2, 1), (2, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]);
    assert!(
        (3..20).contains(&run.turns),
        "two slow slices fill a turn, and none is without work: {}",
        run.turns
    );
}

#[test]
fn what_may_be_lost_of_a_store_is_stored_again() {
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.wish(Action::Store { torrent: TORRENT, store: StoreId(4) }),
        Fact::Stored(_) => desk.finish(),
        fact => desk.note(format!("{fact:?}")),
    });
    assert_eq!(run.slices, [(4, 0), (4, 1), (4, 1), (4, 2)]);
}

/// Files that note when they are asked to go on.
struct Asked(u32, Rc<RefCell<Vec<u32>>>);

impl Files for Asked {
    fn store(&mut self, _: u64, _: &[&[u8]], _: u64, _: u64) -> Result<u64, StorageFault> {
        panic!("nothing is stored")
    }

    fn renew(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault> {
        self.load(offset, bytes)
    }

    fn load(&mut self, _: u64, _: &mut [u8]) -> Result<(), StorageFault> {
        Ok(())
    }

    fn begin(&mut self, _: Task) {}

    fn go_on(&mut self, _: TorrentId, _: &mut Syncer) -> Option<Done> {
        self.1.borrow_mut().push(self.0);
        None
    }

    fn tick(&mut self, _: Instant) {}
}

#[test]
fn each_torrent_is_the_first_to_sync_in_its_turn() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let files = (0..3).map(|nth| Asked(nth, Rc::clone(&order))).collect();
    let rim = Rim::new(File::open("/dev/null").unwrap().as_fd()).unwrap();
    let mut loads = 0;
    play_with_files(rim, Paper::default(), files, |desk, _| {
        loads += 1;
        desk.wish(Action::Load { torrent: TORRENT, offset: 0, length: 1, renew: false });
        if loads > 12 {
            desk.finish();
        }
    });
    let order = order.take();
    for nth in 0..3 {
        let firsts = order.chunks_exact(3).filter(|turn| turn[0] == nth).count();
        assert!(firsts >= 3, "{order:?}");
    }
    assert!(order.chunks_exact(3).all(|turn| turn.contains(&0) && turn.contains(&1) && turn.contains(&2)));
}

#[test]
fn names_are_answered_and_nothing_follows_the_wish_to_finish() {
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.wish(Action::Resolve { query: 7, host: "localhost".into() });
            desk.wish(Action::Say(Report::Help));
        }
        Fact::Resolved(7, 1..) => {
            desk.wish(Action::Finish(Outcome::GaveUp));
            desk.wish(Action::Say(Report::Help));
        }
        fact => panic!("{fact:?}"),
    });
    assert_eq!((run.outcome, run.paper.said.len()), (Outcome::GaveUp, 1));
}

#[test]
fn commands_are_told_and_faults_shown_until_the_input_ends() {
    let (commands, mut typed) = io::pipe().unwrap();
    let long = [b'x'; 5000];
    for text in [b"fly\npeers\n".as_slice(), &long, b"\n\nadd nowhere\npause"] {
        typed.write_all(text).unwrap();
    }
    drop(typed);
    let run = play_with(&commands, Paper::default(), |desk, fact| match fact {
        Fact::Command(Command::Pause) => {
            desk.note("pause");
            desk.deadline = Some(desk.now + Duration::from_millis(200));
        }
        Fact::Time => desk.finish(),
        Fact::Start => {}
        fact => desk.note(format!("{fact:?}")),
    });
    assert_eq!(run.desk.notes, ["Command(Peers)", "pause"], "the last one had no end");
    let heads: Vec<_> = run.paper.said.iter().map(|said| said.split(';').next().unwrap()).collect();
    let expected = [
        "unknown command 'fly'",
        "a line is longer than 4096 bytes and no command",
        "'nowhere' is not an address",
    ];
    assert_eq!(heads, expected);
    assert!(run.turns < 12, "the end of input is no busy loop: {} turns", run.turns);
}

/// Sends a signal to this thread alone, where the rim has blocked it.
fn raise(signal: i32) {
    // SAFETY: the signal is blocked in this thread: it only becomes readable.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

#[test]
fn a_signal_ends_the_look_at_the_files_before_the_loop() {
    let _rim = Rim::new(File::open("/dev/null").unwrap().as_fd()).unwrap();
    let bytes = b"d4:infod6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:xxxxxxxxxxxxxxxxxxxxee";
    let metainfo = Arc::new(Metainfo::parse(bytes).unwrap());
    let look = || Storage::open(Path::new("/nowhere"), Arc::clone(&metainfo), &Options::default());
    assert!(look().is_ok());
    raise(libc::SIGTERM);
    assert!(matches!(look(), Err(OpenFault::Ended)));
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let run = play(|desk, fact| match fact {
            Fact::Start => {
                raise(libc::SIGWINCH);
                desk.deadline = Some(desk.now + Duration::from_millis(20));
            }
            Fact::Time => {
                raise(signal);
                raise(libc::SIGCONT);
            }
            Fact::Quit => {
                desk.note("quit");
                raise(libc::SIGTERM);
            }
            fact => panic!("{fact:?}"),
        });
        assert_eq!((run.outcome, run.desk.notes.len(), run.paper.resized), (Outcome::Incomplete, 1, 2));
    }
}

#[test]
fn a_terminal_that_hangs_up_twice_is_no_impatient_user() {
    let run = play(|desk, fact| match fact {
        Fact::Start => raise(libc::SIGHUP),
        Fact::Quit => {
            desk.note("quit");
            raise(libc::SIGHUP);
            desk.deadline = Some(desk.now + Duration::from_millis(20));
        }
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert_eq!((run.outcome, run.desk.notes.len()), (Outcome::Complete, 1));
}

#[test]
fn a_box_with_nothing_to_do_sleeps() {
    let (commands, typed) = io::pipe().unwrap();
    let typist = move |mut typed: PipeWriter| {
        thread::sleep(Duration::from_millis(300));
        typed.write_all(b"quit\n").unwrap();
    };
    thread::spawn(move || typist(typed));
    let run = play_with(&commands, Paper::default(), |desk, fact| match fact {
        Fact::Start => {}
        Fact::Command(Command::Quit) => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert!(run.turns <= 4, "{} turns", run.turns);
}

#[test]
fn the_screen_is_drawn_when_it_wants_to_be() {
    let paper = Paper { refresh: Some(Duration::from_millis(20)), ..Paper::default() };
    let nothing = File::open("/dev/null").unwrap();
    let run = play_with(&nothing, paper, |desk, fact| match fact {
        Fact::Start => desk.deadline = Some(desk.now + Duration::from_millis(200)),
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert!((4..=13).contains(&run.turns), "{} turns", run.turns);
}
