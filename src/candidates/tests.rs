//! Who is dialled when, in pretended time.

use super::*;
use alloc::collections::BTreeSet;
use core::time::Duration;

fn peer(at: usize) -> SocketAddr {
    SocketAddr::from(([10, 1, (at >> 8) as u8, at as u8], 6881))
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// `count` addresses of a tracker, and a source of chance.
fn with(count: usize) -> (Candidates, Rng) {
    let mut candidates = Candidates::default();
    for nth in 0..count {
        assert_eq!(candidates.add(at(1), peer(nth), Source::Tracker), Added::New);
    }
    (candidates, Rng::new(3))
}

#[test]
fn useless_addresses_are_refused() {
    let (mut candidates, _) = with(1);
    candidates.add_own("5.5.5.5:6881".parse().unwrap());
    candidates.ban("6.6.6.6:1".parse().unwrap());
    let table = [
        ("1.2.3.4:0", Added::Useless),
        ("0.0.0.0:1", Added::Useless),
        ("224.1.1.1:1", Added::Useless),
        ("255.255.255.255:1", Added::Useless),
        ("[::]:1", Added::Useless),
        ("[ff02::1]:1", Added::Useless),
        ("127.0.0.1:1", Added::Useless),
        ("[::1]:1", Added::Useless),
        ("[::ffff:127.0.0.1]:1", Added::Useless),
        ("[::ffff:127.9.9.9]:1", Added::Useless),
        ("[::127.0.0.1]:1", Added::Useless),
        ("[::ffff:255.255.255.255]:1", Added::Useless),
        ("[::ffff:6.6.6.6]:3", Added::Banned),
        ("5.5.5.5:6881", Added::Own),
        ("[::ffff:5.5.5.5]:6881", Added::Own),
        ("5.5.5.5:6882", Added::New),
        ("6.6.6.6:2", Added::Banned),
        ("10.1.0.0:6881", Added::Known),
        ("[2001:db8::1]:1", Added::New),
    ];
    for (text, wanted) in table {
        assert_eq!(candidates.add(at(1), text.parse().unwrap(), Source::Tracker), wanted, "{text}");
    }
}

#[test]
fn this_machine_is_believed_only_where_it_makes_sense() {
    let local: SocketAddr = "127.0.0.1:51413".parse().unwrap();
    let (mut candidates, _) = with(0);
    assert_eq!(candidates.add(at(1), local, Source::User), Added::New, "the user knows");
    let (mut candidates, _) = with(0);
    candidates.allow_loopback();
    assert_eq!(candidates.add(at(1), local, Source::Tracker), Added::New);
    candidates.add_own(local);
    assert!(candidates.is_empty(), "what turns out to be ourselves is forgotten");
}

#[test]
fn each_is_dialled_once_in_random_order() {
    let (mut candidates, mut rng) = with(100);
    let order: Vec<SocketAddr> = core::iter::from_fn(|| candidates.next(at(1), &mut rng)).collect();
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 100);
    assert!(!order.is_sorted());
    assert_eq!((candidates.next_deadline(), candidates.len()), (None, 100), "all are busy");
}

#[test]
fn families_take_turns_as_long_as_both_have_somebody() {
    let (mut candidates, mut rng) = with(50);
    for nth in 0..5u16 {
        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, nth], 6881));
        assert_eq!(candidates.add(at(1), v6, Source::Tracker), Added::New);
    }
    let order: Vec<bool> =
        core::iter::from_fn(|| candidates.next(at(1), &mut rng)).map(|address| address.is_ipv6()).collect();
    let first: Vec<bool> = (0..10).map(|nth| nth % 2 == 1).collect();
    assert_eq!((&order[..10], order.len()), (&first[..], 55));
}

#[test]
fn the_untried_come_first_then_the_proven_then_the_least_failed() {
    let (mut candidates, mut rng) = with(3);
    for _ in 0..3 {
        candidates.next(at(1), &mut rng);
    }
    candidates.failed(at(2), peer(0), &mut rng);
    candidates.connected(at(2), peer(1));
    candidates.closed(at(2), peer(1), true, &mut rng);
    candidates.failed(at(2), peer(2), &mut rng);
    candidates.failed(at(2), peer(2), &mut rng);
    candidates.add(at(100), peer(3), Source::Tracker);
    let order: Vec<SocketAddr> = core::iter::from_fn(|| candidates.next(at(100), &mut rng)).collect();
    assert_eq!(order, [peer(3), peer(1), peer(0), peer(2)]);
}

