//! UDP trackers in pretended time: the whole talk, silence, lies, and goodbyes.

use super::*;

const ADDRESS: &str = "9.1.1.1:6969";

impl World {
    fn datagram(&mut self, from: &str, bytes: &[u8]) -> Vec<Wish> {
        self.trackers.on_datagram(self.now, from.parse().unwrap(), bytes, &mut self.rng);
        self.wishes()
    }

    /// Answers a datagram in one of several ways.
    pub(super) fn answered(&mut self, (address, sent): (SocketAddr, Vec<u8>), how: u32) -> Vec<Wish> {
        let mut bytes = [&sent[8..16], &[7; 12]].concat();
        match how {
            0 => bytes[3] = 3,
            1 => bytes[7] ^= 1,
            2 => bytes.truncate(9),
            3 => self.trackers.on_undeliverable(self.now, address, "refused", &mut self.rng),
            _ => {}
        }
        self.trackers.on_datagram(self.now, address, &bytes, &mut self.rng);
        self.wishes()
    }
}

/// The one datagram in `wishes`.
pub(super) fn posted(wishes: &[Wish]) -> (SocketAddr, Vec<u8>) {
    let [Wish::Post { server, bytes }] = wishes else { panic!("{wishes:?}") };
    (server.address.expect("there is no proxy"), bytes.clone())
}

/// An answer with this action that bears the transaction id of `request`.
pub(super) fn reply(request: &[u8], action: u8, rest: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, action], &request[12..16], rest].concat()
}

pub(super) const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// Interval 900 s, 7 leechers, 5 seeds, one peer.
pub(super) const PEERS: [u8; 18] = [0, 0, 3, 132, 0, 0, 0, 7, 0, 0, 0, 5, 1, 2, 3, 4, 0, 80];

fn world() -> World {
    World::new(&[&["udp://9.1.1.1:6969/announce?k=1"]])
}

/// Brings the one tracker to its announce; the datagram.
fn connect(world: &mut World) -> Vec<u8> {
    let wishes = world.on_time();
    let (address, request) = posted(&wishes);
    assert_eq!((address, request.len()), (ADDRESS.parse().unwrap(), 16));
    let wishes = world.datagram(ADDRESS, &reply(&request, 0, &ID));
    posted(&wishes).1
}

fn event_of(announce: &[u8]) -> u8 {
    announce[83]
}

#[test]
fn an_announce_goes_all_the_way() {
    let mut world = world();
    let announce = connect(&mut world);
    assert_eq!((&announce[..12], event_of(&announce)), (&[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1][..], 2));
    assert_eq!(announce[98..], *b"\x02\x0d/announce?k=1");
    assert!(world.trackers.awaits_datagrams());
    assert_eq!(world.datagram(ADDRESS, &reply(&announce, 1, &PEERS)), []);
    let [News::Answered { peers, next, from, .. }] = &world.news()[..] else { panic!() };
    assert_eq!((&peers[..], *next), (&["1.2.3.4:80".parse().unwrap()][..], seconds(900)));
    assert_eq!(*from, Some(ADDRESS.parse().unwrap()));
    let counts = world.trackers.view(0).unwrap().counts;
    assert_eq!((counts.seeds, counts.leechers), (Some(5), Some(7)));
    assert!(world.trackers.is_quiet() && !world.trackers.awaits_datagrams());
    assert_eq!(world.on_time(), [], "the numbers are known: nothing is scraped");
    let (_, request) = posted(&world.pass(seconds(900)));
    assert_eq!(request.len(), 16, "the connection id is too old");
}

#[test]
fn over_ipv6_peers_have_eighteen_bytes() {
    let mut world = World::new(&[&["udp://[2001:db8::1]:6969"]]);
    let address = "[2001:db8::1]:6969";
    let (to, request) = posted(&world.on_time());
    assert_eq!(to, address.parse().unwrap());
    let (_, announce) = posted(&world.datagram(address, &reply(&request, 0, &ID)));
    assert_eq!(announce.len(), 98, "a bare root is no path");
    let peer = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 80];
    world.datagram(address, &reply(&announce, 1, &[&PEERS[..12], &peer].concat()));
    let [News::Answered { peers, .. }] = &world.news()[..] else { panic!() };
    assert_eq!(peers[..], ["[2001:db8::2]:80".parse().unwrap()]);
}

