//! Which tracker is asked when, and told what, in pretended time.

mod datagrams;
mod lies;
mod needs;
mod places;
mod relayed;
mod routes;
mod tiers;

use super::*;
use crate::base::limits::*;
use crate::base::{InfoHash, PeerId};
use alloc::collections::BTreeSet;
use core::time::Duration;

const GOOD: &str = "d8:intervali900e5:peers6:\x01\x02\x03\x04\x00\x50e";

struct World {
    trackers: Trackers,
    now: Instant,
    rng: Rng,
    totals: Totals,
}

impl World {
    fn new(tiers: &[&[&str]]) -> Self {
        Self::along(Routes::default(), tiers)
    }

    fn along(routes: Routes, tiers: &[&[&str]]) -> Self {
        let tiers: Vec<Vec<String>> =
            tiers.iter().map(|urls| urls.iter().map(|&url| url.into()).collect()).collect();
        let identity = Identity { info_hash: InfoHash([b'h'; 20]), peer_id: PeerId([b'p'; 20]), port: 6881 };
        let (now, mut rng) = (Instant::from_micros(1_000_000), Rng::new(1));
        let trackers = Trackers::routed(now, identity, Arc::new(routes), &tiers, &mut rng);
        Self { trackers, now, rng, totals: Totals { uploaded: 0, downloaded: 0, left: 100 } }
    }

    fn on_time(&mut self) -> Vec<Wish> {
        self.trackers.on_time(self.now, &self.totals, &mut self.rng);
        assert!(self.trackers.next_deadline().is_none_or(|deadline| deadline > self.now), "it would spin");
        self.wishes()
    }

    fn pass(&mut self, wait: Duration) -> Vec<Wish> {
        self.now = self.now + wait;
        self.on_time()
    }

    /// Sleeps until the deadline.
    fn sleep(&mut self) -> Vec<Wish> {
        self.now = self.trackers.next_deadline().expect("something is due");
        self.on_time()
    }

    fn wishes(&mut self) -> Vec<Wish> {
        core::iter::from_fn(|| self.trackers.next_wish()).collect()
    }

    fn news(&mut self) -> Vec<News> {
        core::iter::from_fn(|| self.trackers.next_news()).collect()
    }

    fn resolved(&mut self, handle: Handle, addresses: &[&str]) -> Vec<Wish> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.trackers.on_resolved(self.now, handle, &addresses, &mut self.rng);
        self.wishes()
    }

    fn connected(&mut self, handle: Handle) -> Vec<Wish> {
        self.trackers.on_connected(self.now, handle, &mut self.rng);
        self.wishes()
    }

    fn bytes(&mut self, handle: Handle, bytes: &str) -> Vec<Wish> {
        self.trackers.on_bytes(self.now, handle, bytes.as_bytes(), &mut self.rng);
        self.wishes()
    }

    fn closed(&mut self, handle: Handle, why: Option<&str>) -> Vec<Wish> {
        self.trackers.on_closed(self.now, handle, why, &mut self.rng);
        self.wishes()
    }

    /// Carries the one announce in `wishes` through to where its request is sent.
    fn reach(&mut self, wishes: &[Wish]) -> (Handle, String) {
        let mut wishes = wishes.to_vec();
        if let [Wish::Resolve { handle, .. }] = &wishes[..] {
            wishes = self.resolved(*handle, &["93.184.216.34"]);
        }
        let [Wish::Connect { handle, .. }] = wishes[..] else { panic!("no stream wanted: {wishes:?}") };
        let wishes = self.connected(handle);
        let [Wish::Send { handle, bytes }] = &wishes[..] else { panic!("nothing sent: {wishes:?}") };
        (*handle, String::from_utf8(bytes.clone()).unwrap())
    }

    /// Answers the one announce in `wishes` with `body`; the request line.
    fn answer(&mut self, wishes: &[Wish], body: &str) -> String {
        let (handle, request) = self.reach(wishes);
        assert_eq!(self.bytes(handle, &ok(body)), [Wish::Close { handle }]);
        request.lines().next().unwrap_or_default().into()
    }

    fn url(&self, tracker: usize) -> &str {
        self.trackers.view(tracker).unwrap().url
    }
}

