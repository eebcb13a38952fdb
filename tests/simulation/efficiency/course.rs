//! One session and its seeders in virtual time, with nothing that costs time but the lines: disk and processor are
//! infinitely fast. What the session makes of the lines is then its own doing.

use crate::efficiency::seeder::{Kind, Portion, Seeder};
use crate::swarm::address;
use crate::world::World;
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use swarmlet::base::limits::{RECEIVE_BYTES, TURN_READ_BYTES};
use swarmlet::base::{Instant, Rng, StreamId};
use swarmlet::meta::Metainfo;
use swarmlet::session::{Action, Event, Landing, Outcome, Session};

/// When a course begins, in µs.
const START: u64 = 1_000_000;

#[derive(Debug)]
enum Happening {
    Opens,
    ToThem(Vec<u8>),
    ToUs(Portion),
    /// The seeder's line is free.
    Free,
}

pub struct Course {
    pub session: Session,
    pub now: u64,
    pub outcome: Option<Outcome>,
    kinds: BTreeMap<SocketAddr, Kind>,
    seeders: BTreeMap<StreamId, Seeder>,
    queue: BTreeMap<(u64, u64), (StreamId, Happening)>,
    sequence: u64,
    flushing: BTreeSet<StreamId>,
    /// Bytes that may be hashed at a time.
    pub hash_budget_bytes: usize,
    /// How often hashing had to go on after that.
    pub slices: u64,
    /// Most requests that waited at one seeder at a time, as far as was looked.
    pub widest: u32,
}

impl Course {
    /// A session with `memory_bytes` for blocks that connects to seeders of these kinds for a torrent of zeros.
    pub fn new(kinds: &[Kind], total_bytes: u64, piece_bytes: u32, memory_bytes: u64) -> Self {
        let peers = (0..kinds.len()).map(address).collect();
        let now = Instant::from_micros(START);
        let mut session = Session::new(now, Rng::new(1), World::settings(memory_bytes, peers));
        let metainfo = zeros(total_bytes, piece_bytes);
        let missing = session.missing_buffer_bytes(&metainfo);
        if missing > 0 {
            session.lend(Box::leak(vec![0; missing as usize].into_boxed_slice()));
        }
        session.add_torrent(now, metainfo, true);
        let kinds = kinds.iter().enumerate().map(|(nth, kind)| (address(nth), *kind)).collect();
        let (seeders, queue, flushing) = Default::default();
        let mut course = Self {
            session,
            now: START,
            outcome: None,
            kinds,
            seeders,
            queue,
            sequence: 0,
            flushing,
            hash_budget_bytes: usize::MAX,
            slices: 0,
            widest: 0,
        };
        course.turn();
        course
    }

    /// From now on all ways are as long as this.
    pub fn change_round_trip(&mut self, round_trip_us: u64) {
        self.seeders.values_mut().for_each(|seeder| seeder.kind.round_trip_us = round_trip_us);
    }

    /// Microseconds since the beginning.
    pub fn elapsed_us(&self) -> u64 {
        self.now - START
    }

    /// Block bytes that have come, without those that came twice.
    pub fn useful_bytes(&self) -> u64 {
        let torrent = &self.session.status(Instant::from_micros(self.now)).torrents[0];
        torrent.downloaded_bytes - torrent.duplicate_bytes
    }

    /// Block bytes that came twice.
    pub fn duplicate_bytes(&self) -> u64 {
        self.session.status(Instant::from_micros(self.now)).torrents[0].duplicate_bytes
    }

    /// Bytes of verified pieces that are stored.
    pub fn done_bytes(&self) -> u64 {
        self.session.status(Instant::from_micros(self.now)).torrents[0].done_bytes
    }

