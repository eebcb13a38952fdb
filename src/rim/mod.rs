//! Floor 5: the rim. It owns every descriptor, the clock and the entropy, carries out what the core wishes
//! and tells it what came of it. It decides nothing: not whom to connect to, not what to ask for, not when to
//! stop.
//!
//! One thread, one poll. A turn (`turn`) polls, then serves what is ready, each stream for a bounded number
//! of bytes; everything that follows from a fact is carried out (`perform`) before the next fact is told, except what
//! takes the processor's or the device's time: receiving, sending, storing (`errands`) and hashing have 10 ms of a turn
//! each, and what is left has the next one's.

mod bind;
mod clock;
mod datagrams;
mod descriptors;
pub mod entropy;
mod errands;
mod lines;
mod listen;
mod machine;
mod pace;
mod patience;
mod perform;
mod reach;
mod resolve;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod secure;
mod sending;
mod signals;
mod sockets;
mod speed;
mod stdin;
pub mod storage;
pub(crate) mod sys;
mod traffic;
mod tunnel;
mod turn;

pub use bind::Bind;
pub use listen::Listen;
pub use machine::{Files, Machine, Screen};

use crate::base::Instant;
use crate::base::limits::{OPEN_FILES_MAX, PEERS_MAX, RECEIVE_BYTES};
use crate::proxy::Routes;
use crate::session::Outcome;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

/// The tokens that are no socket's: sockets have theirs from a slab, from 0 up.
const SIGNALS: Token = Token(usize::MAX - 1);
const STDIN: Token = Token(usize::MAX - 2);
const SYNCS: Token = Token(usize::MAX - 3);
/// The first of those of the name servers, which end before [`SYNCS`].
const NAMES: usize = SYNCS.0 - resolve::SOCKETS_MAX;
/// The first of those of the listening sockets, which end before [`NAMES`].
const LISTENERS: usize = NAMES - listen::SOCKETS_MAX;
/// The first of those of the datagram sockets, which end before [`LISTENERS`].
const DATAGRAMS: usize = LISTENERS - datagrams::SOCKETS_MAX;

/// Changes taken from the kernel in one poll; what does not fit comes with the next.
const EVENTS_MAX: usize = 256;

const _: () = assert!(PEERS_MAX as u64 * 2 <= descriptors::WANTED);

/// Everything of the operating system that a run uses.
#[derive(Debug)]
pub struct Rim {
    poll: Poll,
    events: Events,
    clock: clock::Clock,
    signals: signals::Signals,
    stdin: stdin::Stdin,
    sockets: sockets::Sockets,
    listeners: listen::Listeners,
    names: resolve::Names,
    datagrams: datagrams::Datagrams,
    syncer: storage::Syncer,
    outside: reach::Outside,
    /// Where streams are read into whose bytes may land anywhere: one buffer for all.
    receive: Box<[u8]>,
    /// Bytes that may be hashed in one turn.
    hashing: pace::Pace,
}

impl Rim {
    /// Takes over the signals of this thread and `commands`, usually standard input. Call it first, so that
    /// an early Ctrl-C is not lost, and [`run`](Self::run) it on the same thread.
    ///
    /// # Errors
    /// The kernel lacks epoll, signalfd or getrandom, or no descriptor is left.
    pub fn new(commands: BorrowedFd<'_>) -> io::Result<Self> {
        let signals = signals::Signals::new()?;
        let poll = Poll::new()?;
        signals.register(poll.registry(), SIGNALS)?;
        let syncer = storage::Syncer::new();
        if let Some(event) = syncer.event() {
            poll.registry().register(&mut SourceFd(&event.as_raw_fd()), SYNCS, Interest::READABLE)?;
        }
        // Where it is refused, connections fail with `NoResources`, and the session makes do with fewer.
        let _ = sys::raise_open_files_limit(descriptors::WANTED);
        Ok(Self {
            stdin: stdin::Stdin::open(commands, poll.registry(), STDIN),
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            clock: clock::Clock::new(),
            signals,
            syncer,
            sockets: sockets::Sockets::default(),
            listeners: listen::Listeners::default(),
            names: resolve::Names::new(resolve::NameFiles::default(), entropy::generator()?, NAMES),
            datagrams: datagrams::Datagrams::default(),
            outside: reach::Outside::default(),
            receive: vec![0; RECEIVE_BYTES].into_boxed_slice(),
            hashing: pace::Pace::of_hashing(),
        })
    }

    /// Shares descriptors out between streams and the files of so many torrents; answers how many files each of these may
    /// keep open. Without it each takes what it gets.
    pub fn share_descriptors(&mut self, torrents: usize) -> usize {
        let Ok(limit) = sys::open_files_limit() else { return OPEN_FILES_MAX };
        let share = descriptors::share(limit, torrents);
        self.sockets.end_at(share.streams_end);
        share.open_files
    }

    /// The time, as every `now` of the core means it.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Descriptors that this process may have (`ulimit -n`), its limit raised as far as that goes.
    pub fn descriptors(&self) -> u64 {
        sys::open_files_limit().unwrap_or(u64::MAX)
    }

    /// Says what goes through which proxy; without it everything goes straight. The machine is to be told the same.
    pub fn route(&mut self, routes: Arc<Routes>) {
        self.outside.routes = routes;
    }

    /// Opens the listening sockets; connections are taken while it [`run`](Self::run)s. Answers the port.
    ///
    /// # Errors
    /// The last one, if no port can be had; nobody can reach us then, and everything else works.
    pub fn listen(&mut self, wish: &Listen) -> io::Result<u16> {
        self.listeners = listen::Listeners::open(wish, self.poll.registry(), LISTENERS)?;
        Ok(self.listeners.port())
    }

    /// Lets all streams that are opened from now on, datagrams, and questions to name servers leave from `place` only.
    /// What that cannot reach is unreachable.
    pub fn bind(&mut self, place: Bind) {
        self.names.bind(place.clone());
        self.datagrams.bind(place.clone());
        self.sockets.bind(place);
    }

    /// Turns until the machine wishes to finish, or a second signal asks to end at once
    /// ([`Outcome::Incomplete`]). `files` has the files of each torrent, in the order of their ids; to let go of them may
    /// take as long as the device likes.
    ///
    /// # Errors
    /// The poll itself fails, which no outside event can bring about.
    ///
    /// # Panics
    /// If the machine names a torrent that has no files.
    pub fn run<M: Machine, F: Files>(
        &mut self,
        machine: &mut M,
        files: &mut [F],
        screen: &mut impl Screen<M>,
    ) -> io::Result<Outcome> {
        turn::Run::new(self, machine, files, screen).until_finished()
    }
}
