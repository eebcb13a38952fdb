//! The wishes of the machine, carried out.

use crate::base::limits::CHECK_SLICE_BYTES;
use crate::base::{Instant, TorrentId};
use crate::rim::errands::Errand;
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::patience::{Patience, waits_for_disk};
use crate::rim::storage::Done;
use crate::rim::turn::Run;
use crate::session::{Action, Event};
use std::collections::VecDeque;

/// A wish to read from the files.
#[derive(Debug)]
struct Load {
    torrent: TorrentId,
    offset: u64,
    length: usize,
    /// It is written again.
    renew: bool,
}

/// Wishes to read that wait for their turn, and the one buffer for all.
#[derive(Debug, Default)]
pub(super) struct Loads {
    waiting: VecDeque<Load>,
    buffer: Vec<u8>,
    /// Turns in a row without a load.
    idle_turns: u32,
    patience: Patience,
}

impl Loads {
    /// True if a load waits for nothing but its turn.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.waiting.is_empty() && self.patience.is_due(now)
    }

    /// When a slow disk is asked again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.patience.next_deadline()
    }

    /// Gives the buffer's memory back when the check is over: between two loads there is at most a turn of
    /// hashing.
    pub(super) fn forget_buffer_when_idle(&mut self) {
        self.idle_turns = if self.waiting.is_empty() { self.idle_turns.saturating_add(1) } else { 0 };
        if self.idle_turns > IDLE_TURNS && self.buffer.capacity() > 0 {
            self.buffer = Vec::new();
        }
    }
}

/// After so many turns without a load nothing is being checked.
const IDLE_TURNS: u32 = 16;

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Carries out all wishes in order, also those that follow from carrying them out; stops at the wish to
    /// finish.
    pub(super) fn perform_all(&mut self) {
        while self.outcome.is_none()
            && let Some(action) = self.machine.next_action()
        {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { stream, address } => self.connect(stream, address),
            Action::Reach { stream, server } => self.reach(stream, server),
            Action::Associate { stream } => self.associate(stream),
            Action::Flush { stream } => self.rim.sockets.list_flush(stream),
            Action::Resume { stream } => self.rim.sockets.list(stream),
            Action::Close { stream } => {
                self.refused.retain(|(refused, _)| *refused != stream);
                self.rim.outside.forget(stream);
                self.rim.datagrams.forget(stream);
                self.rim.sockets.remove(self.rim.poll.registry(), stream);
                self.admit();
            }
            Action::SendDatagram { server, bytes } => self.post(&server, &bytes),
            Action::Store { torrent, store } => self.run_errand(torrent, Errand::Store(store)),
            Action::Load { torrent, offset, length, renew } => {
                self.loads.waiting.push_back(Load { torrent, offset, length, renew });
            }
            Action::Sync { torrent, everything } => self.run_errand(torrent, Errand::Sync { everything }),
            Action::Save { torrent } => self.run_errand(torrent, Errand::Save),
            Action::ForgetState { torrent } => self.run_errand(torrent, Errand::ForgetState),
            Action::Complete { torrent } => self.run_errand(torrent, Errand::Complete),
            Action::Resolve { query, host } if self.rim.outside.keeps_to_itself(&host) => {
                self.machine.handle(self.rim.clock.now(), Event::Resolved { query, addresses: &[] });
            }
            Action::Resolve { query, host } => {
                self.rim.names.ask(self.rim.clock.now(), self.rim.poll.registry(), query, &host);
            }
            Action::Say(report) => self.screen.say(self.rim.clock.now(), &report),
            Action::Finish(outcome) => self.outcome = Some(outcome),
        }
    }

    /// Carries out the wish to read that has waited longest.
    pub(super) fn load_one(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        let now = self.rim.clock.now();
        let Some(&Load { torrent, offset, length, renew }) = self.loads.waiting.front() else { return };
        let length = length.min(CHECK_SLICE_BYTES).min(self.rim.hashing.bytes());
        if !self.machine.awaits_load(torrent) {
            self.loads.waiting.pop_front();
            return self.loads.patience.end();
        }
        if !self.loads.is_due(now) {
            return;
        }
        let files = files_of(self.files, torrent);
        if waits_for_disk(files, (offset, length), &mut self.loads.patience, now) {
            return;
        }
        files.read_on(offset + length as u64);
        self.loads.patience.end();
        self.loads.waiting.pop_front();
        self.loads.buffer.resize(CHECK_SLICE_BYTES, 0);
        let bytes = &mut self.loads.buffer[..length];
        let files = files_of(self.files, torrent);
        let loaded = if renew { files.renew(offset, bytes) } else { files.load(offset, bytes) };
        let event = match loaded {
            Ok(()) => Event::Loaded { torrent, offset, bytes },
            Err(fault) => Event::LoadFailed { torrent, offset, fault },
        };
        self.machine.handle(self.rim.clock.now(), event);
        self.perform_all();
    }

    /// Goes on with everything that takes the device's time, and tells what is over.
    pub(super) fn sync(&mut self) {
        self.rim.syncer.turn();
        while let Some(answer) = self.rim.syncer.next_done() {
            files_of(self.files, answer.torrent).synced(answer);
        }
        let (first, count) = (self.rim.syncer.first_of(self.files.len()), self.files.len());
        for nth in (first..count).chain(0..first) {
            let torrent = TorrentId(nth as u32);
            if let Some(done) = self.files[nth].go_on(torrent, &mut self.rim.syncer) {
                self.tell(match done {
                    Done::Synced(Ok(())) => Event::Synced { torrent },
                    Done::Synced(Err(fault)) => Event::SyncFailed { torrent, fault },
                    Done::Saved(result) => Event::Saved { torrent, result },
                    Done::Completed(Ok(())) => Event::Completed { torrent },
                    Done::Completed(Err(fault)) => Event::CompleteFailed { torrent, fault },
                });
            }
        }
    }
}

/// The files of `torrent`.
pub(super) fn files_of<F>(files: &mut [F], torrent: TorrentId) -> &mut F {
    files.get_mut(torrent.0 as usize).expect("run() is given the files of every torrent of the machine")
}