    /// Goes on while `condition` holds and until `end_us` after the beginning; true if it ended for the condition.
    pub fn run(&mut self, end_us: u64, condition: impl Fn(&Self) -> bool) -> bool {
        while self.outcome.is_none() && condition(self) {
            let next = self.queue.keys().next().map(|key| key.0);
            let deadline = self.session.next_deadline().map(Instant::as_micros);
            let Some(at) = next.into_iter().chain(deadline).min().map(|at| at.max(self.now)) else { break };
            if at > START + end_us {
                self.now = START + end_us;
                return false;
            }
            self.now = at;
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= at) {
                let (stream, happening) = entry.remove();
                self.happen(stream, happening);
            }
            self.turn();
        }
        true
    }

    fn happen(&mut self, stream: StreamId, happening: Happening) {
        let Some(seeder) = self.seeders.get_mut(&stream) else { return };
        let mut wishes = vec![];
        match happening {
            Happening::Opens => {
                self.flushing.insert(stream);
                self.session.handle(Instant::from_micros(self.now), Event::Connected { stream });
            }
            Happening::ToUs(portion) => seeder.inbox.push(portion),
            Happening::ToThem(bytes) => {
                seeder.take(self.now, &bytes, |at, portion| wishes.push((at, Happening::ToUs(portion))));
                wishes.extend(seeder.begins().then_some((self.now, Happening::Free)));
            }
            Happening::Free => {
                let again = seeder.serve(self.now, |at, block| wishes.push((at, Happening::ToUs(block))));
                wishes.extend(again.map(|at| (at, Happening::Free)));
            }
        }
        wishes.into_iter().for_each(|(at, happening)| self.plan(at, stream, happening));
    }

    fn plan(&mut self, at: u64, stream: StreamId, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), (stream, happening));
    }

    /// One turn of the loop, in the rim's order.
    fn turn(&mut self) {
        let readable = self.seeders.iter().filter(|(_, seeder)| seeder.inbox.bytes > 0);
        let readable: Vec<StreamId> = readable.map(|(stream, _)| *stream).collect();
        readable.into_iter().for_each(|stream| self.serve(stream));
        self.flush();
        let now = Instant::from_micros(self.now);
        while self.outcome.is_none() && self.session.work(now, self.hash_budget_bytes) {
            self.slices += 1;
            self.perform();
        }
        self.perform();
        if self.session.next_deadline().is_some_and(|due| due <= now) {
            self.session.on_time(now);
            self.perform();
        }
        self.flush();
    }

    fn serve(&mut self, stream: StreamId) {
        let now = Instant::from_micros(self.now);
        let mut left = TURN_READ_BYTES;
        let mut line = [0; RECEIVE_BYTES];
        while left > 0 && self.outcome.is_none() {
            let Some(seeder) = self.seeders.get_mut(&stream).filter(|seeder| seeder.inbox.bytes > 0) else {
                return;
            };
            let count = match self.session.landing(stream) {
                Landing::Wait => return,
                Landing::Anywhere => {
                    let count = seeder.inbox.read(&mut line);
                    self.session.received(now, stream, &line[..count]);
                    count
                }
                Landing::Scatter(scatter) => {
                    let count = seeder.inbox.scatter(scatter);
                    self.session.landed(now, stream, count);
                    count
                }
            };
            left = left.saturating_sub(count);
            self.perform();
        }
        // What is left is there in the next turn, at the same time.
        if left == 0 {
            self.plan(self.now, stream, Happening::ToUs(Portion::Bytes(vec![])));
        }
    }

    fn perform(&mut self) {
        let now = Instant::from_micros(self.now);
        while let Some(action) = self.session.next_action().filter(|_| self.outcome.is_none()) {
            match action {
                Action::Connect { stream, address } => {
                    let kind = self.kinds[&address];
                    self.seeders.insert(stream, Seeder::new(kind, stream.generation));
                    self.plan(self.now + kind.round_trip_us, stream, Happening::Opens);
                }
                Action::Flush { stream } => drop(self.flushing.insert(stream)),
                Action::Resume { stream } => {
                    self.plan(self.now, stream, Happening::ToUs(Portion::Bytes(vec![])));
                }
                Action::Close { stream } => drop(self.seeders.remove(&stream)),
                Action::Store { torrent, store } => {
                    self.session.handle(now, Event::Stored { torrent, store });
                }
                Action::Sync { torrent, .. } => self.session.handle(now, Event::Synced { torrent }),
                Action::Complete { torrent } => self.session.handle(now, Event::Completed { torrent }),
                Action::Finish(outcome) => self.outcome = Some(outcome),
                _ => {}
            }
        }
    }

    fn flush(&mut self) {
        for stream in core::mem::take(&mut self.flushing) {
            let Some(seeder) = self.seeders.get(&stream) else { continue };
            let bytes = self.session.outgoing(stream).to_vec();
            let at = self.now + seeder.kind.round_trip_us / 2;
            self.widest = self.widest.max(seeder.waiting());
            self.session.sent(Instant::from_micros(self.now), stream, bytes.len());
            self.plan(at, stream, Happening::ToThem(bytes));
        }
    }
}

/// A torrent of zeros in one file.
fn zeros(total_bytes: u64, piece_bytes: u32) -> Arc<Metainfo> {
    let digest = |length: u64| -> [u8; 20] { Sha1::digest(vec![0; length as usize]).into() };
    let (whole, last) = (total_bytes / u64::from(piece_bytes), total_bytes % u64::from(piece_bytes));
    let pieces = whole + u64::from(last > 0);
    let head = format!("d4:infod6:lengthi{total_bytes}e4:name1:x12:piece lengthi{piece_bytes}e6:pieces");
    let mut bytes = format!("{head}{}:", pieces * 20).into_bytes();
    bytes.extend(digest(piece_bytes.into()).repeat(whole as usize));
    bytes.extend((last > 0).then(|| digest(last)).into_iter().flatten());
    bytes.extend(b"ee");
    Arc::new(Metainfo::parse(&bytes).expect("a sound torrent"))
}
