//! Many real sessions in one virtual network: their lines have rates and delays, their disks are memory.

use core::time::Duration;
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use swarmlet::base::{Instant, Rng, StreamId};
use swarmlet::meta::Metainfo;
use swarmlet::session::{Action, CloseCause, Event, Giving, Session, Settings, TorrentStatus};

/// Bytes of a connection that are on their way at a time: what two sockets hold.
const WINDOW_BYTES: usize = 512 << 10;
/// From one line to another, in µs.
const LATENCY_US: u64 = 500;
/// The port on which everybody listens.
const PORT: u16 = 6881;

/// What is shared.
pub struct Content {
    pub metainfo: Arc<Metainfo>,
    pub bytes: Vec<u8>,
}

impl Content {
    /// So many pieces of so many bytes.
    pub fn new(pieces: usize, piece_bytes: usize) -> Arc<Self> {
        let mut bytes = vec![0; pieces * piece_bytes];
        Rng::new(7).fill(&mut bytes);
        let hashes: Vec<u8> =
            bytes.chunks(piece_bytes).flat_map(|piece| <[u8; 20]>::from(Sha1::digest(piece))).collect();
        let head = format!(
            "d4:infod6:lengthi{}e4:name1:a12:piece lengthi{piece_bytes}e6:pieces{}:",
            bytes.len(),
            hashes.len()
        );
        let torrent = [head.as_bytes(), &hashes, b"ee"].concat();
        Arc::new(Self { metainfo: Arc::new(Metainfo::parse(&torrent).unwrap()), bytes })
    }
}

/// One machine.
pub struct Node {
    pub session: Session,
    disk: Vec<u8>,
    /// Bytes per second that its line carries away.
    line: u64,
    /// When its line has sent all that it was given, in µs.
    line_free: u64,
    ends: HashMap<StreamId, End>,
    flush: VecDeque<StreamId>,
    wake: Option<u64>,
    /// When everything was there, in µs.
    pub completed: Option<u64>,
    /// Its run has ended.
    gone: bool,
}

/// One end of a connection.
struct End {
    node: usize,
    stream: StreamId,
    /// Bytes that it has sent and that have not arrived.
    in_flight: usize,
    /// On the list of those that want to send.
    listed: bool,
}

enum Happening {
    /// A call arrives.
    Call {
        from: usize,
        stream: StreamId,
        to: usize,
    },
    Bytes {
        to: usize,
        stream: StreamId,
        bytes: Vec<u8>,
    },
    Closed {
        to: usize,
        stream: StreamId,
        cause: CloseCause,
    },
    Wake(usize),
}

/// All machines, and what is on its way between them.
pub struct Net {
    pub content: Arc<Content>,
    pub nodes: Vec<Node>,
    pub now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    count: u64,
}

/// Where a machine listens.
pub fn address(node: usize) -> SocketAddr {
    // Networks of their own, so that no two are neighbours.
    (Ipv4Addr::new(20 + node as u8, 1 + node as u8 * 7, 3, 4), PORT).into()
}

/// How one takes part.
#[derive(Clone)]
pub struct Part {
    /// How much of it is there when it comes, in percent.
    pub has_percent: u32,
    pub giving: Giving,
    /// Bytes per second that its line carries away.
    pub line: u64,
    pub max_peers: u32,
    /// Machines that it knows.
    pub knows: Vec<usize>,
}

impl Net {
    pub fn new(content: Arc<Content>) -> Self {
        Self { content, nodes: Vec::new(), now: 1_000_000, queue: BTreeMap::new(), count: 0 }
    }

    pub fn add(&mut self, part: &Part) -> usize {
        let nth = self.nodes.len();
        let now = Instant::from_micros(self.now);
        let settings = Settings {
            memory_bytes: 16 << 20,
            max_peers: part.max_peers,
            port: PORT,
            peers: part.knows.iter().map(|&node| address(node)).collect(),
            give_up: None,
            check_only: false,
        };
        let mut session = Session::new(now, Rng::new(1000 + nth as u64), settings);
        session.give(now, part.giving.clone());
        let (mut rng, geometry) = (Rng::new(nth as u64), self.content.metainfo.geometry());
        let mut disk = vec![0; self.content.bytes.len()];
        for piece in (0..geometry.pieces).filter(|_| rng.below(100) < part.has_percent) {
            let range = geometry.piece_range(piece);
            let range = range.start as usize..range.end as usize;
            disk[range.clone()].copy_from_slice(&self.content.bytes[range]);
        }
        session.add_torrent(now, self.content.metainfo.clone(), part.has_percent == 0);
        self.nodes.push(Node {
            session,
            disk,
            line: part.line,
            line_free: 0,
            ends: HashMap::new(),
            flush: VecDeque::new(),
            wake: None,
            gone: false,
            completed: None,
        });
        self.pump(nth);
        nth
    }

