//! The loop with real sockets, pipes and signals, driven by a machine that follows a script.
#![cfg(feature = "io")]

use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use swarmlet::base::limits::{CHECK_SLICE_BYTES, RECEIVE_BYTES, TURN_READ_BYTES};
use swarmlet::base::{Instant, StreamId, TorrentId};
use swarmlet::rim::{Files, Machine, Rim, Screen};
use swarmlet::session::{
    Action, CloseCause, Command, Event, Landing, Note, Outcome, Report, StorageFault, StorageFaultKind,
    StoreId, StoreView,
};

const TORRENT: TorrentId = TorrentId(0);

fn stream(slot: u32) -> StreamId {
    StreamId { slot, generation: slot + 100 }
}

/// What the machine was told, in a form that can be kept.
#[derive(Debug, PartialEq)]
enum Fact {
    Start,
    Connected(StreamId),
    Closed(StreamId, CloseCause),
    Bytes(StreamId, Vec<u8>),
    Stored(u32),
    StoreFailed(u32, i32),
    Loaded(u64, Vec<u8>),
    LoadFailed(u64),
    Resolved(u32, usize),
    Command(Command),
    Quit,
    Time,
}

/// What a script may do, and what it remembers.
#[derive(Default)]
struct Desk {
    actions: VecDeque<Action>,
    outgoing: HashMap<StreamId, Vec<u8>>,
    waiting: HashSet<StreamId>,
    deadline: Option<Instant>,
    now: Instant,
    /// Turns in which hashing is left to do.
    work: u32,
    turns: u32,
    bytes: HashMap<StreamId, usize>,
    notes: Vec<String>,
}

impl Desk {
    fn wish(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn connect(&mut self, slot: u32, address: SocketAddr) {
        self.wish(Action::Connect { stream: stream(slot), address });
    }

    fn send(&mut self, slot: u32, bytes: &[u8]) {
        self.outgoing.entry(stream(slot)).or_default().extend_from_slice(bytes);
        self.wish(Action::Flush { stream: stream(slot) });
    }

    fn finish(&mut self) {
        self.wish(Action::Finish(Outcome::Complete));
    }

    fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}

/// A machine that does what a closure says.
struct Script<S> {
    desk: Desk,
    script: S,
}

impl<S: FnMut(&mut Desk, Fact)> Script<S> {
    fn told(&mut self, fact: Fact) {
        (self.script)(&mut self.desk, fact);
    }
}

impl<S: FnMut(&mut Desk, Fact)> Machine for Script<S> {
    fn handle(&mut self, now: Instant, event: Event<'_>) {
        self.desk.now = now;
        self.told(match event {
            Event::Connected { stream } => Fact::Connected(stream),
            Event::Closed { stream, cause } => Fact::Closed(stream, cause),
            Event::Stored { store, .. } => Fact::Stored(store.0),
            Event::StoreFailed { store, fault, .. } => Fact::StoreFailed(store.0, fault.os_error),
            Event::Loaded { offset, bytes, .. } => Fact::Loaded(offset, bytes.to_vec()),
            Event::LoadFailed { offset, .. } => Fact::LoadFailed(offset),
            Event::Resolved { query, addresses } => Fact::Resolved(query, addresses.len()),
            Event::Command(command) => Fact::Command(command),
            Event::Quit => Fact::Quit,
        });
    }

    fn next_action(&mut self) -> Option<Action> {
        self.desk.actions.pop_front()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.desk.deadline
    }

    fn on_time(&mut self, now: Instant) {
        assert!(self.desk.deadline.is_some_and(|deadline| deadline <= now), "called too early");
        self.desk.now = now;
        self.desk.deadline = None;
        self.told(Fact::Time);
    }

    fn work(&mut self, _: Instant, budget_bytes: usize) -> bool {
        assert!(budget_bytes >= 256 << 10);
        self.desk.work = self.desk.work.saturating_sub(1);
        self.desk.work > 0
    }

    fn landing(&mut self, stream: StreamId) -> Landing<'_> {
        if self.desk.waiting.contains(&stream) { Landing::Wait } else { Landing::Anywhere }
    }

