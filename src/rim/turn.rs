//! The loop: what happens in a turn, in which order, and how long it sleeps.

use crate::base::Instant;
use crate::base::StreamId;
use crate::base::limits::COMMAND_BYTES_MAX;
use crate::rim::errands::Errands;
use crate::rim::lines::Line;
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::perform::Loads;
use crate::rim::sending::WaitsForDisk;
use crate::rim::signals::Signal;
use crate::rim::{DATAGRAMS, LISTENERS, NAMES, Rim, SIGNALS, STDIN, SYNCS};
use crate::session::{CloseCause, Command, Event, Outcome};
use core::time::Duration;
use mio::Token;
use std::io;

/// After a store the program says once more that it is alive when the files' clock has gone on: that goes in ticks of 1 ms to
/// 10 ms, mostly 4.
const BEAT_INTERVAL: Duration = Duration::from_millis(4);
/// The files are told the time this often at most.
const FILES_TICK: Duration = Duration::from_secs(1);

/// A run: the rim, what it drives, and what the turns leave for each other.
pub(super) struct Run<'a, M, F, S> {
    pub(super) rim: &'a mut Rim,
    pub(super) machine: &'a mut M,
    pub(super) files: &'a mut [F],
    pub(super) screen: &'a mut S,
    pub(super) loads: Loads,
    pub(super) errands: Errands,
    pub(super) waits_for_disk: WaitsForDisk,
    /// Streams that could not even begin to connect.
    pub(super) refused: Vec<(StreamId, CloseCause)>,
    /// Set by the wish to finish, or by the second signal.
    pub(super) outcome: Option<Outcome>,
    /// A signal has asked to end.
    quitting: bool,
    /// Pieces wait to be hashed.
    working: bool,
    /// The last turn began without a look at the poll.
    unpolled: bool,
    /// When the screen wants to draw.
    refresh: Option<Instant>,
    /// When the files were last told the time.
    ticked: Instant,
}

impl<'a, M: Machine, F: Files, S: Screen<M>> Run<'a, M, F, S> {
    pub(super) fn new(rim: &'a mut Rim, machine: &'a mut M, files: &'a mut [F], screen: &'a mut S) -> Self {
        Self {
            rim,
            machine,
            files,
            screen,
            loads: Loads::default(),
            errands: Errands::default(),
            waits_for_disk: WaitsForDisk::default(),
            refused: Vec::new(),
            outcome: None,
            quitting: false,
            working: false,
            unpolled: false,
            refresh: None,
            ticked: Instant::ZERO,
        }
    }

    /// Turns until there is an outcome.
    pub(super) fn until_finished(mut self) -> io::Result<Outcome> {
        self.perform_all();
        self.finish_turn();
        loop {
            if let Some(outcome) = self.outcome {
                return Ok(outcome);
            }
            self.sleep()?;
            self.turn();
        }
    }

    /// One turn. Sockets are written before pieces are hashed, so that requests are on their way meanwhile.
    fn turn(&mut self) {
        self.errands.begin_turn();
        self.take_events();
        self.take_commands();
        self.tell_refused();
        self.tell_resolved();
        self.tell_datagrams();
        self.accept();
        self.serve_ready();
        self.list_those_who_waited();
        self.flush();
        self.run_errands();
        self.perform_all();
        self.load_one();
        self.sync();
        self.finish_turn();
    }