/// The `key` of a request.
fn key(line: &str) -> String {
    line.split('&').find(|part| part.starts_with("key=")).unwrap()[..12].to_string()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn handles(wishes: &[Wish]) -> Vec<Handle> {
    let handle = |wish: &Wish| match wish {
        Wish::Resolve { handle, .. } | Wish::Connect { handle, .. } | Wish::Reach { handle, .. } => {
            Some(*handle)
        }
        Wish::Send { handle, .. } | Wish::Close { handle } => Some(*handle),
        Wish::Post { .. } => None,
    };
    wishes.iter().filter_map(handle).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_announce_goes_all_the_way() {
    let mut world = World::new(&[&["http://t.example:6969/a"]]);
    let wishes = world.on_time();
    let [Wish::Resolve { handle, host }] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(host, "t.example");
    assert_eq!(world.trackers.next_announce(), None, "one is under way");
    let wishes = world.resolved(*handle, &["9.9.9.9"]);
    let [Wish::Connect { handle, address }] = wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(address, "9.9.9.9:6969".parse().unwrap());
    let wishes = world.connected(handle);
    let [Wish::Send { bytes, .. }] = &wishes[..] else { panic!("{wishes:?}") };
    let request = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        request.starts_with("GET /a?info_hash=hhhhhhhhhhhhhhhhhhhh&peer_id=pppppppppppppppppppp&port=6881&")
    );
    assert!(
        request.contains("&left=100&")
            && request.contains("&event=started HTTP/1.1\r\nHost: t.example:6969\r\n")
    );
    assert_eq!(world.bytes(handle, &ok(GOOD)), [Wish::Close { handle }]);
    let [News::Answered { tracker: 0, peers, warning: None, next, from }] = &world.news()[..] else {
        panic!()
    };
    assert_eq!((&peers[..], *next), (&["1.2.3.4:80".parse().unwrap()][..], seconds(900)));
    assert_eq!(*from, Some(address));
    let view = world.trackers.view(0).unwrap();
    assert_eq!((view.state, view.peers, view.next), (&State::Good, 1, Some(world.now + seconds(900))));
    assert!(world.trackers.is_quiet());
    assert_eq!(world.pass(seconds(899)), []);
    let wishes = world.pass(seconds(1));
    let line = world.answer(&wishes, GOOD);
    assert!(!line.contains("event="), "{line}");
}

#[test]
fn without_trackers_there_is_nothing_to_do() {
    for tiers in [&[][..], &[&[][..]]] {
        let mut world = World::new(tiers);
        assert_eq!((world.trackers.next_deadline(), world.on_time()), (None, vec![]));
        assert_eq!((world.trackers.announce_now(world.now), world.trackers.counts()), (None, (0, 0)));
    }
}

#[test]
fn unsupported_trackers_are_said_once_and_passed_over() {
    let long = format!("udp://u.example:1/{}", "x".repeat(UDP_TARGET_BYTES_MAX));
    let longer = format!("http://u.example/{}", "x".repeat(URL_BYTES_MAX));
    let urls = [
        &long,
        "wss://w.example",
        "not a url",
        "udp://u.example/announce",
        "udp://u.example:65536/",
        "udp://[fe80::1%25eth0]:80/",
        "udp://[::1:80/",
        "udp://%31.1.1.1:80/",
        &longer,
        "http://1.1.1.1/",
    ];
    let mut world = World::new(&[&urls]);
    let words = |news: &News| match news {
        News::Unsupported { why, .. } => why.clone(),
        other => panic!("{other:?}"),
    };
    let said: Vec<String> = world.news().iter().map(words).collect();
    let wanted = [
        "its path is too long for a datagram",
        "the scheme \"wss\" is not supported, only http, https and udp",
        "the URL contains a space or control character",
        "the URL has no valid port",
        "the URL has no valid port",
        "the URL has no valid host",
        "the URL has no valid host",
        "the URL has no valid host",
        "the URL is longer than 8192 bytes",
    ];
    assert_eq!(said, wanted);
    assert!(matches!(world.on_time()[..], [Wish::Connect { handle: Handle { tracker: 9, .. }, .. }]));
    assert_eq!((world.news(), world.trackers.counts()), (vec![], (1, 0)));
}

#[test]
fn all_tiers_are_asked_at_once_but_not_more_than_allowed() {
    let urls: Vec<String> = (0..12).map(|at| format!("http://10.0.0.{at}/")).collect();
    let tiers: Vec<[&str; 1]> = urls.iter().map(|url| [&url[..]]).collect();
    let tiers: Vec<&[&str]> = tiers.iter().map(|tier| &tier[..]).collect();
    let mut world = World::new(&tiers);
    let wishes = world.on_time();
    assert_eq!(wishes.len(), ANNOUNCES_MAX);
    world.closed(handles(&wishes)[3], Some("connection refused"));
    let wishes = world.on_time();
    assert!(matches!(wishes[..], [Wish::Connect { handle: Handle { tracker: 8, .. }, .. }]), "{wishes:?}");
}

#[test]
fn within_a_tier_one_is_asked_at_a_time_and_the_good_one_moves_to_the_front() {
    let mut world = World::new(&[&["http://1.1.1.1/", "http://2.2.2.2/", "http://3.3.3.3/"]]);
    let mut asked = BTreeSet::new();
    for _ in 0..2 {
        let wishes = world.on_time();
        let [Wish::Connect { handle, .. }] = wishes[..] else { panic!("{wishes:?}") };
        asked.insert(handle.tracker);
        assert_eq!(
            world.closed(handle, Some("connection refused")),
            [],
            "a stream that is gone is not closed"
        );
    }
    let wishes = world.on_time();
    let good = handles(&wishes)[0].tracker;
    assert!(asked.insert(good), "each is asked once");
    world.answer(&wishes, GOOD);
    let wishes = world.pass(seconds(900));
    assert_eq!(handles(&wishes)[0].tracker, good, "the good one is asked first");
    world.closed(handles(&wishes)[0], None);
    let wishes = world.on_time();
    assert_ne!(handles(&wishes)[0].tracker, good, "and if it fails, another one at once");
    assert!(world.answer(&wishes, GOOD).contains("event=started"), "which has not heard of us yet");
}

#[test]
fn a_tier_is_in_random_order() {
    let first = |seed| {
        let tiers = [(0..4).map(|at| format!("http://10.0.0.{at}/")).collect()];
        let identity = Identity { info_hash: InfoHash([0; 20]), peer_id: PeerId([0; 20]), port: 1 };
        let trackers = Trackers::new(Instant::ZERO, identity, &tiers, &mut Rng::new(seed));
        trackers.tiers[0].order[0]
    };
    assert_eq!((0..40).map(first).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn intervals_are_kept_within_reason() {
    let table = [
        ("de", 1800, 60),
        ("d8:intervali1ee", 60, 60),
        ("d8:intervali999999999999ee", 21_600, 60),
        ("d8:intervali100e12:min intervali300ee", 300, 300),
        ("d8:intervali900e12:min intervali1ee", 900, 10),
        ("d8:intervali900e12:min intervali9999999999ee", 21_600, 21_600),
        ("d8:intervali-1ee", 1800, 60),
    ];
    for (body, regular, asked) in table {
        let mut world = World::new(&[&["http://9.1.1.1/"]]);
        let wishes = world.on_time();
        world.answer(&wishes, body);
        assert_eq!(world.trackers.next_deadline(), Some(world.now + seconds(regular)), "{body}");
        assert_eq!(world.trackers.announce_now(world.now), Some(world.now + seconds(asked)), "{body}: asked");
        assert_eq!(world.pass(seconds(asked) - Duration::from_micros(1)), [], "{body}");
        assert_eq!(world.pass(Duration::from_micros(1)).len(), 1, "{body}");
    }
}

#[test]
fn the_user_may_cut_a_backoff_short() {
    let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"]]);
    for _ in 0..12 {
        let wishes = world.sleep();
        world.closed(handles(&wishes)[0], Some("connection refused"));
    }
    assert!(world.trackers.next_announce().unwrap() > world.now + seconds(100));
    let soon = world.trackers.announce_now(world.now).unwrap();
    assert!(soon <= world.now + ANNOUNCE_ASKED_INTERVAL_MIN, "{soon:?}");
    assert_eq!(world.pass(ANNOUNCE_ASKED_INTERVAL_MIN).len(), 1);
}

#[test]
fn a_tracker_that_keeps_failing_is_asked_less_and_less() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let mut last = Duration::ZERO;
    for nth in 0..12 {
        let wishes = world.sleep();
        world.closed(handles(&wishes)[0], Some("connection refused"));
        let [News::Failed { next, again, .. }] = world.news()[..] else { panic!() };
        assert_eq!(again, nth > 0);
        assert!(next > last.mul_f64(0.7) && next <= TRACKER_BACKOFF_MAX);
        last = next;
    }
    assert!(last > TRACKER_BACKOFF_MAX.mul_f64(0.7));
    let wishes = world.sleep();
    world.answer(&wishes, "d14:failure reason4:gone8:retry in5:nevere");
    let [News::Failed { next, again, .. }] = world.news()[..] else { panic!() };
    assert_eq!((next, again), (ANNOUNCE_INTERVAL_MAX, false), "another reason is news");
}

#[test]
fn tracker_ids_and_keys_are_kept() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let wishes = world.on_time();
    let first = world.answer(&wishes, "d10:tracker id3:a/be");
    let wishes = world.sleep();
    let second = world.answer(&wishes, "de");
    let wishes = world.sleep();
    let third = world.answer(&wishes, "de");
    assert_eq!((key(&first), key(&second)), (key(&second), key(&third)));
    assert!(
        !first.contains("trackerid") && second.contains("&trackerid=a%2Fb ") && third.contains("trackerid")
    );
}

#[test]
fn completed_is_said_once_and_at_once() {
    let mut world = World::new(&[&["http://9.1.1.1/"], &["http://9.2.2.2/"]]);
    let wishes = world.on_time();
    world.answer(&wishes[..1], GOOD);
    let (late, _) = world.reach(&wishes[1..]);
    world.totals.left = 0;
    world.trackers.complete();
    let wishes = world.on_time();
    assert!(world.answer(&wishes, GOOD).contains("&left=0&") && world.on_time().is_empty());
    // The other tracker was in the middle of `started`, which said that bytes are missing.
    world.bytes(late, &ok(GOOD));
    let wishes = world.on_time();
    assert!(world.answer(&wishes, GOOD).contains("event=completed"));
    world.trackers.complete();
    let wishes = world.pass(seconds(900));
    assert_eq!(wishes.len(), 2);
    assert!(!world.answer(&wishes[..1], GOOD).contains("event="));
}

#[test]
fn completed_does_not_hurry_a_tracker_that_rests_after_a_failure() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let wishes = world.on_time();
    world.answer(&wishes, GOOD);
    let wishes = world.sleep();
    world.closed(handles(&wishes)[0], Some("connection refused"));
    world.trackers.complete();
    assert_eq!(world.on_time(), []);
    let wishes = world.sleep();
    assert!(world.answer(&wishes, GOOD).contains("event=completed"));
}