    fn received(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        self.desk.now = now;
        *self.desk.bytes.entry(stream).or_default() += bytes.len();
        self.told(Fact::Bytes(stream, bytes.to_vec()));
    }

    fn landed(&mut self, _: Instant, _: StreamId, _: usize) {
        panic!("no scatter was offered");
    }

    fn outgoing(&self, stream: StreamId) -> &[u8] {
        self.desk.outgoing.get(&stream).map_or(&[], Vec::as_slice)
    }

    fn sent(&mut self, _: Instant, stream: StreamId, count: usize) {
        self.desk.outgoing.get_mut(&stream).unwrap().drain(..count);
    }

    fn store(&self, _: TorrentId, store: StoreId) -> Option<StoreView<'_>> {
        (store.0 < 10).then(|| StoreView { offset: u64::from(store.0), parts: vec![b"ab", b"c"] })
    }
}

/// Files of 26 letters, the disk of which is full from offset 5 on.
struct Letters;

impl Files for Letters {
    fn store(&mut self, offset: u64, parts: &[&[u8]]) -> Result<(), StorageFault> {
        assert_eq!(parts.concat(), b"abc");
        let kind = StorageFaultKind::NoSpace;
        if offset < 5 { Ok(()) } else { Err(StorageFault { kind, file: 0, os_error: libc::ENOSPC }) }
    }

    fn load(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault> {
        if offset >= 26 {
            return Err(StorageFault { kind: StorageFaultKind::Io, file: 0, os_error: libc::EIO });
        }
        bytes.fill(b'a' + offset as u8);
        Ok(())
    }

    fn complete(&mut self) -> Result<(), StorageFault> {
        Err(StorageFault { kind: StorageFaultKind::Io, file: 3, os_error: libc::EIO })
    }

    fn tick(&mut self, _: Instant) {}
}

/// Keeps what the user would see.
#[derive(Default)]
struct Paper {
    said: Vec<String>,
    resized: u32,
    refresh: Option<Duration>,
}

impl<S> Screen<Script<S>> for Paper {
    fn say(&mut self, _: Instant, report: &Report) {
        self.said.push(format!("{report:?}"));
    }

    fn command_fault(&mut self, _: Instant, text: &str) {
        self.said.push(text.into());
    }

    fn refresh(&mut self, now: Instant, _: &Script<S>) -> Option<Instant> {
        self.said.push(String::new());
        self.refresh.map(|wait| now + wait)
    }

    fn resized(&mut self) {
        self.resized += 1;
    }
}

/// A run that a script drives until it finishes.
struct Play {
    outcome: Outcome,
    desk: Desk,
    paper: Paper,
    /// Turns of the loop.
    turns: usize,
}

/// Runs `script` with commands coming from `commands`. A run that hangs is ended by a timeout of 20 s.
fn play_with(commands: &impl AsFd, mut paper: Paper, mut script: impl FnMut(&mut Desk, Fact)) -> Play {
    let mut rim = Rim::new(commands.as_fd()).unwrap();
    let late = rim.now() + Duration::from_secs(20);
    let mut desk = Desk { now: rim.now(), ..Desk::default() };
    script(&mut desk, Fact::Start);
    let mut machine = Script {
        desk,
        script: |desk: &mut Desk, fact: Fact| {
            assert!(desk.now < late, "the run hangs");
            script(desk, fact);
        },
    };
    let outcome = rim.run(&mut machine, vec![Letters], &mut paper).unwrap();
    let turns = paper.said.iter().filter(|said| said.is_empty()).count();
    paper.said.retain(|said| !said.is_empty());
    Play { outcome, desk: machine.desk, paper, turns }
}

/// Runs `script` without commands.
fn play(script: impl FnMut(&mut Desk, Fact)) -> Play {
    play_with(&std::fs::File::open("/dev/null").unwrap(), Paper::default(), script)
}

/// A peer: does `part` with the first connection, in its own thread.
fn peer(part: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || part(listener.accept().unwrap().0));
    address
}

