//! The resolver against name servers that answer, lie and keep silent, in pretended time.

mod streams;
mod troubles;

use super::*;
use crate::base::limits::{DNS_PATIENCE, DNS_SECOND_FAMILY_WAIT};
use core::time::Duration;

pub(super) const TICK: Duration = Duration::from_micros(1);

struct World {
    resolver: Resolver,
    now: Instant,
    rng: Rng,
}

/// A datagram that was wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    server: SocketAddr,
    bytes: Vec<u8>,
}

impl Asked {
    /// The name in it, in lower case.
    fn name(&self) -> String {
        let (mut labels, mut rest) = (Vec::new(), &self.bytes[12..]);
        while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, after) = after.split_at(usize::from(length));
            labels.push(String::from_utf8(label.to_ascii_lowercase()).unwrap());
            rest = after;
        }
        labels.join(".")
    }

    fn wants_v6(&self) -> bool {
        self.bytes[self.bytes.len() - 3] == 28
    }
}

fn server(nth: u8) -> SocketAddr {
    SocketAddr::from(([9, 9, 9, nth], 53))
}

impl World {
    fn new(servers: u8) -> Self {
        let servers: Vec<SocketAddr> = (1..=servers).map(server).collect();
        Self::with(Setup::new(&servers))
    }

    /// Set up by one server and the lines of a configuration.
    fn reading(text: &str) -> Self {
        Self::with(Setup::parse(format!("nameserver 9.9.9.1\n{text}").as_bytes(), &[]))
    }

    fn with(setup: Setup) -> Self {
        let resolver = Resolver::new(setup, Hosts::parse(b"10.0.0.1 box"));
        Self { resolver, now: Instant::from_micros(5), rng: Rng::new(1) }
    }

    fn resolve(&mut self, query: u32, host: &str) -> Vec<Asked> {
        self.resolver.resolve(self.now, query, host, &mut self.rng);
        self.asked()
    }

    fn wishes(&mut self) -> Vec<Wish> {
        core::iter::from_fn(|| self.resolver.next_wish()).collect()
    }

    /// The datagrams wished for; anything else fails the test.
    fn asked(&mut self) -> Vec<Asked> {
        let datagram = |wish| match wish {
            Wish::Send { server, bytes } => Asked { server, bytes },
            other => panic!("{other:?}"),
        };
        self.wishes().into_iter().map(datagram).collect()
    }

    fn pass(&mut self, wait: Duration) -> Vec<Asked> {
        self.now = self.now + wait;
        self.resolver.on_time(self.now, &mut self.rng);
        assert!(self.resolver.next_deadline().is_none_or(|deadline| deadline > self.now), "it would spin");
        self.asked()
    }

    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.resolver.on_datagram(self.now, from, bytes, &mut self.rng);
    }

    /// Each server answers each question, until nobody asks any more.
    fn answer_all(&mut self, mut asked: Vec<Asked>, answer: impl Fn(&Asked) -> Vec<u8>) -> Vec<Asked> {
        let mut all = Vec::new();
        while !asked.is_empty() {
            asked.iter().for_each(|asked| self.hear(asked.server, &answer(asked)));
            all.append(&mut asked);
            asked = self.asked();
        }
        all
    }

    /// The whole answers.
    fn resolved(&mut self) -> Vec<(u32, String)> {
        let resolved = self.partly_resolved();
        assert!(resolved.iter().all(|(_, _, complete)| *complete), "{resolved:?}");
        resolved.into_iter().map(|(query, addresses, _)| (query, addresses)).collect()
    }

    fn partly_resolved(&mut self) -> Vec<(u32, String, bool)> {
        let words = |resolved: Resolved| {
            let texts: Vec<String> = resolved.addresses.iter().map(ToString::to_string).collect();
            (resolved.query, texts.join(" "), resolved.complete)
        };
        core::iter::from_fn(|| self.resolver.next_resolved()).map(words).collect()
    }
}

/// An answer to `question` with the addresses among `ips` that are of the right family.
fn answer(question: &Asked, ips: &[&str], ttl: u32) -> Vec<u8> {
    let mut message = question.bytes.clone();
    message[2] = 0x81;
    message[3] = 0x80;
    let right = |ip: &IpAddr| ip.is_ipv6() == question.wants_v6();
    for ip in ips.iter().map(|text| text.parse::<IpAddr>().unwrap()).filter(right) {
        let (kind, data) = match ip {
            IpAddr::V4(v4) => (1u8, v4.octets().to_vec()),
            IpAddr::V6(v6) => (28, v6.octets().to_vec()),
        };
        message[7] += 1;
        message.extend(
            [&[0xc0, 12, 0, kind, 0, 1][..], &ttl.to_be_bytes(), &[0, data.len() as u8], &data].concat(),
        );
    }
    message
}

