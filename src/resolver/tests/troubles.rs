//! Servers that are dead, refuse or lie, and more names than there is room for.

use super::*;
use crate::base::limits::{DNS_FAILURE_TTL, DNS_ROUNDS};

#[test]
fn forged_answers_are_not_believed() {
    let mut world = World::new(2);
    let asked = world.resolve(1, "t.example");
    let second = world.pass(DNS_PATIENCE);
    let good = answer(&asked[0], &["6.6.6.6"], 60);
    let changed = |at: usize, by: u8| {
        let mut message = good.clone();
        message[at] ^= by;
        message
    };
    for (from, bytes) in [
        (server(2), good.clone()), // another server that was asked something else
        (server(3), good.clone()), // one that was never asked
        (SocketAddr::from(([9, 9, 9, 1], 54)), good.clone()), // another port
        (server(1), answer(&second[0], &["6.6.6.6"], 60)), // the number of another question
        (server(1), changed(0, 1)), // another number
        (server(1), changed(1, 128)), //
        (server(1), changed(13, 3)), // another name
        (server(1), changed(asked[0].bytes.len() - 1, 2)), // another class
        (server(1), changed(2, 0x80)), // no answer, but a question
        (server(1), good[..20].to_vec()), // cut off within the question
        (server(1), Vec::new()),
    ] {
        world.hear(from, &bytes);
        assert_eq!(world.partly_resolved(), [], "{from}: {}", bytes.escape_ascii());
    }
    world.pass(Duration::ZERO);
    world.hear(server(1), &answer(&asked[0], &["1.2.3.4"], 60));
    world.hear(server(2), &answer(&second[1], &[], 60));
    assert_eq!(world.resolved(), [(1, "1.2.3.4".into())], "the right answers still count");
}

#[test]
fn numbers_and_letters_differ_from_question_to_question() {
    let mut world = World::new(1);
    let host = "abcdefghijklmnopqrst.example";
    let mut asked = world.resolve(1, host);
    asked.extend(World { rng: Rng::new(9), ..World::new(1) }.resolve(1, host));
    for (nth, one) in asked.iter().enumerate() {
        for other in &asked[..nth] {
            assert_ne!(one.bytes[..2], other.bytes[..2]);
            assert_ne!(one.bytes[12..40], other.bytes[12..40]);
        }
    }
}

#[test]
fn when_nobody_answers_it_is_given_up_in_bounded_time() {
    for servers in 0..=3 {
        let mut world = World::new(servers);
        let start = world.now;
        let mut asked = world.resolve(1, "dead.example").len();
        while let Some(deadline) = world.resolver.next_deadline() {
            asked += world.pass(world.now.until(deadline)).len();
        }
        assert_eq!(asked, 2 * usize::from(servers * DNS_ROUNDS));
        assert_eq!(world.resolved(), [(1, String::new())]);
        assert_eq!(world.now.since(start), Duration::from_secs(u64::from(servers) * (1 + 2 + 4)));
        assert_eq!((world.resolve(2, "dead.example"), world.resolved()), (vec![], vec![(2, String::new())]));
        world.pass(DNS_FAILURE_TTL);
        assert_eq!(
            world.resolve(3, "dead.example").len(),
            2 * usize::from(servers.min(1)),
            "asked again later"
        );
    }
}

#[test]
fn a_search_ends_where_nobody_answers() {
    let mut world = World::reading("search a.example b.example\noptions attempts:1");
    world.resolve(1, "nas");
    assert_eq!((world.pass(DNS_PATIENCE), world.resolved()), (vec![], vec![(1, String::new())]));
}

#[test]
fn servers_that_refuse_or_answer_rubbish_cost_no_time_and_are_not_asked_again() {
    let rubbish =
        |asked: &Asked| [&answer(asked, &["1.2.3.4", "::1"], 60)[..asked.bytes.len()], &[0xc0]].concat();
    let not_recursive = |asked: &Asked| {
        let mut message = answer(asked, &[], 0);
        message[3] = 0;
        message
    };
    let bad: [fn(&Asked) -> Vec<u8>; 5] =
        [|asked| code(asked, 2), |asked| code(asked, 5), |asked| code(asked, 4), rubbish, not_recursive];
    for (nth, bad) in bad.into_iter().enumerate() {
        let mut world = World::new(3);
        let asked = world.resolve(1, "t.example");
        let asked = world.answer_all(asked, |asked| match asked.server == server(3) {
            true => answer(asked, &["1.2.3.4"], 60),
            false => bad(asked),
        });
        let wanted = [1, 1, 2, 2, 3, 3].map(server);
        assert_eq!(
            (servers_of(&asked), world.resolved()),
            (wanted.into(), vec![(1, "1.2.3.4".into())]),
            "{nth}"
        );
        assert_eq!(servers_of(&world.resolve(2, "u.example")), [server(3); 2], "the good one first");

        let mut world = World::new(2);
        let asked = world.resolve(1, "t.example");
        let asked = world.answer_all(asked, bad);
        assert_eq!((asked.len(), world.resolved()), (4, vec![(1, String::new())]), "{nth}");
    }
}

