//! A proxy that carries datagrams, or does not, and UDP trackers behind it.

use crate::datagrams::{Manner, UdpTracker};
use crate::peer::Model;
use crate::scenarios::{small, world_of};
use crate::swarm::{address, check_end, tracker_address};
use crate::tracker::Service;
use crate::world::{Happening, World};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use swarmlet::base::StreamId;
use swarmlet::proxy::{Fault, Proxy, Routes, Unreached};
use swarmlet::session::{CloseCause, Event, Note, Outcome};
use swarmlet::wire::Server;
use swarmlet::wire::url::Host;

const MINUTE: Duration = Duration::from_secs(60);
const LATENCY_US: u64 = 40_000;

/// What the proxy does with datagrams, and has done.
#[derive(Debug, Default)]
pub struct Relay {
    /// Why it carries none; it never says a word if this is what the session finds when it gives up.
    pub refuses: Option<CloseCause>,
    /// The stream for which it carries them.
    stream: Option<StreamId>,
    is_open: bool,
    /// Streams that were asked for.
    pub asked: u32,
    pub carried: u32,
}

impl Relay {
    pub fn close(&mut self, stream: StreamId) {
        if self.stream == Some(stream) {
            (self.stream, self.is_open) = (None, false);
        }
    }
}

impl World {
    /// Puts the session behind a proxy; before its torrent is added.
    fn behind(&mut self, refuses: Option<CloseCause>) {
        let proxy = Proxy::parse("socks5://10.9.9.9").unwrap();
        self.session.route(Arc::new(Routes::through(proxy)));
        self.relay.refuses = refuses;
    }

    /// Where a server is, as the proxy finds out.
    pub fn place_of(&self, server: &Server) -> SocketAddr {
        let ip = match (&server.host, server.address) {
            (_, Some(address)) => return address,
            (Host::Address(ip), None) => *ip,
            (Host::Name(name), None) => self.names[name][0],
        };
        SocketAddr::new(ip, server.port)
    }

    pub fn associate(&mut self, stream: StreamId) {
        assert!(self.relay.stream.is_none(), "one carries for all");
        self.relay.stream = Some(stream);
        self.relay.asked += 1;
        self.plan(self.now + 6 * LATENCY_US, Happening::Associates(stream));
    }

    pub fn answer_association(&mut self, stream: StreamId) {
        if self.relay.stream != Some(stream) {
            return;
        }
        match self.relay.refuses {
            None => {
                self.relay.is_open = true;
                self.tell(Event::Connected { stream });
            }
            Some(cause) => {
                self.relay.stream = None;
                assert!(self.closed.insert(stream));
                self.tell(Event::Closed { stream, cause });
            }
        }
    }

    /// What the proxy brings us.
    pub fn bring(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.tell(Event::Relayed { from: Some(from), bytes });
    }

    /// Sends a datagram straight, or by way of the proxy.
    pub fn post(&mut self, server: &Server, bytes: Vec<u8>) {
        match server.address {
            Some(address) => self.send_datagram(address, bytes),
            None => self.carry_datagram(server, &bytes),
        }
    }

    fn carry_datagram(&mut self, server: &Server, bytes: &[u8]) {
        assert!(self.relay.is_open, "nobody carries it");
        self.relay.carried += 1;
        let address = self.place_of(server);
        let Some(tracker) = self.udp_trackers.get_mut(&address) else { return };
        let at = self.now + 2 * LATENCY_US;
        for (from, answer) in tracker.on_datagram(self.now, &mut self.rng, address, bytes) {
            self.plan(at, Happening::Relayed(from, answer));
        }
    }
}

/// A download whose tracker is UDP behind a name, and HTTP as well if `http`; through a proxy.
fn world_behind(refuses: Option<CloseCause>, http: bool, model: Model) -> World {
    let place = SocketAddr::new(tracker_address(0).ip(), 6969);
    let mut shape = small();
    shape.tiers = vec![vec!["udp://u.example:6969/announce".into()]];
    if http {
        shape.tiers.push(vec!["http://h.example/announce".into()]);
    }
    let mut world = world_of(3, &shape, &[model], |_| {});
    world.add_udp_tracker("u.example", place, UdpTracker::new(Manner::Honest, &[address(0)], 0));
    if http {
        let place = SocketAddr::new(tracker_address(1).ip(), 80);
        world.add_tracker("h.example", place, Service::Good(vec![address(0)]));
    }
    world.behind(refuses);
    world
}

fn events(world: &World) -> &[u32] {
    &world.udp_trackers.values().next().unwrap().events
}

fn failures(world: &World) -> Vec<&str> {
    let failed = world.notes.iter().filter_map(|note| match note {
        Note::TrackerFailed { why, .. } | Note::TrackerSkipped { why, .. } => Some(why.as_str()),
        _ => None,
    });
    failed.collect()
}

#[test]
fn a_udp_tracker_behind_a_proxy_hears_everything_by_one_stream() {
    let mut world = world_behind(None, false, Model::honest());
    world.start(true);
    let outcome = world.run(5 * MINUTE).unwrap();
    check_end(&mut world, outcome);
    assert_eq!((outcome, events(&world)), (Outcome::Complete, &[2, 1, 3][..]));
    assert_eq!((world.relay.asked, failures(&world).len()), (1, 0));
}

#[test]
fn a_proxy_that_refuses_datagrams_is_asked_once_and_named_once() {
    let refuses = Some(CloseCause::Proxy(Fault::Unsupported));
    let mut world = world_behind(refuses, true, Model { rate: 2_000, ..Model::honest() });
    world.start(true);
    let outcome = world.run(60 * MINUTE).unwrap();
    check_end(&mut world, outcome);
    assert!(world.seconds() > 60.0, "too short a run shows nothing");
    let words = "UDP does not go through the proxy: the proxy cannot do that";
    assert_eq!(failures(&world), [words]);
    assert_eq!((world.relay.asked, world.relay.carried, events(&world)), (1, 0, &[][..]));
}

#[test]
fn a_proxy_that_is_down_is_tried_again_and_one_that_says_nothing_is_given_up() {
    for silent in [false, true] {
        let down = CloseCause::Proxy(Fault::Unreached(Unreached::Refused));
        let mut world = world_behind(Some(down), true, Model { rate: 2_000, ..Model::honest() });
        world.start(true);
        if silent {
            // What was asked never gets an answer.
            world.queue.retain(|_, happening| !matches!(happening, Happening::Associates(_)));
        }
        world.run_while(5 * MINUTE, |world| world.relay.asked < 2).unwrap();
        let words = if silent { "the proxy does not answer" } else { "the proxy refuses the connection" };
        assert!(failures(&world).contains(&words), "{:?}", failures(&world));
        world.relay.refuses = None;
        let outcome = world.run(60 * MINUTE).unwrap();
        check_end(&mut world, outcome);
        assert!(events(&world).ends_with(&[1, 3]), "{:?}", events(&world));
    }
}

#[test]
fn the_stream_is_closed_when_nothing_comes_through_it_and_opened_again_when_it_is_needed() {
    let mut world = world_behind(None, false, Model { rate: 13_000, ..Model::honest() });
    world.start(true);
    world.run_while(MINUTE, |world| !world.relay.is_open).unwrap();
    world.run_while(3 * MINUTE, |world| world.relay.is_open).unwrap();
    assert!((60.0..62.0).contains(&world.seconds()), "{} s", world.seconds());
    let outcome = world.run(60 * MINUTE).unwrap();
    check_end(&mut world, outcome);
    assert_eq!(events(&world), [2, 1, 3]);
    assert_eq!((world.relay.asked, failures(&world).len()), (2, 0));
}
