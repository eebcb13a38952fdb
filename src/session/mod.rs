//! Floor 4: the switchboard. It is told facts, asks the rooms, and wishes.

mod action;
mod command;
mod event;
mod report;

pub use action::{Action, Outcome};
pub use command::{COMMANDS, Command, CommandFault};
pub use event::{CloseCause, Event, StorageFault, StorageFaultKind, StoreId};
pub use report::*;

use crate::base::{Instant, Rng, StreamId, TorrentId};
use crate::meta::Metainfo;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// What the user chose, for the whole run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes that piece buffers may take (`--memory` less what everything else needs).
    pub memory_bytes: u64,
    /// Connected peers over all torrents.
    pub max_peers: u32,
    /// The port that trackers are told (0: none is listened on).
    pub port: u16,
    /// Peers to connect to beside the trackers' (`--peer`).
    pub peers: Vec<SocketAddr>,
    /// End with `GaveUp` when no peer or tracker was reached within this span.
    pub give_up: Option<Duration>,
    /// Only check what is on disk, then finish.
    pub check_only: bool,
}

/// Where the next bytes of a stream may land.
pub enum Landing<'a> {
    /// Nowhere: memory is full. Do not read; `Action::Resume` follows.
    Wait,
    /// In any buffer of the rim's; tell them with [`Session::received`].
    Anywhere,
    /// In these areas, one after the other; tell how many bytes arrived with [`Session::landed`].
    Scatter(&'a mut Scatter),
}

/// Areas for one scatter read: the rest of a block, then headers and blocks in the order of the requests.
#[derive(Debug, Default)]
pub struct Scatter {}

impl Scatter {
    /// The areas in order; at most [`Scatter::AREAS_MAX`], none empty.
    pub fn areas(&mut self) -> impl Iterator<Item = &mut [u8]> {
        core::iter::empty()
    }

    /// Most areas of one read.
    pub const AREAS_MAX: usize = 2 * crate::base::limits::SCATTER_BLOCKS_MAX + 1;
}

/// Bytes to be stored in one go: contiguous in the torrent, scattered in memory.
pub struct StoreView<'a> {
    /// First byte within the torrent.
    pub offset: u64,
    /// The bytes, in order.
    pub parts: Vec<&'a [u8]>,
}

/// All torrents of a run: the whole of BitTorrent, with no socket, file or clock in it.
pub struct Session {}

#[expect(unused_variables, clippy::needless_pass_by_value, reason = "signatures first")]
impl Session {
    /// A session without torrents.
    pub fn new(now: Instant, rng: Rng, settings: Settings) -> Self {
        Self {}
    }

    /// Adds a torrent, which starts by checking what is on disk; `empty` says that nothing is there, so that nothing
    /// has to be read.
    pub fn add_torrent(&mut self, now: Instant, metainfo: Arc<Metainfo>, empty: bool) -> TorrentId {
        TorrentId(0)
    }

    /// Takes in a fact. Wishes that follow from it wait in [`Session::next_action`].
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {}

    /// The next wish, in order.
    pub fn next_action(&mut self) -> Option<Action> {
        None
    }

    /// When [`Session::on_time`] wants to be called; `None` if only an event can change anything.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Does what is due by `now`.
    pub fn on_time(&mut self, now: Instant) {}

    /// Hashes up to `budget_bytes` of complete pieces. True if more waits: call again in the next turn, without
    /// sleeping.
    pub fn work(&mut self, now: Instant, budget_bytes: usize) -> bool {
        false
    }

    /// Where the next bytes of `stream` may land.
    pub fn landing(&mut self, stream: StreamId) -> Landing<'_> {
        Landing::Anywhere
    }

    /// `bytes` came from `stream`, read after [`Landing::Anywhere`].
    pub fn received(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {}

    /// `count` bytes landed in the areas of the last [`Landing::Scatter`], which was for `stream`.
    pub fn landed(&mut self, now: Instant, stream: StreamId, count: usize) {}

    /// Bytes waiting to be sent on `stream`.
    pub fn outgoing(&self, stream: StreamId) -> &[u8] {
        &[]
    }

    /// `count` bytes of [`Session::outgoing`] were sent.
    pub fn sent(&mut self, now: Instant, stream: StreamId, count: usize) {}

    /// The bytes of a wish to store that is not answered yet.
    pub fn store(&self, torrent: TorrentId, store: StoreId) -> Option<StoreView<'_>> {
        None
    }

    /// The state of everything, as `status` tells it; cheap enough for a progress line twice a second.
    pub fn status(&self, now: Instant) -> Status {
        Status::default()
    }
}
