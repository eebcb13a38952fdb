//! A machine that does what a closure says, files that fail when told to, and a screen that keeps what is
//! said.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use swarmlet::base::{Instant, StreamId, TorrentId};
use swarmlet::proxy::{Proxy, Routes};
use swarmlet::rim::storage::{Done, SendError, Syncer, Task};
use swarmlet::rim::{Files, Machine, Rim, Screen};
use swarmlet::session::{
    Action, CloseCause, Command, Event, FileBytes, Landing, Outcome, Report, StorageFault, StorageFaultKind,
    StoreId, StoreView,
};

pub const TORRENT: TorrentId = TorrentId(0);

pub fn stream(slot: u32) -> StreamId {
    StreamId { slot, generation: slot + 100 }
}

/// A run that takes longer hangs.
const LATE: Duration = Duration::from_secs(10);

/// What the machine was told, in a form that can be kept.
#[derive(Debug, PartialEq)]
pub enum Fact {
    Start,
    Connected(StreamId),
    Closed(StreamId, CloseCause),
    Bytes(StreamId, Vec<u8>),
    Datagram(SocketAddr, Vec<u8>),
    Relayed(Option<SocketAddr>, Vec<u8>),
    Undeliverable(SocketAddr, CloseCause),
    Stored(u32),
    StoreFailed(u32, i32),
    Loaded(u64, Vec<u8>),
    LoadFailed(u64),
    Synced(bool),
    Saved(bool),
    Completed,
    CompleteFailed(i32),
    FileSent(StreamId),
    FileFailed(StreamId, i32),
    Resolved(u32, usize),
    Command(Command),
    Quit,
    Time,
}

/// What a script may do, and what it remembers.
#[derive(Default)]
pub struct Desk {
    pub actions: VecDeque<Action>,
    pub outgoing: HashMap<StreamId, Vec<u8>>,
    pub waiting: HashSet<StreamId>,
    /// Bytes of files that are to be sent.
    pub files: HashMap<StreamId, FileBytes>,
    /// What was to be read is of no use any more.
    pub forgets_loads: bool,
    /// How often the disk did not have them at hand.
    pub waits: u32,
    /// Of these nothing may be read.
    pub unheard: HashSet<StreamId>,
    pub deadline: Option<Instant>,
    pub now: Instant,
    /// Turns of the loop so far.
    pub turns: u32,
    pub bytes: HashMap<StreamId, usize>,
    pub notes: Vec<String>,
}

