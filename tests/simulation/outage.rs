//! The network at home fails: nobody out there is to blame for that.

use crate::net::Host;
use crate::peer::{Fault, Model};
use crate::scenarios::{small, world_of};
use crate::swarm::{address, check_end, tracker_address};
use crate::torrent::Shape;
use crate::tracker::Service;
use crate::world::{Happening, World};
use std::net::SocketAddr;
use std::time::Duration;
use swarmlet::base::StreamId;
use swarmlet::session::CloseCause;

const MINUTE: Duration = Duration::from_secs(60);
const PEERS: usize = 3;

/// How nobody is reached.
#[derive(Clone, Copy, Debug)]
enum Outage {
    /// The kernel knows no way, or a router says that there is none.
    Unreachable,
    /// Nothing comes back.
    Silent,
}

/// Nobody is reached from now on; what is being opened fails.
fn begin(world: &mut World, outage: Outage) {
    for nth in 0..PEERS {
        let fault = match outage {
            Outage::Unreachable => Fault::Unreachable,
            Outage::Silent => Fault::NeverConnects,
        };
        world.add_peer(address(nth), Model::with(fault));
    }
    world.hosts.insert(tracker_address(0), Host::Tracker(Service::NeverOpens));
    let streams: Vec<StreamId> = world.sockets.keys().copied().collect();
    let planned = |happening: &Happening| !matches!(happening, Happening::Opens(_));
    world.queue.retain(|_, happening| planned(happening));
    if let Outage::Unreachable = outage {
        let now = world.now;
        streams
            .into_iter()
            .for_each(|stream| world.plan(now, Happening::Fails(stream, CloseCause::Unreachable)));
    }
}

#[test]
fn addresses_are_kept_while_our_own_network_is_cut_off() {
    for outage in [Outage::Unreachable, Outage::Silent] {
        for minutes in [10, 300] {
            let mut shape = small();
            shape.tiers = vec![vec![String::from("http://t.example/announce")]];
            let honest = Model { latency_us: 1_000_000, ..Model::honest() };
            let mut world = world_of(1, &shape, &vec![honest.clone(); PEERS], |_| {});
            let addresses: Vec<SocketAddr> = (0..PEERS).map(address).collect();
            world.add_tracker("t.example", tracker_address(0), Service::Good(addresses.clone()));
            world.start(true);
            // They have just been named, and were never reached.
            let named = |world: &World| addresses.iter().all(|peer| world.dialled.contains_key(peer));
            world.run_while(MINUTE, |world| !named(world)).unwrap();
            begin(&mut world, outage);
            let end = u64::from(minutes) * 60_000_000;
            world.plan(end, Happening::Turn);
            world.run_while(MINUTE * minutes, |world| world.now < end).unwrap();
            let tries: u32 = addresses.iter().map(|peer| world.dialled[peer]).sum();
            assert!(tries < 3 * (10 + minutes / 10), "{outage:?}: {tries} tries in {minutes} minutes");
            // The tracker stays away: what is known has to be enough.
            addresses.iter().for_each(|&peer| world.add_peer(peer, honest.clone()));
            let outcome =
                world.run(MINUTE * (minutes + 17)).unwrap_or_else(|error| panic!("{outage:?}: {error}"));
            check_end(&mut world, outcome);
        }
    }
}

#[test]
fn the_dead_are_forgotten_where_others_are_alive() {
    let mut shape = Shape::single(32_768, 4 << 20);
    shape.tiers = vec![vec![String::from("http://t.example/announce")]];
    let dead = [Model::with(Fault::NeverConnects), Model::with(Fault::Unreachable)];
    let slow = Model { rate: 2_000, ..Model::honest() };
    let mut world = world_of(1, &shape, &[dead[0].clone(), dead[1].clone(), slow], |_| {});
    world.add_tracker("t.example", tracker_address(0), Service::Good((0..3).map(address).collect()));
    world.start(true);
    world.run_while(MINUTE, |world| !world.dialled.contains_key(&address(0))).unwrap();
    world.hosts.insert(tracker_address(0), Host::Tracker(Service::NeverOpens));
    world.run_while(MINUTE * 20, |world| world.now < 15 * 60_000_000).unwrap();
    let tries = [0, 1].map(|nth| world.dialled[&address(nth)]);
    assert_eq!(tries, [6, 6], "no more than before they were given up");
}