/// An answer without records and with this code.
fn code(question: &Asked, code: u8) -> Vec<u8> {
    let mut message = answer(question, &[], 0);
    message[3] |= code;
    message
}

fn servers_of(asked: &[Asked]) -> Vec<SocketAddr> {
    asked.iter().map(|asked| asked.server).collect()
}

#[test]
fn both_families_are_asked_side_by_side_and_joined_in_turns() {
    let mut world = World::new(2);
    let asked = world.resolve(7, "T.Example");
    assert_eq!(servers_of(&asked), [server(1), server(1)]);
    for one in asked.iter().rev() {
        assert_eq!(world.resolved(), []);
        world.hear(server(1), &answer(one, &["1.2.3.4", "1.2.3.5", "2001:db8::1"], 60));
    }
    let all = String::from("1.2.3.4 2001:db8::1 1.2.3.5");
    assert_eq!(world.resolved(), [(7, all.clone())]);
    assert_eq!((world.resolver.next_deadline(), world.resolve(8, "t.example")), (None, vec![]));
    assert_eq!(world.resolved(), [(8, all)], "it is remembered");
    world.pass(Duration::from_secs(61));
    assert_eq!(world.resolve(9, "t.example").len(), 2, "for as long as the server said");
}

#[test]
fn names_that_need_no_server_are_answered_at_once() {
    let mut world = World::new(1);
    let (long, label) = ("x.".repeat(130), format!("{}.example", "x".repeat(64)));
    for (host, wanted) in [
        ("box", "10.0.0.1"),
        ("Box.", "10.0.0.1"),
        ("1.2.3.4", "1.2.3.4"),
        ("::1", "::1"),
        ("localhost", "127.0.0.1 ::1"),
        ("a.localhost.", "127.0.0.1 ::1"),
        ("hidden.onion", ""),
        (&long, ""),
        (&label, ""),
        ("a..b", ""),
        ("", ""),
    ] {
        assert_eq!((world.resolve(1, host), world.resolved()), (vec![], vec![(1, wanted.into())]), "{host}");
    }
}

#[test]
fn underscores_and_names_of_other_scripts_are_asked_for_as_they_are() {
    for host in ["_tracker._tcp.example", "xn--bcher-kva.example", "bücher.example"] {
        assert_eq!(World::new(1).resolve(1, host)[0].name(), host);
    }
}

#[test]
fn the_second_family_is_not_waited_for_and_follows() {
    for first in [0, 1] {
        let mut world = World::new(1);
        let asked = world.resolve(1, "t.example");
        let ips = ["1.2.3.4", "::5"];
        world.hear(server(1), &answer(&asked[first], &ips, 60));
        world.pass(DNS_SECOND_FAMILY_WAIT - TICK);
        assert_eq!(world.partly_resolved(), []);
        world.pass(TICK);
        assert_eq!(world.partly_resolved(), [(1, ips[first].into(), false)]);
        assert_eq!((world.resolve(2, "t.example"), world.resolved()), (vec![], vec![(2, ips[first].into())]));
        world.hear(server(1), &answer(&asked[1 - first], &ips, 60));
        assert_eq!(world.resolved(), [(1, "1.2.3.4 ::5".into())], "the other family follows");
        assert_eq!((world.resolve(3, "t.example"), world.resolver.next_deadline()), (vec![], None));
        assert_eq!(world.resolved(), [(3, "1.2.3.4 ::5".into())]);
    }
}

#[test]
fn a_family_that_is_never_answered_for_delays_nothing() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    world.hear(server(1), &answer(&asked[0], &["1.2.3.4"], 3600));
    world.pass(DNS_SECOND_FAMILY_WAIT);
    assert_eq!(world.partly_resolved(), [(1, "1.2.3.4".into(), false)]);
    while let Some(deadline) = world.resolver.next_deadline() {
        world.pass(world.now.until(deadline));
    }
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into())]);
}

#[test]
fn an_empty_family_does_not_end_the_search_of_the_other() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    world.hear(server(1), &answer(&asked[1], &[], 60));
    world.pass(DNS_SECOND_FAMILY_WAIT * 2);
    assert_eq!(world.resolved(), []);
    world.hear(server(1), &answer(&asked[0], &["1.2.3.4"], 60));
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into())]);
}

#[test]
fn a_late_server_is_not_given_up_and_whoever_answers_is_asked_first_afterwards() {
    let mut world = World::new(3);
    let first = world.resolve(1, "t.example");
    let second = world.pass(DNS_PATIENCE);
    assert_eq!(servers_of(&second), [server(2), server(2)]);
    world.hear(server(2), &answer(&second[1], &["::7"], 60));
    world.hear(server(1), &answer(&first[0], &["1.2.3.4"], 60));
    assert_eq!(world.resolved(), [(1, "1.2.3.4 ::7".into())]);
    assert_eq!(servers_of(&world.resolve(2, "u.example")), [server(1); 2]);
    let third = world.pass(DNS_PATIENCE);
    world.answer_all(third, |asked| answer(asked, &["1.2.3.4"], 60));
    assert_eq!(servers_of(&world.resolve(3, "v.example")), [server(2); 2]);
}

