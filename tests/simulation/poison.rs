//! Peers that send wrong bytes among those that help: who is banned, who is not, and what it costs.
//!
//! `cargo test --test simulation poison -- --nocapture` prints the figures.

use crate::peer::{Fault, Model};
use crate::scenarios::world_of;
use crate::swarm::check_end;
use crate::torrent::Shape;
use std::io::Write as _;
use std::time::Duration;
use swarmlet::session::Note;

const HOUR: Duration = Duration::from_secs(3600);
const PEERS: usize = 10;
const BLOCK_BYTES: u32 = 16_384;
const PIECE_BLOCKS: u32 = 16;

/// What poisoners did to one download, or the worst of several.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Spoiled blocks that were sent.
    spoiled: u32,
    banned: usize,
    /// Pieces whose hash was wrong.
    failed_pieces: usize,
    /// Bytes of blocks beyond those of the torrent.
    waste_bytes: u64,
    /// Of these, more than once asked for because somebody was late.
    duplicate_bytes: u64,
}

impl Cost {
    fn worst(self, other: Self) -> Self {
        Self {
            spoiled: self.spoiled.max(other.spoiled),
            banned: self.banned.max(other.banned),
            failed_pieces: self.failed_pieces.max(other.failed_pieces),
            waste_bytes: self.waste_bytes.max(other.waste_bytes),
            duplicate_bytes: self.duplicate_bytes.max(other.duplicate_bytes),
        }
    }
}

/// 8 MiB in pieces of 16 blocks from ten peers, who share nearly every piece; the first ones of them poison. Whoever has
/// spoiled a block that was used is banned, and nobody else (see [`check_end`]).
fn download(seed: u64, poisoners: &[Fault], honest: &Model) -> Cost {
    let liars = poisoners.iter().map(|&fault| Model { fault, ..honest.clone() });
    let models: Vec<Model> = liars.chain(vec![honest.clone(); PEERS - poisoners.len()]).collect();
    let mut world = world_of(seed, &Shape::single(PIECE_BLOCKS * BLOCK_BYTES, 8 << 20), &models, |_| {});
    world.check_every = 50;
    world.start(true);
    let outcome = world.run(HOUR).unwrap_or_else(|error| panic!("seed {seed}, {poisoners:?}: {error}"));
    check_end(&mut world, outcome);
    let banned = world.banned();
    let torrent = &world.session.status(world.instant()).torrents[0];
    let free = world.spoiled.keys().find(|liar| !banned.contains(liar));
    // What is spoiled at the very end may be on its way still, or too late to be of use.
    let may_be_free = matches!(poisoners, [Fault::SpoilsEnd { .. }, ..]);
    assert!(free.is_none() || may_be_free, "seed {seed}, {poisoners:?}: {free:?} is free");
    let failed = |note: &&Note| matches!(note, Note::PieceFailed { .. });
    let cost = Cost {
        spoiled: world.spoiled.values().sum(),
        banned: banned.len(),
        failed_pieces: world.notes.iter().filter(failed).count(),
        waste_bytes: torrent.downloaded_bytes - world.torrent.total_bytes,
        duplicate_bytes: torrent.duplicate_bytes,
    };
    // A failed piece is fetched once more, and nothing else is because of it.
    let explained = cost.failed_pieces as u64 * u64::from(PIECE_BLOCKS * BLOCK_BYTES) + cost.duplicate_bytes;
    assert!(cost.waste_bytes <= explained, "seed {seed}, {poisoners:?}: {cost:?}");
    cost
}

/// The worst of `seeds`, printed.
fn worst(seeds: u64, poisoners: &[Fault], honest: &Model) -> Cost {
    let costs = (0..seeds).map(|seed| download(seed, poisoners, honest));
    let worst = costs.fold(Cost::default(), Cost::worst);
    let _ = writeln!(std::io::stdout(), "{} of {:?}: {worst:?}", poisoners.len(), poisoners[0]);
    worst
}

#[test]
fn one_to_five_poisoners_of_any_zeal_are_found_and_nobody_else() {
    let honest = Model { rate: 100_000, ..Model::honest() };
    for percent in [5, 20, 50, 100] {
        for count in 1..=5 {
            let byte = count % 2 == 0;
            let cost = worst(3, &vec![Fault::Corrupt { percent, byte }; count], &honest);
            assert_eq!(cost.banned, count, "all of them, in at least one seed");
            // Each can spoil what is under way until the first of its pieces is compared, not more.
            assert!(cost.failed_pieces <= 5 * count && cost.waste_bytes < 3 << 20, "{cost:?}");
        }
    }
}

#[test]
fn two_who_share_every_piece_that_they_spoil_are_both_found() {
    let faults = [Fault::Corrupt { percent: 100, byte: true }, Fault::Corrupt { percent: 10, byte: false }];
    for seed in 0..5 {
        let cost = download(seed, &faults, &Model { rate: 50_000, ..Model::honest() });
        assert!(cost.banned >= 1 && cost.failed_pieces <= 10, "{cost:?}");
    }
}

#[test]
fn poison_in_the_endgame_gets_nobody_else_banned() {
    let honest = Model { rate: 60_000, ..Model::honest() };
    let mut found = 0;
    for after_blocks in [30, 40, 45, 50] {
        for count in [1, 3] {
            let slow = Model { latency_us: 20_000 * u64::from(after_blocks), ..honest.clone() };
            found += worst(3, &vec![Fault::SpoilsEnd { after_blocks }; count], &honest).banned;
            found += worst(3, &vec![Fault::SpoilsEnd { after_blocks }; count], &slow).banned;
        }
    }
    assert!(found >= 12, "{found}");
}

#[test]
fn blocks_withheld_until_others_are_asked_and_then_spoiled_get_nobody_else_banned() {
    let honest = Model { rate: 30_000, ..Model::honest() };
    for after_us in [500_000, 1_900_000, 2_100_000, 3_000_000, 6_000_000] {
        for count in [1, 3] {
            let cost = worst(3, &vec![Fault::SpoilsLate { after_us }; count], &honest);
            assert_eq!(cost.banned, count);
        }
    }
}

#[test]
fn who_spoils_a_block_and_then_drips_does_not_hold_up_the_piece() {
    for seed in 0..10 {
        let honest = Model { rate: 30_000, ..Model::honest() };
        let dripper = Model { honours_cancel: false, ..Model::with(Fault::SpoilsThenDrips) };
        let models = [vec![dripper; 4], vec![honest; 2]].concat();
        let mut world = world_of(seed, &Shape::single(1 << 20, 2 << 20), &models, |_| {});
        world.check_every = 50;
        world.start(true);
        let outcome = world.run(3 * HOUR).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let failed = world.notes.iter().filter(|note| matches!(note, Note::PieceFailed { .. })).count();
        let _ = writeln!(std::io::stdout(), "seed {seed}: {} s, {failed} pieces failed", world.seconds());
        check_end(&mut world, outcome);
        assert!(world.seconds() < 300.0, "seed {seed}: {} s", world.seconds());
    }
}
