//! The seeders: who has which pieces, who misbehaves how, and how fast each may send.

use crate::Options;
use crate::content::Content;
use crate::torrent::Torrent;
use crate::watch::Watch;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

mod connection;

/// Length of a `have` message with its prefix.
const HAVE_BYTES: f64 = 9.0;

/// How late a sender may be and still make up for it; also what it may send at once after a pause.
const LATE_MAX: Duration = Duration::from_millis(5);

/// Everything that the threads share.
pub struct Swarm {
    pub torrent: Torrent,
    pub content: Content,
    pub watch: Watch,
    pub fast: bool,
    pub latency: Duration,
    pub fragment: Option<usize>,
    pub choke_every: Option<u64>,
    pub choked: bool,
    pub lenient: bool,
    /// `have` messages that each seeder sends in a second.
    pub haves_per_s: f64,
    pub seed: u64,
    seeders: Vec<Seeder>,
}

/// One seeder; all its connections share its rate.
pub struct Seeder {
    /// As in a `bitfield` message.
    pub bits: Vec<u8>,
    pub has_all: bool,
    pub poison_percent: u32,
    pub silent_after: Option<u64>,
    bytes_per_s: Option<f64>,
    free_at: Mutex<Instant>,
}

impl Swarm {
    pub fn new(torrent: Torrent, content: Content, options: &Options) -> Self {
        let seeders = (0..options.seeders).map(|nth| Seeder::new(&torrent, options, nth)).collect();
        Self {
            torrent,
            content,
            watch: Watch::default(),
            fast: !options.no_fast,
            latency: Duration::from_millis(options.latency_ms.into()),
            fragment: options.fragment,
            choke_every: options.choke_every,
            choked: options.choked,
            lenient: options.lenient,
            haves_per_s: f64::from(options.have_rate) / HAVE_BYTES / f64::from(options.seeders.max(1)),
            seed: options.seed,
            seeders,
        }
    }
}

impl Seeder {
    /// Only the first seeders misbehave, so that the others can finish the torrent.
    fn new(torrent: &Torrent, options: &Options, nth: u16) -> Self {
        let pieces = torrent.pieces();
        let mut bits = vec![0_u8; pieces.div_ceil(8) as usize];
        let owned = (0..pieces).filter(|&piece| owns(options, nth, piece));
        owned.for_each(|piece| bits[piece as usize / 8] |= 0x80 >> (piece % 8));
        let count: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        Self {
            bits,
            has_all: count == pieces,
            poison_percent: if nth < options.poisoners { options.poison } else { 0 },
            silent_after: options.silent_after.filter(|_| nth == 0),
            bytes_per_s: options.rate.map(|kib| f64::from(kib.max(1)) * 1024.0),
            free_at: Mutex::new(Instant::now()),
        }
    }

    pub fn has(&self, piece: u32) -> bool {
        self.bits.get(piece as usize / 8).is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    }

    /// Blocks that may be sent at once: few where the rate is limited, so that it is even.
    pub fn batch(&self) -> usize {
        if self.bytes_per_s.is_some() { 1 } else { 64 }
    }

    /// Sleeps until `bytes` more fit the rate. A sleep that ends late is made up for by the next one: the rate is that
    /// which was asked for as long as there is something to send.
    pub fn pace(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_s else { return };
        let now = Instant::now();
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *free_at = (*free_at).max(now.checked_sub(LATE_MAX).unwrap_or(now))
                + Duration::from_secs_f64(bytes as f64 / rate);
            *free_at
        };
        thread::sleep(until.saturating_duration_since(now));
    }
}

/// Each piece has one owner for sure, and others by chance.
fn owns(options: &Options, nth: u16, piece: u32) -> bool {
    if options.empty {
        return false;
    }
    let owner = mix(options.seed, piece.into()) % u64::from(options.seeders);
    let chance = mix(options.seed ^ (u64::from(nth) + 1), piece.into()) % 100;
    owner == u64::from(nth) || chance < options.pieces.into()
}

/// A number that looks random and follows from both (the finalizer of splitmix64).
pub fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Serves every connection in a thread of its own.
pub fn listen(listener: TcpListener, swarm: &Arc<Swarm>, nth: usize) {
    let swarm = Arc::clone(swarm);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let swarm = Arc::clone(&swarm);
            thread::spawn(move || {
                // A connection that ends is no fault; a broken rule is.
                if let Err(error) = connection::serve(stream, &swarm, nth)
                    && error.kind() == io::ErrorKind::InvalidData
                {
                    swarm.watch.fault(error);
                }
            });
        }
    });
}
