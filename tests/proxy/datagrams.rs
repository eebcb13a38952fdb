//! UDP trackers behind proxies: opentracker, by way of a small proxy of the tests' and of Dante, which carry datagrams, and of
//! others, which do not.

use crate::opentracker::Opentracker;
use crate::process::{Running, Scratch, free_port, wait_for, wait_for_listener};
use crate::relay::{Manner, Relay};
use crate::{PASSWORD, PATIENCE, assert_no_stream_beside, client, download, payload, seeder, watched};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// A download with a UDP tracker that only `host` leads to, through a proxy on `port`. Answers the tracker's port.
fn download_through(scratch: &Scratch, url: &str, port: u16, host: &str) -> u16 {
    let tracker = Opentracker::start([127, 0, 0, 1].into(), payload::names().info_hash(), scratch);
    let (_seeder, peer) = seeder::start(scratch);
    let (torrent, output) = (scratch.path().join("x.torrent"), scratch.folder("output"));
    let announce = format!("udp://{host}:{}/announce", tracker.port());
    payload::names().write_torrent(&torrent, Some(&announce));
    let mut command = watched(scratch, &output, &torrent);
    // The seeder is not known to the tracker.
    command.args(["--proxy", url, "--peer", &peer.to_string()]);
    download(scratch, &output, &mut command);
    tracker.wait_for("stopped", |swarm| swarm.leechers == 0);
    assert_eq!(tracker.downloads(), Some(1), "completed is counted");
    let trace = assert_no_stream_beside(scratch, port);
    let sent_to = trace.lines().filter(|line| line.contains("send")).filter_map(|line| {
        let (_, rest) = line.split_once("sin_port=htons(")?;
        rest.split(')').next()
    });
    let sent_to: BTreeSet<&str> = sent_to.collect();
    assert_eq!(sent_to.len(), 1, "datagrams to the proxy and nobody else: {sent_to:?}");
    assert!(!sent_to.contains(&tracker.port().to_string()[..]), "beside the proxy:\n{trace}");
    tracker.port()
}

#[test]
fn a_udp_tracker_is_told_everything_by_way_of_a_proxy_that_finds_its_name() {
    let scratch = Scratch::new();
    let relay = Relay::start(&Manner::Relays { user: "me", password: PASSWORD });
    let url = format!("socks5://me:{PASSWORD}@{}", relay.address);
    let port = download_through(&scratch, &url, relay.address.port(), "tracker.test");
    assert!(relay.asked().contains(&format!("udp tracker.test:{port}")), "{:?}", relay.asked());
}

#[test]
fn dante_carries_the_datagrams_of_a_udp_tracker() {
    let (scratch, port) = (Scratch::new(), free_port());
    let file = scratch.path().join("danted.conf");
    let settings = [
        "logoutput: stderr",
        &format!("internal: 127.0.0.1 port = {port}"),
        "external: 127.0.0.1",
        "clientmethod: none",
        "socksmethod: none",
        "client pass {\n from: 127.0.0.0/8 to: 0.0.0.0/0\n}",
        "socks pass {\n from: 127.0.0.0/8 to: 0.0.0.0/0\n command: connect udpassociate\n}",
        "socks pass {\n from: 0.0.0.0/0 to: 127.0.0.0/8\n command: bindreply udpreply\n}",
    ];
    fs::write(&file, settings.join("\n") + "\n").unwrap();
    let mut command = Command::new("danted");
    command.arg("-f").arg(&file).arg("-p").arg(scratch.path().join("danted.pid"));
    let mut proxy = Running::start(&mut command, "danted", scratch.path());
    wait_for_listener(&mut proxy, port);
    download_through(&scratch, &format!("socks5://127.0.0.1:{port}"), port, "localhost");
}

#[test]
fn microsocks_carries_none_and_udp_trackers_are_named_and_passed_over() {
    let (scratch, port) = (Scratch::new(), free_port());
    let mut command = Command::new("microsocks");
    command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
    let mut proxy = Running::start(&mut command, "microsocks", scratch.path());
    wait_for_listener(&mut proxy, port);
    passes_over(&scratch, &format!("socks5://127.0.0.1:{port}"), "the proxy cannot do that");
}

#[test]
fn proxies_that_carry_no_datagrams_are_named_and_udp_trackers_passed_over() {
    let scratch = Scratch::new();
    let relay = |words| format!("socks5://{}", Relay::start(&Manner::Says(words)).address);
    passes_over(&scratch, &relay(&[b"\x05\x00", b"\x05\x07\x00\x01"]), "the proxy cannot do that");
    passes_over(&scratch, &relay(&[b"\x05\x00", b"\x05\x02\x00\x01"]), "the rules of the proxy forbid it");
    // It closes without a word when it hears what is wanted.
    passes_over(&scratch, &relay(&[b"\x05\x00", b""]), "the proxy cannot do that");
    passes_over(&scratch, &format!("http://127.0.0.1:{}", free_port()), "does not go through the proxy");
}

/// Two UDP trackers are each named once, with these words, and nobody is asked for them.
fn passes_over(scratch: &Scratch, url: &str, words: &str) {
    let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let torrent = scratch.path().join("x.torrent");
    let announce = format!("udp://{}/announce", listener.local_addr().unwrap());
    payload::names().write_torrent(&torrent, Some(&announce));
    let mut command = client(&scratch.folder("output"), &torrent);
    let running = Running::start(command.args(["--proxy", url]), "swarmlet", scratch.path());
    let said = || {
        running
            .log()
            .lines()
            .filter(|line| line.contains(&announce) && line.contains("is skipped") && line.contains(words))
            .count()
    };
    wait_for(&format!("{url}: {words}; said is: {}", running.log()), PATIENCE, || {
        (said() == 1).then_some(())
    });
    listener.set_nonblocking(true).unwrap();
    assert!(listener.recv(&mut [0; 100]).is_err(), "a datagram went beside the proxy");
}