#[test]
fn goodbyes_go_out_side_by_side_and_in_time() {
    let mut world = World::new(&[
        &["http://known.example/"],
        &["http://9.2.2.2/"],
        &["http://9.3.3.3/"],
        &["http://9.4.4.4/"],
    ]);
    let wishes = world.on_time();
    world.answer(&wishes[..1], GOOD);
    let (sent, _) = world.reach(&wishes[1..2]);
    let dialling = handles(&wishes)[2];
    world.closed(handles(&wishes)[3], Some("connection refused"));
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    let wishes = world.wishes();
    let closes = |handle| wishes.contains(&Wish::Close { handle });
    assert!(closes(sent) && closes(dialling), "what is under way is broken off");
    let dials: Vec<&Wish> = wishes.iter().filter(|wish| matches!(wish, Wish::Connect { .. })).collect();
    assert_eq!(
        dials.len(),
        2,
        "only those that may know us are told, and no name is asked for again: {wishes:?}"
    );
    let (_, request) = world.reach(&[dials[0].clone()]);
    assert!(request.contains("&numwant=0&") && request.contains("&event=stopped "), "{request}");
    assert_eq!(world.trackers.next_deadline(), Some(world.now + STOP_TIMEOUT));
    assert!(!world.trackers.is_quiet());
    world.sleep();
    assert!(world.trackers.is_quiet() && world.trackers.next_deadline().is_none());
    assert_eq!(world.pass(seconds(100_000)), [], "nothing is announced any more");
}

