//! The resolver against name servers that answer, lie and keep silent, in pretended time.

use super::*;
use crate::base::limits::{DNS_NEGATIVE_TTL, DNS_ROUNDS, DNS_SECOND_FAMILY_WAIT, DNS_TIMEOUT};
use core::time::Duration;

struct World {
    resolver: Resolver,
    now: Instant,
    rng: Rng,
}

fn server(nth: u8) -> SocketAddr {
    SocketAddr::from(([9, 9, 9, nth], 53))
}

impl World {
    fn new(servers: u8) -> Self {
        let servers: Vec<SocketAddr> = (1..=servers).map(server).collect();
        let resolver = Resolver::new(&servers, Hosts::parse(b"10.0.0.1 box"));
        Self { resolver, now: Instant::from_micros(5), rng: Rng::new(1) }
    }

    fn resolve(&mut self, query: u32, host: &str) -> Vec<Datagram> {
        self.resolver.resolve(self.now, query, host, &mut self.rng);
        self.datagrams()
    }

    /// In the order in which they were made.
    fn datagrams(&mut self) -> Vec<Datagram> {
        let mut all: Vec<Datagram> = core::iter::from_fn(|| self.resolver.next_datagram()).collect();
        all.reverse();
        all
    }

    fn pass(&mut self, wait: Duration) -> Vec<Datagram> {
        self.now = self.now + wait;
        self.resolver.on_time(self.now, &mut self.rng);
        assert!(self.resolver.next_deadline().is_none_or(|deadline| deadline > self.now), "it would spin");
        self.datagrams()
    }

    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.resolver.on_datagram(self.now, from, bytes, &mut self.rng);
    }

    fn resolved(&mut self) -> Vec<(u32, String)> {
        let words = |resolved: Resolved| {
            let texts: Vec<String> = resolved.addresses.iter().map(ToString::to_string).collect();
            (resolved.query, texts.join(" "))
        };
        core::iter::from_fn(|| self.resolver.next_resolved()).map(words).collect()
    }
}

