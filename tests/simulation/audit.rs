//! Audit.
use crate::peer::{Fault, Has, Model};
use crate::scenarios::world_of;
use crate::torrent::Shape;
use std::time::Duration;
use swarmlet::session::Giving;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn t4_a_limit_with_many_peers() {
    for (limit, peers) in [(0u64, 60usize), (100, 4), (100, 20), (100, 60), (20, 4), (20, 60), (20, 150), (5, 60)] {
        let model = Model { rate: 50_000, ..Model::honest() };
        let mut world = world_of(3, &Shape::single(65_536, 4 << 20), &vec![model; peers], |_| {});
        let now = world.instant();
        world.session.give(now, Giving { down_limit: limit << 10, ..Giving::default() });
        world.check_every = 1000;
        world.start(true);
        let duplicate = std::cell::Cell::new(0);
        let steps = std::cell::Cell::new(0u64);
        let result = world.run_while(HOUR * 2, |world| {
            duplicate.set(world.session.status(world.instant()).torrents[0].duplicate_bytes);
            steps.set(steps.get() + 1);
            world.outcome.is_none()
        });
        let ideal = if limit == 0 { 0.0 } else { (4 << 20) as f64 / (limit << 10) as f64 };
        eprintln!("limit {limit} KiB/s, {peers} peers: {:.0} s, ideal {ideal:.0}, duplicates {} KiB, turns {}, {:?}", world.seconds(), duplicate.get() >> 10, steps.get(), result.map_err(|e| e.len()));
    }
}

#[test]
fn t4b_a_larger_one() {
    for (limit, peers, mib) in [(200u64, 60usize, 48u64), (50, 60, 32), (50, 30, 32), (200, 150, 48)] {
        let model = Model { rate: 50_000, ..Model::honest() };
        let mut world = world_of(3, &Shape::single(262_144, mib << 20), &vec![model; peers], |_| {});
        let now = world.instant();
        world.session.give(now, Giving { down_limit: limit << 10, ..Giving::default() });
        world.check_every = 10_000;
        world.start(true);
        let duplicate = std::cell::Cell::new((0, 0));
        let result = world.run_while(HOUR * 2, |world| {
            let status = world.session.status(world.instant());
            let torrent = &status.torrents[0];
            if torrent.done_bytes < torrent.size_bytes / 10 * 9 { duplicate.set((torrent.duplicate_bytes, duplicate.get().1)); }
            duplicate.set((duplicate.get().0, torrent.duplicate_bytes));
            world.outcome.is_none()
        });
        let ideal = (mib << 20) as f64 / (limit << 10) as f64;
        eprintln!("limit {limit} KiB/s, {peers} peers, {mib} MiB: {:.0} s, ideal {ideal:.0}, duplicates by 90 %: {} KiB, in all {} KiB, {:?}", world.seconds(), duplicate.get().0 >> 10, duplicate.get().1 >> 10, result.map_err(|e| e.len()));
    }
}

#[test]
fn t8_partial_and_rejecting() {
    // A seed that rejects everything beside a slow honest one.
    for fault in [Fault::None, Fault::Rejects, Fault::AllowsFew] {
        let models = [Model { fault, ..Model::honest() }, Model { has: Has::All, rate: 20_000, ..Model::honest() }];
        let mut world = world_of(3, &Shape::single(65_536, 1 << 20), &models, |_| {});
        world.start(true);
        let r = world.run(HOUR);
        eprintln!("{fault:?}: {:.0} s, {} turns {:?}", world.seconds(), world.turns, r.is_ok());
    }
}

#[test]
fn t15_many_slow_peers() {
    for (rate, peers, mib, fast) in [(700u64, 60usize, 8u64, true), (700, 60, 8, false), (1500, 60, 16, true), (300, 60, 4, true), (3000, 60, 16, true)] {
        let model = Model { rate, fast, ..Model::honest() };
        let mut world = world_of(3, &Shape::single(262_144, mib << 20), &vec![model; peers], |_| {});
        world.check_every = 10_000;
        world.start(true);
        let duplicate = std::cell::Cell::new((0, 0, 0.0));
        let result = world.run_while(HOUR * 8, |world| {
            let status = world.session.status(world.instant());
            let torrent = &status.torrents[0];
            if torrent.done_bytes < torrent.size_bytes / 10 * 9 { duplicate.set((torrent.duplicate_bytes, duplicate.get().1, world.seconds())); }
            duplicate.set((duplicate.get().0, torrent.duplicate_bytes, duplicate.get().2));
            world.outcome.is_none()
        });
        let ideal = (mib << 20) as f64 / (rate * peers as u64) as f64;
        eprintln!("{rate} B/s fast {fast}, {peers} peers, {mib} MiB: {:.0} s (90 % after {:.0}), ideal {ideal:.0}, duplicates by 90 %: {} KiB, in all {} KiB, {:?}", world.seconds(), duplicate.get().2, duplicate.get().0 >> 10, duplicate.get().1 >> 10, result.map_err(|e| e.len()));
    }
}

#[test]
fn tline() {
    let var = |name: &str, or: u64| std::env::var(name).ok().and_then(|t| t.parse().ok()).unwrap_or(or);
    let (limit, peers, mib, rate, piece) = (var("LIMIT", 200), var("PEERS", 150), var("MIB", 48), var("RATE", 50_000), var("PIECE", 262_144));
    let model = Model { rate, ..Model::honest() };
    let mut world = world_of(3, &Shape::single(piece as u32, mib << 20), &vec![model; peers as usize], |_| {});
    let now = world.instant();
    world.session.give(now, Giving { down_limit: limit << 10, ..Giving::default() });
    world.check_every = 10_000;
    world.start(true);
    let next = std::cell::Cell::new(0.0);
    let result = world.run_while(HOUR * 2, |world| {
        if world.seconds() >= next.get() {
            next.set(next.get() + var("STEP", 10) as f64);
            let status = world.session.status(world.instant());
            let t = &status.torrents[0];
            let outstanding: u32 = world.sockets.values().filter_map(|s| s.watch.as_ref()).map(|w| w.outstanding.len() as u32).sum();
            let busy = world.sockets.values().filter_map(|s| s.watch.as_ref()).filter(|w| !w.outstanding.is_empty()).count();
            let inbox: usize = world.sockets.values().map(|s| s.inbox.len()).sum();
            eprintln!("{:6.0}s done {:6} down {:6} dup {:6} open {:3} lent {:5} out {outstanding:5} of {busy:3} peers inbox {:6} KiB snubbed", world.seconds(), t.done_bytes >> 10, t.downloaded_bytes >> 10, t.duplicate_bytes >> 10, t.pieces_open, world.session.lent_buffers(), inbox >> 10);
        }
        world.outcome.is_none()
    });
    eprintln!("{:?}", result.is_ok());
}