#[test]
fn failures_wait_longer_and_longer_and_are_then_forgotten() {
    let (mut candidates, mut rng) = with(1);
    let (mut now, mut last) = (at(1), Duration::ZERO);
    for failure in 1..=CONNECT_FAILURES_MAX {
        assert_eq!(candidates.next(now, &mut rng), Some(peer(0)), "failure {failure}");
        candidates.failed(now, peer(0), &mut rng);
        assert_eq!(candidates.next(now, &mut rng), None);
        let Some(due) = candidates.next_deadline() else { break };
        assert!(
            now.until(due) > last.mul_f64(1.4) && now.until(due) <= RECONNECT_MAX,
            "{:?}",
            now.until(due)
        );
        (last, now) = (now.until(due), due);
    }
    assert!(candidates.is_empty());
}

#[test]
fn who_was_connected_once_or_named_by_the_user_is_never_forgotten() {
    let (mut candidates, mut rng) = with(1);
    candidates.connected(at(1), peer(0));
    candidates.add(at(1), peer(1), Source::User);
    for _ in 0..300 {
        candidates.closed(at(1), peer(0), false, &mut rng);
        candidates.failed(at(1), peer(1), &mut rng);
    }
    assert_eq!(candidates.len(), 2);
    let far = at(1) + RECONNECT_MAX;
    assert!(candidates.next(far, &mut rng).is_some() && candidates.next(far, &mut rng).is_some());
}

#[test]
fn a_useful_peer_that_was_lost_comes_back_soon() {
    let (mut candidates, mut rng) = with(1);
    for _ in 0..10 {
        candidates.failed(at(1), peer(0), &mut rng);
        candidates.connected(at(1), peer(0));
    }
    candidates.closed(at(1), peer(0), true, &mut rng);
    assert!(candidates.next(at(1) + RECONNECT_MIN, &mut rng).is_some());
}

#[test]
fn an_address_that_could_not_be_dialled_is_not_to_blame() {
    let (mut candidates, mut rng) = with(1);
    for turn in 0..20 {
        let now = at(1 + turn * 10);
        assert_eq!(candidates.next(now, &mut rng), Some(peer(0)));
        candidates.put_back(now, peer(0));
        assert_eq!(candidates.next(now, &mut rng), None, "not at once: we have run out of something");
    }
}

#[test]
fn the_banned_are_gone() {
    let (mut candidates, mut rng) = with(3);
    let one = candidates.next(at(1), &mut rng).unwrap();
    candidates.connected(at(1), one);
    candidates.ban(one);
    assert!(candidates.is_banned(one) && candidates.len() == 2);
    candidates.closed(at(1), one, true, &mut rng);
    let rest: Vec<SocketAddr> = core::iter::from_fn(|| candidates.next(at(99), &mut rng)).collect();
    assert!(rest.len() == 2 && !rest.contains(&one));
}

#[test]
fn the_other_connections_of_a_banned_machine_do_not_come_back() {
    let (mut candidates, mut rng) = with(1);
    let other_port = SocketAddr::new(peer(0).ip(), 7000);
    candidates.add(at(1), other_port, Source::User);
    while candidates.next(at(1), &mut rng).is_some() {}
    candidates.ban(peer(0));
    assert_eq!(candidates.len(), 1, "one that is connected is known until it is closed");
    candidates.closed(at(2), other_port, true, &mut rng);
    assert!(candidates.is_empty());
}

