//! Kills and power cuts at any moment of a download, many times over: nothing is believed that is not right, little is
//! fetched again, and the download completes.

use crate::disk::Plan;
use crate::peer::Model;
use crate::scenarios::world_of;
use crate::swarm::check_end;
use crate::torrent::Shape;
use crate::world::{Deed, World};
use std::time::Duration;
use swarmlet::base::limits::UNSYNCED_BYTES_MIN;
use swarmlet::base::{Rng, TorrentId};
use swarmlet::resume::{Belief, Present};
use swarmlet::session::{Command, Giving, Outcome, Phase, StorageFaultKind};

/// Seeds of the usual run; `CUT_SEEDS` says how many else.
const SEEDS: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(3600);
const TORRENT: TorrentId = TorrentId(0);

/// What the runs of one seed have cost.
#[derive(Default)]
struct Cost {
    runs: u32,
    /// Bytes fetched more than once, and the most that may have been.
    again_bytes: u64,
    allowed_bytes: u64,
}

/// Nothing is believed that is not in the files. Returns the bytes of what is.
fn judge_belief(world: &mut World) -> u64 {
    let device = &world.disk.device;
    let (stamps, era, wall) = (device.stamps(), device.era(), device.wall(world.now));
    let belief = Belief::new(&world.torrent.metainfo, &device.state(), &Present { stamps, era, wall });
    assert_eq!(belief.fault, None, "the state is always whole");
    let pieces: Vec<u32> = belief.pieces.iter().collect();
    for &piece in &pieces {
        assert!(world.disk.has(piece), "seed {}: piece {piece} is believed and not there", world.seed);
    }
    let bytes = |piece: &u32| world.torrent.piece_range(*piece);
    pieces.iter().map(bytes).map(|range| range.end - range.start).sum()
}

/// What may have to be fetched again if the run ends here: what is not synced, and every piece that is not whole.
fn at_risk_bytes(world: &World, cut: bool) -> u64 {
    let status = world.session.status(world.instant());
    let open = u64::from(status.torrents[0].pieces_open) * u64::from(world.torrent.piece_bytes);
    // A sector that is lost takes its piece with it, and a range of bytes has two ends.
    let edges = 2 * u64::from(world.torrent.piece_bytes);
    open + if cut { world.disk.device.unsynced_bytes() + edges } else { 0 }
}

/// One download with an end of the run now and then; `cut`: of the power, too.
fn run_seed(seed: u64, cuts: bool, faults: &Plan) -> Cost {
    let mut rng = Rng::new(seed);
    let mut shape = Shape::random(&mut rng);
    if shape.files.iter().sum::<u64>() < 1 << 20 {
        shape = Shape { files: vec![700_000, 3, 500_000, 1_000_000], ..Shape::single(32_768, 1) };
    }
    shape.files.iter_mut().for_each(|length| *length *= 2);
    let rate = u64::from(20_000 + rng.below(80_000));
    let models = [Model { rate, ..Model::honest() }, Model { rate, fast: false, ..Model::honest() }];
    let mut world = world_of(seed, &shape, &models, |_| {});
    world.check_every = 20;
    world.disk.plan = faults.clone();
    world.disk.device.slow_us = [20_000, 1_000_000, 8_000_000][rng.below(3) as usize];
    let (mut cost, mut fetched, total) = (Cost::default(), 0, world.torrent.total_bytes);
    loop {
        cost.runs += 1;
        judge_belief(&mut world);
        world.resume();
        let ends = if cost.runs > 12 { u64::MAX } else { world.now + u64::from(rng.below(20_000_000)) };
        let goes_on = |world: &mut World| world.outcome.is_none() && world.now < ends;
        world.run_while(PATIENCE, goes_on).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let status = world.session.status(world.instant());
        fetched += status.torrents[0].downloaded_bytes - status.torrents[0].duplicate_bytes;
        if let Some(outcome) = world.outcome {
            check_end(&mut world, outcome);
            assert!(world.disk.device.state().is_empty(), "there is nothing to be resumed");
            assert!(world.disk.is_durable(), "seed {seed}: complete, and not on the device");
            break;
        }
        let cut = cuts && rng.one_in(2);
        cost.allowed_bytes += at_risk_bytes(&world, cut);
        let mut next = world_of(seed, &shape, &models, |_| {});
        world.disk.end_of_run(world.now, cut, &mut rng);
        next.disk = world.disk;
        world = next;
    }
    cost.again_bytes = fetched.saturating_sub(total);
    cost
}

