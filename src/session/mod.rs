//! Floor 4: the switchboard. It is told facts, asks the rooms, and wishes.
//!
//! Handlers change state and collect wishes ([`Action`]); the rim carries them out after the handler has returned, so
//! nothing is ever called back in the middle of a change. One file per subject: `streams` the table, `peers` a
//! connection's life, `messages` what peers say, `blocks` what they send, `requests` what they are asked for, `storing`
//! the way to the files, `lanes` which pieces slow peers may keep open, `backpressure` who waits for memory, `orphans` who keeps it for nothing, `durable`, `device`,
//! `bound`, `saving` and `resuming` what lasts longer than the run, `doubting` what may be lost, `announces` trackers,
//! `relaying` the datagrams that a proxy carries, `dialing` and `listening` new connections, `culling` who gives way to
//! them, `uploads` what peers ask of us, `hearing` how much of that at a time, `choking` who of them is served,
//! `spreading` with which pieces first, `telling` what they hear of, `pacing` how fast, `seeding` for how long, `looking`
//! how long nobody may be found, `time` deadlines, `our_id` who we say we are, `weighing` what connections hold, `audit`
//! whether all that agrees, `pausing` and `commands` the user, and `ending` the end.

mod action;
mod announces;
mod audit;
mod backpressure;
mod blocks;
mod bound;
mod choking;
mod command;
mod commands;
mod culling;
mod device;
mod dialing;
mod doubting;
mod durable;
mod ending;
mod event;
mod giving;
mod hearing;
mod lanes;
mod listening;
mod looking;
mod messages;
mod orphans;
mod our_id;
mod pacing;
mod pausing;
mod peers;
mod relaying;
mod report;
mod requests;
mod resuming;
#[cfg(test)]
mod rig;
mod saving;
mod scatter;
mod secure_fault;
mod seeding;
mod spreading;
mod status;
mod storing;
mod streams;
mod telling;
mod time;
mod torrents;
mod uploads;
mod weighing;

pub use action::{Action, Outcome};
pub use command::{COMMANDS, Command, CommandFault, peer_address};
pub use event::{CloseCause, Event, StorageFault, StorageFaultKind, StoreId};
pub use giving::Giving;
pub use looking::Efforts;
pub use report::*;
pub use resuming::Remains;
pub use scatter::Scatter;
pub use secure_fault::SecureFault;
pub use uploads::FileBytes;

use crate::base::{Instant, PeerId, Rng, StreamId, TorrentId};
use crate::download::Pool;
use crate::meta::Metainfo;
use crate::proxy::Routes;
use crate::tracker::Identity;
use crate::upload::Pacer;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use announces::Lookups;
use backpressure::Waits;
use blocks::Reading;
use choking::Serving;
use core::net::SocketAddr;
use core::time::Duration;
use culling::Culling;
use device::Device;
use dialing::Dialing;
use ending::Ending;
use looking::Looking;
use our_id::our_id;
use peers::{Crowd, Farewell};
use relaying::Relaying;
use requests::Demand;
use streams::{Role, Stage, Streams};
use telling::Telling;
use torrents::Torrent;

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
    /// End with `GaveUp` when within this span every tracker failed and no peer answered.
    pub give_up: Option<Duration>,
    /// Only check what is on disk, then finish.
    pub check_only: bool,
}

/// Where the next bytes of a stream may land.
pub enum Landing<'a> {
    /// Nowhere yet: do not read; [`Action::Resume`] follows.
    Wait,
    /// In any buffer of the rim's; tell them with [`Session::received`].
    Anywhere,
    /// In these areas, one after the other; tell how many bytes arrived with [`Session::landed`].
    Scatter(&'a mut Scatter),
}

/// Bytes to be stored in one go: contiguous in the torrent, scattered in memory.
pub struct StoreView<'a> {
    /// First byte within the torrent.
    pub offset: u64,
    /// The bytes, in order.
    pub parts: Vec<&'a [u8]>,
}

/// All torrents of a run: the whole of BitTorrent, with no socket, file or clock in it.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    giving: Giving,
    /// What goes through which proxy.
    routes: Arc<Routes>,
    rng: Rng,
    our_id: PeerId,
    torrents: Vec<Torrent>,
    device: Device,
    streams: Streams,
    pool: Pool,
    /// Wishes that the rim has not taken.
    actions: VecDeque<Action>,
    reading: Reading,
    demand: Demand,
    waits: Waits,
    serving: Serving,
    telling: Telling,
    up_pacer: Pacer,
    down_pacer: Pacer,
    lookups: Lookups,
    relaying: Relaying,
    crowd: Crowd,
    dialing: Dialing,
    looking: Looking,
    /// Who gives way where all places are taken.
    culling: Culling,
    /// When all peers are looked at.
    peers_deadline: Option<Instant>,
    ending: Ending,
}