#[test]
fn who_is_owed_completed_hears_it_before_the_goodbye() {
    // Stopped at once, while `completed` is under way, and while nobody answers.
    for (under_way, answers) in [(false, true), (true, true), (true, false)] {
        let mut world = World::new(&[&["http://9.1.1.1/"]]);
        let wishes = world.on_time();
        world.answer(&wishes, GOOD);
        world.totals.left = 0;
        world.trackers.complete();
        let mut wishes = if under_way { world.on_time() } else { vec![] };
        world.trackers.stop(world.now, &world.totals, &mut world.rng);
        wishes.extend(world.wishes());
        let (handle, request) = world.reach(&wishes);
        assert!(request.contains("&event=completed "), "{request}");
        if answers {
            let wishes = world.bytes(handle, &ok(GOOD));
            let (_, request) = world.reach(&wishes[1..]);
            assert!(request.contains("&event=stopped "), "{request}");
        }
        assert_eq!(world.trackers.next_deadline(), Some(world.now + STOP_TIMEOUT));
        world.sleep();
        assert!(world.trackers.is_quiet());
    }
}

#[test]
fn an_answered_goodbye_ends_it() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let wishes = world.on_time();
    world.answer(&wishes, GOOD);
    world.news();
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    let wishes = world.wishes();
    world.answer(&wishes, GOOD);
    assert!(world.trackers.is_quiet() && world.news().is_empty());
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    assert!(world.trackers.is_quiet(), "once is enough");
}

