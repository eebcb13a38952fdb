//! Hosts, lines and sockets of the simulated network, and how the world reads from it.

use crate::peer::{Fault, Model, Talk};
use crate::torrent::Torrent;
use crate::tracker::{Service, Visit};
use crate::watch::Watch;
use crate::world::{Happening, World};
use std::net::SocketAddr;
use std::sync::Arc;
use swarmlet::base::limits::{BLOCK_BYTES, RECEIVE_BYTES, TURN_READ_BYTES};
use swarmlet::base::{Rng, StreamId};
use swarmlet::session::{CloseCause, Landing};

/// Bytes of ours that a host's kernel takes before the host reads.
const SEND_ROOM_BYTES: usize = 16 << 10;

/// Who lives at an address.
#[derive(Clone, Debug)]
pub enum Host {
    Peer(Model),
    Tracker(Service),
}

impl Host {
    /// `Some(cause)` if a connection fails, `Some(None)` if nothing is ever heard.
    pub fn never_opens(&self) -> Option<Option<CloseCause>> {
        match self {
            Self::Peer(Model { fault: Fault::Refuses, .. }) | Self::Tracker(Service::Refuses) => {
                Some(Some(CloseCause::Refused))
            }
            Self::Peer(Model { fault: Fault::Unreachable, .. }) => Some(Some(CloseCause::Unreachable)),
            Self::Peer(Model { fault: Fault::NeverConnects, .. }) | Self::Tracker(Service::NeverOpens) => {
                Some(None)
            }
            _ => None,
        }
    }
}

/// Who is on the other end of a stream.
#[derive(Debug)]
pub enum Guest {
    Peer(Box<Talk>),
    Tracker(Visit),
}

impl Guest {
    /// For a new connection.
    fn new(host: &Host, torrent: &Arc<Torrent>) -> Self {
        match host {
            Host::Peer(model) => Self::Peer(Box::new(Talk::new(model.clone(), torrent.clone()))),
            Host::Tracker(service) => Self::Tracker(Visit::new(service.clone())),
        }
    }
}

/// The way from a host to us: bytes keep their order, each takes its time.
#[derive(Debug)]
pub struct Line {
    rate: u64,
    latency_us: u64,
    jitter_us: u32,
    /// All that was sent is on the line.
    pub free_at: u64,
    pub last_arrival: u64,
    /// One in so many sends is cut at random.
    cuts: u32,
}

impl Line {
    /// Cuts `bytes` into portions and says when each arrives.
    pub fn portions(&mut self, now: u64, bytes: &[u8], rng: &mut Rng) -> Vec<(u64, Vec<u8>)> {
        let mut ends = vec![bytes.len()];
        if self.rate < BLOCK_BYTES.into() {
            // Of what takes long, some comes every second.
            ends.extend((self.rate as usize..bytes.len()).step_by(self.rate as usize));
            ends.sort_unstable();
        }
        if bytes.len() > 1 && rng.one_in(self.cuts) {
            ends.extend((0..1 + rng.below(3)).map(|_| 1 + rng.below(bytes.len() as u32 - 1) as usize));
            ends.sort_unstable();
            ends.dedup();
        }
        let mut start = 0;
        let mut portions = Vec::with_capacity(ends.len());
        for end in ends {
            let took = (end - start) as u64 * 1_000_000 / self.rate;
            self.free_at = self.free_at.max(now) + took;
            let jitter = rng.below(self.jitter_us);
            self.last_arrival = self.last_arrival.max(self.free_at + self.latency_us + u64::from(jitter));
            portions.push((self.last_arrival, bytes[start..end].to_vec()));
            start = end;
        }
        portions
    }
}

/// One stream, seen from the kernel.
#[derive(Debug)]
pub struct Socket {
    pub address: SocketAddr,
    pub guest: Guest,
    pub line: Line,
    pub latency_us: u64,
    pub open: bool,
    /// It is not to be read before the session says so.
    pub waits: bool,
    pub inbox: Vec<u8>,
    /// The stream ends so, after what is in the inbox.
    pub over: Option<CloseCause>,
    pub unread_bytes: usize,
    pub never_reads: bool,
    pub watch: Option<Watch>,
}