impl Session {
    /// A session without torrents.
    pub fn new(now: Instant, mut rng: Rng, settings: Settings) -> Self {
        Self {
            pool: Pool::new(settings.memory_bytes),
            device: Device::new(settings.memory_bytes),
            crowd: Crowd::new(settings.max_peers),
            settings,
            giving: Giving::default(),
            routes: Arc::default(),
            our_id: our_id(&mut rng),
            rng,
            torrents: Vec::new(),
            streams: Streams::default(),
            actions: VecDeque::new(),
            reading: Reading::default(),
            demand: Demand::default(),
            waits: Waits::default(),
            serving: Serving::default(),
            telling: Telling::default(),
            up_pacer: Pacer::default(),
            down_pacer: Pacer::default(),
            lookups: Lookups::default(),
            relaying: Relaying::Not,
            dialing: Dialing::new(now),
            looking: Looking::default(),
            culling: Culling::default(),
            peers_deadline: None,
            ending: Ending::default(),
        }
    }

    /// Tells what goes through which proxy. To be called before torrents are added; without it everything goes straight.
    pub fn route(&mut self, routes: Arc<Routes>) {
        self.routes = routes;
    }

    /// Adds a torrent of which no resume state is kept; [`Session::resume_torrent`] keeps one. It starts by checking what
    /// is on disk; `empty` says that nothing is there, so that nothing has to be read.
    pub fn add_torrent(&mut self, now: Instant, metainfo: Arc<Metainfo>, empty: bool) -> TorrentId {
        let id = self.enter(now, metainfo);
        if empty && !self.settings.check_only {
            self.start(now, id);
        } else {
            self.start_checking(now, id);
        }
        id
    }

    fn enter(&mut self, now: Instant, metainfo: Arc<Metainfo>) -> TorrentId {
        let id = TorrentId(self.torrents.len() as u32);
        self.crowd.held.expect(metainfo.geometry());
        let identity =
            Identity { info_hash: metainfo.info_hash, peer_id: self.our_id, port: self.settings.port };
        let routes = Arc::clone(&self.routes);
        let torrent = Torrent::new(now, id, metainfo, identity, routes, &mut self.rng);
        self.torrents.push(torrent);
        for address in self.settings.peers.clone() {
            self.torrents[id.0 as usize].add_named_peer(now, address);
        }
        id
    }

    /// Has the pieces of a torrent fetched from the first to the last, as far as peers have them: for files that are best
    /// written so.
    pub fn fetch_in_order(&mut self, id: TorrentId) {
        if let Some(torrent) = self.torrents.get_mut(id.0 as usize) {
            torrent.download.fetch_in_order();
        }
    }

    /// It is known what is missing: peers are looked for.
    fn start(&mut self, now: Instant, id: TorrentId) {
        self.settle_looking(now);
        self.announce_due(now, id);
        self.dial_candidates(now);
    }

    /// Bytes that are missing for two of the torrent's pieces to be put together at a time. To be lent with
    /// [`Session::lend`] before the torrent is added: a piece for which there is no room is never fetched.
    pub fn missing_buffer_bytes(&self, metainfo: &Metainfo) -> u64 {
        self.pool.missing_bytes(metainfo.geometry().blocks(0))
    }

    /// Adds memory of the rim's to the piece buffers, for good. `--memory` does not count it.
    pub fn lend(&mut self, arena: &'static mut [u8]) {
        self.pool.lend(arena);
    }

