//! Trackers of all kinds and the first seconds of a download: who is asked, how fast peers come, who is told at the end.

use crate::datagrams::{Manner, UdpTracker};
use crate::peer::{Fault, Model};
use crate::scenarios::{small, world_of};
use crate::swarm::{address, check_end, tracker_address};
use crate::tracker::Service;
use crate::world::{Deed, World};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use swarmlet::base::Rng;
use swarmlet::session::{Command, Note, Outcome};

const MINUTE: Duration = Duration::from_secs(60);
const SEEDS: u64 = 10;

fn udp_address(nth: usize) -> SocketAddr {
    SocketAddr::new(tracker_address(nth).ip(), 6969)
}

fn udp_url(nth: usize) -> String {
    format!("udp://{}/announce", udp_address(nth))
}

fn http_url(nth: usize) -> String {
    format!("http://{}/announce", tracker_address(nth))
}

/// Adds UDP tracker `nth`.
fn add_udp(world: &mut World, nth: usize, manner: Manner, peers: &[SocketAddr]) {
    let name = format!("u{nth}.example");
    world.add_udp_tracker(&name, udp_address(nth), UdpTracker::new(manner, peers, 50_000));
}

fn events(world: &World, nth: usize) -> &[u32] {
    &world.udp_trackers[&udp_address(nth)].events
}

/// Shows a figure.
fn tell(figure: &str) {
    let _ = writeln!(std::io::stderr(), "{figure}");
}

/// When the first block was there, in microseconds from the start.
fn first_block_us(world: &mut World) -> u64 {
    let some = |world: &World| world.session.status(world.instant()).torrents[0].downloaded_bytes > 0;
    world.run_while(5 * MINUTE, |world| !some(world)).unwrap_or_else(|error| panic!("{error}"));
    world.now - 1_000_000
}

#[test]
fn a_download_with_a_udp_tracker_alone_says_everything_to_it() {
    for manner in [Manner::Honest, Manner::Lossy, Manner::Forgets, Manner::Lies] {
        for seed in 0..SEEDS {
            let mut shape = small();
            shape.tiers = vec![vec![udp_url(0)]];
            let mut world = world_of(seed, &shape, &[Model::honest()], |_| {});
            add_udp(&mut world, 0, manner, &[address(0)]);
            world.start(true);
            let outcome = world.run(5 * MINUTE).unwrap_or_else(|error| panic!("{manner:?} {seed}: {error}"));
            check_end(&mut world, outcome);
            let events = events(&world, 0);
            assert_eq!(events.first(), Some(&2), "{manner:?}: started");
            let all = events.contains(&1) && events.last() == Some(&3);
            assert!(all || manner == Manner::Lossy, "{manner:?}: {events:?}");
        }
    }
}

#[test]
fn bad_udp_trackers_are_failures_in_words_and_the_next_one_helps() {
    for manner in [Manner::Silent, Manner::Refuses, Manner::SaysNo, Manner::Garbles] {
        let mut shape = small();
        shape.tiers = vec![vec![udp_url(0), http_url(1)]];
        let mut world = world_of(7, &shape, &[Model { rate: 10_000, ..Model::honest() }], |_| {});
        add_udp(&mut world, 0, manner, &[address(0)]);
        world.add_tracker("good.example", tracker_address(1), Service::Good(vec![address(0)]));
        world.start(true);
        let outcome = world.run(10 * MINUTE).unwrap();
        check_end(&mut world, outcome);
        let failed = world.notes.iter().any(|note| matches!(note, Note::TrackerFailed { .. }));
        assert!(failed, "{manner:?}");
    }
}

