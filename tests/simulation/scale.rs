//! Many peers, many pieces, many files: what one block or one `have` costs does not depend on how many there are.

use crate::peer::{Fault, Has, Model};
use crate::scenarios::{small, world_of};
use crate::swarm::check_end;
use crate::torrent::Shape;
use crate::world::World;
use std::time::Duration;
use swarmlet::base::Rng;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn two_hundred_peers_at_once() {
    let mut rng = Rng::new(9);
    let mut models: Vec<Model> =
        (0..150).map(|_| Model { rate: 5_000, ..Model::any_honest(&mut rng) }).collect();
    models.extend((0..50).map(|_| Model { rate: 5_000, ..Model::any(&mut rng) }));
    let mut world = world_of(9, &Shape::single(65_536, 16 << 20), &models, |_| {});
    world.check_every = 100;
    world.start(true);
    let peers = |world: &World| world.session.status(world.instant()).torrents[0].peers;
    world.run_while(HOUR, |world| peers(world) < 150).unwrap();
    let outcome = world.run(HOUR).unwrap();
    check_end(&mut world, outcome);
}

#[test]
fn twenty_thousand_files() {
    let mut rng = Rng::new(4);
    let mut shape = small();
    shape.files = (0..20_000).map(|_| u64::from(rng.below(300))).collect();
    let mut world = world_of(4, &shape, &[Model::honest(), Model::honest()], |_| {});
    world.start(true);
    let outcome = world.run(HOUR).unwrap();
    check_end(&mut world, outcome);
}

/// A torrent of which steps are counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    pieces: u64,
    piece_bytes: u32,
    /// Pieces in each of its files.
    file_pieces: u64,
    /// Pieces that are fetched while steps are counted.
    wanted: u32,
}

/// Steps for each wanted piece: one seed, two that get one more a hundred times a second.
fn steps_per_piece(counted: Counted) -> u64 {
    let Counted { pieces, piece_bytes, file_pieces, wanted } = counted;
    let file_bytes = file_pieces * u64::from(piece_bytes);
    let files = vec![file_bytes; (pieces / file_pieces) as usize];
    let shape = Shape { alike: true, files, ..Shape::single(piece_bytes, 0) };
    let grows = Has::Part { part: 0, parts: 2, grows_us: Some(10_000) };
    let grower = Model { has: grows, fault: Fault::SilentAfter(0), rate: 10_000_000, ..Model::honest() };
    let seed = Model { rate: 2_000_000, ..Model::honest() };
    let mut world = world_of(1, &shape, &[seed, grower.clone(), grower], |_| {});
    world.check_every = u32::MAX;
    world.start(true);
    let have = |world: &World| world.session.status(world.instant()).torrents[0].pieces_have;
    // The first pieces do not count: with them the peers tell what they have, which costs a step for each piece.
    let first = wanted / 16;
    world.run_while(HOUR, |world| have(world) < first).unwrap();
    let before = world.session.steps();
    world.run_while(HOUR, |world| have(world) < first + wanted).unwrap();
    world.check();
    (world.session.steps() - before) / u64::from(wanted)
}

const FEW: Counted = Counted { pieces: 2_000, piece_bytes: 16_384, file_pieces: 2_000, wanted: 800 };

#[test]
fn a_piece_costs_the_same_in_a_torrent_of_a_hundred_thousand() {
    let (few, many) =
        (steps_per_piece(FEW), steps_per_piece(Counted { pieces: 100_000, file_pieces: 100_000, ..FEW }));
    assert!(many <= few * 5 / 4 + 10 && few < 200, "{few} steps a piece of 2,000, {many} of 100,000");
}

#[test]
fn a_piece_costs_the_same_in_a_torrent_of_many_files() {
    let (one, many) =
        (steps_per_piece(FEW), steps_per_piece(Counted { pieces: 40_000, file_pieces: 4, ..FEW }));
    assert!(many <= one * 5 / 4 + 10, "{one} steps a piece of one file, {many} of 10,000 files");
}

#[test]
fn a_block_costs_no_more_in_a_large_piece() {
    let (small, large) =
        (FEW, Counted { pieces: 1_000, piece_bytes: 2 << 20, file_pieces: 1_000, wanted: 16 });
    let (one, many) = (steps_per_piece(small), steps_per_piece(large) / 128);
    assert!(many <= one, "{one} steps for a block that is a piece, {many} for each of 128");
}

/// A swarm in which one has half of everything and lets nobody ask, another has little, and there may be a slow seed.
fn with_a_poor_peer(pieces: u64, poor: Model, has_seed: bool) -> World {
    let shape = Shape { alike: true, ..Shape::single(16_384, pieces * 16_384) };
    let half = Has::Part { part: 0, parts: 2, grows_us: None };
    let miser = Model { has: half, fast: false, fault: Fault::AllowsFew, ..Model::honest() };
    let seed = Model { rate: 40_000, fast: false, ..Model::honest() };
    let mut models = vec![miser, poor];
    models.extend(has_seed.then_some(seed));
    let mut world = world_of(1, &shape, &models, |_| {});
    world.check_every = u32::MAX;
    world.start(true);
    world
}

/// Has one piece in the middle, and gets another one so often.
fn one_piece(pieces: u64, grows_us: Option<u64>) -> Has {
    Has::Part { part: pieces as u32 / 2, parts: u32::MAX, grows_us }
}

#[test]
fn a_wanted_have_of_a_poor_peer_costs_a_look_at_that_piece() {
    let steps = |pieces| {
        let poor = Model { has: one_piece(pieces, Some(100_000)), rate: 10_000_000, ..Model::honest() };
        let mut world = with_a_poor_peer(pieces, poor, true);
        // Once it has been looked through.
        world.run_while(HOUR, |world| world.now < 20_000_000).unwrap();
        let before = world.session.steps();
        world.run_while(HOUR, |world| world.now < 60_000_000).unwrap();
        world.check();
        (world.session.steps() - before) / 400
    };
    let (few, many) = (steps(2_000), steps(100_000));
    assert!(many <= few * 5 / 4 + 10 && many < 100, "{few} steps a have of 2,000 pieces, {many} of 100,000");
}

#[test]
fn a_choke_and_an_unchoke_cost_no_look_at_the_pieces() {
    let steps = |pieces| {
        let fault = Fault::Teases { every_us: 50_000 };
        // It is asked for its piece each time, and there is nothing else.
        let poor = Model { has: one_piece(pieces, None), fault, fast: false, ..Model::honest() };
        let mut world = with_a_poor_peer(pieces, poor, false);
        world.run_while(HOUR, |world| world.now < 20_000_000).unwrap();
        let before = world.session.steps();
        world.run_while(HOUR, |world| world.now < 60_000_000).unwrap();
        world.check();
        (world.session.steps() - before) / 400
    };
    let (few, many) = (steps(2_000), steps(100_000));
    assert!(
        many <= few * 5 / 4 + 10 && many < 100,
        "{few} steps a pair with 2,000 pieces, {many} with 100,000"
    );
}
