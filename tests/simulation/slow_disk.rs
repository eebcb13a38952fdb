//! Peers that are faster than the disk: they wait for it, and nothing is thrown away and fetched again.

use crate::peer::Model;
use crate::scenarios::world_of;
use crate::swarm::check_end;
use crate::torrent::Shape;
use crate::world::World;
use std::time::Duration;

/// What the endgame may fetch twice, whatever the size: the last blocks are asked of two.
const ENDGAME_BYTES: u64 = 1 << 20;

/// A download of 16 MiB onto a disk that takes up to 4 s for each sync.
fn downloaded(seed: u64, peers: usize, memory_bytes: u64) -> World {
    let model = Model { rate: 10_000_000, latency_us: 1_000, ..Model::honest() };
    let shape = Shape::single(128 << 10, 16 << 20);
    let mut world =
        world_of(seed, &shape, &vec![model; peers], |settings| settings.memory_bytes = memory_bytes);
    world.disk.device.slow_us = 4_000_000;
    world.check_every = 50;
    world.start(true);
    let outcome = world.run(Duration::from_secs(600)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    check_end(&mut world, outcome);
    world
}

#[test]
fn a_single_seeder_waits_for_the_disk_and_sends_every_block_once() {
    for (seed, memory_bytes) in [(1, 1 << 20), (2, 2 << 20), (3, 4 << 20)] {
        let world = downloaded(seed, 1, memory_bytes);
        let torrent = &world.session.status(world.instant()).torrents[0];
        assert!(world.waits > 0, "seed {seed}: nobody has waited");
        assert_eq!(torrent.downloaded_bytes, world.torrent.total_bytes, "seed {seed}");
    }
}

#[test]
fn several_seeders_wait_too_and_hardly_a_block_is_sent_twice() {
    for (seed, peers) in [(1, 2), (2, 4), (3, 8)] {
        let world = downloaded(seed, peers, 2 << 20);
        let torrent = &world.session.status(world.instant()).torrents[0];
        let again = torrent.downloaded_bytes - world.torrent.total_bytes;
        assert!(world.waits > 0, "seed {seed}: nobody has waited");
        assert!(again <= ENDGAME_BYTES, "{peers} seeders: {again} bytes were sent twice");
    }
}
