//! Whole swarms of real sessions in virtual time: how soon everybody has everything, and who gets how much.

mod net;

use core::time::Duration;
use net::{Content, Net, Part};
use swarmlet::session::Giving;

const MIB: u64 = 1 << 20;
const MINUTE: Duration = Duration::from_secs(60);

fn stays() -> Giving {
    Giving { seed: true, ..Giving::default() }
}

/// Somebody on a line of a gigabit, who knows the machines below `count`.
fn part(count: usize) -> Part {
    Part { has_all: false, giving: stays(), line: 110 * MIB, max_peers: 200, knows: (0..count).collect() }
}

fn seeder(limit: u64, giving: Giving) -> Part {
    Part { has_all: true, giving: Giving { up_limit: limit, ..giving }, ..part(0) }
}

/// One seeder that gives `rate` and `count` others that start together: the seconds that the last one takes, and how
/// often the seeder has sent everything.
fn swarm(content: &std::sync::Arc<Content>, rate: u64, giving: &Giving, count: usize) -> (f64, f64) {
    let mut net = Net::new(content.clone());
    net.add(&seeder(rate, giving.clone()));
    let others: Vec<usize> = (0..count).map(|nth| net.add(&part(nth + 1))).collect();
    net.complete(&others, 10 * MINUTE);
    let last = others.iter().map(|&node| net.completed(node)).fold(0.0, f64::max);
    (last, net.status(0).uploaded_bytes as f64 / content.bytes.len() as f64)
}

#[test]
fn six_that_start_together_are_done_soon_after_the_seeder_has_given_everything_once() {
    for (pieces, piece_bytes) in [(512, 256 << 10), (128, 1 << 20), (32, 4 << 20)] {
        let content = Content::new(pieces, piece_bytes);
        let rate = 20 * MIB;
        let (took, sent) = swarm(&content, rate, &stays(), 6);
        let ideal = (content.bytes.len() + piece_bytes) as f64 / rate as f64;
        println!(
            "{pieces} x {piece_bytes}: {took:.2} s, ideal {ideal:.2} s, ratio {:.3}, sent {sent:.3}",
            took / ideal
        );
    }
}

#[test]
fn a_super_seed_gives_everything_about_once() {
    for (pieces, piece_bytes) in [(512, 256 << 10), (128, 1 << 20), (32, 4 << 20)] {
        let content = Content::new(pieces, piece_bytes);
        let rate = 20 * MIB;
        let (took, sent) = swarm(&content, rate, &Giving { super_seed: true, ..stays() }, 6);
        let ideal = (content.bytes.len() + piece_bytes) as f64 / rate as f64;
        println!(
            "super {pieces} x {piece_bytes}: {took:.2} s, ideal {ideal:.2} s, ratio {:.3}, sent {sent:.3}",
            took / ideal
        );
    }
}