#[test]
fn a_stream_opens_sends_receives_and_ends() {
    let address = peer(|mut io| {
        let mut hello = [0; 5];
        io.read_exact(&mut hello).unwrap();
        io.write_all(&hello.map(|byte| byte.to_ascii_uppercase())).unwrap();
    });
    let mut got = Vec::new();
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.connect(0, address);
            desk.send(0, b"hello"); // before the connection is open: sent when it is
        }
        Fact::Bytes(_, bytes) => got.extend(bytes),
        Fact::Closed(_, cause) => {
            assert_eq!(cause, CloseCause::Ended);
            desk.finish();
        }
        fact => desk.note(format!("{fact:?}")),
    });
    assert_eq!((run.outcome, got.as_slice()), (Outcome::Complete, &b"HELLO"[..]));
    assert_eq!(run.desk.notes, [format!("Connected({:?})", stream(0))]);
}

#[test]
fn a_stream_that_never_opens_is_closed_with_the_cause() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unroutable = "[ff0e::1]:9".parse().unwrap(); // TCP to a multicast address
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.connect(0, nobody);
            desk.connect(1, unroutable);
        }
        Fact::Closed(stream, cause) => {
            desk.note(format!("{} {cause:?}", stream.slot));
            if desk.notes.len() == 2 {
                desk.finish();
            }
        }
        fact => panic!("{fact:?}"),
    });
    let mut notes = run.desk.notes;
    notes.sort();
    assert_eq!(notes, ["0 Refused", "1 Unreachable"]);
}

#[test]
fn what_came_before_a_reset_is_read_before_it_is_told() {
    const LENGTH: usize = 3 * RECEIVE_BYTES;
    let address = peer(|mut io| {
        thread::sleep(Duration::from_millis(30)); // so that what we send lies unread, which makes it a reset
        io.write_all(&vec![7; LENGTH]).unwrap();
        thread::sleep(Duration::from_millis(30));
    });
    let mut closed = None;
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => desk.send(0, b"never read"),
        Fact::Closed(_, cause) => {
            closed = Some(cause);
            desk.finish();
        }
        _ => {}
    });
    assert_eq!((run.desk.bytes[&stream(0)], closed), (LENGTH, Some(CloseCause::Reset)));
}

#[test]
fn a_stale_name_reaches_nobody() {
    let address =
        peer(|mut io| assert_eq!(io.read(&mut [0; 8]).unwrap(), 2, "open until the end, with one message"));
    let old = StreamId { slot: 0, generation: 1 };
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => {
            desk.outgoing.insert(old, b"stale".to_vec());
            desk.wish(Action::Flush { stream: old });
            desk.wish(Action::Resume { stream: old });
            desk.wish(Action::Close { stream: old });
            desk.send(0, b"ok");
            desk.deadline = Some(desk.now + Duration::from_millis(50));
        }
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert_eq!(run.desk.outgoing[&old], b"stale");
    assert!(run.desk.outgoing[&stream(0)].is_empty());
}

#[test]
fn closing_is_not_answered_and_sends_what_the_kernel_has() {
    let (tell, told) = std::sync::mpsc::channel();
    let address = peer(move |mut io| {
        let mut all = Vec::new();
        io.read_to_end(&mut all).unwrap();
        tell.send(all).unwrap();
    });
    play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => {
            desk.send(0, b"last words");
            desk.deadline = Some(desk.now + Duration::from_millis(20));
        }
        Fact::Time if desk.turns == 0 => {
            desk.turns = 1;
            desk.wish(Action::Close { stream: stream(0) });
            desk.deadline = Some(desk.now + Duration::from_millis(20));
        }
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), b"last words");
}

