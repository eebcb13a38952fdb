//! Downloads through proxies: nothing leaves beside them, and those that lie are called by their name. Real ones come from
//! Debian's packages; without them these tests fail and say what to install.
#![allow(dead_code, reason = "the helpers have more than is needed here")]

#[path = "../tls/authority.rs"]
mod authority;
mod carrier;
mod datagrams;
#[path = "../trackers/opentracker.rs"]
mod opentracker;
#[path = "../interop/payload.rs"]
mod payload;
#[path = "../interop/process.rs"]
mod process;
mod relay;
#[path = "../tls/seeder.rs"]
mod seeder;
#[path = "../tls/tracker.rs"]
mod tracker;

use authority::{Authority, Flaw};
use process::{Running, Scratch, free_port, wait_for, wait_for_listener};
use relay::{Manner, Relay};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tracker::{Tracker, reply};

const PATIENCE: Duration = Duration::from_secs(120);
/// What must never be seen anywhere.
const PASSWORD: &str = "s3cret-word";

/// A client with these options, watched: every socket that it opens is in `trace`.
fn watched(scratch: &Scratch, output: &Path, torrent: &Path) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=socket,connect,listen,sendto,sendmsg", "-o"])
        .arg(scratch.path().join("trace"));
    command.arg(env!("CARGO_BIN_EXE_swarmlet")).args(["-vv", "-o"]).arg(output).arg(torrent);
    without_environment(&mut command);
    command
}

fn client(output: &Path, torrent: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.args(["-vv", "-o"]).arg(output).arg(torrent);
    without_environment(&mut command);
    command
}

fn without_environment(command: &mut Command) {
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
}

/// Fails if a socket led anywhere but to the proxy: no datagram, nobody listens.
fn assert_nothing_beside(scratch: &Scratch, proxy_port: u16) {
    let trace = assert_no_stream_beside(scratch, proxy_port);
    assert!(!trace.contains("SOCK_DGRAM"), "{trace}");
}

/// The same as far as streams go. Answers the trace.
fn assert_no_stream_beside(scratch: &Scratch, proxy_port: u16) -> String {
    let trace = fs::read_to_string(scratch.path().join("trace")).unwrap();
    let connects: Vec<&str> = trace.lines().filter(|line| line.contains("connect(")).collect();
    assert!(connects.len() >= 2, "a tracker and a peer at least:\n{trace}");
    let port = format!("htons({proxy_port})");
    let beside: Vec<&&str> = connects.iter().filter(|line| !line.contains(&port)).collect();
    assert!(beside.is_empty(), "beside the proxy: {beside:?}");
    assert!(!trace.contains("listen("), "{trace}");
    trace
}

/// Downloads with `command` and compares; the log must not show the password.
fn download(scratch: &Scratch, output: &Path, command: &mut Command) -> String {
    let mut running = Running::start(command, "swarmlet", scratch.path());
    assert_eq!(running.wait(PATIENCE).code(), Some(0), "{}", running.log());
    payload::names().assert_same(output);
    let log = running.log();
    assert!(!log.contains(PASSWORD), "the password is shown:\n{log}");
    log
}

/// A download through a proxy that listens on `port`, with a plain tracker that names the seeder.
fn download_through(scratch: &Scratch, url: &str, port: u16) {
    let (_seeder, peer) = seeder::start(scratch);
    let tracker = Tracker::start(None, &tracker::Manner::Answers(reply(peer)));
    let announce = format!("http://{}/announce", tracker.address);
    let (torrent, output) = (scratch.path().join("x.torrent"), scratch.folder("output"));
    payload::names().write_torrent(&torrent, Some(&announce));
    let log = download(scratch, &output, watched(scratch, &output, &torrent).args(["--proxy", url]));
    assert!(log.contains(&format!("127.0.0.1:{port}")), "the proxy is not named:\n{log}");
    assert_nothing_beside(scratch, port);
    let seen = tracker.seen();
    let announces = || seen.requests.iter().filter(|line| line.contains("&left="));
    let told = announces().all(|line| line.contains("&port=1&"));
    assert!(announces().count() > 0 && told, "a port was told: {:?}", seen.requests);
}

