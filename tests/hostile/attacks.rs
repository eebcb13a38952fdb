//! Attacks on the program's resources while it downloads: each costs a bounded amount, and the download goes on.

use crate::attackers::{Attack, Crowd, connect_from, floods, greed};
use crate::client::{Client, Cost};
use crate::swarm::{Torrent, compact, seed, track};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;
use swarmlet::base::limits::{ARRIVALS_MAX, HALF_OPEN_MAX};

const TOTAL_BYTES: usize = 12 << 20;
/// What the honest seeder gives, in bytes a second: a download of 6 s.
const RATE: u64 = 2 << 20;
/// Memory of its own beyond `--memory 8` that attackers may take, in KiB; a sanitizer needs more for itself.
fn memory_more_kib() -> u64 {
    std::env::var("MEMORY_MORE_KIB").ok().and_then(|text| text.parse().ok()).unwrap_or(6 << 10)
}

/// How many times slower than usual the program is built: a sanitizer's is.
fn times_slower() -> u32 {
    std::env::var("TIMES_SLOWER").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Descriptors that a quiet download needs, and some more.
const QUIET_DESCRIPTORS: usize = 30;

fn print(what: &str, cost: &Cost, crowd: &Crowd) {
    let (connections, mib) =
        (crowd.connections.load(Ordering::Relaxed), crowd.bytes.load(Ordering::Relaxed) >> 20);
    let _ = writeln!(
        std::io::stdout(),
        "{what}: {:.1} s, own memory {} KiB, peak {} KiB, {} descriptors, {:.2} s of processor, status in {:.0} ms, \
         slowest {:.0} ms; strangers: {connections} connections, {mib} MiB",
        cost.took.as_secs_f64(),
        cost.anonymous_kib,
        cost.peak_kib,
        cost.descriptors,
        cost.cpu.as_secs_f64(),
        cost.usual_answer.as_secs_f64() * 1e3,
        cost.slowest_answer.as_secs_f64() * 1e3,
    );
}

/// A download from one honest seeder, in which these strangers take part. What it cost, which is bounded.
fn under_attack(what: &str, descriptors: usize, share: f64, attacks: impl Fn(&Torrent) -> Vec<Attack>) {
    let torrent = Torrent::new(TOTAL_BYTES, b"content", "");
    let seeder = seed(&torrent, RATE, vec![]);
    let mut client = Client::start(&torrent, &["--peer", &seeder.to_string()]);
    let crowd = Crowd::start(&torrent, client.address(), attacks(&torrent));
    let cost = client.complete(&torrent, "content");
    print(what, &cost, &crowd);
    judge(what, &cost, descriptors, share);
}

/// Bounds that hold on two cores which many strangers share with the program. `share` is the part of one processor that it may
/// take: strangers who write as fast as they can get most of it, who write little get little.
fn judge(what: &str, cost: &Cost, descriptors: usize, share: f64) {
    assert!(cost.anonymous_kib <= (8 << 10) + memory_more_kib(), "{what}: {cost:?}");
    assert!(cost.descriptors <= QUIET_DESCRIPTORS + descriptors, "{what}: {cost:?}");
    assert!(cost.cpu.as_secs_f64() <= share * cost.took.as_secs_f64(), "{what}: {cost:?}");
    assert!(cost.slowest_answer < Duration::from_secs(1) * times_slower(), "{what}: {cost:?}");
    assert!(cost.usual_answer < Duration::from_millis(100) * times_slower(), "{what}: {cost:?}");
}

#[test]
fn a_quiet_download_is_what_the_others_are_compared_with() {
    under_attack("quiet", 0, 0.25, |_| vec![]);
}

#[test]
fn floods_of_every_message_at_once_keep_nobody_from_completing() {
    under_attack("floods of every message", 64, 0.9, |torrent| {
        floods(torrent).into_iter().map(|(_, attack)| attack).collect()
    });
}

#[test]
fn five_hundred_slow_handshakes_take_a_bounded_number_of_sockets() {
    under_attack("500 slow handshakes", ARRIVALS_MAX, 0.5, |_| vec![Attack::Drips; 500]);
}

#[test]
fn peers_that_come_and_go_without_a_pause_leave_nothing_behind() {
    under_attack("30 peers that come and go", ARRIVALS_MAX, 0.9, |_| vec![Attack::ComesAndGoes; 30]);
}

#[test]
fn requests_that_are_never_read_wait_in_a_bounded_queue() {
    under_attack("50 peers that ask and never read", 64, 0.9, |torrent| vec![greed(torrent); 50]);
}

#[test]
fn a_hundred_thousand_addresses_are_looked_at_in_bounded_memory() {
    let torrent = Torrent::new(TOTAL_BYTES, b"content", "");
    let seeder = seed(&torrent, RATE, vec![]);
    // Nobody listens there: each is refused at once, and the next one follows.
    let nobody = |nth: u32| SocketAddr::from(([127, 9 + (nth >> 16) as u8, (nth >> 8) as u8, nth as u8], 9));
    let (tracker, asked) = track(compact((0..100_000).map(nobody).chain([seeder])));
    let announce = format!("http://{tracker}/announce");
    let torrent = Torrent::new(TOTAL_BYTES, b"content", &format!("8:announce{}:{announce}", announce.len()));
    let seeder = seed(&torrent, RATE, vec![]);
    let mut client = Client::start(&torrent, &["--peer", &seeder.to_string()]);
    let crowd = Crowd::start(&torrent, client.address(), vec![]);
    let cost = client.complete(&torrent, "content");
    print("100,000 addresses", &cost, &crowd);
    assert!(asked.load(Ordering::Relaxed) > 0);
    judge("100,000 addresses", &cost, HALF_OPEN_MAX, 0.25);
}

#[test]
fn an_honest_peer_that_comes_to_us_is_let_in_though_others_drip_in_every_place() {
    let torrent = Torrent::new(TOTAL_BYTES, b"content", "");
    let seeder = seed(&torrent, 64 << 10, vec![]);
    let mut client = Client::start(&torrent, &["--peer", &seeder.to_string()]);
    let crowd = Crowd::start(&torrent, client.address(), vec![Attack::Drips; 2 * ARRIVALS_MAX]);
    client.watch(Duration::from_secs(1));
    let mut honest = connect_from(Ipv4Addr::new(127, 8, 0, 1), client.address()).unwrap();
    honest.write_all(&torrent.handshake(b"-HO0002-honestcaller")).unwrap();
    client.wait_for("our handshake to be answered", || {
        let mut theirs = [0; 68];
        (honest.read_exact(&mut theirs).is_ok() && theirs[28..48] == torrent.info_hash).then_some(())
    });
    drop(crowd);
}