    /// The part of a turn that needs no event.
    fn finish_turn(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        self.hash();
        self.perform_all();
        let now = self.rim.now();
        if self.machine.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.machine.on_time(now);
            self.perform_all();
        }
        self.tick_files(now);
        self.loads.forget_buffer_when_idle();
        self.refresh = self.screen.refresh(self.rim.now(), self.machine);
    }

    /// Hashes for a slice of time.
    fn hash(&mut self) {
        let (start, bytes) = (self.rim.now(), self.rim.hashing.bytes());
        self.working = self.machine.work(start, bytes);
        let hashed = if self.working { bytes } else { 0 };
        self.rim.hashing.took(hashed, start.until(self.rim.now()));
    }

    /// Tells the files the time, now and then. It wakes nobody up: an idle box sleeps on.
    fn tick_files(&mut self, now: Instant) {
        if self.ticked.until(now) >= FILES_TICK {
            self.ticked = now;
            self.files.iter_mut().for_each(|files| files.tick(now));
        }
    }

    /// Sleeps until something happens or is due; not at all while something is left to do. Where streams are still ready,
    /// every second turn serves them without asking the kernel for others: a call saved, and news is a turn late at most.
    fn sleep(&mut self) -> io::Result<()> {
        self.unpolled = !self.unpolled && self.rim.sockets.ready_count() > 0;
        if self.unpolled {
            self.rim.events.clear();
            return Ok(());
        }
        let timeout = if self.is_busy() { Some(Duration::ZERO) } else { self.time_to_sleep() };
        match self.rim.poll.poll(&mut self.rim.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.rim.events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// True if the last turn has left something that waits for nothing outside.
    fn is_busy(&self) -> bool {
        self.working
            || self.loads.is_due(self.rim.now())
            || self.errands.is_due(self.rim.now())
            || !self.refused.is_empty()
            || self.rim.sockets.ready_count() + self.rim.sockets.flush_count() > 0
            || self.rim.syncer.is_busy()
            || self.files.iter().any(Files::is_busy)
            || self.rim.names.is_ready()
            || self.rim.datagrams.is_ready()
            || self.rim.stdin.is_ready()
            || self.rim.listeners.is_ready(self.rim.now())
    }

    /// Time until the first deadline; `None` if only an event can change anything.
    fn time_to_sleep(&self) -> Option<Duration> {
        let beat = self.files.iter().any(Files::awaits_beat).then(|| self.rim.now() + BEAT_INTERVAL);
        let own = [
            beat,
            self.rim.names.next_deadline(),
            self.rim.listeners.next_deadline(),
            self.loads.next_deadline(),
            self.waits_for_disk.next_deadline(),
            self.errands.next_deadline(),
        ];
        let deadlines = own.into_iter().chain([self.machine.next_deadline(), self.refresh]);
        let first = deadlines.flatten().min()?;
        Some(self.rim.now().until(first))
    }

    /// Notes what the poll reported. Only signals act at once: the second one ends the run whatever else is
    /// there.
    fn take_events(&mut self) {
        let mut signalled = false;
        let Rim { events, sockets, stdin, names, listeners, datagrams, syncer, .. } = &mut *self.rim;
        for event in events.iter() {
            match event.token() {
                SIGNALS => signalled = true,
                STDIN => stdin.on_event(),
                SYNCS => syncer.on_event(),
                Token(token @ DATAGRAMS..LISTENERS) => datagrams.on_event(token - DATAGRAMS),
                Token(token @ LISTENERS..NAMES) => listeners.on_event(token - LISTENERS),
                Token(NAMES..) => names.on_event(event.token()),
                _ => sockets.on_event(event),
            }
        }
        while signalled && let Some(signal) = self.rim.signals.next() {
            self.on_signal(signal);
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Redraw => self.screen.resized(),
            Signal::Quit if self.quitting => self.outcome = Some(Outcome::Incomplete),
            Signal::HangUp if self.quitting => {}
            Signal::Quit | Signal::HangUp => {
                self.quitting = true;
                self.tell(Event::Quit);
            }
        }
    }

    /// Carries out the commands that one read brings.
    fn take_commands(&mut self) {
        self.rim.stdin.read(self.rim.poll.registry());
        while self.outcome.is_none()
            && let Some(line) = self.rim.stdin.next_line()
        {
            self.on_line(&line);
        }
    }

    fn on_line(&mut self, line: &Line) {
        let now = self.rim.now();
        match line {
            Line::TooLong => {
                let fault = format!("a line is longer than {COMMAND_BYTES_MAX} bytes and no command");
                self.screen.command_fault(now, &fault);
            }
            Line::Text(text) => match Command::parse(text) {
                Ok(Some(command)) => self.tell(Event::Command(command)),
                Ok(None) => {}
                Err(fault) => self.screen.command_fault(now, &fault.to_string()),
            },
        }
    }

    /// Tells of the streams that could not begin to connect in the last turn. Who is dialled instead and
    /// fails as well is told in the next one.
    fn tell_refused(&mut self) {
        for (stream, cause) in core::mem::take(&mut self.refused) {
            self.tell(Event::Closed { stream, cause });
        }
    }

    /// Gives the resolver its turn and tells what it has found.
    fn tell_resolved(&mut self) {
        self.rim.names.turn(self.rim.clock.now(), self.rim.poll.registry());
        while self.outcome.is_none()
            && let Some(answer) = self.rim.names.next_answer()
        {
            self.tell_addresses(&answer);
        }
    }

    /// Tells the machine a fact and carries out what it wishes then.
    pub(super) fn tell(&mut self, event: Event<'_>) {
        if self.outcome.is_none() {
            self.machine.handle(self.rim.clock.now(), event);
            self.perform_all();
        }
    }
}