#[test]
fn names_and_tls_and_peers_go_through_socks_and_nothing_goes_beside_it() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let (_seeder, peer) = seeder::start(&scratch);
    let relay = Relay::start(&Manner::Relays { user: "me", password: PASSWORD });
    let config = Some(authority.server(Flaw::None));
    let tracker = Tracker::start(config, &tracker::Manner::Answers(reply(peer)));
    let (torrent, output) = (scratch.path().join("x.torrent"), scratch.folder("output"));
    payload::names().write_torrent(&torrent, Some(&tracker.url("tracker.test")));
    let mut command = watched(&scratch, &output, &torrent);
    command.env("SSL_CERT_FILE", authority.certificate()).args(["--peer", &peer.to_string()]);
    command.env("all_proxy", format!("socks5h://me:{PASSWORD}@{}", relay.address));
    download(&scratch, &output, &mut command);
    assert_nothing_beside(&scratch, relay.address.port());
    let asked = relay.asked();
    for wanted in [format!("tracker.test:{}", tracker.address.port()), peer.to_string()] {
        assert!(asked.contains(&wanted), "{wanted}: {asked:?}");
    }
    assert!(tracker.seen().requests[0].contains("event=started"));
}

#[test]
fn microsocks_carries_a_whole_download() {
    let (scratch, port) = (Scratch::new(), free_port());
    let mut command = Command::new("microsocks");
    command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "me", "-P", PASSWORD]);
    let mut proxy = Running::start(&mut command, "microsocks", scratch.path());
    wait_for_listener(&mut proxy, port);
    download_through(&scratch, &format!("socks5://me:{PASSWORD}@127.0.0.1:{port}"), port);
}

#[test]
fn tinyproxy_carries_a_whole_download() {
    let (scratch, port) = (Scratch::new(), free_port());
    let file = scratch.path().join("tinyproxy.conf");
    let settings = ["Listen 127.0.0.1", "Timeout 600", "Allow 127.0.0.1", "MaxClients 50"].join("\n");
    fs::write(&file, format!("{settings}\nPort {port}\nBasicAuth me {PASSWORD}\n")).unwrap();
    let mut proxy =
        Running::start(Command::new("tinyproxy").args(["-d", "-c"]).arg(&file), "tinyproxy", scratch.path());
    wait_for_listener(&mut proxy, port);
    download_through(&scratch, &format!("http://me:{PASSWORD}@127.0.0.1:{port}"), port);
}

#[test]
fn a_slow_proxy_is_borne() {
    let scratch = Scratch::new();
    let relay = Relay::start(&Manner::Dribbles(Duration::from_millis(200)));
    download_through(&scratch, &format!("socks5://{}", relay.address), relay.address.port());
}