#[test]
fn options_of_the_file_are_kept() {
    let text = "nameserver 9.9.9.2\noptions rotate timeout:3 attempts:1";
    let mut world = World::reading(text);
    assert_eq!(servers_of(&world.resolve(1, "a.example")), [server(1); 2]);
    assert_eq!(servers_of(&world.resolve(2, "b.example")), [server(2); 2]);
    assert_eq!(servers_of(&world.resolve(3, "c.example")), [server(1); 2]);
    assert_eq!(world.pass(Duration::from_secs(3) - TICK), []);
    assert_eq!(world.pass(TICK).len(), 6, "the other server");
    assert_eq!((world.pass(Duration::from_secs(3)), world.resolved().len()), (vec![], 3), "one attempt each");
}

#[test]
fn a_short_name_is_looked_for_in_each_domain() {
    let mut world = World::reading("search a.example b.example c.example");
    let asked = world.resolve(1, "nas");
    let asked = world.answer_all(asked, |asked| match asked.name().as_str() {
        "nas.a.example" => code(asked, 3),
        "nas.b.example" => code(asked, 2),
        _ => answer(asked, &["1.2.3.4"], 60),
    });
    let names: Vec<String> = asked.iter().map(Asked::name).collect();
    assert_eq!(names[..2], ["nas.a.example"; 2]);
    assert_eq!(names[names.len() - 2..], ["nas.c.example"; 2]);
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into())]);
    assert_eq!((world.resolve(2, "nas"), world.resolved()), (vec![], vec![(2, "1.2.3.4".into())]));
    assert_eq!(world.resolve(3, "nas.").iter().map(Asked::name).collect::<Vec<_>>(), ["nas"; 2]);
}

#[test]
fn a_long_name_that_does_not_exist_is_looked_for_nowhere_else() {
    let mut world = World::reading("search a.example");
    let asked = world.resolve(1, "tracker.org");
    let asked = world.answer_all(asked, |asked| code(asked, 3));
    assert_eq!((asked.len(), world.resolved()), (2, vec![(1, String::new())]));
}

#[test]
fn the_same_name_is_asked_for_once() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    assert_eq!(world.resolve(2, "T.example"), []);
    world.answer_all(asked, |asked| answer(asked, &["1.2.3.4"], 60));
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into()), (2, "1.2.3.4".into())]);
}

#[test]
fn what_is_missing_is_remembered_for_as_long_as_the_zone_says() {
    let zone = |asked: &Asked| {
        let mut message = code(asked, 3);
        message[9] = 1;
        let numbers = [0, 0, 0, 0, 100_u32].map(u32::to_be_bytes).concat();
        message.extend([&[0, 0, 6, 0, 1, 0, 0, 1, 0, 0, 22, 0, 0][..], &numbers].concat());
        message
    };
    for (wanted, remembered) in [(zone as fn(&Asked) -> Vec<u8>, 100), (|asked| code(asked, 3), 10)] {
        let mut world = World::new(1);
        let asked = world.resolve(1, "t.example");
        world.answer_all(asked, wanted);
        assert_eq!(world.resolved(), [(1, String::new())]);
        world.pass(Duration::from_secs(remembered) - TICK);
        assert_eq!((world.resolve(2, "t.example"), world.resolved()), (vec![], vec![(2, String::new())]));
        world.pass(TICK);
        assert_eq!(world.resolve(3, "t.example").len(), 2);
    }
}

#[test]
fn other_servers_are_asked_at_once_when_the_file_changes() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    world.answer_all(asked, |asked| answer(asked, &["1.2.3.4"], 600));
    let late = world.resolve(2, "u.example");
    let configure = |world: &mut World, server: SocketAddr| {
        let hosts = Hosts::parse(b"10.0.0.9 new");
        world.resolver.configure(world.now, Setup::new(&[server]), hosts, &mut world.rng)
    };
    assert!(!configure(&mut world, server(1)), "the same servers");
    assert_eq!((world.asked(), world.resolve(3, "t.example")), (vec![], vec![]));
    assert!(configure(&mut world, server(5)));
    let again = world.asked();
    assert_eq!(servers_of(&again), [server(5); 2]);
    world.hear(server(1), &answer(&late[0], &["6.6.6.6"], 60));
    world.answer_all(again, |asked| answer(asked, &["1.2.3.4"], 60));
    world.resolve(4, "new");
    let new = [(1, "1.2.3.4".into()), (3, "1.2.3.4".into()), (2, "1.2.3.4".into()), (4, "10.0.0.9".into())];
    assert_eq!(world.resolved(), new);
    assert_eq!(world.resolve(5, "t.example").len(), 2, "nothing is remembered of the old ones");
}
