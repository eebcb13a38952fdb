//! Tiers, hunger, both address families, and the numbers of the swarm.

use super::*;

const NONE: &str = "d8:intervali900e5:peers0:e";

fn trackers_of(wishes: &[Wish]) -> Vec<u32> {
    handles(wishes).iter().map(|handle| handle.tracker).collect()
}

#[test]
fn a_hungry_tier_asks_the_next_tracker_without_waiting_for_the_first() {
    let urls = ["http://9.1.1.1/", "http://9.2.2.2/", "http://9.3.3.3/", "http://9.4.4.4/"];
    let mut world = World::new(&[&urls]);
    world.trackers.set_hungry(true);
    let mut asked = BTreeSet::new();
    for turn in 0..4 {
        let wishes = if turn == 0 { world.on_time() } else { world.pass(HUNGRY_STEP) };
        let [Wish::Connect { handle, .. }] = wishes[..] else { panic!("{wishes:?}") };
        assert!(asked.insert(handle.tracker));
    }
    assert_eq!(world.pass(HUNGRY_STEP), [], "all are being asked");
}

#[test]
fn nothing_is_announced_before_it_is_known_what_is_missing() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    world.trackers.hold(true);
    assert_eq!((world.on_time(), world.trackers.next_deadline()), (vec![], None));
    assert_eq!(world.trackers.announce_now(world.now), None);
    world.trackers.hold(false);
    assert_eq!(world.on_time().len(), 1);
}

#[test]
fn a_content_tier_waits_for_its_tracker_but_not_for_ever() {
    let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"]]);
    let first = trackers_of(&world.on_time());
    assert_eq!(world.pass(HUNGRY_STEP), []);
    assert_eq!(
        world.pass(TIER_PATIENCE.saturating_sub(HUNGRY_STEP)).len(),
        2,
        "the first is given up, or another"
    );
    assert_eq!(first.len(), 1);
}

#[test]
fn an_answer_with_peers_calms_hunger_for_a_while_and_one_without_does_not() {
    for (body, wait) in [(GOOD, HUNGRY_REST), (NONE, HUNGRY_STEP)] {
        let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"]]);
        world.trackers.set_hungry(true);
        let wishes = world.on_time();
        world.answer(&wishes, body);
        assert_eq!(world.pass(wait.saturating_sub(Duration::from_micros(1))), [], "{body}");
        let wishes = world.pass(Duration::from_micros(1));
        assert_eq!(wishes.len(), 1, "{body}: its peers may all be dead");
        assert!(world.answer(&wishes, GOOD).contains("event=started"));
        assert_eq!(world.pass(NEEDY_INTERVAL_MIN / 2), [], "each has its interval");
    }
}

#[test]
fn who_has_enough_peers_asks_no_second_tracker() {
    let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"]]);
    world.trackers.set_hungry(true);
    let wishes = world.on_time();
    world.answer(&wishes, GOOD);
    world.trackers.set_hungry(false);
    assert_eq!(world.pass(seconds(899)), []);
    assert_eq!(trackers_of(&world.pass(seconds(1))), trackers_of(&wishes), "the same is reported to");
}

#[test]
fn the_first_that_answered_stays_in_front_while_it_works() {
    let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"]]);
    world.trackers.set_hungry(true);
    let first = world.on_time();
    let second = world.pass(HUNGRY_STEP);
    world.answer(&second, GOOD);
    world.answer(&first, GOOD);
    world.trackers.set_hungry(false);
    let wishes = world.pass(seconds(900));
    assert_eq!(trackers_of(&wishes), trackers_of(&second));
    world.closed(handles(&wishes)[0], Some("connection refused"));
    let wishes = world.on_time();
    assert_eq!(trackers_of(&wishes), trackers_of(&first), "and gives way when it fails");
}

#[test]
fn everybody_who_knows_us_hears_completed_and_stopped() {
    let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/", "http://9.3.3.3/"]]);
    world.trackers.set_hungry(true);
    for _ in 0..2 {
        let wishes = world.sleep();
        world.answer(&wishes, NONE);
    }
    world.trackers.set_hungry(false);
    world.totals.left = 0;
    world.trackers.complete();
    let wishes = world.on_time();
    assert_eq!(wishes.len(), 2, "{wishes:?}");
    for wish in wishes {
        assert!(world.answer(&[wish], GOOD).contains("event=completed"));
    }
    assert_eq!(world.on_time(), []);
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    let wishes = world.wishes();
    assert_eq!(wishes.len(), 2, "{wishes:?}");
    for wish in wishes {
        assert!(world.answer(&[wish], GOOD).contains("event=stopped"));
    }
    assert!(world.trackers.is_quiet());
}