/// An answer to `question` with the addresses among `ips` that are of the right family.
fn answer(question: &Datagram, ips: &[&str], ttl: u32) -> Vec<u8> {
    let mut message = question.bytes.clone();
    let wants_v6 = message[message.len() - 3] == 28;
    message[2] = 0x81;
    message[3] = 0x80;
    for ip in ips.iter().map(|text| text.parse::<IpAddr>().unwrap()).filter(|ip| ip.is_ipv6() == wants_v6) {
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

#[test]
fn both_families_are_asked_side_by_side_and_joined() {
    let mut world = World::new(2);
    let asked = world.resolve(7, "T.Example.");
    assert_eq!(asked.iter().map(|datagram| datagram.server).collect::<Vec<_>>(), [server(1), server(1)]);
    for datagram in asked.iter().rev() {
        assert_eq!(world.resolved(), []);
        let bytes = answer(datagram, &["1.2.3.4", "1.2.3.5", "2001:db8::1"], 60);
        world.hear(server(1), &bytes);
    }
    assert_eq!(world.resolved(), [(7, "1.2.3.4 1.2.3.5 2001:db8::1".into())]);
    assert_eq!((world.resolver.next_deadline(), world.resolve(8, "t.example")), (None, vec![]));
    assert_eq!(world.resolved(), [(8, "1.2.3.4 1.2.3.5 2001:db8::1".into())], "it is remembered");
    world.pass(Duration::from_secs(61));
    assert_eq!(world.resolve(9, "t.example").len(), 2, "for as long as the server said");
}

#[test]
fn names_that_need_no_server_are_answered_at_once() {
    let mut world = World::new(1);
    for (host, wanted) in
        [("box", "10.0.0.1"), ("1.2.3.4", "1.2.3.4"), ("::1", "::1"), ("localhost", "127.0.0.1 ::1")]
    {
        assert_eq!((world.resolve(1, host), world.resolved()), (vec![], vec![(1, wanted.into())]), "{host}");
    }
    let no_name = "x".repeat(300);
    assert_eq!((world.resolve(2, &no_name), world.resolved()), (vec![], vec![(2, String::new())]));
}

#[test]
fn the_second_family_is_not_waited_for_long() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    world.hear(server(1), &answer(&asked[1], &["::5"], 60));
    world.pass(DNS_SECOND_FAMILY_WAIT - Duration::from_micros(1));
    assert_eq!(world.resolved(), []);
    world.pass(Duration::from_micros(1));
    assert_eq!(world.resolved(), [(1, "::5".into())]);
    world.hear(server(1), &answer(&asked[0], &["1.2.3.4"], 60));
    assert_eq!(world.resolved(), [], "too late");
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
fn silent_servers_are_passed_over_and_the_good_one_is_asked_first_afterwards() {
    let mut world = World::new(3);
    let first = world.resolve(1, "t.example");
    let second = world.pass(DNS_TIMEOUT);
    assert_eq!(second.iter().map(|datagram| datagram.server).collect::<Vec<_>>(), [server(2), server(2)]);
    world.hear(server(1), &answer(&first[0], &["6.6.6.6"], 60));
    world.hear(server(2), &answer(&first[0], &["6.6.6.6"], 60));
    world.hear(server(3), &answer(&second[0], &["6.6.6.6"], 60));
    world.hear("6.6.6.6:53".parse().unwrap(), &answer(&second[0], &["6.6.6.6"], 60));
    for datagram in &second {
        world.hear(server(2), &answer(datagram, &["1.2.3.4"], 60));
    }
    assert_eq!(
        world.resolved(),
        [(1, "1.2.3.4".into())],
        "answers to old questions or of others do not count"
    );
    assert!(world.resolve(2, "u.example").iter().all(|datagram| datagram.server == server(2)));
}

#[test]
fn when_nobody_answers_it_is_given_up_in_bounded_time() {
    for servers in 0..=3 {
        let mut world = World::new(servers);
        let mut asked = world.resolve(1, "dead.example").len();
        for _ in 0..u32::from(servers) * u32::from(DNS_ROUNDS) {
            asked += world.pass(DNS_TIMEOUT).len();
        }
        assert_eq!(
            (asked, world.resolved()),
            (2 * usize::from(servers * DNS_ROUNDS), vec![(1, String::new())])
        );
        assert_eq!((world.resolve(2, "dead.example"), world.resolved()), (vec![], vec![(2, String::new())]));
        world.pass(DNS_NEGATIVE_TTL);
        assert_eq!(
            world.resolve(3, "dead.example").len(),
            2 * usize::from(servers.min(1)),
            "asked again later"
        );
    }
}

#[test]
fn a_server_that_refuses_or_cannot_be_reached_costs_no_time() {
    let mut world = World::new(2);
    let asked = world.resolve(1, "t.example");
    let mut refusal = asked[0].bytes.clone();
    refusal[2] = 0x81;
    refusal[3] = 0x85;
    world.hear(server(1), &refusal);
    assert_eq!(world.datagrams().len(), 1);
    world.resolver.on_unreachable(world.now, server(1), &mut world.rng);
    let asked = world.datagrams();
    assert_eq!(
        (asked.len(), asked[0].server),
        (1, server(2)),
        "the question that the first server still had"
    );
}

#[test]
fn the_last_round_asks_in_plain_letters() {
    let mut world = World::new(1);
    let mixed = world.resolve(1, "abcdefghijklmnop.example");
    assert!(mixed[0].bytes.iter().any(u8::is_ascii_uppercase));
    let plain = world.pass(DNS_TIMEOUT);
    assert!(plain.iter().all(|datagram| !datagram.bytes[12..].iter().any(u8::is_ascii_uppercase)));
    assert_ne!(mixed[0].bytes[..2], plain[0].bytes[..2]);
}

#[test]
fn a_server_that_changes_letters_is_asked_again_at_once() {
    let mut world = World::new(2);
    let mixed = world.resolve(1, "abcdefghijklmnop.example");
    for datagram in &mixed {
        let lower = Datagram { bytes: datagram.bytes.to_ascii_lowercase(), ..datagram.clone() };
        let mut bytes = answer(&lower, &["1.2.3.4"], 60);
        bytes[..2].copy_from_slice(&datagram.bytes[..2]);
        world.hear(server(1), &bytes);
        let plain = world.datagrams();
        assert_eq!((plain.len(), world.resolved()), (1, vec![]));
        assert!(!plain[0].bytes[12..].iter().any(u8::is_ascii_uppercase), "also if there are others to ask");
        world.hear(plain[0].server, &answer(&plain[0], &["1.2.3.4"], 60));
    }
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into())]);
}

#[test]
fn the_same_name_is_asked_for_once() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    assert_eq!(world.resolve(2, "T.example"), []);
    asked.iter().for_each(|datagram| world.hear(server(1), &answer(datagram, &["1.2.3.4"], 60)));
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into()), (2, "1.2.3.4".into())]);
}

#[test]
fn many_names_wait_for_their_turn_and_all_are_answered() {
    let mut world = World::new(1);
    let count = DNS_WAITING_MAX as u32 + 100;
    let mut asked = Vec::new();
    for query in 0..count {
        asked.extend(world.resolve(query, &format!("h{query}.example")));
    }
    assert_eq!(asked.len(), 2 * DNS_LOOKUPS_MAX);
    let mut answered = world.resolved();
    assert_eq!(answered.len(), 100 - DNS_LOOKUPS_MAX, "those beyond the bound have no address");
    while let Some(datagram) = asked.pop() {
        world.hear(server(1), &answer(&datagram, &["1.2.3.4"], 60));
        asked.extend(world.datagrams());
        answered.extend(world.resolved());
    }
    let good = answered.iter().filter(|(_, addresses)| addresses == "1.2.3.4").count();
    assert_eq!((answered.len(), good), (count as usize, DNS_WAITING_MAX + DNS_LOOKUPS_MAX));
    assert_eq!(world.resolver.next_deadline(), None);
}

#[test]
fn too_many_addresses_are_cut() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    let ips: Vec<String> = (0..50).map(|nth| format!("1.2.3.{nth}")).collect();
    let ips: Vec<&str> = ips.iter().map(|ip| &ip[..]).collect();
    asked.iter().for_each(|datagram| world.hear(server(1), &answer(datagram, &ips, 60)));
    assert_eq!(world.resolved()[0].1.split(' ').count(), ADDRESSES_PER_NAME_MAX);
}
