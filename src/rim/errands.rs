//! Wishes about the files, carried out in the order in which they came. Stores go in slices: a turn stores for a few
//! milliseconds, and then everybody else is served.

use super::pace::{Pace, SLICE};
use super::patience::Patience;
use crate::base::limits::{EXTENT_BYTES, STORE_PATIENCE, STORE_SLICE_BYTES};
use crate::base::{Instant, TorrentId};
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::perform::files_of;
use crate::rim::storage::{Task, wall};
use crate::rim::turn::Run;
use crate::session::{Event, StoreId};
use core::time::Duration;
use std::collections::VecDeque;

/// A wish about the files of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Store(StoreId),
    Sync { everything: bool },
    Save,
    ForgetState,
    Complete,
}

/// Wishes that wait, because the first one takes more than this turn, or a file takes nothing at the moment.
#[derive(Debug)]
pub(super) struct Errands {
    waiting: VecDeque<(TorrentId, Errand)>,
    /// Bytes of the first one, a store, that are in the files.
    done_bytes: u64,
    patience: Patience,
    pace: Pace,
    /// Time that this turn has stored.
    spent: Duration,
}

impl Default for Errands {
    fn default() -> Self {
        let (least, first) = STORE_SLICE_BYTES;
        Self {
            waiting: VecDeque::new(),
            done_bytes: 0,
            patience: Patience::default(),
            pace: Pace::new(first, least, EXTENT_BYTES as usize),
            spent: Duration::ZERO,
        }
    }
}

impl Errands {
    /// True if something waits for nothing but the next turn.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.waiting.is_empty() && self.patience.is_due(now)
    }

    /// When a file that takes nothing is asked again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.patience.next_deadline()
    }

    /// Another turn has begun.
    pub(super) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
    }

    fn may_store(&self, now: Instant) -> bool {
        self.spent < SLICE && self.patience.is_due(now)
    }

    /// A slice of so many bytes was stored, or tried.
    fn took(&mut self, bytes: u64, time: Duration) {
        self.patience.end();
        self.spent += time;
        self.pace.took(bytes as usize, time);
    }
}

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Carries out a wish once all those before it are.
    pub(super) fn run_errand(&mut self, torrent: TorrentId, errand: Errand) {
        self.errands.waiting.push_back((torrent, errand));
        self.run_errands();
    }

    /// Carries out wishes, in order, as far as this turn's time goes and the files take bytes. Told without carrying out
    /// what follows: [`Self::perform_all`] is about to.
    pub(super) fn run_errands(&mut self) {
        while let Some(&(torrent, errand)) = self.errands.waiting.front() {
            match errand {
                Errand::Store(store) if !self.store(torrent, store) => return,
                Errand::Store(_) => {}
                Errand::Sync { everything } => self.begin(torrent, Task::Sync { everything }),
                Errand::Save => self.save(torrent),
                Errand::ForgetState => files_of(self.files, torrent).forget_state(),
                Errand::Complete => self.begin(torrent, Task::Complete),
            }
            self.errands.waiting.pop_front();
        }
    }

    /// Puts bytes into the files; false if some are left for later.
    fn store(&mut self, torrent: TorrentId, store: StoreId) -> bool {
        let event = loop {
            let start = self.rim.clock.now();
            if !self.errands.may_store(start) {
                return false;
            }
            let Some(view) = self.machine.store(torrent, store) else { break None };
            let files = files_of(self.files, torrent);
            let Errands { done_bytes, patience, pace, .. } = &mut self.errands;
            if files.grows(view.offset + *done_bytes) {
                // Nothing else can be done for it, however long it takes.
                let _ = patience.lasts(start, Duration::MAX);
                return false;
            }
            let would_wait = !files.takes_bytes(view.offset, &view.parts, *done_bytes);
            if would_wait && patience.lasts(start, STORE_PATIENCE) {
                return false;
            }
            let result = files.store(view.offset, &view.parts, *done_bytes, pace.bytes() as u64);
            let bytes = result.map_or(0, |done| done.saturating_sub(self.errands.done_bytes));
            self.errands.took(bytes, start.until(self.rim.clock.now()));
            match result {
                Ok(done) if done < view.parts.iter().map(|part| part.len() as u64).sum() => {
                    self.errands.done_bytes = done;
                }
                Ok(_) => break Some(Event::Stored { torrent, store }),
                Err(fault) => break Some(Event::StoreFailed { torrent, store, fault }),
            }
        };
        self.errands.done_bytes = 0;
        if let Some(event) = event {
            self.machine.handle(self.rim.clock.now(), event);
        }
        true
    }

    fn begin(&mut self, torrent: TorrentId, task: Task) {
        files_of(self.files, torrent).begin(task);
    }

    fn save(&mut self, torrent: TorrentId) {
        let files = files_of(self.files, torrent);
        let state = self.machine.state(self.rim.clock.now(), torrent, wall(), files.stamps());
        files.begin(Task::Save(state));
    }
}
