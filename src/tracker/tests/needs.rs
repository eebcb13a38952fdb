//! Who has too few peers asks again before it would have to.

use super::*;

/// When the one tracker, which always answers `body`, is asked within eight hours by who has too few peers; in seconds.
fn asked(body: &str, change: impl Fn(&mut Trackers)) -> Vec<u64> {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    world.trackers.set_hungry(true);
    change(&mut world.trackers);
    let start = world.now;
    let mut times = vec![];
    while let Some(due) = world.trackers.next_deadline().filter(|&due| due < start + seconds(8 * 3600)) {
        world.now = world.now.max(due);
        let wishes = world.on_time();
        times.push(world.now.since(start).as_secs());
        world.answer(&wishes, body);
        let [News::Answered { next, .. }] = world.news()[..] else { panic!("not answered") };
        assert_eq!(world.trackers.next_deadline(), Some(world.now + next), "what is said is done");
        assert_eq!(world.trackers.view(0).unwrap().next, Some(world.now + next));
    }
    times
}

#[test]
fn a_long_interval_is_cut_short_less_and_less() {
    let times = asked("d8:intervali2147483647e12:min intervali60e5:peers0:e", |_| {});
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, most) = (NEEDY_INTERVAL_MIN.as_secs(), NEEDY_INTERVAL_MAX.as_secs());
    assert!((least * 3 / 4..=least).contains(&waits[0]), "{waits:?}");
    assert!(waits.iter().all(|&wait| wait <= most) && waits.len() < 30, "{waits:?}");
    assert!(waits.iter().skip(5).all(|&wait| wait >= most * 3 / 4), "{waits:?}");
}

#[test]
fn an_interval_that_is_short_enough_is_kept_and_so_is_the_least() {
    let times = asked("d8:intervali1800e12:min intervali900e5:peers0:e", |_| {});
    assert!(times.windows(2).all(|pair| (900..=1800).contains(&(pair[1] - pair[0]))), "{times:?}");
    let times = asked("d8:intervali60e5:peers0:e", |_| {});
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 60), "{times:?}");
}

#[test]
fn private_trackers_and_those_who_have_enough_peers_are_not_asked_early() {
    for change in [
        |trackers: &mut Trackers| trackers.set_private(true),
        |trackers: &mut Trackers| trackers.set_hungry(false),
    ] {
        let times = asked("d8:intervali7200e12:min intervali60e5:peers0:e", change);
        assert_eq!(times, [0, 7200, 2 * 7200, 3 * 7200]);
    }
}

#[test]
fn who_falls_short_of_peers_asks_at_once_unless_it_has_just_asked() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let wishes = world.on_time();
    world.answer(&wishes, "d8:intervali7200e5:peers0:e");
    assert_eq!(world.pass(seconds(20)), []);
    world.trackers.set_hungry(true);
    assert_eq!(world.pass(seconds(20)), []);
    assert_eq!(world.pass(NEEDY_INTERVAL_MIN).len(), 1);
}
