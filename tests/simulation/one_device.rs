//! Several torrents whose files lie on one device that is slower than their peers: what waits for it is bounded for all
//! of them together, and nobody waits for ever.

use crate::frames;
use crate::torrent::{Shape, Torrent};
use crate::world::World;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use swarmlet::base::limits::UNSYNCED_BYTES_MIN;
use swarmlet::base::{Instant, PeerId, Rng, StreamId, TorrentId};
use swarmlet::session::{Action, Event, Landing, Outcome, Session};
use swarmlet::wire::{Framer, Handshake, Item, Message};

const STEP: Duration = Duration::from_millis(1);
const MIB: u64 = 1 << 20;

/// A seed of one torrent.
struct Seed {
    torrent: usize,
    /// Bytes per step.
    rate: u64,
    framer: Framer,
    asked: VecDeque<[u32; 3]>,
    /// What it may send by now, and what it has sent that is not read.
    credit: u64,
    unread: Vec<u8>,
    waits: bool,
}

/// The session, a seed for each torrent, and the device.
struct Table {
    session: Session,
    now: Instant,
    torrents: Vec<Arc<Torrent>>,
    seeds: BTreeMap<StreamId, Seed>,
    /// Bytes that the device takes in a step.
    device_rate: u64,
    /// Of each torrent: bytes stored in all, and since its last sync.
    stored: Vec<u64>,
    dirty: Vec<u64>,
    /// Syncs that the device has not done, in order, with the bytes that it still lacks.
    syncs: VecDeque<(TorrentId, u64)>,
    completing: Vec<TorrentId>,
    most_unsynced: u64,
    outcome: Option<Outcome>,
}

impl Table {
    fn new(shapes: &[Shape], seed_rates: &[u64], device_rate: u64, memory_bytes: u64) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut session = Session::new(now, Rng::new(1), World::settings(memory_bytes, vec![]));
        let torrents: Vec<Arc<Torrent>> =
            shapes.iter().zip(1..).map(|(shape, seed)| Torrent::new(shape, &mut Rng::new(seed))).collect();
        let count = torrents.len();
        for torrent in &torrents {
            session.add_torrent(now, torrent.metainfo.clone(), true);
        }
        let mut table = Self {
            session,
            now,
            torrents,
            seeds: BTreeMap::new(),
            device_rate,
            stored: vec![0; count],
            dirty: vec![0; count],
            syncs: VecDeque::new(),
            completing: Vec::new(),
            most_unsynced: 0,
            outcome: None,
        };
        (0..count).for_each(|torrent| table.seat(torrent, seed_rates[torrent % seed_rates.len()]));
        table
    }

    /// A seed comes for a torrent.
    fn seat(&mut self, torrent: usize, rate: u64) {
        let address = SocketAddr::from(([9, 9, 9, torrent as u8 + 1], 5));
        let stream = self.session.accept(self.now, address).expect("taken in");
        let metainfo = &self.torrents[torrent].metainfo;
        let peer_id = PeerId([b'a' + torrent as u8; 20]);
        let hand = Handshake { info_hash: metainfo.info_hash, peer_id, fast: true, extended: false };
        let framer = Framer::new(metainfo.geometry());
        let (asked, unread) = (VecDeque::new(), Vec::new());
        let seed = Seed { torrent, rate, framer, asked, credit: 0, unread, waits: false };
        self.seeds.insert(stream, seed);
        self.session.received(self.now, stream, &hand.encode());
        self.act();
        assert_eq!(self.session.outgoing(stream).get(..4), Some(&b"\x13Bit"[..]));
        let ours = self.session.outgoing(stream).len().min(68);
        self.session.sent(self.now, stream, ours);
        let words = [frames::message(frames::HAVE_ALL, &[]), frames::message(frames::UNCHOKE, &[])].concat();
        self.session.received(self.now, stream, &words);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Store { torrent, store } => {
                    let Some(view) = self.session.store(torrent, store) else { continue };
                    let nth = torrent.0 as usize;
                    assert!(self.torrents[nth].is_right(view.offset, &view.parts.concat()), "other bytes");
                    let bytes: u64 = view.parts.iter().map(|part| part.len() as u64).sum();
                    self.stored[nth] += bytes;
                    self.dirty[nth] += bytes;
                    self.session.handle(self.now, Event::Stored { torrent, store });
                }
                Action::Sync { torrent, .. } => {
                    let bytes = core::mem::take(&mut self.dirty[torrent.0 as usize]);
                    self.syncs.push_back((torrent, bytes));
                }
                Action::Complete { torrent } => self.completing.push(torrent),
                Action::Resume { stream } => {
                    self.seeds.get_mut(&stream).expect("not closed").waits = false;
                }
                Action::Finish(outcome) => self.outcome = Some(outcome),
                _ => {}
            }
        }
        let syncing: u64 = self.syncs.iter().map(|(_, bytes)| bytes).sum();
        self.most_unsynced = self.most_unsynced.max(self.dirty.iter().sum::<u64>() + syncing);
    }

    /// The seed hears what it is asked for, and sends as much of it as it can in a step.
    fn serve(&mut self, stream: StreamId) {
        let said = self.session.outgoing(stream).to_vec();
        self.session.sent(self.now, stream, said.len());
        let Some(seed) = self.seeds.get_mut(&stream) else { return };
        let mut said = &said[..];
        while let Some(item) = seed.framer.next(&mut said).expect("our own words") {
            if let Item::Message(Message::Request(block)) = item {
                seed.asked.push_back([block.piece, block.begin, block.length]);
            }
        }
        let torrent = &self.torrents[seed.torrent];
        seed.credit = (seed.credit + seed.rate).min(1 << 20);
        while let Some(&[piece, begin, length]) = seed.asked.front()
            && seed.credit >= u64::from(length)
            && !seed.waits
        {
            let from = torrent.piece_range(piece).start + u64::from(begin);
            seed.unread.extend(frames::piece(piece, begin, &torrent.bytes(from..from + u64::from(length))));
            seed.credit -= u64::from(length);
            seed.asked.pop_front();
        }
        while self.read(stream) {
            self.act();
        }
    }

    /// One read of what a seed has sent; false if there was nothing, or it has to wait.
    fn read(&mut self, stream: StreamId) -> bool {
        let Some(seed) = self.seeds.get_mut(&stream).filter(|seed| !seed.unread.is_empty()) else {
            return false;
        };
        match self.session.landing(stream) {
            Landing::Wait => {
                seed.waits = true;
                return false;
            }
            Landing::Anywhere => {
                let bytes = core::mem::take(&mut seed.unread);
                self.session.received(self.now, stream, &bytes);
            }
            Landing::Scatter(scatter) => {
                let mut taken = 0;
                for area in scatter.areas() {
                    let here = area.len().min(seed.unread.len() - taken);
                    area[..here].copy_from_slice(&seed.unread[taken..taken + here]);
                    taken += here;
                }
                seed.unread.drain(..taken);
                self.session.landed(self.now, stream, taken);
            }
        }
        true
    }

    /// The device goes on for a step.
    fn write_back(&mut self) {
        let mut left = self.device_rate;
        while let Some((torrent, bytes)) = self.syncs.front_mut() {
            let here = left.min(*bytes);
            (left, *bytes) = (left - here, *bytes - here);
            if *bytes > 0 {
                return;
            }
            let torrent = *torrent;
            self.syncs.pop_front();
            self.session.handle(self.now, Event::Synced { torrent });
            self.act();
        }
        for torrent in core::mem::take(&mut self.completing) {
            assert_eq!(self.dirty[torrent.0 as usize], 0, "all that was stored is synced before");
            self.session.handle(self.now, Event::Completed { torrent });
            self.act();
        }
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        for stream in self.seeds.keys().copied().collect::<Vec<_>>() {
            self.serve(stream);
        }
        self.write_back();
        while self.session.work(self.now, 1 << 20) {
            self.act();
        }
        self.act();
        if self.session.next_deadline().is_some_and(|due| due <= self.now) {
            self.session.on_time(self.now);
            self.act();
        }
        self.session.check();
    }

    /// Goes on while `condition` holds, at most so many seconds.
    fn run_while(&mut self, seconds: u64, condition: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        while condition(self) {
            self.step();
            assert!(self.now < end, "not there after {seconds} s: {:#?}", self.session.status(self.now));
        }
    }
}

