//! Swarms with one trouble each: every liar, every disk fault and every wish of the user by name.

use crate::disk::Plan;
use crate::peer::{Fault, Has, Model};
use crate::swarm::{address, check_end, tracker_address};
use crate::torrent::{Shape, Torrent};
use crate::tracker::Service;
use crate::world::{Deed, World};
use std::net::SocketAddr;
use std::time::Duration;
use swarmlet::base::Rng;
use swarmlet::session::{Command, Note, Outcome, Phase, Settings};

const MINUTE: Duration = Duration::from_secs(60);
const SEEDS: u64 = 10;

/// 1 MiB in 32 pieces of two blocks.
pub fn small() -> Shape {
    Shape::single(32_768, 1 << 20)
}

pub fn world_of(seed: u64, shape: &Shape, models: &[Model], change: impl Fn(&mut Settings)) -> World {
    let torrent = Torrent::new(shape, &mut Rng::new(seed));
    let addresses: Vec<SocketAddr> = (0..models.len()).map(address).collect();
    let named = if shape.tiers.is_empty() { addresses.clone() } else { vec![] };
    let mut settings = World::settings(16 << 20, named);
    change(&mut settings);
    let mut world = World::new(seed, torrent, settings);
    addresses.iter().zip(models).for_each(|(address, model)| world.add_peer(*address, model.clone()));
    world
}

/// Two honest peers and some others.
fn started(seed: u64, others: &[Model]) -> World {
    let honest = Model { rate: 100_000, ..Model::honest() };
    let models = [others, &[honest.clone(), Model { fast: false, ..honest }]].concat();
    let mut world = world_of(seed, &small(), &models, |_| {});
    world.start(true);
    world
}

fn completes(world: &mut World, limit: Duration) {
    let outcome = world.run(limit).unwrap_or_else(|error| panic!("seed {}: {error}", world.seed));
    check_end(world, outcome);
}

/// What becomes of a peer that misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Dropped, and said to be guilty.
    Guilty,
    Banned,
    /// Dropped, and not blamed.
    Blameless,
    /// Nothing in particular.
    Borne,
}

/// Two peers with `fault` keep nobody from completing, and meet their fate in every seed.
fn survives(fault: Fault, fate: Fate) {
    for seed in 0..SEEDS {
        let liars = [Model::with(fault), Model { fast: false, extended: false, ..Model::with(fault) }];
        let mut world = started(seed, &liars);
        completes(&mut world, 3 * MINUTE);
        let guilty = world.notes.iter().any(|note| matches!(note, Note::PeerGone { guilty: true, .. }));
        let banned = !world.banned().is_empty();
        match fate {
            Fate::Guilty => assert!(guilty && !banned, "seed {seed}: {fault:?}"),
            Fate::Blameless => {
                let gone = |note: &Note| matches!(note, Note::PeerGone { guilty: false, why, .. } if why.contains("ours"));
                assert!(world.notes.iter().any(gone) && !guilty && !banned, "seed {seed}: {fault:?}");
            }
            Fate::Banned => assert!(banned, "seed {seed}: {fault:?}"),
            Fate::Borne => assert!(!banned, "seed {seed}: {fault:?}"),
        }
        assert!(world.session.status(world.instant()).buffered_bytes <= 16 << 20);
    }
}

macro_rules! liars {
    ($($name:ident: $fault:expr, $fate:ident;)*) => { $(
        #[test]
        fn $name() {
            survives($fault, Fate::$fate);
        }
    )* };
}

liars! {
    a_peer_of_another_torrent: Fault::WrongHash, Guilty;
    a_peer_with_bad_lengths: Fault::BadLength, Guilty;
    a_peer_with_indices_out_of_range: Fault::OutOfRange, Guilty;
    a_peer_with_two_bitfields: Fault::BitfieldTwice, Borne;
    a_peer_that_sends_unasked_blocks: Fault::Unasked, Borne;
    a_peer_that_spoils_every_block: Fault::Corrupt { percent: 100, byte: false }, Banned;
    a_peer_that_spoils_a_byte_now_and_then: Fault::Corrupt { percent: 30, byte: true }, Banned;
    a_peer_that_spoils_a_block_and_runs: Fault::HitsAndRuns, Banned;
    a_peer_that_is_silent_at_once: Fault::SilentAfter(0), Borne;
    a_peer_that_falls_silent: Fault::SilentAfter(5), Borne;
    a_peer_that_floods: Fault::Floods { per_second: 40_000 }, Guilty;
    a_peer_that_sends_a_byte_a_second: Fault::Drips, Borne;
    a_peer_that_never_reads: Fault::NeverReads, Borne;
    a_peer_that_never_shakes_hands: Fault::NeverShakes, Borne;
    a_peer_that_leaves_in_the_middle_of_a_block: Fault::CutsIn(4), Borne;
    a_peer_that_sends_everything_twice: Fault::Twice, Borne;
    a_peer_that_rejects_everything: Fault::Rejects, Borne;
    a_peer_that_chokes_in_a_wild_rhythm: Fault::Chokes { every_us: 300_000 }, Borne;
    a_peer_that_chokes_but_allows_a_few_pieces: Fault::AllowsFew, Borne;
    a_peer_that_chokes_for_ever: Fault::ChokesForEver, Borne;
    a_peer_that_is_ourselves: Fault::Mirror, Blameless;
    a_peer_that_refuses: Fault::Refuses, Borne;
    a_peer_that_cannot_be_reached: Fault::Unreachable, Borne;
    a_peer_that_never_answers_the_call: Fault::NeverConnects, Borne;
    a_peer_that_sends_garbage: Fault::Garbage, Guilty;
}