/// Random facts, in any order, stale ones too: streams are opened and closed in pairs, and the loop never spins.
#[test]
fn no_order_of_facts_leaves_a_stream_behind() {
    for seed in 0..200 {
        let tiers: [&[&str]; 3] = [
            &["http://a.example/", "http://9.1.1.1/"],
            &["http://b.example/x"],
            &["udp://10.0.0.1:1/", "udp://x:1"],
        ];
        let mut world = World::new(&tiers);
        let mut chance = Rng::new(seed);
        let (mut named, mut open, mut posted) = (Vec::new(), BTreeSet::new(), None);
        for step in 0..300 {
            let handle = named.get(chance.below(named.len() as u32) as usize).copied();
            let handle = handle.unwrap_or(Handle { tracker: 9, part: Part::V4, generation: 0 });
            let wishes = match chance.below(9) {
                0 => world.resolved(handle, [&["9.9.9.9", "10.0.0.9"][..], &[]][chance.below(2) as usize]),
                1 if open.contains(&handle) => world.connected(handle),
                2 => world.bytes(handle, &ok(GOOD)),
                3 => world.bytes(handle, "HTTP/1.1 307 Go\r\nLocation: http://c.example/\r\n\r\n"),
                4 if open.remove(&handle) => world.closed(handle, None),
                7 if posted.is_some() => world.answered(posted.clone().unwrap(), chance.below(9)),
                8 => {
                    world.trackers.set_hungry(chance.one_in(2));
                    world.trackers.scrape_now(world.now);
                    vec![]
                }
                5 if step == 250 => {
                    world.trackers.stop(world.now, &world.totals, &mut world.rng);
                    world.wishes()
                }
                _ => world.pass(Duration::from_millis(u64::from(chance.below(40_000)))),
            };
            for wish in wishes {
                match wish {
                    Wish::Connect { handle, .. } | Wish::Reach { handle, .. } => {
                        assert!(open.insert(handle), "seed {seed}: opened twice");
                    }
                    Wish::Close { handle } => {
                        assert!(open.remove(&handle), "seed {seed}: closed what is not open");
                    }
                    Wish::Send { handle, .. } => {
                        assert!(open.contains(&handle), "seed {seed}: sent to nobody");
                    }
                    Wish::Resolve { .. } => {}
                    Wish::Post { ref server, ref bytes } => {
                        posted = server.address.map(|address| (address, bytes.clone()));
                    }
                }
                named.extend(handles(&[wish]));
            }
            let lanes = world.trackers.members.iter().flat_map(|member| &member.lanes);
            let streams = lanes.filter(|lane| lane.errand.as_ref().is_some_and(Errand::has_stream));
            assert_eq!(open.len(), streams.count(), "seed {seed}");
        }
        assert!(!world.url(0).is_empty());
    }
}