#[test]
fn silent_trackers_make_room_for_others() {
    let urls: Vec<String> = (0..20).map(|at| format!("udp://10.0.0.{at}:1")).collect();
    let tiers: Vec<[&str; 1]> = urls.iter().map(|url| [&url[..]]).collect();
    let tiers: Vec<&[&str]> = tiers.iter().map(|tier| &tier[..]).collect();
    let mut world = World::new(&tiers);
    assert_eq!(world.on_time().len(), ANNOUNCES_MAX);
    assert_eq!(world.pass(ANNOUNCE_LATE).len(), ANNOUNCES_MAX);
    assert_eq!(world.pass(ANNOUNCE_LATE).len(), 4);
}

/// The one name in `wishes` has an address of each family.
fn both(world: &mut World, wishes: &[Wish]) -> (Handle, Handle) {
    let wishes = world.resolved(handles(wishes)[0], &["9.9.9.9", "2001:db8::9"]);
    let [Wish::Connect { handle: v4, .. }, Wish::Connect { handle: v6, .. }] = wishes[..] else {
        panic!("{wishes:?}")
    };
    assert_eq!((v4.part, v6.part), (Part::V4, Part::V6));
    (v4, v6)
}

#[test]
fn both_families_are_told_side_by_side_with_the_same_key() {
    let mut world = World::new(&[&["http://t.example/announce"]]);
    let wishes = world.on_time();
    let (v4, v6) = both(&mut world, &wishes);
    let request = |wishes: Vec<Wish>| match &wishes[..] {
        [Wish::Send { bytes, .. }] => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    let first = request(world.connected(v4));
    let second = request(world.connected(v6));
    assert_eq!(first, second);
    assert!(first.contains("event=started"));
    world.bytes(v6, &ok("d8:intervali900e6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x05e"));
    world.bytes(v4, &ok("d8:intervali1000e5:peers6:\x01\x02\x03\x04\0\x05e"));
    assert!(matches!(world.news()[..], [News::Answered { .. }, News::Answered { .. }]));
    let view = world.trackers.view(0).unwrap();
    assert_eq!((view.peers, view.next), (2, Some(world.now + seconds(1000))), "the longer interval counts");
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    assert_eq!(world.wishes().len(), 2, "and both are told when we go");
}

#[test]
fn a_host_with_one_family_hears_nothing_of_the_other() {
    for works in [Part::V4, Part::V6] {
        let mut world = World::new(&[&["http://t.example/announce"]]);
        let wishes = world.on_time();
        let (v4, v6) = both(&mut world, &wishes);
        let (works, fails) = if works == Part::V4 { (v4, v6) } else { (v6, v4) };
        world.closed(fails, Some("unreachable"));
        assert_eq!(world.news(), [], "the other may work");
        world.connected(works);
        world.bytes(works, &ok(GOOD));
        assert!(matches!(world.news()[..], [News::Answered { .. }]));
        world.trackers.stop(world.now, &world.totals, &mut world.rng);
        assert_eq!(trackers_of(&world.wishes()), [0]);
    }
    let mut world = World::new(&[&["http://t.example/announce"]]);
    let wishes = world.on_time();
    let (v4, v6) = both(&mut world, &wishes);
    world.closed(v6, Some("unreachable"));
    world.closed(v4, Some("connection refused"));
    let [News::Failed { fault, .. }] = &world.news()[..] else { panic!() };
    assert_eq!(fault.to_string(), "connection refused");
}

#[test]
fn a_family_whose_addresses_come_later_is_told_as_well_and_once() {
    let v6: [IpAddr; 1] = ["2001:db8::9".parse().unwrap()];
    for first_fails in [false, true] {
        let mut world = World::new(&[&["http://t.example/a"]]);
        let name = handles(&world.on_time())[0];
        let wishes = world.resolved(name, &["9.9.9.9"]);
        let [Wish::Connect { handle: v4, .. }] = wishes[..] else { panic!("{wishes:?}") };
        if first_fails {
            world.closed(v4, Some("refused"));
            assert!(matches!(world.news()[..], [News::Failed { .. }]));
        }
        world.trackers.on_second_family(world.now, name, &v6, &mut world.rng);
        let wishes = world.wishes();
        let [Wish::Connect { handle, address }] = wishes[..] else { panic!("{wishes:?}") };
        assert_eq!(address, "[2001:db8::9]:80".parse().unwrap());
        world.trackers.on_second_family(world.now, name, &v6, &mut world.rng);
        assert_eq!(world.wishes(), [], "it is being told");
        world.connected(handle);
        world.bytes(handle, &ok(GOOD));
        assert!(matches!(world.news()[..], [News::Answered { .. }]));
        world.trackers.on_second_family(world.now, name, &v6, &mut world.rng);
        assert_eq!(world.wishes(), [], "it has been told");
        world.trackers.stop(world.now, &world.totals, &mut world.rng);
        world.wishes();
        world.trackers.on_second_family(world.now, name, &["9.9.9.9".parse().unwrap()], &mut world.rng);
        assert_eq!(world.wishes(), [], "we are gone");
    }
}

#[test]
fn a_family_that_fails_late_harms_nobody() {
    let mut world = World::new(&[&["http://t.example/a"]]);
    let wishes = world.on_time();
    let (v4, v6) = both(&mut world, &wishes);
    world.connected(v4);
    world.bytes(v4, &ok(GOOD));
    world.trackers.complete();
    let wishes = world.on_time();
    assert!(world.answer(&wishes, GOOD).contains("event=completed"));
    world.closed(v6, Some("connection refused"));
    assert_eq!(world.on_time(), []);
    assert_eq!(world.trackers.view(0).unwrap().state, &State::Good);
}

#[test]
fn no_two_trackers_get_the_same_key() {
    let mut world = World::new(&[&["http://9.1.1.1/"], &["http://9.2.2.2/"]]);
    let wishes = world.on_time();
    let keys: Vec<String> =
        wishes.iter().map(|wish| key(&world.answer(core::slice::from_ref(wish), GOOD))).collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_tracker_that_does_not_tell_the_numbers_is_scraped() {
    let mut world = World::new(&[&["http://9.1.1.1/announce?k=1"]]);
    let wishes = world.on_time();
    world.answer(&wishes, GOOD);
    let wishes = world.on_time();
    let hash = "h".repeat(20);
    let body = format!("d5:filesd20:{hash}d8:completei5e10:downloadedi9e10:incompletei7eeee");
    let line = world.answer(&wishes, &body);
    assert_eq!(line, format!("GET /scrape?k=1&info_hash={hash} HTTP/1.1"));
    let wanted = Counts { seeds: Some(5), leechers: Some(7), downloads: Some(9) };
    assert_eq!((world.trackers.view(0).unwrap().counts, world.trackers.swarm()), (wanted, wanted));
    world.trackers.scrape_now(world.now);
    assert_eq!(world.on_time(), [], "not again so soon");
    world.now = world.now + SCRAPE_INTERVAL_MIN;
    world.trackers.scrape_now(world.now);
    let wishes = world.on_time();
    world.closed(handles(&wishes)[0], Some("connection reset"));
    let view = world.trackers.view(0).unwrap();
    assert_eq!((view.state, view.counts), (&State::Good, wanted), "a scrape that fails is no failure");
}

#[test]
fn a_tracker_that_tells_them_or_knows_no_scrapes_is_not() {
    for (url, body) in
        [("http://9.1.1.1/announce", "d8:completei1e10:incompletei2ee"), ("http://9.1.1.1/a", GOOD)]
    {
        let mut world = World::new(&[&[url]]);
        let wishes = world.on_time();
        world.answer(&wishes, body);
        world.trackers.scrape_now(world.now);
        assert_eq!(world.on_time(), [], "{url}");
    }
}

#[test]
fn passwords_of_urls_are_not_shown() {
    let world = World::new(&[&["http://user:secret@9.1.1.1/a", "udp://me:secret@t.example:1"]]);
    assert!(world.trackers.views().all(|view| !view.url.contains("secret")));
}

#[test]
fn of_a_private_torrent_one_tracker_is_asked_until_it_fails() {
    let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"], &["http://9.3.3.3/"]]);
    world.trackers.set_private(true);
    world.trackers.set_hungry(true);
    let wishes = world.on_time();
    assert_eq!(wishes.len(), 1, "one of one tier");
    assert_eq!(world.pass(HUNGRY_STEP), [], "it has time");
    let first = trackers_of(&wishes)[0];
    world.answer(&wishes, NONE);
    assert_eq!(world.pass(seconds(899)), [], "though it knows no peers");
    let again = world.pass(seconds(1));
    assert_eq!(trackers_of(&again), [first]);
    // It fails: the other one of its tier follows, and then the next tier.
    let mut asked = vec![first];
    let mut wishes = again;
    for _ in 0..2 {
        let [handle] = handles(&wishes)[..] else { panic!("{wishes:?}") };
        world.closed(handle, Some("connection refused"));
        wishes = world.on_time();
        asked.extend(trackers_of(&wishes));
    }
    assert_eq!((asked[1], asked[2]), (1 - first, 2));
    world.answer(&wishes, GOOD);
    assert_eq!(world.pass(seconds(800)), [], "the second tier works, so the first is left alone");
    let wishes = world.pass(seconds(100));
    assert_eq!(trackers_of(&wishes), [2]);
    world.closed(handles(&wishes)[0], Some("connection refused"));
    assert_eq!(trackers_of(&world.on_time()).len(), 1, "all have failed: one of them at a time");
}
