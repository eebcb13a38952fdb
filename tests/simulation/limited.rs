//! `--down-limit` with peers that could give far more: they wait for it, and nothing is thrown away and fetched again.

use crate::peer::Model;
use crate::scenarios::world_of;
use crate::swarm::check_end;
use crate::torrent::Shape;
use std::time::Duration;
use swarmlet::base::units::KIB;
use swarmlet::session::Giving;

/// Bytes that are fetched twice in a download of `mib` MiB, at so many KiB/s, from so many seeders.
fn fetched_again(peers: usize, kib_per_s: u64, piece_kib: u32, mib: u64, memory_mib: u64) -> u64 {
    let model = Model { rate: 10_000_000, latency_us: 30_000, ..Model::honest() };
    let shape = Shape::single(piece_kib << 10, mib << 20);
    let mut world =
        world_of(7, &shape, &vec![model; peers], |settings| settings.memory_bytes = memory_mib << 20);
    let instant = world.instant();
    world.session.give(instant, Giving { down_limit: kib_per_s * u64::from(KIB), ..Giving::default() });
    world.check_every = 1_000;
    world.start(true);
    let outcome = world.run(Duration::from_secs(4 * 3600));
    let outcome = outcome.unwrap_or_else(|error| panic!("{peers} peers, {kib_per_s} KiB/s: {error}"));
    check_end(&mut world, outcome);
    let torrent = &world.session.status(world.instant()).torrents[0];
    torrent.downloaded_bytes - world.torrent.total_bytes
}

#[test]
fn hardly_a_block_is_fetched_twice_however_many_peers_wait_for_the_limit() {
    for (peers, kib_per_s, piece_kib, mib, memory_mib) in [
        (1, 5, 256, 2, 8),
        (20, 5, 256, 2, 8),
        (50, 20, 256, 8, 8),
        (150, 20, 256, 8, 8),
        (150, 20, 1024, 16, 8),
        (150, 5, 1024, 8, 4),
        (150, 60, 4096, 32, 8),
        (150, 500, 256, 32, 8),
    ] {
        let again = fetched_again(peers, kib_per_s, piece_kib, mib, memory_mib);
        println!("{peers} peers, {kib_per_s} KiB/s, pieces of {piece_kib} KiB, {mib} MiB, memory {memory_mib}: {again}");
    }
}
