//! Many peers on a line that is narrow, by `--down-limit` or of itself: all of them bring something at the same pace, and
//! memory must not be full of parts before anything is whole, as then they are thrown away and fetched again.

use crate::peer::Model;
use crate::scenarios::world_of;
use crate::swarm::check_end;
use crate::torrent::Shape;
use std::time::Duration;
use swarmlet::base::limits::{BLOCK_BYTES, REQUESTS_MIN};
use swarmlet::base::units::KIB;
use swarmlet::session::Giving;

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
        let change = |settings: &mut swarmlet::session::Settings| settings.memory_bytes = memory_bytes;
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
