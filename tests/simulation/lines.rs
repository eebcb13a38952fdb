//! Many peers on a line that is narrow, by `--down-limit` or of itself: all of them bring something at the same pace, and
//! memory must not be full of parts before anything is whole, as then they are thrown away and fetched again.

use crate::fault::Fault;
use crate::peer::{Has, Model};
use crate::scenarios::world_of;
use crate::swarm::check_end;
use crate::torrent::Shape;
use std::time::Duration;
use swarmlet::base::limits::{BLOCK_BYTES, REQUESTS_MIN};
use swarmlet::base::units::KIB;
use swarmlet::session::{Giving, Settings};

/// What the endgame may fetch twice, whatever the size: the last blocks are asked of two.
const ENDGAME_BYTES: u64 = 512 << 10;

/// A download over a narrow line.
#[derive(Clone, Copy, Debug)]
struct Line {
    peers: usize,
    /// Bytes per second that each of them gives.
    peer_rate: u64,
    limit_kib: u64,
    piece_kib: u32,
    mib: u64,
    memory_mib: u64,
}

impl Line {
    /// Bytes that were fetched twice, and how long it took, in parts of what the limit makes of it.
    fn run(self) -> (u64, f64) {
        let model = Model { rate: self.peer_rate, latency_us: 30_000, ..Model::honest() };
        let shape = Shape::single(self.piece_kib << 10, self.mib << 20);
        let memory_bytes = self.memory_mib << 20;
        let change = |settings: &mut Settings| settings.memory_bytes = memory_bytes;
        let mut world = world_of(7, &shape, &vec![model; self.peers], change);
        let (start, limit) = (world.instant(), self.limit_kib * u64::from(KIB));
        world.session.give(start, Giving { down_limit: limit, ..Giving::default() });
        world.check_every = 1_000;
        world.start(true);
        let outcome = world.run(Duration::from_secs(4 * 3600));
        check_end(&mut world, outcome.unwrap_or_else(|error| panic!("{self:?}: {error}")));
        let torrent = &world.session.status(world.instant()).torrents[0];
        let possible = limit.min(self.peers as u64 * self.peer_rate);
        let ideal_s = world.torrent.total_bytes as f64 / possible as f64;
        let took_s = start.until(world.instant()).as_secs_f64();
        (torrent.downloaded_bytes - world.torrent.total_bytes, took_s / ideal_s)
    }
}

const FAST: u64 = 10_000_000;

#[test]
fn hardly_a_block_is_fetched_twice_however_many_peers_wait_for_the_limit() {
    for (peers, peer_rate, limit_kib, piece_kib, mib, memory_mib) in [
        (1, FAST, 5, 256, 2, 8),
        (150, FAST, 20, 256, 8, 8),
        (150, FAST, 5, 1024, 8, 4),
        (150, FAST, 60, 4096, 32, 8),
        (150, FAST, 500, 256, 32, 8),
        (150, FAST, 4_000, 256, 64, 8),
        (150, FAST, 40_000, 256, 64, 8),
        (20, FAST, 500, 1024, 32, 2),
    ] {
        let line = Line { peers, peer_rate, limit_kib, piece_kib, mib, memory_mib };
        let (again, over_ideal) = line.run();
        assert!(again <= ENDGAME_BYTES, "{line:?}: {again} bytes were fetched twice");
        assert!(over_ideal < 1.1, "{line:?}: {over_ideal} of the ideal time");
    }
}

#[test]
fn of_slow_peers_no_more_is_fetched_twice_than_what_each_is_asked_for_at_the_end() {
    for (peers, peer_rate, piece_kib, mib, memory_mib) in [
        (150, 4_096, 256, 16, 8),
        (150, 4_096, 256, 64, 8),
        (150, 4_096, 256, 64, 16),
        (40, 16_384, 1024, 32, 8),
        (40, 65_536, 256, 64, 2),
    ] {
        let line = Line { peers, peer_rate, limit_kib: 100_000, piece_kib, mib, memory_mib };
        let (again, _) = line.run();
        // And one that was late.
        let at_the_end = peers as u64 * u64::from((REQUESTS_MIN + 1) * BLOCK_BYTES);
        assert!(again <= at_the_end, "{line:?}: {again} bytes were fetched twice");
    }
}