impl Desk {
    pub fn wish(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub fn connect(&mut self, slot: u32, address: SocketAddr) {
        self.wish(Action::Connect { stream: stream(slot), address });
    }

    pub fn send(&mut self, slot: u32, bytes: &[u8]) {
        self.outgoing.entry(stream(slot)).or_default().extend_from_slice(bytes);
        self.wish(Action::Flush { stream: stream(slot) });
    }

    /// Sends the letter at `offset` of the files.
    pub fn send_file(&mut self, slot: u32, offset: u64) {
        self.files.insert(stream(slot), FileBytes { torrent: TORRENT, offset, length: 1 });
        self.wish(Action::Flush { stream: stream(slot) });
    }

    pub fn finish(&mut self) {
        self.wish(Action::Finish(Outcome::Complete));
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}

/// A machine that does what a closure says.
pub struct Script<S> {
    desk: Desk,
    script: S,
    /// When a run that has not finished has failed.
    late: Instant,
}

impl<S: FnMut(&mut Desk, Fact)> Script<S> {
    fn told(&mut self, fact: Fact) {
        assert!(self.desk.now < self.late, "the run hangs");
        (self.script)(&mut self.desk, fact);
    }
}

impl<S: FnMut(&mut Desk, Fact)> Machine for Script<S> {
    fn handle(&mut self, now: Instant, event: Event<'_>) {
        self.desk.now = now;
        self.told(match event {
            Event::Connected { stream } => Fact::Connected(stream),
            Event::Closed { stream, cause } => Fact::Closed(stream, cause),
            Event::Datagram { from, bytes } => Fact::Datagram(from, bytes.to_vec()),
            Event::Relayed { from, bytes } => Fact::Relayed(from, bytes.to_vec()),
            Event::Undeliverable { address, cause } => Fact::Undeliverable(address, cause),
            Event::Stored { store, .. } => Fact::Stored(store.0),
            Event::StoreFailed { store, fault, .. } => Fact::StoreFailed(store.0, fault.os_error),
            Event::Synced { .. } => Fact::Synced(true),
            Event::SyncFailed { .. } => Fact::Synced(false),
            Event::Saved { result, .. } => Fact::Saved(result.is_ok()),
            Event::Completed { .. } => Fact::Completed,
            Event::CompleteFailed { fault, .. } => Fact::CompleteFailed(fault.os_error),
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
        self.desk.deadline.into_iter().chain([self.late]).min()
    }

    fn on_time(&mut self, now: Instant) {
        assert!(now < self.late, "the run hangs");
        assert!(self.desk.deadline.is_some_and(|deadline| deadline <= now), "called too early");
        self.desk.now = now;
        self.desk.deadline = None;
        self.told(Fact::Time);
    }

    fn work(&mut self, _: Instant, budget_bytes: usize) -> bool {
        assert!(budget_bytes >= 256 << 10);
        self.desk.turns += 1;
        false
    }

    fn allowance(&mut self, _: Instant, stream: StreamId) -> usize {
        if self.desk.unheard.contains(&stream) { 0 } else { usize::MAX }
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

    fn awaits_load(&self, _: TorrentId) -> bool {
        !self.desk.forgets_loads
    }

    fn file_bytes(&mut self, _: Instant, stream: StreamId) -> Option<FileBytes> {
        self.desk.files.get(&stream).copied()
    }

    fn sent_file(&mut self, now: Instant, stream: StreamId, count: usize) {
        assert_eq!((count, self.desk.files.remove(&stream).is_some()), (1, true));
        self.desk.now = now;
        self.told(Fact::FileSent(stream));
    }

    fn file_waits(&mut self, _: Instant, _: StreamId) {
        self.desk.waits += 1;
    }

    fn file_failed(&mut self, now: Instant, stream: StreamId, fault: StorageFault) {
        self.desk.files.remove(&stream);
        self.desk.now = now;
        self.told(Fact::FileFailed(stream, fault.os_error));
    }

    fn store(&self, _: TorrentId, store: StoreId) -> Option<StoreView<'_>> {
        (store.0 < 10).then(|| StoreView { offset: u64::from(store.0), parts: vec![b"ab", b"c"] })
    }
}

fn fault(kind: StorageFaultKind, file: u32, os_error: i32) -> StorageFault {
    StorageFault { kind, file, os_error, missing_bytes: 0 }
}

/// How long a slow slice takes: longer than a turn may store.
const SLOW: Duration = Duration::from_millis(12);

/// What is not in memory, and where the disk refuses to read.
pub const COLD: u64 = 15;
pub const BAD: u64 = 20;

/// Slices of stores: offset of the store, and bytes of it that were there before.
type Slices = Rc<RefCell<Vec<(u64, u64)>>>;

/// So often the file has to be made longer before offset 3.
const GROWTHS: u32 = 5;

/// Files of 26 letters, the disk of which takes a letter at a time, slowly at offset 2, loses what it has once at offset 4,
/// and is full from offset 5 on. The letter at offset 10 is sent slowly, that at offset 15 comes when it was asked for, and
/// that at offset 20 is on a bad place.
#[derive(Default)]
pub struct Letters {
    tasks: VecDeque<Task>,
    slices: Slices,
    growths: u32,
    asked: u32,
}

impl Files for Letters {
    fn store(&mut self, offset: u64, parts: &[&[u8]], done: u64, _: u64) -> Result<u64, StorageFault> {
        assert_eq!(parts.concat(), b"abc");
        self.slices.borrow_mut().push((offset, done));
        if offset == 2 {
            std::thread::sleep(SLOW);
        }
        let has_lost = self.slices.borrow().iter().filter(|slice| slice.0 == 4).count() == 2;
        let done = if offset == 4 && has_lost { 0 } else { done };
        if offset < 5 { Ok(done + 1) } else { Err(fault(StorageFaultKind::NoSpace, 0, libc::ENOSPC)) }
    }

    fn load(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault> {
        if offset >= 26 {
            return Err(fault(StorageFaultKind::Io, 0, libc::EIO));
        }
        bytes.fill(b'a' + offset as u8);
        Ok(())
    }

    fn grows(&mut self, offset: u64) -> bool {
        offset == 3 && self.growths < GROWTHS
    }

    fn is_at_hand(&mut self, offset: u64, _: usize) -> bool {
        self.asked += u32::from(offset == COLD);
        offset != BAD && (offset != COLD || self.asked > 3)
    }

    fn send(&mut self, offset: u64, _: usize, to: BorrowedFd<'_>) -> Result<usize, SendError> {
        if offset == BAD {
            return Err(SendError::Storage(fault(StorageFaultKind::Io, 0, libc::EIO)));
        }
        assert!(offset != COLD || self.asked > 3, "the loop would have to wait");
        if offset == 10 {
            std::thread::sleep(SLOW);
        }
        let mut to = File::from(to.try_clone_to_owned().map_err(SendError::Socket)?);
        to.write(&[b'a' + offset as u8]).map_err(SendError::Socket)
    }

    fn renew(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault> {
        self.load(offset, bytes)
    }

    fn begin(&mut self, task: Task) {
        self.tasks.push_back(task);
    }

    fn go_on(&mut self, _: TorrentId, _: &mut Syncer) -> Option<Done> {
        self.growths += 1;
        let broken = Err(fault(StorageFaultKind::Io, 3, libc::EIO));
        Some(match self.tasks.pop_front()? {
            Task::Sync { everything: true } => Done::Synced(Ok(())),
            Task::Sync { everything: false } => Done::Synced(broken),
            Task::Save(state) => Done::Saved(if state.is_empty() { Ok(()) } else { broken }),
            Task::Complete => Done::Completed(broken),
        })
    }

    fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    fn tick(&mut self, _: Instant) {}
}

/// Keeps what the user would see.
#[derive(Default)]
pub struct Paper {
    pub said: Vec<String>,
    pub resized: u32,
    pub refresh: Option<Duration>,
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
pub struct Play {
    pub outcome: Outcome,
    pub desk: Desk,
    pub paper: Paper,
    /// Turns of the loop.
    pub turns: usize,
    pub slices: Vec<(u64, u64)>,
}

/// Runs `script` with commands coming from `commands`. A run that hangs is ended after [`LATE`].
pub fn play_with(commands: &impl AsFd, paper: Paper, script: impl FnMut(&mut Desk, Fact)) -> Play {
    play_on(Rim::new(commands.as_fd()).unwrap(), paper, script)
}

/// Runs `script` without commands, through a proxy.
pub fn play_through(proxy: &str, script: impl FnMut(&mut Desk, Fact)) -> Play {
    let mut rim = Rim::new(File::open("/dev/null").unwrap().as_fd()).unwrap();
    rim.route(Arc::new(Routes::through(Proxy::parse(proxy).unwrap())));
    play_on(rim, Paper::default(), script)
}

fn play_on(rim: Rim, paper: Paper, script: impl FnMut(&mut Desk, Fact)) -> Play {
    let slices = Slices::default();
    let letters = Letters { slices: Rc::clone(&slices), ..Letters::default() };
    let play = play_with_files(rim, paper, vec![letters], script);
    Play { slices: slices.take(), ..play }
}

/// Runs `script` with such files.
pub fn play_with_files<F: Files>(
    mut rim: Rim,
    mut paper: Paper,
    mut files: Vec<F>,
    mut script: impl FnMut(&mut Desk, Fact),
) -> Play {
    let late = rim.now() + LATE;
    let mut desk = Desk { now: rim.now(), ..Desk::default() };
    script(&mut desk, Fact::Start);
    let mut machine = Script { desk, script, late };
    let outcome = rim.run(&mut machine, &mut files, &mut paper).unwrap();
    let turns = paper.said.iter().filter(|said| said.is_empty()).count();
    paper.said.retain(|said| !said.is_empty());
    Play { outcome, desk: machine.desk, paper, turns, slices: Vec::new() }
}

/// Runs `script` without commands.
pub fn play(script: impl FnMut(&mut Desk, Fact)) -> Play {
    play_with(&File::open("/dev/null").unwrap(), Paper::default(), script)
}
