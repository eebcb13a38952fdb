//! The world around one session, in virtual time: it plays the rim exactly as `rim/turn.rs` does, and whatever is
//! behind the rim. Everything follows from one seed.

use crate::datagrams::UdpTracker;
use crate::disk::Disk;
use crate::net::{Guest, Host, Socket};
use crate::peer::{Model, Wish};
use crate::relay::Relay;
use crate::torrent::Torrent;
use crate::tracker::Service;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use swarmlet::base::{Instant, Rng, StreamId, TorrentId};
use swarmlet::session::{CloseCause, Command, Event, Note, Outcome, Remains, Session, Settings};

/// Turns without time passing after which the session is said to run in circles.
const TURNS_AT_ONCE_MAX: u32 = 3_000;

/// What is going to happen.
#[derive(Debug)]
pub enum Happening {
    /// Only a turn of the loop.
    Turn,
    Opens(StreamId),
    Fails(StreamId, CloseCause),
    ToUs(StreamId, Vec<u8>),
    Ends(StreamId, CloseCause),
    ToThem(StreamId, Vec<u8>),
    /// The host has read so many bytes.
    Reads(StreamId, usize),
    Tick(StreamId),
    Free(StreamId),
    Resolved(u32, Vec<IpAddr>),
    /// A UDP tracker gets a datagram of ours.
    Asked(SocketAddr, Vec<u8>),
    /// A datagram comes to us.
    Datagram(SocketAddr, Vec<u8>),
    Undeliverable(SocketAddr, CloseCause),
    /// The proxy has said whether it carries datagrams.
    Associates(StreamId),
    /// The proxy brings a datagram.
    Relayed(SocketAddr, Vec<u8>),
    Synced(TorrentId),
    Completed(TorrentId),
    Saved(TorrentId),
    Do(Deed),
}

/// What somebody outside does.
#[derive(Clone, Debug)]
pub enum Deed {
    Command(Command),
    Quit,
    /// The disk has room for ever.
    FreeDisk,
    /// The host goes down: connections are reset, new ones refused.
    Kill(SocketAddr),
    AddHost(SocketAddr, Box<Model>),
}

pub struct World {
    pub seed: u64,
    pub now: u64,
    pub rng: Rng,
    pub session: Session,
    pub torrent: Arc<Torrent>,
    pub disk: Disk,
    pub hosts: BTreeMap<SocketAddr, Host>,
    pub names: BTreeMap<String, Vec<IpAddr>>,
    pub udp_trackers: BTreeMap<SocketAddr, UdpTracker>,
    /// The proxy, as far as it carries datagrams.
    pub relay: Relay,
    /// We have no address of IPv4, of IPv6.
    pub lacking: [bool; 2],
    /// How long a name takes at most, in microseconds.
    pub naming_us: u32,
    pub sockets: BTreeMap<StreamId, Socket>,
    pub notes: Vec<Note>,
    pub outcome: Option<Outcome>,
    /// When the session asked to finish.
    pub finished_at: u64,
    pub quit_at: Option<u64>,
    /// Heads of the requests that trackers got.
    pub announces: Vec<String>,
    /// `session.check()` after every so many turns.
    pub check_every: u32,
    pub turns: u64,
    /// Times that a stream was not to be read.
    pub waits: u32,
    pub dialled: BTreeMap<SocketAddr, u32>,
    /// Spoiled blocks that were sent to us.
    pub spoiled: BTreeMap<SocketAddr, u32>,
    pub queue: BTreeMap<(u64, u64), Happening>,
    pub sequence: u64,
    pub closed: BTreeSet<StreamId>,
    pub refused: Vec<(StreamId, CloseCause)>,
    pub loads: VecDeque<(u64, usize, bool)>,
    pub flushing: BTreeSet<StreamId>,
    pub at_once: u32,
    pub digest: u64,
}