    /// Takes in a fact. Wishes that follow from it wait in [`Session::next_action`].
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        match event {
            Event::Connected { stream } => self.on_connected(now, stream),
            Event::Closed { stream, cause } => self.on_closed(now, stream, cause),
            Event::Datagram { from, bytes } => self.on_datagram(now, from, bytes),
            Event::Relayed { from, bytes } => self.on_relayed(now, from, bytes),
            Event::Undeliverable { address, cause } => self.on_undeliverable(now, address, cause),
            Event::Stored { torrent, store } => self.on_stored(now, torrent, store),
            Event::StoreFailed { torrent, store, fault } => self.on_store_failed(now, torrent, store, fault),
            Event::Synced { torrent } => self.on_synced(now, torrent),
            Event::SyncFailed { torrent, fault } => self.on_sync_failed(now, torrent, fault),
            Event::Saved { torrent, result } => self.on_saved(now, torrent, result),
            Event::Completed { torrent } => self.on_durable(now, torrent),
            Event::CompleteFailed { torrent, fault } => self.on_complete_failed(now, torrent, fault),
            Event::Loaded { torrent, offset, bytes } => self.on_loaded(now, torrent, offset, bytes),
            Event::LoadFailed { torrent, offset, fault } => self.on_load_failed(now, torrent, offset, fault),
            Event::Resolved { query, addresses } => self.on_resolved(now, query, addresses),
            Event::Command(command) => self.on_command(now, command),
            Event::Quit => self.quit(now),
        }
        self.settle(now);
    }

    /// The next wish, in order.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Bytes waiting to be sent on `stream`.
    pub fn outgoing(&self, stream: StreamId) -> &[u8] {
        match self.streams.get(stream) {
            Some(Role::Tracker { request, .. }) => request.rest(),
            Some(Role::Peer(connection)) => match &connection.stage {
                Stage::Open(open) if connection.handshake.rest().is_empty() => open.messages(),
                _ => connection.handshake.rest(),
            },
            Some(Role::Arrival(arrival)) => arrival.answer.rest(),
            Some(Role::Relay) | None => &[],
        }
    }

    /// `count` bytes of [`Session::outgoing`] were sent.
    pub fn sent(&mut self, now: Instant, stream: StreamId, count: usize) {
        match self.streams.get_mut(stream) {
            Some(Role::Tracker { request, .. }) => request.consume(count),
            Some(Role::Peer(connection)) => match &mut connection.stage {
                Stage::Open(open) if connection.handshake.rest().is_empty() => {
                    open.peer.on_sent(now, count);
                    open.weigh(&mut self.crowd.held);
                    self.count_sent(now, stream, count);
                }
                _ => connection.handshake.consume(count),
            },
            Some(Role::Arrival(_)) => self.answered_ourselves(stream, count),
            Some(Role::Relay) | None => {}
        }
    }

    fn on_connected(&mut self, now: Instant, stream: StreamId) {
        self.on_sign_of_life(now);
        match self.streams.get(stream) {
            Some(Role::Peer(_)) => self.on_peer_connected(now, stream),
            Some(Role::Tracker { .. }) => self.on_tracker_connected(now, stream),
            Some(Role::Relay) => self.on_relay_open(now),
            Some(Role::Arrival(_)) | None => {}
        }
    }

    fn on_closed(&mut self, now: Instant, stream: StreamId, cause: CloseCause) {
        if matches!(cause, CloseCause::Refused | CloseCause::Reset | CloseCause::Ended) {
            self.on_sign_of_life(now);
        }
        match self.streams.get(stream) {
            Some(Role::Arrival(_)) => self.forget_arrival(stream),
            Some(Role::Peer(_)) => {
                self.forget_peer(now, stream, Farewell::Closed(cause));
                self.dial_candidates(now);
            }
            Some(&Role::Tracker { torrent, handle, .. }) => {
                self.streams.remove(stream);
                let words = cause.to_string();
                let why = (cause != CloseCause::Ended).then_some(words.as_str());
                self.on_tracker_closed(now, torrent, handle, why);
            }
            Some(Role::Relay) => {
                self.streams.remove(stream);
                self.on_relay_closed(now, cause);
            }
            None => {}
        }
    }

    /// What every handler ends with: others are asked for what came back, and the run ends if nothing holds it.
    fn settle(&mut self, now: Instant) {
        if core::mem::take(&mut self.demand.returned) {
            self.give_returned(now);
        }
        self.let_stores_in();
        self.end_waits(now);
        self.shed(now);
        self.settle_looking(now);
        self.leave_if_told(now);
        self.finish_if_quiet(now);
    }

    fn note(&mut self, note: Note) {
        self.actions.push_back(Action::Say(Report::Note(note)));
    }

    /// Buffers that are lent out: blocks of pieces, blocks in progress, and the plan of a read. For simulation and
    /// fuzzing.
    #[doc(hidden)]
    pub fn lent_buffers(&self) -> u32 {
        self.pool.lent() - self.reading.scatter.buffers()
    }

    /// Pieces and blocks looked at or moved so far for the peers that are connected. For tests of how cost grows.
    #[doc(hidden)]
    pub fn steps(&self) -> u64 {
        let rooms: u64 = self.torrents.iter().map(|torrent| torrent.download.steps()).sum();
        let own = rooms + self.culling.steps + self.telling.steps;
        own + self.streams.iter_open().map(|(.., open)| open.pipeline.search_steps()).sum::<u64>()
    }
}