    pub fn seconds(&self) -> f64 {
        self.now as f64 / 1e6 - 1.0
    }

    pub fn status(&self, node: usize) -> TorrentStatus {
        self.nodes[node].session.status(Instant::from_micros(self.now)).torrents[0].clone()
    }

    /// When `node` had everything, in seconds.
    pub fn completed(&self, node: usize) -> f64 {
        self.nodes[node].completed.map_or(f64::INFINITY, |at| at as f64 / 1e6 - 1.0)
    }

    /// Runs while `goes_on` says so, at most `limit` of virtual time. False if the limit ended it.
    pub fn run_while(&mut self, limit: Duration, mut goes_on: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit.as_micros() as u64;
        while goes_on(self) {
            let Some(entry) = self.queue.first_entry() else { return true };
            if entry.key().0 > end {
                self.now = end;
                return false;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        true
    }

    /// Runs until all of `nodes` have everything; fails when that takes longer than `limit`.
    pub fn complete(&mut self, nodes: &[usize], limit: Duration) {
        let done = self.run_while(limit, |net| nodes.iter().any(|&node| net.nodes[node].completed.is_none()));
        let left: Vec<_> = nodes.iter().map(|&node| self.status(node).pieces_have).collect();
        assert!(done, "not complete after {limit:?}: {left:?} pieces");
        for &node in nodes {
            assert!(self.nodes[node].disk == self.content.bytes, "node {node} has other bytes");
        }
    }

    fn plan(&mut self, at: u64, happening: Happening) {
        self.count += 1;
        self.queue.insert((at, self.count), happening);
    }

    fn happen(&mut self, happening: Happening) {
        let now = Instant::from_micros(self.now);
        match happening {
            Happening::Call { from, stream, to } => self.call(from, stream, to),
            Happening::Bytes { to, stream, bytes } => {
                let Some(end) = self.nodes[to].ends.get(&stream) else { return };
                let (from, theirs) = (end.node, end.stream);
                if let Some(sender) = self.nodes[from].ends.get_mut(&theirs) {
                    sender.in_flight -= bytes.len();
                    self.list(from, theirs);
                }
                self.nodes[to].session.received(now, stream, &bytes);
                self.pump(to);
                self.pump(from);
            }
            Happening::Closed { to, stream, cause } => {
                self.nodes[to].ends.remove(&stream);
                self.nodes[to].session.handle(now, Event::Closed { stream, cause });
                self.pump(to);
            }
            Happening::Wake(node) => {
                self.nodes[node].wake = None;
                self.pump(node);
            }
        }
    }

    fn call(&mut self, from: usize, stream: StreamId, to: usize) {
        let now = Instant::from_micros(self.now);
        let origin = SocketAddr::new(address(from).ip(), 40_000 + stream.slot as u16);
        let Some(theirs) = self.nodes[to].session.accept(now, origin) else {
            let cause = CloseCause::Reset;
            return self.plan(self.now + LATENCY_US, Happening::Closed { to: from, stream, cause });
        };
        let end = |node, stream| End { node, stream, in_flight: 0, listed: false };
        self.nodes[to].ends.insert(theirs, end(from, stream));
        self.nodes[from].ends.insert(stream, end(to, theirs));
        self.nodes[from].session.handle(now, Event::Connected { stream });
        self.pump(from);
        self.pump(to);
    }

    /// Lists a stream that may have something to send.
    fn list(&mut self, node: usize, stream: StreamId) {
        let node = &mut self.nodes[node];
        if let Some(end) = node.ends.get_mut(&stream)
            && !core::mem::replace(&mut end.listed, true)
        {
            node.flush.push_back(stream);
        }
    }

    /// Lets a machine do all that it can do at this time.
    fn pump(&mut self, node: usize) {
        let now = Instant::from_micros(self.now);
        while !self.nodes[node].gone {
            self.act(node);
            let session = &mut self.nodes[node].session;
            let works = session.work(now, 4 << 20);
            if session.next_deadline().is_some_and(|due| due <= now) {
                session.on_time(now);
            } else if !works && !self.send(node) {
                break;
            }
        }
        self.act(node);
        let state = &self.nodes[node];
        let done =
            state.session.status(now).torrents[0].pieces_have == self.content.metainfo.geometry().pieces;
        if done && state.completed.is_none() {
            self.nodes[node].completed = Some(self.now);
        }
        self.plan_wake(node);
    }

    fn plan_wake(&mut self, node: usize) {
        let state = &self.nodes[node];
        if state.gone {
            return;
        }
        let busy = (!state.flush.is_empty()).then_some(state.line_free);
        let due = state.session.next_deadline().map(Instant::as_micros).into_iter().chain(busy).min();
        let Some(due) = due.map(|due| due.max(self.now + 1)) else { return };
        if state.wake.is_none_or(|planned| due < planned) {
            self.nodes[node].wake = Some(due);
            self.plan(due, Happening::Wake(node));
        }
    }

    fn act(&mut self, node: usize) {
        let now = Instant::from_micros(self.now);
        while let Some(action) = self.nodes[node].session.next_action() {
            match action {
                Action::Connect { stream, address } => self.connect(node, stream, address),
                Action::Flush { stream } => self.list(node, stream),
                Action::Reach { .. }
                | Action::Associate { .. }
                | Action::SendDatagram { .. }
                | Action::Resume { .. }
                | Action::Resolve { .. }
                | Action::Say(_) => {}
                Action::Finish(_) => self.nodes[node].gone = true,
                Action::Close { stream } => {
                    if let Some(end) = self.nodes[node].ends.remove(&stream) {
                        let at = self.nodes[node].line_free.max(self.now) + LATENCY_US;
                        let cause = CloseCause::Ended;
                        self.plan(at, Happening::Closed { to: end.node, stream: end.stream, cause });
                    }
                }
                Action::Store { torrent, store } => {
                    let Node { session, disk, .. } = &mut self.nodes[node];
                    let Some(view) = session.store(torrent, store) else { continue };
                    let mut at = view.offset as usize;
                    for part in view.parts {
                        disk[at..at + part.len()].copy_from_slice(part);
                        at += part.len();
                    }
                    session.handle(now, Event::Stored { torrent, store });
                }
                Action::Load { torrent, offset, length, .. } => {
                    let Node { session, disk, .. } = &mut self.nodes[node];
                    let bytes = &disk[offset as usize..offset as usize + length];
                    session.handle(now, Event::Loaded { torrent, offset, bytes });
                }
                Action::Sync { torrent, .. } => {
                    self.nodes[node].session.handle(now, Event::Synced { torrent });
                }
                Action::Save { torrent } => {
                    self.nodes[node].session.handle(now, Event::Saved { torrent, result: Ok(()) });
                }
                Action::ForgetState { .. } => {}
                Action::Complete { torrent } => {
                    self.nodes[node].session.handle(now, Event::Completed { torrent });
                }
            }
        }
    }

    fn connect(&mut self, node: usize, stream: StreamId, to: SocketAddr) {
        let at = self.now + 2 * LATENCY_US;
        match (0..self.nodes.len()).find(|&other| address(other) == to) {
            Some(to) => self.plan(at, Happening::Call { from: node, stream, to }),
            None => {
                self.plan(at, Happening::Closed { to: node, stream, cause: CloseCause::Refused });
            }
        }
    }

    /// Gives each stream that wants to send its turn, as long as the line takes it. True if anything was sent.
    fn send(&mut self, node: usize) -> bool {
        let mut sent = false;
        for _ in 0..self.nodes[node].flush.len() {
            // The kernel's queue holds two milliseconds of the line, and one packet at least.
            if self.nodes[node].line_free > self.now + 2_000 {
                break;
            }
            let Some(stream) = self.nodes[node].flush.pop_front() else { break };
            let Some(end) = self.nodes[node].ends.get_mut(&stream) else { continue };
            end.listed = false;
            let room = WINDOW_BYTES.saturating_sub(end.in_flight).min(32 << 10);
            let (to, theirs) = (end.node, end.stream);
            let bytes = self.take(node, stream, room);
            if bytes.is_empty() {
                continue;
            }
            sent = true;
            let state = &mut self.nodes[node];
            let start = state.line_free.max(self.now);
            state.line_free = start + bytes.len() as u64 * 1_000_000 / state.line;
            let at = state.line_free + LATENCY_US;
            if let Some(end) = state.ends.get_mut(&stream) {
                end.in_flight += bytes.len();
            }
            self.list(node, stream);
            self.plan(at, Happening::Bytes { to, stream: theirs, bytes });
        }
        sent
    }

    /// Takes at most `most` bytes of what a session sends, as the rim does.
    fn take(&mut self, node: usize, stream: StreamId, most: usize) -> Vec<u8> {
        let now = Instant::from_micros(self.now);
        let Node { session, disk, .. } = &mut self.nodes[node];
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let file = session.file_bytes(now, stream);
            let messages = session.outgoing(stream);
            if !messages.is_empty() {
                let count = messages.len().min(most - bytes.len());
                bytes.extend_from_slice(&messages[..count]);
                session.sent(now, stream, count);
            } else if let Some(file) = file {
                let (from, count) = (file.offset as usize, file.length.min(most - bytes.len()));
                bytes.extend_from_slice(&disk[from..from + count]);
                session.sent_file(now, stream, count);
            } else {
                break;
            }
        }
        bytes
    }
}
