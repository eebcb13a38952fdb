//! Whole swarms of real sessions in virtual time: how soon everybody has everything, and who gets how much.

mod net;

use core::time::Duration;
use net::{Content, Net, Part};
use std::io::Write as _;
use swarmlet::session::Giving;

/// Prints a figure; the test decides by itself.
macro_rules! say {
    ($($words:tt)*) => { drop(writeln!(std::io::stdout(), $($words)*)) };
}

const MIB: u64 = 1 << 20;
const MINUTE: Duration = Duration::from_secs(60);

fn stays() -> Giving {
    Giving { seed: true, ..Giving::default() }
}

/// Somebody on a line of a gigabit, who knows the machines below `count`.
fn part(count: usize) -> Part {
    Part { has_percent: 0, giving: stays(), line: 110 * MIB, max_peers: 200, knows: (0..count).collect() }
}

fn seeder(limit: u64, giving: &Giving) -> Part {
    Part { has_percent: 100, giving: Giving { up_limit: limit, ..giving.clone() }, ..part(0) }
}

/// One seeder that gives `rate` and `count` others that start together: the seconds that the last one takes, and how
/// often the seeder has sent everything.
fn swarm(content: &std::sync::Arc<Content>, rate: u64, giving: &Giving, count: usize) -> (f64, f64) {
    let mut net = Net::new(content.clone());
    net.add(&seeder(rate, giving));
    let others: Vec<usize> = (0..count).map(|nth| net.add(&part(nth + 1))).collect();
    net.complete(&others, 10 * MINUTE);
    let last = others.iter().map(|&node| net.completed(node)).fold(0.0, f64::max);
    (last, net.status(0).uploaded_bytes as f64 / content.bytes.len() as f64)
}

const RATE: u64 = 20 * MIB;

#[test]
fn six_that_start_together_are_done_soon_after_the_seeder_has_given_everything_once() {
    for (pieces, piece_bytes) in [(512, 256 << 10), (128, 1 << 20)] {
        let content = Content::new(pieces, piece_bytes);
        let (took, sent) = swarm(&content, RATE, &stays(), 6);
        let ideal = (content.bytes.len() + piece_bytes) as f64 / RATE as f64;
        say!("{pieces} pieces: {took:.2} s, {:.3} of the ideal; given {sent:.3} times", took / ideal);
        assert!(took < 1.15 * ideal && sent < 1.15, "{took} s of {ideal} s, {sent} times");
    }
}

#[test]
fn a_super_seed_gives_everything_about_once() {
    for (pieces, piece_bytes) in [(256, 256 << 10), (16, 4 << 20)] {
        let content = Content::new(pieces, piece_bytes);
        let (took, sent) = swarm(&content, RATE, &Giving { super_seed: true, ..stays() }, 6);
        let ideal = (content.bytes.len() + piece_bytes) as f64 / RATE as f64;
        say!("super, {pieces} pieces: {took:.2} s, {:.3} of the ideal; given {sent:.3} times", took / ideal);
        assert!(took < 1.15 * ideal && (1.0..1.1).contains(&sent), "{took} s of {ideal} s, {sent} times");
    }
}

/// Whoever has everything leaves, with what it alone had got from the seeder, and with what it had passed on to somebody
/// who has left as well.
#[test]
fn a_super_seed_waits_for_nobody_who_has_left() {
    for (pieces, count) in [(106, 2), (113, 3), (134, 6), (155, 3), (253, 5), (281, 3), (309, 7), (470, 6)] {
        let content = Content::new(pieces, 256 << 10);
        let mut net = Net::new(content.clone());
        net.add(&seeder(2 * RATE, &Giving { super_seed: true, ..stays() }));
        let leaves = |nth: usize| Part { giving: Giving::default(), ..part(nth + 1) };
        let others: Vec<usize> = (0..count).map(|nth| net.add(&leaves(nth))).collect();
        net.complete(&others, 10 * MINUTE);
        let took = others.iter().map(|&node| net.completed(node)).fold(0.0, f64::max);
        let ideal = content.bytes.len() as f64 / (2 * RATE) as f64;
        say!("super, {pieces} pieces, {count} leave: {took:.2} s, {:.3} of the ideal", took / ideal);
        assert!(took < 1.1 * ideal + 0.5, "{took} s of {ideal} s");
    }
}

