//! UDP trackers behind a proxy that carries datagrams, or does not.

use super::datagrams::{ID, PEERS, reply};
use super::routes::through_a_proxy;
use super::*;
use crate::wire::Server;
use crate::wire::url::Host;

impl World {
    fn relayed(&mut self, from: Option<&str>, bytes: &[u8]) -> Vec<Wish> {
        let from = from.map(|from| from.parse().unwrap());
        self.trackers.on_relayed(self.now, from, bytes, &mut self.rng);
        self.wishes()
    }
}

/// The one datagram in `wishes`, which the proxy is to carry.
fn carried(wishes: &[Wish]) -> (&Server, &[u8]) {
    let [Wish::Post { server, bytes }] = wishes else { panic!("{wishes:?}") };
    assert_eq!(server.address, None, "it would go straight");
    (server, bytes)
}

#[test]
fn behind_a_proxy_a_name_goes_as_it_is_and_peers_come_back() {
    for (from, length) in [(None, 18), (Some("9.1.1.1:6969"), 18), (Some("[2001:db8::1]:6969"), 30)] {
        let mut world = through_a_proxy(&["udp://t.example:6969/announce"]);
        let wishes = world.on_time();
        let (server, request) = carried(&wishes);
        assert_eq!((&server.host, server.port), (&Host::Name("t.example".into()), 6969));
        let wishes = world.relayed(from, &reply(request, 0, &ID));
        let (_, announce) = carried(&wishes);
        assert_eq!(announce[..8], ID);
        let rest = [&PEERS[..12], &[1, 2, 3, 4, 0, 80][..], &[9; 12]].concat();
        assert_eq!(world.relayed(from, &reply(announce, 1, &rest[..length])), []);
        let news = world.news();
        let [News::Answered { peers, from: None, .. }] = &news[..] else { panic!("{news:?}") };
        assert_eq!((peers.len(), peers[0].is_ipv6()), (1, length == 30), "{from:?}");
        // The goodbye goes the same way, with the id that is still good.
        world.trackers.stop(world.now, &world.totals, &mut world.rng);
        assert_eq!(carried(&world.wishes()).1[..8], ID);
    }
}

#[test]
fn what_the_proxy_brings_from_elsewhere_or_straight_from_strangers_is_not_heard() {
    let mut world = through_a_proxy(&["udp://9.1.1.1:6969/announce"]);
    let wishes = world.on_time();
    let request = carried(&wishes).1.to_vec();
    let answer = reply(&request, 0, &ID);
    assert_eq!(world.relayed(Some("9.1.1.2:6969"), &answer), []);
    world.trackers.on_datagram(world.now, "9.1.1.1:6969".parse().unwrap(), &answer, &mut world.rng);
    assert_eq!(world.wishes(), []);
    carried(&world.relayed(Some("9.1.1.1:6969"), &answer));
}

#[test]
fn a_proxy_that_fails_is_tried_again_and_one_that_refuses_is_not() {
    let urls = ["udp://t.example:1/", "udp://9.1.1.1:1/", "http://9.9.9.9/"];
    let mut world = through_a_proxy(&urls);
    let first = world.on_time();
    world.trackers.on_relay_lost(world.now, "the proxy does not answer", &mut world.rng);
    let failed = |news: &News| matches!(news, News::Failed { fault: Fault::Broken(_), .. });
    let asked_by_udp = first.iter().filter(|wish| matches!(wish, Wish::Post { .. })).count();
    assert_eq!(world.news().iter().filter(|news| failed(news)).count(), asked_by_udp);

    world.trackers.on_relay_refused(world.now, "the proxy cannot do that");
    let news = world.news();
    let whys = news.iter().map(|news| match news {
        News::Unsupported { why, .. } => why.as_str(),
        news => panic!("{news:?}"),
    });
    let words = "UDP does not go through the proxy: the proxy cannot do that";
    assert_eq!(whys.collect::<Vec<_>>(), [words; 2]);
    // Told again, it says nothing again; what is not UDP goes on, and everything else that is done comes to an end.
    world.trackers.on_relay_refused(world.now, "the proxy cannot do that");
    assert_eq!(world.news(), []);
    world.trackers.complete();
    world.trackers.scrape_now(world.now);
    for _ in 0..20 {
        let wishes = world.pass(seconds(60));
        assert!(!wishes.iter().any(|wish| matches!(wish, Wish::Post { .. })), "{wishes:?}");
    }
    assert!(world.trackers.next_announce().is_some() || !world.trackers.is_quiet(), "HTTP is asked");
}