#[test]
fn a_server_that_cannot_be_reached_costs_no_time() {
    let mut world = World::new(2);
    let asked = world.resolve(1, "t.example");
    world.hear(server(1), &code(&asked[0], 5));
    assert_eq!(servers_of(&world.asked()), [server(2)]);
    world.resolver.on_unreachable(world.now, server(1), &mut world.rng);
    assert_eq!(servers_of(&world.asked()), [server(2)], "the question that the first server still had");
    world.resolver.on_unreachable(world.now, server(1), &mut world.rng);
    assert_eq!((world.asked(), world.resolved()), (vec![], vec![]));
    world.resolver.on_unreachable(world.now, server(2), &mut world.rng);
    assert_eq!((world.asked(), world.resolved()), (vec![], vec![(1, String::new())]));
}

#[test]
fn the_second_round_asks_in_plain_letters() {
    let mut world = World::new(1);
    let mixed = world.resolve(1, "abcdefghijklmnop.example");
    assert!(mixed[0].bytes[12..].iter().any(u8::is_ascii_uppercase));
    let plain = world.pass(DNS_PATIENCE);
    assert!(plain.iter().all(|asked| !asked.bytes[12..].iter().any(u8::is_ascii_uppercase)));
    assert_ne!(mixed[0].bytes[..2], plain[0].bytes[..2]);
}

#[test]
fn a_server_that_changes_letters_is_asked_again_at_once_and_only_once() {
    for (again, wanted) in [(false, "1.2.3.4"), (true, "")] {
        let mut world = World::new(1);
        let host = "abcdefghijklmnop.example";
        let mut asked = world.resolve(1, host);
        let changed = |asked: &Asked, upper: bool| {
            let mut bytes = answer(asked, &["1.2.3.4"], 60);
            let name = &mut bytes[12..12 + host.len() + 1];
            if upper {
                name.make_ascii_uppercase();
            } else {
                name.make_ascii_lowercase();
            }
            bytes
        };
        for round in 0..2 {
            for one in core::mem::take(&mut asked) {
                world.hear(server(1), &changed(&one, again && round == 1));
                asked.extend(world.asked());
            }
            assert_eq!(asked.len(), if round == 0 { 2 } else { 0 });
        }
        assert_eq!(world.resolved(), [(1, wanted.into())]);
    }
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
    while let Some(one) = asked.pop() {
        world.hear(server(1), &answer(&one, &["1.2.3.4"], 60));
        asked.extend(world.asked());
        answered.extend(world.resolved());
    }
    let good = answered.iter().filter(|(_, addresses)| addresses == "1.2.3.4").count();
    assert_eq!((answered.len(), good), (count as usize, DNS_WAITING_MAX + DNS_LOOKUPS_MAX));
    assert_eq!(world.resolver.next_deadline(), None);
}

#[test]
fn names_with_one_family_make_room_for_those_that_wait() {
    let mut world = World::new(1);
    let start = world.now;
    let mut asked = Vec::new();
    for query in 0..100 {
        asked.extend(world.resolve(query, &format!("h{query}.example")));
    }
    let mut first = 0;
    let mut last = 0;
    while first < 100 {
        for one in core::mem::take(&mut asked).iter().filter(|one| !one.wants_v6()) {
            world.hear(server(1), &answer(one, &["1.2.3.4"], 60));
        }
        asked = world.pass(DNS_SECOND_FAMILY_WAIT);
        for (_, addresses, complete) in world.partly_resolved() {
            assert_eq!(addresses, "1.2.3.4");
            *(if complete { &mut last } else { &mut first }) += 1;
        }
    }
    assert!(world.now.since(start) <= DNS_SECOND_FAMILY_WAIT * 7, "7 times 16 names");
    while let Some(deadline) = world.resolver.next_deadline() {
        world.pass(world.now.until(deadline));
        last += world.resolved().len();
    }
    assert_eq!((first, last), (100, 100), "each has both");
}

#[test]
fn too_many_addresses_are_cut_in_both_families() {
    let mut world = World::new(1);
    let asked = world.resolve(1, "t.example");
    let ips: Vec<String> = (0..50).flat_map(|nth| [format!("1.2.3.{nth}"), format!("::{nth}")]).collect();
    let ips: Vec<&str> = ips.iter().map(|ip| &ip[..]).collect();
    world.answer_all(asked, |asked| answer(asked, &ips, 60));
    let resolved = world.resolved();
    let (v6, v4): (Vec<_>, Vec<_>) = resolved[0].1.split(' ').partition(|ip| ip.contains(':'));
    assert_eq!((v4.len(), v6.len()), (ADDRESSES_PER_NAME_MAX / 2, ADDRESSES_PER_NAME_MAX / 2));
}