#[test]
fn when_full_the_worst_gives_way_but_not_the_unheard() {
    let (mut candidates, mut rng) = with(CANDIDATES_MAX);
    assert_eq!(
        candidates.add(at(1), peer(9000), Source::Tracker),
        Added::Full,
        "nobody has had a chance yet"
    );
    let mut tried = Vec::new();
    for _ in 0..3 {
        tried.push(candidates.next(at(1), &mut rng).unwrap());
    }
    for (failures, &address) in tried.iter().enumerate() {
        for _ in 0..failures {
            candidates.failed(at(2), address, &mut rng);
        }
    }
    assert_eq!(candidates.add(at(3), peer(9000), Source::Tracker), Added::New);
    assert!(!candidates.known.contains_key(&tried[2]), "two failures are worse than one");
    assert_eq!(candidates.add(at(3), peer(9001), Source::Tracker), Added::New);
    assert!(!candidates.known.contains_key(&tried[1]));
    assert_eq!(candidates.add(at(3), peer(9002), Source::Tracker), Added::Full);
    assert!(candidates.known.contains_key(&tried[0]), "the busy stay");
    assert_eq!(candidates.add(at(3), peer(9002), Source::User), Added::New, "the user's come in");
    assert_eq!(candidates.len(), CANDIDATES_MAX);
}

#[test]
fn facts_about_strangers_change_nothing() {
    let (mut candidates, mut rng) = with(0);
    candidates.connected(at(1), peer(1));
    candidates.failed(at(1), peer(1), &mut rng);
    candidates.closed(at(1), peer(1), true, &mut rng);
    candidates.put_back(at(1), peer(1));
    assert!(candidates.is_empty() && candidates.next(at(99), &mut rng).is_none());
}

/// The deadline is never late, and asking at the deadline either dials or moves it on.
#[test]
fn the_deadline_is_never_late_and_never_spins() {
    let seeds = if cfg!(miri) { 2 } else { 100 };
    for seed in 0..seeds {
        let (mut candidates, mut rng) = with(20);
        let (mut now, mut chance, mut busy) = (at(1), Rng::new(seed), Vec::new());
        for _ in 0..500 {
            let true_earliest = candidates.known.values().filter_map(|candidate| match candidate.state {
                State::Idle { due } => Some(due),
                State::Busy => None,
            });
            let true_earliest = true_earliest.min();
            assert!(true_earliest.is_none() || candidates.next_deadline() <= true_earliest);
            match (chance.below(4), busy.pop()) {
                (0, Some(address)) => candidates.failed(now, address, &mut rng),
                (1, Some(address)) => candidates.closed(now, address, true, &mut rng),
                (_, taken) => {
                    busy.extend(taken);
                    now = now + Duration::from_secs(u64::from(chance.below(9)));
                    match candidates.next(now, &mut rng) {
                        Some(address) => busy.push(address),
                        None => assert!(candidates.next_deadline().is_none_or(|due| due > now)),
                    }
                }
            }
            chance.shuffle(&mut busy);
        }
    }
}

#[test]
fn among_equals_both_ends_rank_them_alike() {
    let (mut candidates, mut rng) = with(50);
    let ours: SocketAddr = "80.4.4.200:6881".parse().unwrap();
    candidates.set_ours(ours);
    let dialled: Vec<SocketAddr> = core::iter::from_fn(|| candidates.next(at(2), &mut rng)).collect();
    let ranks: Vec<u32> = dialled.iter().map(|&address| priority(address, ours).unwrap()).collect();
    assert_eq!(dialled.len(), 50);
    assert!(ranks.is_sorted_by(|one, other| one >= other), "{ranks:?}");
}

#[test]
fn whom_nothing_reaches_rests_longer_and_longer_but_is_not_forgotten() {
    let (mut candidates, mut rng) = with(2);
    let mut now = at(1);
    for _ in 0..20 {
        while let Some(address) = candidates.next(now, &mut rng) {
            candidates.cut_off(now, address, &mut rng);
        }
        now = candidates.next_deadline().expect("they are tried again").max(now);
    }
    assert_eq!(candidates.len(), 2);
    while candidates
        .next(now, &mut rng)
        .inspect(|&address| candidates.cut_off(now, address, &mut rng))
        .is_some()
    {}
    assert!(now.until(candidates.next_deadline().unwrap()) > RECONNECT_MAX / 2);
    // Others are reached again: so may these.
    candidates.reconnect(now);
    let dialled: BTreeSet<_> = core::iter::from_fn(|| candidates.next(now, &mut rng)).collect();
    assert_eq!(dialled.len(), 2);
    dialled.iter().for_each(|&address| candidates.failed(now, address, &mut rng));
    assert_eq!(candidates.len(), 2, "that was the first time that they were to blame");
    let first = candidates.next_deadline().unwrap();
    assert!(now.until(first) <= RECONNECT_MIN);
}