impl World {
    /// A world in which nobody lives yet, and a session without torrents.
    pub fn new(seed: u64, torrent: Arc<Torrent>, settings: Settings) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let session_rng = Rng::new(rng.next_u64());
        let now = 1_000_000;
        Self {
            seed,
            now,
            rng,
            session: Session::new(Instant::from_micros(now), session_rng, settings),
            disk: Disk::new(torrent.clone()),
            torrent,
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            udp_trackers: BTreeMap::new(),
            relay: Relay::default(),
            lacking: [false, false],
            naming_us: 200_000,
            sockets: BTreeMap::new(),
            notes: Vec::new(),
            outcome: None,
            finished_at: 0,
            quit_at: None,
            announces: Vec::new(),
            check_every: 1,
            turns: 0,
            waits: 0,
            dialled: BTreeMap::new(),
            spoiled: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            closed: BTreeSet::new(),
            refused: Vec::new(),
            loads: VecDeque::new(),
            flushing: BTreeSet::new(),
            at_once: 0,
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Settings with room for `memory_bytes` of blocks and these peers.
    pub fn settings(memory_bytes: u64, peers: Vec<SocketAddr>) -> Settings {
        Settings { memory_bytes, max_peers: 200, port: 6881, peers, give_up: None, check_only: false }
    }

    fn lend(&mut self) {
        let missing = self.session.missing_buffer_bytes(&self.torrent.metainfo);
        if missing > 0 {
            self.session.lend(Box::leak(vec![0; missing as usize].into_boxed_slice()));
        }
    }

    /// Gives the session its torrent, and what an earlier run has left of it.
    pub fn resume(&mut self) {
        self.lend();
        let (device, instant) = (&self.disk.device, Instant::from_micros(self.now));
        let (state, holes, wall) = (device.state(), self.disk.holes(), device.wall(self.now));
        let (stamps, era) = (device.stamps(), device.era());
        let (empty, foreign, read_only) = (false, false, None);
        let remains = Remains { state: &state, stamps, holes, era, wall, empty, foreign, read_only };
        self.session.resume_torrent(instant, self.torrent.metainfo.clone(), remains);
        self.turn();
    }

    /// Gives the session its torrent; `empty` as the storage would say.
    pub fn start(&mut self, empty: bool) {
        self.lend();
        self.session.add_torrent(self.instant(), self.torrent.metainfo.clone(), empty);
        self.turn();
    }

    pub fn instant(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        (self.now - 1_000_000) as f64 / 1e6
    }

    /// What was done, in one number.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn plan(&mut self, at: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), happening);
    }

    /// Lets `deed` be done so long after the start.
    pub fn later(&mut self, after: Duration, deed: Deed) {
        self.plan(1_000_000 + after.as_micros() as u64, Happening::Do(deed));
    }

    /// Goes on until the session has finished.
    ///
    /// # Errors
    /// In words, if it sleeps for ever or `limit` after the start is past.
    pub fn run(&mut self, limit: Duration) -> Result<Outcome, String> {
        self.run_while(limit, |world| world.outcome.is_none())?;
        self.outcome.ok_or_else(|| String::from("no outcome"))
    }

    /// Goes on while `condition` holds.
    ///
    /// # Errors
    /// As [`World::run`].
    pub fn run_while(
        &mut self,
        limit: Duration,
        condition: impl Fn(&mut Self) -> bool,
    ) -> Result<(), String> {
        let end = 1_000_000 + limit.as_micros() as u64;
        while condition(self) {
            let next = self.queue.keys().next().map(|key| key.0);
            let deadline = self.session.next_deadline().map(Instant::as_micros);
            let at = next.into_iter().chain(deadline).min().ok_or("it sleeps for ever")?.max(self.now);
            if at > end {
                return Err(self.too_late(limit));
            }
            self.at_once = if at > self.now { 0 } else { self.at_once + 1 };
            assert!(self.at_once < TURNS_AT_ONCE_MAX, "it runs in circles at {at} µs");
            self.now = at;
            if next == Some(at)
                && let Some((_, happening)) = self.queue.pop_first()
            {
                self.happen(happening);
            }
            self.turn();
        }
        Ok(())
    }