/// Bytes that the device takes in a step, at 5 MB/s.
const SLOW: u64 = 5_000;
const FAST_SEED: u64 = 20_000;

#[test]
fn what_waits_for_the_device_is_bounded_for_all_torrents_together() {
    let shapes = vec![Shape::single(256 << 10, 6 * MIB); 8];
    let mut table = Table::new(&shapes, &[FAST_SEED], SLOW, 16 << 20);
    table.run_while(60, |table| table.outcome.is_none());
    assert_eq!((table.outcome, table.stored.as_slice()), (Some(Outcome::Complete), &[6 * MIB; 8][..]));
    // What the device takes in a second, and what the last look at it may be wrong by.
    let most = table.most_unsynced;
    assert!((UNSYNCED_BYTES_MIN / 2..=2 * UNSYNCED_BYTES_MIN).contains(&most), "{most}");
    // 48 MiB at 5 MB/s take 10 s.
    let took = table.now.as_micros() / 1_000_000;
    assert!((10..20).contains(&took), "{took} s");
}

#[test]
fn who_is_slow_does_not_wait_for_who_is_fast() {
    let mut shapes = vec![Shape::single(16 << 10, MIB / 2); 4];
    shapes[0] = Shape::single(MIB as u32, 64 * MIB);
    let mut table = Table::new(&shapes, &[FAST_SEED, 100, 100, 100], SLOW, 8 << 20);
    let slow_ones_lack = |table: &Table| table.stored[1..].iter().any(|&bytes| bytes < MIB / 2);
    table.run_while(60, slow_ones_lack);
    // Half a mebibyte at 100 kB/s.
    let took = table.now.as_micros() / 1_000_000;
    assert!(took < 12 && table.stored[0] > 16 * MIB, "{took} s, {:?}", table.stored);
}

#[test]
fn a_store_larger_than_the_bound_is_let_through_when_nothing_else_waits() {
    // At 100 kB/s the bound is the least, of which an extent is a half.
    let mut shapes = vec![Shape::single(16 << 10, 256 << 10); 3];
    shapes[1] = Shape::single(8 << 20, 16 << 20);
    let mut table = Table::new(&shapes, &[FAST_SEED], 100, 32 << 20);
    table.run_while(400, |table| table.outcome.is_none());
    assert_eq!(table.outcome, Some(Outcome::Complete));
}