#[test]
fn three_dead_trackers_of_four_delay_the_first_block_by_less_than_a_second() {
    type AddDead = fn(&mut World, usize);
    let kinds: [(&str, AddDead); 5] = [
        ("HTTP that does not answer", |world, nth| {
            world.add_tracker("x", tracker_address(nth), Service::NeverAnswers);
        }),
        ("HTTP that drops packets", |world, nth| {
            world.add_tracker("x", tracker_address(nth), Service::NeverOpens);
        }),
        ("HTTP that refuses", |world, nth| world.add_tracker("x", tracker_address(nth), Service::Refuses)),
        ("UDP that is silent", |world, nth| add_udp(world, nth, Manner::Silent, &[])),
        ("UDP that refuses", |world, nth| add_udp(world, nth, Manner::Refuses, &[])),
    ];
    let mut worst = 0;
    for (kind, make) in kinds {
        for (seed, one_tier) in (0..SEEDS).flat_map(|seed| [(seed, true), (seed, false)]) {
            let url = |nth| if kind.starts_with("UDP") { udp_url(nth) } else { http_url(nth) };
            let run = |dead: bool| {
                let mut urls = vec![http_url(9)];
                if dead {
                    urls.extend((0..3).map(url));
                }
                let mut shape = small();
                shape.tiers =
                    if one_tier { vec![urls] } else { urls.into_iter().map(|url| vec![url]).collect() };
                let mut world =
                    world_of(seed, &shape, &[Model { latency_us: 100_000, ..Model::honest() }], |_| {});
                world.add_tracker("good.example", tracker_address(9), Service::Good(vec![address(0)]));
                if dead {
                    (0..3).for_each(|nth| make(&mut world, nth));
                }
                world.start(true);
                first_block_us(&mut world)
            };
            let (with, alone) = (run(true), run(false));
            worst = worst.max(with.saturating_sub(alone));
            assert!(
                with < alone + 1_000_000,
                "{kind}, seed {seed}: {with} µs, {alone} µs with the good one alone"
            );
        }
    }
    assert!(worst > 100_000, "the dead were asked first now and then: {worst} µs");
    tell(&format!("3 dead trackers of 4 delay the first block by at most {} ms", worst / 1_000));
}

#[test]
fn of_addresses_that_are_dead_in_part_enough_become_peers_within_five_seconds() {
    let mut spans = vec![];
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let models: Vec<Model> = (0..100)
            .map(|nth| {
                let latency_us = 80_000 + u64::from(rng.below(220_000));
                let fault = match nth % 5 {
                    0 => Fault::NeverConnects,
                    1 => [Fault::NeverConnects, Fault::Refuses, Fault::NeverShakes][rng.below(3) as usize],
                    _ => Fault::None,
                };
                Model { fault, latency_us, rate: 5_000, ..Model::honest() }
            })
            .collect();
        let mut shape = small();
        shape.tiers = vec![vec![udp_url(0)]];
        let mut world = world_of(seed, &shape, &models, |_| {});
        let addresses: Vec<SocketAddr> = (0..models.len()).map(address).collect();
        add_udp(&mut world, 0, Manner::Honest, &addresses);
        world.start(true);
        let answered =
            |world: &World| world.notes.iter().any(|note| matches!(note, Note::TrackerAnswered { .. }));
        world.run_while(MINUTE, |world| !answered(world)).unwrap();
        let reply = world.now;
        let peers = |world: &World| world.session.status(world.instant()).torrents[0].peers;
        world.run_while(MINUTE, |world| peers(world) < 15).unwrap();
        let took = (world.now - reply) as f64 / 1e6;
        assert!(took <= 5.0, "seed {seed}: 15 peers after {took} s");
        spans.push(took);
    }
    spans.sort_by(f64::total_cmp);
    let (middle, worst) = (spans[spans.len() / 2], spans[spans.len() - 1]);
    tell(&format!(
        "15 peers of 100 addresses, 40 % dead: {middle:.2} s, at most {worst:.2} s after the reply"
    ));
}

#[test]
fn a_tracker_whose_peers_cannot_be_dialled_keeps_nobody_waiting() {
    for seed in 0..SEEDS {
        let mut shape = small();
        shape.tiers = vec![vec![udp_url(0), udp_url(1)]];
        let dead = Model::with(Fault::NeverConnects);
        let mut world = world_of(seed, &shape, &[dead.clone(), dead, Model::honest()], |_| {});
        add_udp(&mut world, 0, Manner::Honest, &[address(0), address(1)]);
        add_udp(&mut world, 1, Manner::Honest, &[address(2)]);
        world.start(true);
        let took = first_block_us(&mut world);
        assert!(took < 4_500_000, "seed {seed}: {took} µs");
    }
}

#[test]
fn twenty_dead_trackers_in_front_delay_the_good_one_by_seconds_only() {
    let mut shape = small();
    shape.tiers = (0..21).map(|nth| vec![udp_url(nth)]).collect();
    let mut world = world_of(3, &shape, &[Model::honest()], |_| {});
    (0..20).for_each(|nth| add_udp(&mut world, nth, Manner::Silent, &[]));
    add_udp(&mut world, 20, Manner::Honest, &[address(0)]);
    world.start(true);
    let took = first_block_us(&mut world);
    assert!(took < 3_500_000, "{took} µs");
}