#[test]
fn a_peer_with_spare_bits() {
    let mut shape = small();
    shape.files = vec![(1 << 20) - 40_000];
    let mut world = world_of(1, &shape, &[Model::with(Fault::SpareBits), Model::honest()], |_| {});
    world.start(true);
    completes(&mut world, MINUTE);
    assert!(world.notes.iter().any(|note| matches!(note, Note::PeerGone { guilty: true, .. })));
}

/// A bad tracker before a good one.
fn survives_tracker(service: &Service, fails: bool) {
    // Only a tracker that fails gives way to the next of its tier (BEP 12).
    for (seed, same_tier) in [(1, fails), (2, false), (3, fails), (4, false)] {
        let urls = ["http://bad.example/announce", "http://good.example:80/a?x=1"].map(String::from);
        let mut shape = small();
        shape.tiers =
            if same_tier { vec![urls.to_vec()] } else { urls.iter().map(|url| vec![url.clone()]).collect() };
        let mut world = world_of(seed, &shape, &[Model::honest()], |_| {});
        world.add_tracker("bad.example", tracker_address(0), service.clone());
        world.add_tracker("good.example", tracker_address(1), Service::Good(vec![address(0)]));
        world.start(true);
        completes(&mut world, 3 * MINUTE);
        let failures = world.notes.iter().filter(|note| matches!(note, Note::TrackerFailed { .. })).count();
        assert!(failures <= 8, "{failures} lines about one tracker");
        assert!(!fails || failures > 0 || same_tier || world.seconds() < 40.0, "{service:?}");
    }
}

#[test]
fn trackers_that_lie_or_fail() {
    let zero: Vec<SocketAddr> = (0..100).map(|nth| SocketAddr::from(([14, 0, 0, nth], 0))).collect();
    let many: Vec<SocketAddr> =
        (0..10_000).map(|nth| SocketAddr::from(([14, 0, (nth >> 8) as u8, nth as u8], 9))).collect();
    let odd = ["0.0.0.0:1", "255.255.255.255:1", "127.0.0.1:1", "224.0.0.1:1", "240.1.1.1:1"];
    let odd: Vec<SocketAddr> = odd.iter().map(|text| text.parse().unwrap()).collect();
    let good = vec![address(0)];
    let failing = [
        Service::Fails,
        Service::Endless,
        Service::RedirectsForEver,
        Service::BrokenChunks,
        Service::Deep,
        Service::NotHttp,
        Service::NeverAnswers,
        Service::NeverOpens,
        Service::Resets,
        Service::Refuses,
    ];
    failing.iter().for_each(|service| survives_tracker(service, true));
    let bearable = [
        Service::Good(zero),
        Service::Good(many),
        Service::Good(odd),
        Service::Slow(good.clone()),
        Service::Verbose(good),
        Service::Redirects("http://good.example/announce".into()),
    ];
    bearable.iter().for_each(|service| survives_tracker(service, false));
}

#[test]
fn dead_trackers_and_names_without_address_are_passed_over() {
    let mut shape = small();
    let urls =
        ["http://gone.example/a", "udp://udp.example:1/a", "http://11.99.0.1/a", "http://good.example/a"];
    shape.tiers = urls.iter().map(|url| vec![url.to_string()]).collect();
    let mut world = world_of(5, &shape, &[Model::honest()], |_| {});
    world.add_tracker("good.example", tracker_address(1), Service::Good(vec![address(0)]));
    world.start(true);
    completes(&mut world, MINUTE);
    assert!(world.announces.iter().any(|head| head.contains("event=started")));
    assert!(world.announces.iter().any(|head| head.contains("event=completed")), "{:?}", world.announces);
}