#[test]
fn proxies_that_fail_or_lie_are_said_in_plain_words() {
    let cases: [(&str, &str, Manner, &str); 13] = [
        ("socks5", "", Manner::Says(&[b""]), "the proxy closed the connection without an answer"),
        ("socks5", "", Manner::Says(&[b"\x05\xff"]), "the proxy wants a user and a password"),
        (
            "socks5",
            "me:s3cret-word@",
            Manner::Says(&[b"\x05\x02", b"\x01\x01"]),
            "refuses our user or password",
        ),
        ("socks5", "", Manner::Says(&[b"\x05\x00", b"\x05\x02\x00\x01"]), "the rules of the proxy forbid it"),
        (
            "socks5",
            "",
            Manner::Says(&[b"\x05\x00", b"\x05\x05\x00\x01"]),
            "connection refused, says the proxy",
        ),
        ("socks5", "", Manner::Says(&[b"\x05\x00", b"\x05\x00\x00\x03\xffabc"]), "closed the connection"),
        (
            "socks5",
            "",
            Manner::Says(&[b"\x05\x00", b"\x05\x00\x00\x09abc"]),
            "an address of the unknown kind 9",
        ),
        ("socks5", "", Manner::Says(&[b"HTTP/1.1 400 X\r\n\r\n"]), "the proxy does not speak SOCKS 5"),
        ("http", "", Manner::Says(&[b"\x05\x00"]), "the proxy does not speak HTTP"),
        ("http", "", Manner::Says(&[b"HTTP/1.1 407 X\r\n\r\n"]), "the proxy wants a user and a password"),
        (
            "http",
            "me:s3cret-word@",
            Manner::Says(&[b"HTTP/1.1 407 X\r\n\r\n"]),
            "refuses our user or password",
        ),
        ("http", "", Manner::Says(&[b"HTTP/1.1 200 OK\r\nX: "]), "the proxy closed the connection"),
        ("socks5", "", Manner::IsSilent, "the tracker did not answer in time"),
    ];
    let scratch = Scratch::new();
    let torrent = scratch.path().join("x.torrent");
    payload::names().write_torrent(&torrent, Some("http://tracker.test/announce"));
    let start = |nth: usize, url: &str| {
        let output = scratch.folder(&format!("output-{nth}"));
        Running::start(client(&output, &torrent).args(["--proxy", url]), "swarmlet", scratch.path())
    };
    let mut runs: Vec<(Running, &str)> = Vec::new();
    for (nth, (scheme, login, manner, words)) in cases.iter().enumerate() {
        let relay = Relay::start(manner);
        runs.push((start(nth, &format!("{scheme}://{login}{}", relay.address)), words));
    }
    let nobody = format!("http://127.0.0.1:{}", free_port());
    runs.push((start(runs.len(), &nobody), "the proxy refuses the connection"));
    for (running, words) in &runs {
        let said = || running.log().lines().any(|line| line.contains("tracker.test") && line.contains(words));
        wait_for(&format!("{words}; said is: {}", running.log()), PATIENCE, || said().then_some(()));
        assert!(!running.log().contains(PASSWORD), "the password is shown:\n{}", running.log());
    }
}

#[test]
fn none_overrides_the_environment_and_exceptions_go_straight() {
    let scratch = Scratch::new();
    let (_seeder, peer) = seeder::start(&scratch);
    let torrent = scratch.path().join("x.torrent");
    let nobody = format!("socks5://127.0.0.1:{}", free_port());
    payload::names().write_torrent(&torrent, None);
    let output = scratch.folder("straight");
    let mut command = client(&output, &torrent);
    command.env("ALL_PROXY", &nobody).args(["--proxy", "none", "--port", "0", "--peer", &peer.to_string()]);
    download(&scratch, &output, &mut command);
    let output = scratch.folder("exempt");
    let mut command = client(&output, &torrent);
    command.env("ALL_PROXY", &nobody).env("no_proxy", "127.0.0.0/8").args(["--peer", &peer.to_string()]);
    download(&scratch, &output, &mut command);
}

#[test]
fn a_variable_that_names_no_proxy_ends_the_run_before_anything_leaves() {
    let scratch = Scratch::new();
    let torrent = scratch.path().join("x.torrent");
    payload::names().write_torrent(&torrent, None);
    let mut command = client(&scratch.folder("output"), &torrent);
    let value = format!("gopher://me:{PASSWORD}@gate:1");
    let mut running = Running::start(command.env("ALL_PROXY", value), "swarmlet", scratch.path());
    assert_eq!(running.wait(PATIENCE).code(), Some(2), "{}", running.log());
    let log = running.log();
    assert!(log.contains("ALL_PROXY: a proxy is socks5:// or http://") && !log.contains(PASSWORD), "{log}");
}