#[test]
fn what_answers_nothing_is_not_heard() {
    for stage in 0..2 {
        let mut world = world();
        let request = if stage == 0 { posted(&world.on_time()).1 } else { connect(&mut world) };
        let good = [reply(&request, 0, &ID), reply(&request, 1, &PEERS)][stage].clone();
        let mut other = good.clone();
        other[7] ^= 1;
        let least = [16, 20][stage];
        let lies = [
            ("9.1.1.2:6969", &good[..]),
            ("9.1.1.1:6970", &good),
            ("[2001:db8::1]:6969", &good),
            (ADDRESS, &other),
            (ADDRESS, &good[..least - 1]),
            (ADDRESS, &good[..7]),
            (ADDRESS, b""),
            (ADDRESS, &reply(&request, 2, &PEERS)),
            (ADDRESS, &reply(&request, 1 - stage as u8, &PEERS)),
            (ADDRESS, &reply(&request, 99, &PEERS)),
            ("9.1.1.2:6969", &reply(&request, 3, b"go away")),
        ];
        for (from, bytes) in lies {
            assert_eq!(world.datagram(from, bytes), [], "{from}: {bytes:?}");
        }
        assert_eq!(world.news(), []);
        assert!(world.trackers.awaits_datagrams(), "and the true answer still counts");
        let wishes = world.datagram(ADDRESS, &good);
        assert_eq!((wishes.len(), world.news().len()), [(1, 0), (0, 1)][stage]);
    }
}

#[test]
fn a_mapped_address_is_the_same_as_the_plain_one() {
    let mut world = world();
    let (_, request) = posted(&world.on_time());
    assert_eq!(world.datagram("[::ffff:9.1.1.1]:6969", &reply(&request, 0, &ID)).len(), 1);
}

#[test]
fn silence_is_met_with_more_and_more_patience_and_then_given_up() {
    let mut world = world();
    let start = world.now;
    let (_, first) = posted(&world.on_time());
    let mut times = vec![];
    while world.news().is_empty() {
        let wishes = world.sleep();
        let again = wishes.iter().filter(|wish| matches!(wish, Wish::Post { bytes, .. } if *bytes == first));
        times.extend(again.map(|_| world.now.since(start).as_secs()));
    }
    assert_eq!(times, [15, 45], "the same datagram, so that a late answer to the first counts");
    assert_eq!(world.now.since(start), UDP_TIMEOUT);
}

#[test]
fn a_late_answer_to_the_first_try_counts() {
    let mut world = world();
    let (_, first) = posted(&world.on_time());
    world.pass(UDP_RETRY);
    assert_eq!(world.datagram(ADDRESS, &reply(&first, 0, &ID)).len(), 1);
}

#[test]
fn other_tiers_and_other_trackers_of_the_tier_go_on_meanwhile() {
    let mut world = World::new(&[&["udp://9.1.1.1:1", "http://9.2.2.2/"], &["http://9.3.3.3/"]]);
    world.trackers.set_hungry(true);
    assert_eq!(world.on_time().len(), 2);
    assert_eq!(world.pass(HUNGRY_STEP).len(), 1);
}

#[test]
fn connection_ids_are_kept_for_their_minute() {
    let short = [&[0, 0, 0, 1], &PEERS[4..]].concat();
    for (wait, bytes) in [(10, 98 + 15), (59, 98 + 15), (60, 16)] {
        let mut world = world();
        let announce = connect(&mut world);
        world.datagram(ADDRESS, &reply(&announce, 1, &short));
        world.now = world.now + seconds(wait);
        world.trackers.announce_now(world.now);
        let wishes = world.on_time();
        match wishes[..] {
            [] => {
                assert!(
                    world.trackers.next_deadline() > Some(world.now),
                    "the interval is a minute at least"
                );
            }
            _ => assert_eq!(posted(&wishes).1.len(), bytes, "after {wait} s"),
        }
        world.trackers.stop(world.now, &world.totals, &mut world.rng);
        if wishes.is_empty() {
            assert_eq!(posted(&world.wishes()).1.len(), bytes, "goodbye after {wait} s");
        }
    }
}

#[test]
fn a_refusal_is_told_in_the_trackers_words() {
    let mut world = world();
    let announce = connect(&mut world);
    let long = [b"no such torrent ".as_slice(), &[0xff; 60_000]].concat();
    world.datagram(ADDRESS, &reply(&announce, 3, &long));
    let [News::Failed { fault, .. }] = &world.news()[..] else { panic!() };
    let words = fault.to_string();
    assert!(words.starts_with("the tracker says: no such torrent") && words.len() < 600, "{words}");
}

#[test]
fn a_tracker_that_forgot_our_connection_id_gives_another() {
    let mut world = world();
    let announce = connect(&mut world);
    world.datagram(ADDRESS, &reply(&announce, 1, &PEERS));
    world.news();
    world.trackers.complete();
    let (_, completed) = posted(&world.on_time());
    assert_eq!(event_of(&completed), 1, "the kept id is used");
    let (_, request) = posted(&world.datagram(ADDRESS, &reply(&completed, 3, b"bad connection id")));
    let (_, again) = posted(&world.datagram(ADDRESS, &reply(&request, 0, &[9; 8])));
    assert_eq!((event_of(&again), &again[..8]), (1, &[9; 8][..]));
    world.datagram(ADDRESS, &reply(&again, 3, b"bad connection id"));
    assert!(matches!(world.news()[..], [News::Failed { .. }]), "twice is enough");
}