impl Socket {
    pub fn new(address: SocketAddr, host: &Host, torrent: &Arc<Torrent>, rng: &mut Rng) -> Self {
        let (rate, latency_us, never_reads) = match host {
            Host::Peer(model) => (model.rate, model.latency_us, model.fault == Fault::NeverReads),
            Host::Tracker(_) => (100_000_000, 10_000, false),
        };
        let cuts = [0, 2, 10][rng.below(3) as usize];
        let jitter_us = rng.below(2) * (latency_us as u32 / 2);
        Self {
            address,
            guest: Guest::new(host, torrent),
            line: Line { rate, latency_us, jitter_us, free_at: 0, last_arrival: 0, cuts },
            latency_us,
            open: false,
            waits: false,
            inbox: Vec::new(),
            over: None,
            unread_bytes: 0,
            never_reads,
            watch: None,
        }
    }

    /// Bytes that a write takes.
    pub fn room_bytes(&self) -> usize {
        SEND_ROOM_BYTES.saturating_sub(self.unread_bytes)
    }
}

impl World {
    /// Gives every readable stream its turn; now and then one is readable that has nothing.
    pub fn serve_all(&mut self) {
        let spurious = self.rng.one_in(8);
        // A stream that waits is not tried again, whatever comes: the session has to say so.
        let readable = |socket: &Socket| {
            let has_news = !socket.inbox.is_empty() || socket.over.is_some();
            socket.open && !socket.waits && (has_news || spurious)
        };
        let streams = self.sockets.iter().filter(|(_, socket)| readable(socket));
        let streams: Vec<StreamId> = streams.map(|(stream, _)| *stream).collect();
        for stream in streams {
            self.serve(stream);
        }
    }

    /// `stream`, which waited, is read again.
    pub fn read_again(&mut self, stream: StreamId) {
        let socket = self.sockets.get_mut(&stream).expect("a stream that is not closed");
        assert!(core::mem::take(&mut socket.waits), "{stream:?} was never told to wait");
        self.plan(self.now, Happening::Turn);
    }

    fn serve(&mut self, stream: StreamId) {
        let mut left = TURN_READ_BYTES;
        while self.outcome.is_none() {
            let Some(socket) = self.sockets.get(&stream) else { return };
            if socket.inbox.is_empty()
                && let Some(cause) = socket.over
            {
                return self.end(stream, cause);
            }
            let count = self.read(stream);
            self.perform_and_look(stream);
            left = left.saturating_sub(count);
            let more = self.sockets.get(&stream).is_some_and(|socket| !socket.inbox.is_empty());
            if count == 0 || left == 0 || !more {
                if more {
                    self.plan(self.now + 20, Happening::Turn);
                }
                if left == 0 || count == 0 {
                    return;
                }
            }
        }
    }

    /// One read of a random part of what is there. Returns 0 if nothing is, as a socket that would block.
    fn read(&mut self, stream: StreamId) -> usize {
        let now = self.instant();
        let Some(socket) = self.sockets.get_mut(&stream) else { return 0 };
        let most = if self.rng.one_in(4) { 1 + self.rng.below(40_000) as usize } else { usize::MAX };
        let most = most.min(self.session.allowance(now, stream));
        let mut taken = 0;
        match if most == 0 { Landing::Wait } else { self.session.landing(stream) } {
            Landing::Wait => {
                self.waits += u32::from(!socket.waits);
                socket.waits = true;
            }
            Landing::Anywhere => {
                taken = socket.inbox.len().min(RECEIVE_BYTES).min(most);
                if taken > 0 {
                    let bytes: Vec<u8> = socket.inbox.drain(..taken).collect();
                    socket.watch.iter_mut().for_each(|watch| watch.on_theirs(&bytes));
                    self.session.received(now, stream, &bytes);
                }
            }
            Landing::Scatter(scatter) => {
                for area in scatter.areas() {
                    assert!(!area.is_empty(), "an area without room");
                    let here = area.len().min(socket.inbox.len() - taken).min(most - taken);
                    area[..here].copy_from_slice(&socket.inbox[taken..taken + here]);
                    taken += here;
                }
                if taken > 0 {
                    let bytes: Vec<u8> = socket.inbox.drain(..taken).collect();
                    socket.watch.iter_mut().for_each(|watch| watch.on_theirs(&bytes));
                    self.session.landed(now, stream, taken);
                }
            }
        }
        self.trace(&[7, stream.generation.into(), taken as u64]);
        taken
    }
}