#[test]
fn a_full_disk_pauses_the_download_until_there_is_room() {
    for seed in 0..SEEDS {
        let mut world = started(seed, &[]);
        world.disk.plan = Plan { space_bytes: Some(300_000), ..Plan::default() };
        world.later(2 * MINUTE, Deed::FreeDisk);
        let stalled =
            |world: &World| world.session.status(world.instant()).torrents[0].phase == Phase::Stalled;
        world.run_while(MINUTE, |world| !stalled(world)).unwrap();
        world.run_while(3 * MINUTE, |world| world.now < 100_000_000).unwrap();
        assert!(stalled(&world));
        let faults = world.notes.iter().filter(|note| matches!(note, Note::StorageFault { .. })).count();
        assert_eq!(faults, 1, "one line, not one for each try");
        completes(&mut world, 3 * MINUTE);
        assert!(world.notes.iter().any(|note| matches!(note, Note::StorageRecovered { .. })));
    }
}

#[test]
fn faults_of_the_disk_that_pass_are_survived_and_others_end_the_run() {
    for seed in 0..SEEDS {
        let mut world = started(seed, &[]);
        world.disk.plan = Plan { fails: Some((1, 2)), ..Plan::default() };
        completes(&mut world, 3 * MINUTE);
        let mut world = started(seed, &[]);
        world.disk.plan = Plan { fails: Some((1, u32::MAX)), ..Plan::default() };
        assert_eq!(world.run(3 * MINUTE), Ok(Outcome::IoError));
        let models = [Model::honest()];
        let give_up = |settings: &mut Settings| settings.give_up = Some(MINUTE);
        let mut world = world_of(seed, &small(), &models, give_up);
        world.disk.plan = Plan { space_bytes: Some(300_000), ..Plan::default() };
        world.start(true);
        assert_eq!(world.run(5 * MINUTE), Ok(Outcome::NoSpace));
        assert!(world.seconds() > 60.0);
    }
}

#[test]
fn quitting_takes_two_seconds_at_most_whatever_the_trackers_do() {
    for (seed, service) in
        [Service::NeverAnswers, Service::Endless, Service::Good(vec![])].into_iter().enumerate()
    {
        let mut shape = small();
        shape.tiers = vec![vec!["http://good.example/a".into()], vec!["http://other.example/a".into()]];
        let slow = Model { rate: 20_000, ..Model::honest() };
        let mut world = world_of(seed as u64, &shape, &[slow], |_| {});
        world.add_tracker("good.example", tracker_address(1), Service::Good(vec![address(0)]));
        world.add_tracker("other.example", tracker_address(2), service);
        world.start(true);
        world.later(Duration::from_secs(20), Deed::Quit);
        assert_eq!(world.run(MINUTE), Ok(Outcome::Incomplete));
        let took = world.finished_at - world.quit_at.unwrap();
        assert!(took <= 2_001_000, "{took} µs");
        assert!(world.announces.iter().any(|head| head.contains("event=stopped")));
        let stored = (0..32).filter(|&piece| world.disk.has(piece)).count();
        assert!(stored > 5, "what was verified is kept: {stored} pieces");
    }
}

#[test]
fn the_end_is_not_slow_where_one_peer_is_slow_and_one_is_silent() {
    for seed in 0..SEEDS {
        let slow = Model { rate: 2_000, ..Model::honest() };
        let mut models = vec![Model { rate: 50_000, ..Model::honest() }; 8];
        models.extend([slow, Model::with(Fault::SilentAfter(3))]);
        let shape = Shape::single(65_536, 8 << 20);
        let mut world = world_of(seed, &shape, &models, |_| {});
        world.start(true);
        let have = |world: &World| world.session.status(world.instant()).torrents[0].done_bytes;
        world.run_while(5 * MINUTE, |world| have(world) * 100 < 99 * world.torrent.total_bytes).unwrap();
        let before = world.seconds();
        completes(&mut world, 5 * MINUTE);
        let (whole, last) = (world.seconds(), world.seconds() - before);
        // 8 MiB over 400,000 B/s are 21 s.
        assert!(whole < 35.0 && last < 8.0, "seed {seed}: {whole} s, the last percent {last} s");
    }
}

#[test]
fn a_pause_stops_the_blocks_and_keeps_the_peers() {
    let mut world = started(3, &[]);
    world.later(Duration::from_secs(2), Deed::Command(Command::Pause));
    world.later(Duration::from_secs(300), Deed::Command(Command::Resume));
    let at = |world: &mut World, seconds: u64| {
        world.run_while(10 * MINUTE, |world| world.now < 1_000_000 * (seconds + 1)).unwrap();
        let status = world.session.status(world.instant());
        (status.torrents[0].downloaded_bytes, status.torrents[0].peers)
    };
    let (quiet, later) = (at(&mut world, 30), at(&mut world, 290));
    assert_eq!((quiet.0, quiet.1), (later.0, 2));
    assert!(quiet.0 < 1 << 20);
    completes(&mut world, 10 * MINUTE);
}