#[test]
fn a_super_seed_serves_one_alone_and_two_that_do_not_know_each_other() {
    let content = Content::new(64, 256 << 10);
    for strangers in [1, 2] {
        let mut net = Net::new(content.clone());
        net.add(&seeder(RATE, &Giving { super_seed: true, ..stays() }));
        // They know the seeder only, and it tells nobody of the other.
        let others: Vec<usize> = (0..strangers).map(|_| net.add(&part(1))).collect();
        net.complete(&others, 10 * MINUTE);
        say!("super, {strangers} alone: {:.1} s", net.seconds());
        assert!(net.seconds() < if strangers == 1 { 1.2 } else { 120.0 }, "{} s", net.seconds());
    }
}

/// Eight that give and one that gives nothing, each with half of everything, on slow lines; there is no seeder.
#[test]
fn who_only_takes_gets_less_than_who_gives() {
    let content = Content::new(256, 128 << 10);
    let mut net = Net::new(content.clone());
    let half = Part { line: MIB / 8, has_percent: 50, ..part(0) };
    let slots = Giving { up_slots: Some(4), ..stays() };
    let taking = |node: usize, giving: Giving| Part { knows: (0..node).collect(), giving, ..half.clone() };
    let givers: Vec<usize> = (0..8).map(|nth| net.add(&taking(nth, slots.clone()))).collect();
    let rider = net.add(&taking(8, Giving { up_limit: 1, ..slots }));
    let got = |net: &Net, node: usize| net.status(node).downloaded_bytes as f64;
    net.run_while(MINUTE, |_| true);
    let mean = givers.iter().map(|&node| got(&net, node)).sum::<f64>() / givers.len() as f64;
    let share = got(&net, rider) / mean;
    say!("after a minute, who only takes has got {share:.2} of what the others have on average");
    assert!(share < 0.7, "{share}");
    net.complete(&givers, 10 * MINUTE);
    let last = givers.iter().map(|&node| net.completed(node)).fold(0.0, f64::max);
    assert!(net.nodes[rider].completed.is_none(), "who only takes is done before all who give");
    net.complete(&[rider], 10 * MINUTE);
    say!("the last giver is done after {last:.1} s, who only takes after {:.1} s", net.completed(rider));
}

/// Everybody has as many friends as slots when somebody comes who has nothing to give.
#[test]
fn a_newcomer_is_let_in_by_chance_and_then_for_what_it_gives() {
    let content = Content::new(512, 256 << 10);
    let mut net = Net::new(content.clone());
    let line = MIB;
    let giving = Giving { up_slots: Some(2), ..stays() };
    net.add(&Part { line, ..seeder(MIB / 2, &giving) });
    for nth in 0..6 {
        net.add(&Part { line, giving: giving.clone(), ..part(nth + 1) });
    }
    net.run_while(Duration::from_secs(40), |_| true);
    let newcomer = net.add(&Part { line, giving, ..part(7) });
    let (came, known) = (net.seconds(), net.status(1).pieces_have);
    assert!(known > 20, "a swarm that is under way: {known} pieces");
    net.run_while(2 * MINUTE, |net| net.status(newcomer).pieces_have == 0);
    let first = net.seconds() - came;
    net.run_while(2 * MINUTE, |net| net.status(newcomer).uploaded_bytes == 0);
    let gives = net.seconds() - came;
    say!("a newcomer has its first piece after {first:.1} s and gives after {gives:.1} s");
    assert!(first < 60.0 && gives < 90.0, "{first} s, {gives} s");
}
