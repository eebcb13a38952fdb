//! The user pauses and goes on while whole windows of requests are on their way.

use crate::peer::Model;
use crate::scenarios::{small, world_of};
use crate::swarm::check_end;
use crate::world::{Deed, World};
use std::time::Duration;
use swarmlet::session::{Command, Note};

const MINUTE: Duration = Duration::from_secs(60);

/// Peers that take half a minute for what they are asked for at a time.
fn slow(fast: bool, honours_cancel: bool) -> Model {
    Model { rate: 10_000, fast, honours_cancel, ..Model::honest() }
}

/// A world in which two such peers are left in peace from the fifth second to the fiftieth.
fn paused(model: Model) -> World {
    let mut world = world_of(7, &small(), &[model.clone(), model], |_| {});
    world.later(Duration::from_secs(5), Deed::Command(Command::Pause));
    world.later(Duration::from_secs(50), Deed::Command(Command::Resume));
    world.start(true);
    world
}

fn downloaded_at(world: &mut World, milliseconds: u64) -> u64 {
    world.run_while(10 * MINUTE, |world| world.now < 1_000_000 + 1000 * milliseconds).unwrap();
    world.session.status(world.instant()).torrents[0].downloaded_bytes
}

fn completes(world: &mut World) {
    let outcome = world.run(10 * MINUTE).unwrap();
    check_end(world, outcome);
}

#[test]
fn what_was_asked_for_is_taken_back_and_asked_for_again() {
    for fast in [true, false] {
        let mut world = paused(slow(fast, true));
        let before = downloaded_at(&mut world, 5_000);
        // What was on the line: a block and what the path holds, of each peer.
        let stopped = downloaded_at(&mut world, 9_000);
        assert!(stopped <= before + 4 * 16_384, "{} bytes after the pause", stopped - before);
        assert_eq!(downloaded_at(&mut world, 49_000), stopped, "nothing comes any more");
        // A reject of a request that was taken back is no reason to leave the peer alone.
        assert!(downloaded_at(&mut world, 54_500) > stopped, "asked again at once");
        completes(&mut world);
        let status = &world.session.status(world.instant()).torrents[0];
        // A block or two come twice at the very end.
        assert!(status.duplicate_bytes <= 2 * 16_384, "{} bytes came twice", status.duplicate_bytes);
    }
}

#[test]
fn what_comes_all_the_same_is_kept() {
    for fast in [true, false] {
        let mut world = paused(slow(fast, false));
        let (before, after) = (downloaded_at(&mut world, 5_000), downloaded_at(&mut world, 49_000));
        assert!(after > before + 6 * 16_384, "{before} {after}");
        completes(&mut world);
        let status = &world.session.status(world.instant()).torrents[0];
        assert!(status.duplicate_bytes <= 2 * 16_384, "{} bytes came twice", status.duplicate_bytes);
        assert!(!world.notes.iter().any(|note| matches!(note, Note::PeerGone { guilty: true, .. })));
    }
}

#[test]
fn a_pause_of_a_moment_at_any_moment_costs_nothing() {
    for at in (0..40).map(|nth| Duration::from_millis(100 + 97 * nth)) {
        for honours_cancel in [true, false] {
            let model = Model { rate: 100_000, latency_us: 150_000, ..slow(true, honours_cancel) };
            let other = Model { fast: false, shuffles: true, reqq: Some(3), ..model.clone() };
            let mut world = world_of(3, &small(), &[model, other], |_| {});
            world.later(at, Deed::Command(Command::Pause));
            world.later(at + Duration::from_millis(40), Deed::Command(Command::Resume));
            world.later(at + Duration::from_millis(300), Deed::Command(Command::Pause));
            world.later(at + Duration::from_millis(301), Deed::Command(Command::Resume));
            world.start(true);
            completes(&mut world);
            assert!(!world.notes.iter().any(|note| matches!(note, Note::PeerGone { guilty: true, .. })));
            assert!(world.seconds() < 25.0, "paused at {at:?}: {} s", world.seconds());
        }
    }
}

#[test]
fn a_pause_of_a_moment_does_not_ask_for_more_than_a_peer_queues() {
    for (reqq, fast, honours_cancel) in [1, 3, 50]
        .into_iter()
        .flat_map(|reqq| [(reqq, true, false), (reqq, false, false), (reqq, false, true)])
    {
        // Its queue is full as soon as it is asked, and what it has of ours in it is counted.
        let model = Model { rate: 100_000, reqq: Some(reqq), ..slow(fast, honours_cancel) };
        let mut world = world_of(3, &small(), &[model], |_| {});
        for nth in 0..8 {
            let at = Duration::from_millis(500 + 700 * nth);
            world.later(at, Deed::Command(Command::Pause));
            world.later(at + Duration::from_millis(10), Deed::Command(Command::Resume));
        }
        world.start(true);
        completes(&mut world);
        // Who need not answer what was taken back is left alone for a moment.
        assert!(world.seconds() < 45.0, "{reqq} {fast} {honours_cancel}: {} s", world.seconds());
    }
}