#[test]
fn where_nobody_is_the_next_address_is_asked_at_once() {
    let mut world = World::new(&[&["udp://t.example:6969"]]);
    let wishes = world.on_time();
    let wishes = world.resolved(handles(&wishes)[0], &["9.1.1.1", "9.1.1.2"]);
    assert_eq!(posted(&wishes).0, ADDRESS.parse().unwrap());
    let gone = |world: &mut World, address: &str| {
        world.trackers.on_undeliverable(world.now, address.parse().unwrap(), "refused", &mut world.rng);
        world.wishes()
    };
    assert_eq!(gone(&mut world, "9.1.1.3:6969"), []);
    assert_eq!(posted(&gone(&mut world, ADDRESS)).0, "9.1.1.2:6969".parse().unwrap());
    assert_eq!(gone(&mut world, "9.1.1.2:6969"), []);
    let [News::Failed { fault, .. }] = &world.news()[..] else { panic!() };
    assert_eq!(fault.to_string(), "refused");
}

#[test]
fn silent_addresses_are_asked_by_turns() {
    let mut world = World::new(&[&["udp://t.example:6969"]]);
    let wishes = world.on_time();
    let wishes = world.resolved(handles(&wishes)[0], &["9.1.1.1", "9.1.1.2"]);
    let (first, request) = posted(&wishes);
    let (second, _) = posted(&world.pass(UDP_RETRY));
    assert_ne!(first, second);
    assert_eq!(world.datagram(ADDRESS, &reply(&request, 0, &ID)), [], "who was given up is not heard");
}

#[test]
fn both_families_are_asked_side_by_side() {
    let mut world = World::new(&[&["udp://t.example:6969"]]);
    let wishes = world.on_time();
    let wishes = world.resolved(handles(&wishes)[0], &["2001:db8::1", "9.1.1.1"]);
    let [Wish::Post { server: v4, bytes }, Wish::Post { server: v6, .. }] = &wishes[..] else { panic!() };
    let (v4, v6) = (v4.address.unwrap(), v6.address.unwrap());
    assert!(v4.is_ipv4() && v6.is_ipv6());
    // A host without IPv6 knows that at once.
    world.trackers.on_undeliverable(world.now, v6, "unreachable", &mut world.rng);
    assert_eq!((world.wishes(), world.news()), (vec![], vec![]));
    let (_, announce) = posted(&world.datagram(ADDRESS, &reply(bytes, 0, &ID)));
    world.datagram(ADDRESS, &reply(&announce, 1, &PEERS));
    assert!(matches!(world.news()[..], [News::Answered { .. }]));
}

#[test]
fn goodbyes_are_short_and_lost_ones_are_said_again() {
    let mut world = world();
    let announce = connect(&mut world);
    world.datagram(ADDRESS, &reply(&announce, 1, &PEERS));
    world.now = world.now + seconds(70);
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    let (_, request) = posted(&world.wishes());
    assert_eq!(request.len(), 16);
    assert_eq!(posted(&world.pass(UDP_RETRY_LEAVING)).1, request, "lost, and asked again");
    let (_, stopped) = posted(&world.datagram(ADDRESS, &reply(&request, 0, &ID)));
    assert_eq!((event_of(&stopped), &stopped[92..96]), (3, &[0; 4][..]));
    assert!(!world.trackers.is_quiet());
    world.datagram(ADDRESS, &reply(&stopped, 1, &PEERS[..12]));
    assert!(world.trackers.is_quiet() && world.trackers.next_deadline().is_none());
}

#[test]
fn a_goodbye_that_nobody_answers_ends_in_time() {
    let mut world = world();
    connect(&mut world);
    let start = world.now;
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    world.wishes();
    while !world.trackers.is_quiet() {
        world.sleep();
    }
    assert_eq!(world.now.since(start), STOP_TIMEOUT);
}

#[test]
fn a_scrape_asks_for_the_numbers_alone() {
    let mut world = World::new(&[&["udp://9.1.1.1:6969", "udp://9.1.1.2:6969"]]);
    let (address, request) = posted(&world.on_time());
    let address = address.to_string();
    let (_, announce) = posted(&world.datagram(&address, &reply(&request, 0, &ID)));
    world.datagram(&address, &reply(&announce, 1, &PEERS));
    world.news();
    world.trackers.scrape_now(world.now);
    // The other one has told nothing yet.
    let (other, request) = posted(&world.on_time());
    let other = other.to_string();
    assert_ne!(address, other);
    let (_, scrape) = posted(&world.datagram(&other, &reply(&request, 0, &ID)));
    assert_eq!((scrape.len(), scrape[11]), (36, 2));
    assert!(world.trackers.is_quiet(), "nobody waits for a scrape");
    world.datagram(&other, &reply(&scrape, 2, &[0, 0, 0, 50, 0, 0, 0, 60, 0, 0, 0, 70]));
    let wanted = Counts { seeds: Some(50), leechers: Some(70), downloads: Some(60) };
    assert_eq!((world.trackers.swarm(), world.news()), (wanted, vec![]));
}