#[test]
fn nothing_is_read_while_memory_is_full_and_the_loop_sleeps_meanwhile() {
    let address = peer(|mut io| {
        io.write_all(&[1; 1000]).unwrap();
        let _ = io.read(&mut [0; 1]);
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.waiting.insert(stream(0));
            desk.connect(0, address);
        }
        Fact::Connected(_) => desk.deadline = Some(desk.now + Duration::from_millis(200)),
        Fact::Time => {
            assert!(desk.bytes.is_empty());
            desk.waiting.clear();
            desk.wish(Action::Resume { stream: stream(0) });
        }
        Fact::Bytes(..) if desk.bytes[&stream(0)] == 1000 => desk.finish(),
        Fact::Bytes(..) => {}
        fact => panic!("{fact:?}"),
    });
    assert!(run.turns < 10, "{} turns", run.turns);
}

#[test]
fn a_large_message_goes_out_as_the_other_side_takes_it() {
    const LENGTH: usize = 8 << 20;
    let address = peer(|mut io| {
        let (mut rest, mut buffer) = (LENGTH, vec![0; 1 << 20]);
        while rest > 0 {
            rest -= io.read(&mut buffer).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        io.write_all(b"!").unwrap();
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => desk.send(0, &vec![5; LENGTH]),
        Fact::Bytes(..) => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert!(run.desk.outgoing[&stream(0)].is_empty());
}

#[test]
fn a_peer_that_blasts_leaves_the_others_their_turn() {
    let fast = peer(|mut io| while io.write_all(&[9; 64 << 10]).is_ok() {});
    let slow = peer(|mut io| {
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(2));
            io.write_all(&[1]).unwrap();
        }
        let _ = io.read(&mut [0; 1]);
    });
    let (mut since_fast, mut most) = (0, 0);
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.connect(0, fast);
            desk.connect(1, slow);
            desk.work = u32::MAX; // a hundred per cent busy, as with hashing
        }
        Fact::Bytes(id, bytes) if id == stream(0) => {
            since_fast += bytes.len();
            most = since_fast.max(most);
        }
        Fact::Bytes(id, _) => {
            since_fast = 0;
            if desk.bytes[&id] == 50 {
                desk.finish();
            }
        }
        _ => {}
    });
    assert!(run.desk.bytes[&stream(0)] > TURN_READ_BYTES, "it did blast");
    let per_turn = run.desk.bytes[&stream(0)] / run.turns;
    assert!(per_turn <= TURN_READ_BYTES + RECEIVE_BYTES, "{per_turn} bytes a turn");
}

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
            });
        }),
        Fact::Loaded(offset, bytes) => {
            assert_eq!(bytes, vec![b'a' + offset as u8; CHECK_SLICE_BYTES - offset as usize]);
            desk.note(format!("{offset}"));
            if offset == 19 {
                desk.wish(Action::Load { torrent: TORRENT, offset: 77, length: 1 });
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
fn storing_is_answered_with_success_or_the_fault() {
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            for store in [1, 5, 99] {
                desk.wish(Action::Store { torrent: TORRENT, store: StoreId(store) });
            }
            desk.wish(Action::Complete { torrent: TORRENT });
            desk.deadline = Some(desk.now);
        }
        Fact::Time => desk.finish(),
        fact => desk.note(format!("{fact:?}")),
    });
    assert_eq!(run.desk.notes, ["Stored(1)".to_string(), format!("StoreFailed(5, {})", libc::ENOSPC)]);
    let fault = StorageFault { kind: StorageFaultKind::Io, file: 3, os_error: libc::EIO };
    let report = Report::Note(Note::StorageFault { torrent: TORRENT, fault });
    assert_eq!(run.paper.said, [format!("{report:?}")], "completing has no answer, so its fault is said");
}

#[test]
fn names_are_answered_and_nothing_follows_the_wish_to_finish() {
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.wish(Action::Resolve { query: 7, host: "localhost".into() });
            desk.wish(Action::Say(Report::Help));
        }
        Fact::Resolved(7, 2) => {
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
        r#"unknown command "fly""#,
        "a line is longer than 4096 bytes and no command",
        r#""nowhere" is not an address"#,
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
    let nothing = std::fs::File::open("/dev/null").unwrap();
    let run = play_with(&nothing, paper, |desk, fact| match fact {
        Fact::Start => desk.deadline = Some(desk.now + Duration::from_millis(200)),
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert!((4..=13).contains(&run.turns), "{} turns", run.turns);
}