/// When the first block comes from a dual-stack tracker and peers of both families, on a host that lacks some.
fn dual_stack(seed: u64, udp: bool, lacking: [bool; 2]) -> u64 {
    let mut shape = small();
    shape.tiers = vec![vec![String::from(if udp { "udp://t.example:6969/a" } else { "http://t.example/a" })]];
    let mut world = world_of(seed, &shape, &[], |_| {});
    (world.lacking, world.naming_us) = (lacking, 1);
    let peers: [SocketAddr; 2] = [address(0), "[2001:db8::7]:6881".parse().unwrap()];
    peers.iter().for_each(|peer| world.add_peer(*peer, Model::honest()));
    let tracker = tracker_address(0);
    let tracker6 = SocketAddr::new("2001:db8::1".parse().unwrap(), tracker.port());
    if udp {
        for place in [tracker, tracker6] {
            let place = SocketAddr::new(place.ip(), 6969);
            world.add_udp_tracker("t.example", place, UdpTracker::new(Manner::Honest, &peers, 50_000));
        }
    } else {
        world.add_tracker("t.example", tracker, Service::Good(peers.to_vec()));
        world.add_tracker("t.example", tracker6, Service::Good(peers.to_vec()));
        world.names.insert("t.example".into(), vec![tracker.ip(), tracker6.ip()]);
    }
    world.start(true);
    let took = first_block_us(&mut world);
    let outcome = world.run(5 * MINUTE).unwrap();
    check_end(&mut world, outcome);
    took
}

#[test]
fn hosts_with_one_family_wait_no_longer_than_those_with_both() {
    for udp in [true, false] {
        for seed in 0..SEEDS {
            let both = dual_stack(seed, udp, [false, false]);
            for lacking in [[true, false], [false, true]] {
                let one = dual_stack(seed, udp, lacking);
                assert!(
                    one < both + 400_000,
                    "udp {udp}, lacking {lacking:?}: {one} µs, with both {both} µs"
                );
            }
        }
    }
}

#[test]
fn leaving_takes_two_seconds_at_most_whatever_udp_trackers_do() {
    for (seed, manner) in
        [Manner::Silent, Manner::Garbles, Manner::Honest, Manner::Lossy].into_iter().enumerate()
    {
        let mut shape = small();
        shape.tiers = vec![vec![udp_url(0)], vec![udp_url(1)]];
        let slow = Model { rate: 20_000, ..Model::honest() };
        let mut world = world_of(seed as u64, &shape, &[slow], |_| {});
        add_udp(&mut world, 0, Manner::Honest, &[address(0)]);
        add_udp(&mut world, 1, manner, &[]);
        world.start(true);
        world.later(Duration::from_secs(20), Deed::Quit);
        assert_eq!(world.run(MINUTE), Ok(Outcome::Incomplete));
        let took = world.finished_at - world.quit_at.unwrap();
        assert!(took <= 2_001_000, "{took} µs");
        assert_eq!(events(&world, 0), [2, 3], "started and stopped");
    }
}

#[test]
fn the_numbers_of_the_swarm_are_asked_for_where_they_are_not_told() {
    let mut shape = small();
    shape.tiers = vec![vec![udp_url(0)], vec![http_url(1)]];
    let slow = Model { rate: 20_000, ..Model::honest() };
    let mut world = world_of(1, &shape, &[slow], |_| {});
    add_udp(&mut world, 0, Manner::Honest, &[address(0)]);
    world.add_tracker("h", tracker_address(1), Service::Good(vec![]));
    world.start(true);
    world.later(Duration::from_secs(10), Deed::Command(Command::Trackers));
    world.run_while(MINUTE, |world| world.now < 12_000_000).unwrap();
    let swarm = world.session.status(world.instant()).torrents[0].swarm;
    assert_eq!((swarm.seeds, swarm.leechers), (Some(2), Some(1)));
    let scrapes = world.announces.iter().filter(|head| head.starts_with("GET /scrape?info_hash=")).count();
    assert_eq!(scrapes, 1, "once, and not again when somebody looks: {:?}", world.announces);
}

#[test]
fn with_enough_peers_only_a_few_more_are_dialled_each_second() {
    let mut shape = small();
    shape.tiers = vec![vec![udp_url(0)]];
    let models: Vec<Model> = (0..240).map(|_| Model { rate: 200, ..Model::honest() }).collect();
    let mut world = world_of(1, &shape, &models, |_| {});
    world.check_every = 50;
    let addresses: Vec<SocketAddr> = (0..models.len()).map(address).collect();
    let (first, second) = addresses.split_at(120);
    add_udp(&mut world, 0, Manner::Honest, first);
    world.start(true);
    for peer in second {
        world.later(Duration::from_secs(30), Deed::Command(Command::Add(*peer)));
    }
    let dialled = |world: &World| world.dialled.len();
    world.run_while(MINUTE, |world| world.now < 31_000_000).unwrap();
    let before = dialled(&world);
    assert!(before >= 40, "{before}");
    world.run_while(MINUTE, |world| world.now < 41_000_000).unwrap();
    let more = dialled(&world) - before;
    assert!((10..=50).contains(&more), "{more} in ten seconds");
}