/// Of each: how many, and the bytes per second that each gives.
struct Mixed {
    fast: (usize, u64),
    slow: (usize, u64),
}

impl Mixed {
    /// The same as [`Line::run`], without a limit.
    fn run(&self, piece_kib: u32, mib: u64, memory_mib: u64) -> (u64, f64) {
        let model = |rate| Model { rate, latency_us: 30_000, ..Model::honest() };
        let mut models = vec![model(self.fast.1); self.fast.0];
        models.extend(vec![model(self.slow.1); self.slow.0]);
        let shape = Shape::single(piece_kib << 10, mib << 20);
        let change = |settings: &mut Settings| settings.memory_bytes = memory_mib << 20;
        let mut world = world_of(7, &shape, &models, change);
        let start = world.instant();
        world.check_every = 1_000;
        world.start(true);
        let outcome = world.run(Duration::from_secs(3600)).expect("no fault");
        check_end(&mut world, outcome);
        let torrent = &world.session.status(world.instant()).torrents[0];
        let possible = self.fast.0 as u64 * self.fast.1 + self.slow.0 as u64 * self.slow.1;
        let ideal_s = world.torrent.total_bytes as f64 / possible as f64;
        let took_s = start.until(world.instant()).as_secs_f64();
        (torrent.downloaded_bytes - world.torrent.total_bytes, took_s / ideal_s)
    }
}

#[test]
fn slow_peers_keep_nothing_from_the_fast_ones() {
    let mixed = |fast, slow| Mixed { fast, slow };
    for (nth, (mixed, piece_kib, mib, memory_mib, most)) in [
        (mixed((1, 10_000_000), (0, 0)), 256, 256, 8, 1.05),
        (mixed((1, 10_000_000), (100, 4_096)), 256, 256, 8, 1.15),
        (mixed((2, 5_000_000), (180, 2_048)), 256, 256, 8, 1.15),
        (mixed((2, 5_000_000), (180, 2_048)), 1024, 256, 8, 1.3),
        (mixed((2, 5_000_000), (180, 2_048)), 4096, 256, 8, 2.5),
        (mixed((1, 1_000_000), (180, 8_192)), 1024, 128, 8, 1.7),
        (mixed((1, 1_000_000), (50, 8_192)), 1024, 128, 4, 1.4),
        (mixed((3, 30_000_000), (50, 100_000)), 1024, 512, 8, 1.5),
        (mixed((1, 10_000_000), (10, 4_096)), 4096, 128, 8, 1.15),
        (mixed((1, 10_000_000), (10, 4_096)), 256, 128, 1, 1.15),
    ]
    .into_iter()
    .enumerate()
    {
        let (again, over_ideal) = mixed.run(piece_kib, mib, memory_mib);
        assert!(over_ideal < most, "case {nth}: {over_ideal} of the ideal time");
        assert!(again <= mib << 14, "case {nth}: {again} bytes were fetched twice");
    }
}

/// What only slow peers have, or give, is fetched from them: the fast ones lack it, or give no more.
#[test]
fn who_is_slow_is_asked_for_what_nobody_else_gives() {
    let has = Has::Part { part: 0, parts: 2, grows_us: None };
    let fast = Model { rate: 10_000_000, ..Model::honest() };
    let silent = Fault::SilentAfter(300);
    for (nth, fast) in [
        Model { has, ..fast.clone() },
        Model { fault: silent, ..fast.clone() },
        Model { fault: Fault::RejectsAfter(300), ..fast.clone() },
        Model { fault: Fault::RejectsAfter(500), ..fast },
    ]
    .into_iter()
    .enumerate()
    {
        let slow = Model { rate: 20_000, ..Model::honest() };
        let shape = Shape::single(256 << 10, 16 << 20);
        let mut world = world_of(3, &shape, &[vec![fast; 2], vec![slow; 20]].concat(), |_| {});
        world.start(true);
        let outcome = world.run(Duration::from_secs(3600)).expect("no fault");
        check_end(&mut world, outcome);
        assert!(world.now < 120_000_000, "case {nth}: {} s", world.now / 1_000_000);
    }
}