#[test]
fn a_quiet_box_sleeps() {
    let mut world = started(3, &[Model::with(Fault::SilentAfter(0))]);
    world.later(Duration::from_secs(2), Deed::Command(Command::Pause));
    world.later(Duration::from_secs(600), Deed::Command(Command::Resume));
    world.run_while(20 * MINUTE, |world| world.now < 30_000_000).unwrap();
    let before = world.turns;
    world.run_while(20 * MINUTE, |world| world.now < 590_000_000).unwrap();
    let turns = world.turns - before;
    assert!(turns < 200, "{turns} turns in 560 s of pause");
}

#[test]
fn what_is_on_disk_is_checked_and_only_the_rest_is_fetched() {
    for seed in 0..SEEDS {
        let mut world = world_of(seed, &small(), &[Model::honest()], |_| {});
        let half = world.torrent.bytes(0..500_000);
        world.disk.put(0, &half);
        world.start(false);
        completes(&mut world, MINUTE);
        let downloaded = world.session.status(world.instant()).torrents[0].downloaded_bytes;
        assert!(downloaded <= (32 - 15) * 32_768 + 32_768, "{downloaded}");
        assert!(world.notes.iter().any(|note| matches!(note, Note::Checked { good: 15, pieces: 32, .. })));
    }
}

#[test]
fn a_check_alone_says_what_it_found_and_dials_nobody() {
    for (right, expected) in [(true, Outcome::Complete), (false, Outcome::CheckFailed)] {
        let mut world = world_of(1, &small(), &[Model::honest()], |settings| settings.check_only = true);
        let mut bytes = world.torrent.bytes(0..1 << 20);
        bytes[777_777] ^= u8::from(!right);
        world.disk.put(0, &bytes);
        world.start(!right);
        assert_eq!(world.run(MINUTE), Ok(expected));
        assert!(world.dialled.is_empty());
    }
}

#[test]
fn pieces_that_cannot_be_read_are_fetched() {
    let mut world = world_of(1, &small(), &[Model::honest()], |_| {});
    world.disk.plan.load_fails = Some(3);
    let mut bytes = world.torrent.bytes(0..1 << 20);
    bytes.chunks_mut(32_768).skip(2).step_by(3).for_each(|unreadable| unreadable[0] ^= 1);
    world.disk.put(0, &bytes);
    world.start(false);
    completes(&mut world, MINUTE);
}

#[test]
fn nobody_there_ends_the_run_when_the_user_wants_that() {
    let give_up = |settings: &mut Settings| settings.give_up = Some(Duration::from_secs(90));
    let mut world =
        world_of(1, &small(), &[Model::with(Fault::Refuses), Model::with(Fault::NeverShakes)], give_up);
    world.start(true);
    assert_eq!(world.run(5 * MINUTE), Ok(Outcome::GaveUp));
    assert!((90.0..93.0).contains(&world.seconds()), "{}", world.seconds());
}

#[test]
fn when_the_only_seeder_goes_another_goes_on() {
    for seed in 0..SEEDS {
        let model = Model { rate: 50_000, ..Model::honest() };
        let mut world = world_of(seed, &small(), std::slice::from_ref(&model), |settings| {
            settings.peers.push(address(7));
        });
        world.later(Duration::from_secs(8), Deed::Kill(address(0)));
        world.later(MINUTE, Deed::AddHost(address(7), Box::new(model)));
        world.start(true);
        completes(&mut world, 10 * MINUTE);
        assert!(world.seconds() > 60.0);
    }
}

#[test]
fn pieces_of_every_size_come_whole() {
    let mut rng = Rng::new(1);
    let mut tiny = Shape::single(300, 600_000);
    tiny.files = (0..40).map(|_| u64::from(rng.below(30_000))).chain([0, 1]).collect();
    let shapes = [
        tiny,
        Shape::single(4 << 20, (9 << 20) + 5),
        Shape::single(1 << 20, 5 << 20),
        Shape::single(16_384, 1),
    ];
    for (seed, shape) in shapes.iter().enumerate() {
        let part =
            |part| Model { has: Has::Part { part, parts: 3, grows_us: Some(200_000) }, ..Model::honest() };
        let models = [
            part(0),
            part(1),
            part(2),
            Model::with(Fault::Corrupt { percent: 10, byte: true }),
            Model::honest(),
        ];
        let mut world = world_of(seed as u64, shape, &models, |settings| settings.memory_bytes = 2 << 20);
        world.check_every = if shape.piece_bytes < 1000 { 20 } else { 1 };
        world.start(true);
        completes(&mut world, 10 * MINUTE);
    }
}

#[test]
fn pieces_that_a_choking_peer_allows_are_fetched_from_it() {
    let mut world = world_of(1, &small(), &[Model::with(Fault::AllowsFew)], |_| {});
    world.start(true);
    world
        .run_while(MINUTE, |world| world.session.status(world.instant()).torrents[0].pieces_have < 11)
        .unwrap();
}