    /// What a test wants to know when the end has not come.
    fn too_late(&mut self, limit: Duration) -> String {
        while self.session.next_action().is_some() {}
        self.session.handle(self.instant(), Event::Command(Command::Peers));
        let peers = self.session.next_action();
        let status = self.session.status(self.instant());
        let models: Vec<_> = self.hosts.iter().map(|(address, host)| format!("{address} {host:?}")).collect();
        format!("not there after {} s: {status:#?}\n{peers:#?}\n{}", limit.as_secs(), models.join("\n"))
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn => {}
            Happening::Opens(stream) => self.open(stream),
            Happening::Fails(stream, cause) => self.lose(stream, cause),
            Happening::ToUs(stream, bytes) => {
                if let Some(socket) = self.sockets.get_mut(&stream) {
                    socket.inbox.extend(bytes);
                }
            }
            Happening::Ends(stream, cause) => {
                if let Some(socket) = self.sockets.get_mut(&stream) {
                    socket.over = Some(cause);
                }
            }
            Happening::ToThem(stream, bytes) => self.deliver(stream, &bytes),
            Happening::Reads(stream, count) => {
                if let Some(socket) = self.sockets.get_mut(&stream) {
                    socket.unread_bytes -= count;
                    self.flushing.insert(stream);
                }
            }
            Happening::Tick(stream) => self.wake_guest(stream, false),
            Happening::Free(stream) => self.wake_guest(stream, true),
            Happening::Resolved(query, addresses) => {
                self.tell(Event::Resolved { query, addresses: &addresses });
            }
            Happening::Asked(address, bytes) => self.ask_udp_tracker(address, &bytes),
            Happening::Datagram(from, bytes) => self.hear(from, &bytes),
            Happening::Associates(stream) => self.answer_association(stream),
            Happening::Relayed(from, bytes) => self.bring(from, &bytes),
            Happening::Undeliverable(address, cause) => self.tell(Event::Undeliverable { address, cause }),
            Happening::Synced(torrent) => {
                let fault = self.disk.end_sync(&mut self.rng);
                self.tell(
                    fault.map_or(Event::Synced { torrent }, |fault| Event::SyncFailed { torrent, fault }),
                );
            }
            Happening::Completed(torrent) => {
                self.disk.device.begin_sync();
                self.disk.device.end_sync(&self.disk.bytes);
                self.tell(Event::Completed { torrent });
            }
            Happening::Saved(torrent) => {
                let result = self.disk.end_save();
                self.tell(Event::Saved { torrent, result });
            }
            Happening::Do(deed) => self.do_deed(deed),
        }
    }

    fn do_deed(&mut self, deed: Deed) {
        match deed {
            Deed::Command(command) => self.tell(Event::Command(command)),
            Deed::Quit => {
                self.quit_at = Some(self.now);
                self.tell(Event::Quit);
            }
            Deed::FreeDisk => self.disk.plan.space_bytes = None,
            Deed::Kill(address) => {
                self.hosts.remove(&address);
                let dead = |socket: &&mut Socket| socket.address == address;
                self.sockets
                    .values_mut()
                    .filter(dead)
                    .for_each(|socket| socket.over = Some(CloseCause::Reset));
            }
            Deed::AddHost(address, model) => drop(self.hosts.insert(address, Host::Peer(*model))),
        }
    }

    pub fn tell(&mut self, event: Event<'_>) {
        if self.outcome.is_none() {
            self.session.handle(Instant::from_micros(self.now), event);
            self.perform_all();
        }
    }

    /// One turn of the loop, in the rim's order.
    fn turn(&mut self) {
        self.turns += 1;
        self.disk.device.beat(self.now);
        for (stream, cause) in core::mem::take(&mut self.refused) {
            self.tell(Event::Closed { stream, cause });
        }
        self.serve_all();
        self.flush_all();
        self.load_one();
        if self.outcome.is_none() {
            let budget = 1 + self.rng.below(200_000) as usize;
            let working = self.session.work(self.instant(), budget);
            self.perform_all();
            if self.session.next_deadline().is_some_and(|deadline| deadline <= self.instant()) {
                self.session.on_time(self.instant());
                self.perform_all();
            }
            if working || !self.refused.is_empty() || !self.loads.is_empty() || !self.flushing.is_empty() {
                self.plan(self.now + 50, Happening::Turn);
            }
        }
        self.look_at_outgoing();
        if self.turns.is_multiple_of(self.check_every.into()) {
            self.check();
        }
    }

    /// All that must hold at any time.
    pub fn check(&self) {
        self.session.check();
        let status = self.session.status(self.instant());
        assert!(status.buffered_bytes <= status.buffer_limit_bytes, "memory");
    }

    fn look_at_outgoing(&mut self) {
        for (stream, socket) in &mut self.sockets {
            if let Some(watch) = &mut socket.watch {
                watch.on_outgoing(self.session.outgoing(*stream), &self.torrent, &mut self.disk);
            }
        }
    }

    fn open(&mut self, stream: StreamId) {
        let Some(socket) = self.sockets.get_mut(&stream) else { return };
        socket.open = true;
        self.flushing.insert(stream);
        self.tell(Event::Connected { stream });
    }

    /// The stream has ended, and all that came before has been read.
    pub fn end(&mut self, stream: StreamId, cause: CloseCause) {
        self.lose(stream, cause);
    }

    pub fn perform_and_look(&mut self, stream: StreamId) {
        self.perform_all();
        self.look_at_outgoing_of(stream);
    }

    fn lose(&mut self, stream: StreamId, cause: CloseCause) {
        if self.sockets.remove(&stream).is_some() {
            self.trace(&[2, stream.generation.into()]);
            self.closed.insert(stream);
            self.tell(Event::Closed { stream, cause });
        }
    }

    /// Bytes of ours arrive at a host.
    fn deliver(&mut self, stream: StreamId, bytes: &[u8]) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(&stream) else { return };
        if socket.never_reads {
            return;
        }
        let wishes = match &mut socket.guest {
            Guest::Peer(talk) => talk.on_bytes(now, &mut self.rng, bytes),
            Guest::Tracker(visit) => {
                let (wishes, head) = visit.on_bytes(now, &mut self.rng, bytes);
                self.announces.extend(head);
                wishes
            }
        };
        let latency = socket.latency_us;
        self.plan(now + latency, Happening::Reads(stream, bytes.len()));
        self.grant(stream, wishes);
    }

    fn wake_guest(&mut self, stream: StreamId, free: bool) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(&stream) else { return };
        let wishes = match &mut socket.guest {
            Guest::Peer(talk) if free => talk.on_free(&mut self.rng),
            Guest::Peer(talk) => talk.on_tick(now, &mut self.rng),
            Guest::Tracker(visit) => visit.on_tick(now),
        };
        self.grant(stream, wishes);
    }

    fn grant(&mut self, stream: StreamId, wishes: Vec<Wish>) {
        for wish in wishes {
            let Some(socket) = self.sockets.get_mut(&stream) else { return };
            match wish {
                Wish::Send(bytes) => {
                    let portions = socket.line.portions(self.now, &bytes, &mut self.rng);
                    for (at, portion) in portions {
                        self.plan(at, Happening::ToUs(stream, portion));
                    }
                }
                Wish::Boast => *self.spoiled.entry(socket.address).or_default() += 1,
                Wish::TickAt(at) => self.plan(at, Happening::Tick(stream)),
                Wish::TickIn(us) => self.plan(self.now + us, Happening::Tick(stream)),
                Wish::TickWhenFree => {
                    let at = socket.line.free_at;
                    self.plan(at, Happening::Free(stream));
                }
                Wish::Close(cause) => {
                    let at = socket.line.last_arrival.max(self.now) + 1;
                    self.plan(at, Happening::Ends(stream, cause));
                }
            }
        }
    }

    fn load_one(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        let Some((offset, length, renew)) = self.loads.pop_front() else { return };
        let torrent = swarmlet::base::TorrentId(0);
        match self.disk.load(self.now, offset, length, renew) {
            Ok(bytes) => self.tell(Event::Loaded { torrent, offset, bytes: &bytes }),
            Err(fault) => self.tell(Event::LoadFailed { torrent, offset, fault }),
        }
    }

    pub fn look_at_outgoing_of(&mut self, stream: StreamId) {
        if let Some(watch) = self.sockets.get_mut(&stream).and_then(|socket| socket.watch.as_mut()) {
            watch.on_outgoing(self.session.outgoing(stream), &self.torrent, &mut self.disk);
        }
    }

    pub fn trace(&mut self, words: &[u64]) {
        for word in [&[self.now], words].concat() {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
        }
    }

    /// Peers that were banned.
    pub fn banned(&self) -> BTreeSet<SocketAddr> {
        let banned = self.notes.iter().filter_map(|note| match note {
            Note::PeerBanned { address, .. } => Some(*address),
            _ => None,
        });
        banned.collect()
    }

    /// True if nothing can be sent to addresses of this family.
    pub fn lacks(&self, ip: IpAddr) -> bool {
        self.lacking[usize::from(ip.is_ipv6())]
    }

    /// Adds a peer.
    pub fn add_peer(&mut self, address: SocketAddr, model: Model) {
        self.hosts.insert(address, Host::Peer(model));
    }

    /// Adds a tracker behind a name.
    pub fn add_tracker(&mut self, name: &str, address: SocketAddr, service: Service) {
        self.names.insert(name.to_string(), vec![address.ip()]);
        self.hosts.insert(address, Host::Tracker(service));
    }
}