fn seeds() -> u64 {
    std::env::var("CUT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// Runs all seeds, compares what was fetched again with what may be, and prints the figures.
fn judge(cuts: bool) {
    let (mut runs, mut again, mut worst) = (0, 0, 0);
    for seed in 0..seeds() {
        let cost = run_seed(seed, cuts, &Plan::default());
        let (least, most) = (cost.again_bytes, cost.allowed_bytes);
        assert!(least <= most, "seed {seed}: {least} bytes were fetched again instead of {most}");
        runs += u64::from(cost.runs - 1);
        again += least;
        worst = worst.max(least / u64::from(cost.runs.max(2) - 1));
    }
    let mean = again / runs.max(1);
    let line = format!("{runs} ends: {mean} bytes fetched again after each, {worst} in the worst seed");
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n"));
    assert!(runs > seeds(), "the runs are too short to tell anything");
}

#[test]
fn after_a_kill_only_what_was_in_memory_is_fetched_again() {
    judge(false);
}

#[test]
fn after_a_power_cut_only_what_was_not_synced_is_fetched_again() {
    judge(true);
}

#[test]
fn bytes_that_a_failed_sync_has_lost_are_noticed_and_fetched_again() {
    for seed in 0..seeds() / 3 {
        let (sync_fails, sync_fault) = (Some(4 + (seed % 3) as u32), Some(StorageFaultKind::Io));
        run_seed(seed, true, &Plan { sync_fails, sync_fault, ..Plan::default() });
    }
}

#[test]
fn bytes_that_a_failed_sync_has_lost_reach_the_device_although_they_can_still_be_read() {
    for seed in 0..seeds() / 3 {
        let sync_fault = [StorageFaultKind::Io, StorageFaultKind::NoSpace][(seed / 3 % 2) as usize];
        let sync_fails = Some(3 + (seed % 3) as u32);
        let sync_fault = Some(sync_fault);
        run_seed(seed, seed % 2 == 0, &Plan { sync_fails, sync_fault, sync_hides: true, ..Plan::default() });
    }
}

#[test]
fn a_state_that_cannot_be_saved_and_bytes_that_cannot_be_read_cost_time_and_no_byte() {
    for seed in 0..seeds() / 3 {
        let (save_fails, load_fails) = (Some(2 + (seed % 2) as u32), Some(5 + (seed % 7) as u32));
        let sync_fails = (seed % 2 == 1).then_some(6);
        run_seed(seed, true, &Plan { save_fails, load_fails, sync_fails, ..Plan::default() });
    }
}

#[test]
fn a_device_that_has_no_room_for_what_it_took_is_waited_for() {
    for seed in 0..seeds() / 3 {
        let (sync_fails, sync_fault) = (Some(3 + (seed % 3) as u32), Some(StorageFaultKind::NoSpace));
        run_seed(seed, true, &Plan { sync_fails, sync_fault, ..Plan::default() });
    }
}

#[test]
fn what_somebody_else_has_put_in_the_place_of_durable_pieces_is_noticed() {
    for seed in 0..seeds() / 3 {
        let (sync_fails, sync_fault) = (Some(4 + (seed % 3) as u32), Some(StorageFaultKind::Changed));
        run_seed(seed, true, &Plan { sync_fails, sync_fault, ..Plan::default() });
    }
}

#[test]
fn what_waits_for_a_slow_device_is_bounded_and_the_download_goes_on() {
    for seed in 0..5 {
        let fast = Model { rate: 20_000_000, ..Model::honest() };
        let mut world = world_of(seed, &Shape::single(262_144, 24 << 20), &[fast.clone(), fast], |_| {});
        world.check_every = 50;
        world.disk.device.slow_us = 8_000_000;
        world.resume();
        let mut most = 0;
        while world.outcome.is_none() {
            world.run_while(PATIENCE, |world| world.turns % 20 != 0 && world.outcome.is_none()).unwrap();
            most = most.max(world.disk.device.unsynced_bytes());
            world.turns += 1;
        }
        assert!(world.disk.is_complete());
        assert!((UNSYNCED_BYTES_MIN / 2..=2 * UNSYNCED_BYTES_MIN).contains(&most), "seed {seed}: {most}");
        // Twelve syncs of half the bound take some seconds each: nobody has stored ahead of the device.
        assert!(world.seconds() > 15.0, "seed {seed}: {} s", world.seconds());
    }
}

#[test]
fn a_seed_that_starts_again_reads_nothing_and_fetches_nothing() {
    let shape = Shape::single(32_768, 1 << 20);
    let seed = |world: &mut World| {
        let now = world.instant();
        world.session.give(now, Giving { seed: true, ..Giving::default() });
        world.resume();
        let seeds = |world: &World| world.session.status(world.instant()).torrents[0].phase == Phase::Seeding;
        world.run_while(PATIENCE, |world| !seeds(world)).unwrap();
    };
    let mut world = world_of(1, &shape, &[Model::honest()], |_| {});
    seed(&mut world);
    world.later(Duration::from_secs(300), Deed::Quit);
    assert_eq!(world.run(PATIENCE), Ok(Outcome::Complete));
    for cut in [false, true] {
        world.disk.end_of_run(world.now, cut, &mut Rng::new(1));
        let mut next = world_of(1, &shape, &[Model::honest()], |_| {});
        next.disk = world.disk;
        next.disk.loads = 0;
        seed(&mut next);
        let status = next.session.status(next.instant());
        assert_eq!((next.disk.loads, status.torrents[0].downloaded_bytes), (0, 0));
        assert!(next.session.past(next.instant(), TORRENT).seeded >= Duration::from_secs(200));
        next.later(Duration::from_secs(10), Deed::Quit);
        assert_eq!(next.run(PATIENCE), Ok(Outcome::Complete));
        world = next;
    }
}

#[test]
fn who_ends_giving_leaves_no_state() {
    let mut world = world_of(1, &Shape::single(32_768, 1 << 20), &[Model::honest()], |_| {});
    let now = world.instant();
    world.session.give(now, Giving { seed: true, ..Giving::default() });
    world.resume();
    world.later(Duration::from_secs(300), Deed::Command(Command::Seed(false)));
    world.run_while(Duration::from_secs(290), |world| world.seconds() < 280.0).unwrap_or_default();
    assert!(!world.disk.device.state().is_empty());
    assert_eq!(world.run(PATIENCE), Ok(Outcome::Complete));
    assert!(world.disk.device.state().is_empty());
}

#[test]
fn the_state_says_what_all_runs_have_done() {
    let slow = [Model { rate: 50_000, ..Model::honest() }];
    let mut world = world_of(1, &Shape::single(32_768, 2 << 20), &slow, |_| {});
    world.resume();
    world.run_while(PATIENCE, |world| world.disk.device.state().is_empty()).unwrap();
    let first = world.session.past(world.instant(), TORRENT);
    assert!(first.downloaded_bytes > 0);
    let mut next = world_of(1, &Shape::single(32_768, 2 << 20), &slow, |_| {});
    world.disk.end_of_run(world.now, false, &mut Rng::new(1));
    next.disk = world.disk;
    next.resume();
    let kept = next.session.past(next.instant(), TORRENT);
    assert!((1..=first.downloaded_bytes).contains(&kept.downloaded_bytes));
}
