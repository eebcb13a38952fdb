//! HTTPS trackers as users have them: an authority that the system trusts, certificates that are not good, servers that
//! break off. The client is the real binary; the certificates are made for each run.
#![allow(dead_code, reason = "the helpers have more than is needed here")]

mod authority;
#[path = "../interop/payload.rs"]
mod payload;
#[path = "../interop/process.rs"]
mod process;
mod seeder;
mod tracker;

use authority::{Authority, Flaw};
use process::{Running, Scratch, wait_for};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use swarmlet::base::limits::{ANNOUNCES_MAX, TLS_CONNECTION_BYTES_MAX, TLS_CONNECTIONS_MAX};
use tracker::{Manner, Tracker, reply};

const PATIENCE: Duration = Duration::from_secs(120);
/// Certificates that a server may send in one message, which is 64 KiB at most.
const CERTIFICATES_BYTES: usize = 60 << 10;
/// Where nobody listens: a peer that is never there.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// A torrent with these trackers, each in a tier of its own.
fn write_torrent(path: &Path, urls: &[String]) {
    let payload = payload::names();
    payload.write_torrent(path, None);
    let plain = fs::read(path).unwrap();
    let tiers: String = urls.iter().map(|url| format!("l{}:{url}e", url.len())).collect();
    let list = format!("d13:announce-listl{tiers}e");
    fs::write(path, [list.as_bytes(), &plain[1..]].concat()).unwrap();
}

fn swarmlet(output: &Path, torrent: &Path, authority: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.args(["-v", "--proxy", "none", "--bind", "127.0.0.1", "--port", "0", "-o"]);
    command.arg(output).arg(torrent).env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR");
    command
}

#[test]
fn a_download_by_an_https_tracker_is_the_same_byte_for_byte() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let (_seeder, peer) = seeder::start(&scratch);
    for host in ["localhost", "127.0.0.1"] {
        let tracker = Tracker::start(Some(authority.server(Flaw::None)), &Manner::Answers(reply(peer)));
        let (torrent, output) = (scratch.path().join("x.torrent"), scratch.folder(host));
        write_torrent(&torrent, &[tracker.url(host)]);
        let mut command = swarmlet(&output, &torrent, &authority.certificate());
        let mut running = Running::start(&mut command, "swarmlet", scratch.path());
        assert_eq!(running.wait(PATIENCE).code(), Some(0), "{}", running.log());
        payload::names().assert_same(&output);
        let seen = tracker.seen();
        assert!(seen.requests[0].contains("event=started"), "{:?}", seen.requests);
        assert!(seen.requests.iter().any(|line| line.contains("event=completed")));
        // The second of its announces needs no certificate any more.
        assert!(seen.resumed > 0, "{} requests, none over a resumed session", seen.requests.len());
    }
}

#[test]
fn a_redirect_to_https_is_followed_and_one_back_is_not() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let good = Tracker::start(Some(authority.server(Flaw::None)), &Manner::Answers(reply(NOBODY)));
    let moved = |to: &str| {
        Manner::Answers(format!("HTTP/1.1 301 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    };
    let up = Tracker::start(None, &moved(&good.url("localhost")));
    let down_to = Tracker::start(None, &Manner::Answers(reply(NOBODY)));
    let plain = format!("http://127.0.0.1:{}/", down_to.address.port());
    let down = Tracker::start(Some(authority.server(Flaw::None)), &moved(&plain));
    let urls = [format!("http://127.0.0.1:{}/", up.address.port()), down.url("127.0.0.1")];
    let torrent = scratch.path().join("x.torrent");
    write_torrent(&torrent, &urls);
    let mut command = swarmlet(&scratch.folder("output"), &torrent, &authority.certificate());
    let running = Running::start(&mut command, "swarmlet", scratch.path());
    wait_for("the request", PATIENCE, || (!good.seen().requests.is_empty()).then_some(()));
    let fault = "redirect from HTTPS to plain HTTP refused";
    wait_for(fault, PATIENCE, || running.log().contains(fault).then_some(()));
    assert!(down_to.seen().requests.is_empty());
}

#[test]
fn bad_certificates_and_bad_servers_are_said_in_plain_words() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let answers = Manner::Answers(reply(NOBODY));
    let cases = [
        (Flaw::OtherName, answers.clone(), "its certificate is for another name"),
        (Flaw::Expired, answers.clone(), "its certificate has expired"),
        (Flaw::NotYetValid, answers.clone(), "its certificate is not valid yet"),
        (Flaw::SelfSigned, answers.clone(), "its certificate is self-signed"),
        (Flaw::UnknownIssuer, answers, "from an issuer that is not trusted here"),
        (Flaw::None, Manner::SpeaksPlain(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not speak TLS"),
        (Flaw::None, Manner::SpeaksPlain(b"\x15\x03\x03\x00\x02\x02\x28"), "no version or cipher of TLS"),
        (Flaw::None, Manner::SpeaksPlain(b""), "TLS connection was cut off"),
        (
            Flaw::None,
            Manner::CutsOff(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd8:".to_vec()),
            "was cut off",
        ),
    ];
    let start =
        |(flaw, manner, _): &(Flaw, Manner, &str)| Tracker::start(Some(authority.server(*flaw)), manner);
    let trackers: Vec<Tracker> = cases.iter().map(start).collect();
    let urls: Vec<String> = trackers.iter().map(|tracker| tracker.url("127.0.0.1")).collect();
    let torrent = scratch.path().join("x.torrent");
    write_torrent(&torrent, &urls);
    let mut command = swarmlet(&scratch.folder("output"), &torrent, &authority.certificate());
    let mut running = Running::start(&mut command, "swarmlet", scratch.path());
    for ((flaw, manner, words), url) in cases.iter().zip(&urls) {
        let found =
            || running.log().lines().any(|line| line.contains(url) && line.contains(words)).then_some(());
        wait_for(&format!("{words:?} of {flaw:?} {manner:?}"), Duration::from_secs(30), found);
    }
    running.interrupt();
    assert_eq!(running.wait(PATIENCE).code(), Some(6));
    for (tracker, (flaw, ..)) in trackers.iter().zip(&cases) {
        let asked = !tracker.seen().requests.is_empty();
        assert!(!asked || *flaw == Flaw::None, "{flaw:?}: the request was sent all the same");
    }
}

#[test]
fn without_the_authority_that_the_user_names_nobody_is_trusted() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let tracker = Tracker::start(Some(authority.server(Flaw::None)), &Manner::Answers(reply(NOBODY)));
    let torrent = scratch.path().join("x.torrent");
    write_torrent(&torrent, &[tracker.url("localhost")]);
    let mut command = swarmlet(&scratch.folder("output"), &torrent, Path::new("/nonexistent"));
    let running = Running::start(&mut command, "swarmlet", scratch.path());
    let words = "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read";
    wait_for(words, PATIENCE, || running.log().contains(words).then_some(()));
}

#[test]
fn no_more_connections_than_allowed_are_open_and_the_others_get_their_turn() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let manner = Manner::Holds(Duration::from_secs(2), reply(NOBODY));
    let tracker = Tracker::start(Some(authority.server(Flaw::None)), &manner);
    let mut command =
        swarmlet(&scratch.folder("output"), &scratch.path().join("0"), &authority.certificate());
    let torrents = TLS_CONNECTIONS_MAX / ANNOUNCES_MAX + 1;
    for nth in 0..torrents {
        let path = scratch.path().join(nth.to_string());
        let urls: Vec<String> =
            (0..ANNOUNCES_MAX).map(|n| tracker.url("127.0.0.1") + &format!("?{nth}-{n}")).collect();
        write_torrent(&path, &urls);
        // Another name makes it another torrent, with files of its own.
        let other = [&[b'A' + u8::try_from(nth).unwrap()][..], b"r\xc3\xb6\xc3\x9fe"].concat();
        fs::write(&path, replaced(&fs::read(&path).unwrap(), "Größe".as_bytes(), &other)).unwrap();
        if nth > 0 {
            command.arg(&path);
        }
    }
    let running = Running::start(&mut command, "swarmlet", scratch.path());
    let all = torrents * ANNOUNCES_MAX;
    wait_for("all requests", PATIENCE, || (tracker.seen().requests.len() >= all).then_some(()));
    let most = tracker.seen().most_waiting;
    assert!((2..=TLS_CONNECTIONS_MAX).contains(&most), "{most} at a time: {}", running.log());
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    bytes[at..at + from.len()].copy_from_slice(to);
    bytes
}

/// A child that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Anonymous memory of a process, in bytes.
fn anonymous_bytes(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Anonymous memory while as many trackers as possible hold their answers back, who introduce themselves with so many
/// certificates more than they need.
fn held(scheme: &str, more: usize) -> usize {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let config = (scheme == "https").then(|| authority.server_with(Flaw::None, more));
    let manner = Manner::Holds(Duration::from_secs(20), reply(NOBODY));
    let trackers: Vec<Tracker> =
        (0..ANNOUNCES_MAX).map(|_| Tracker::start(config.clone(), &manner)).collect();
    let url = |tracker: &Tracker| format!("{scheme}://127.0.0.1:{}/announce", tracker.address.port());
    let torrent = scratch.path().join("x.torrent");
    write_torrent(&torrent, &trackers.iter().map(url).collect::<Vec<_>>());
    let mut command = swarmlet(&scratch.folder("output"), &torrent, &authority.certificate());
    let client = Killed(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let asked = || trackers.iter().all(|tracker| !tracker.seen().requests.is_empty()).then_some(());
    wait_for("all requests", PATIENCE, asked);
    anonymous_bytes(client.0.id())
}

#[test]
fn a_connection_takes_no_more_memory_than_is_promised() {
    // The most that fit into the longest message that is joined have some 60 KiB.
    let most = CERTIFICATES_BYTES / Authority::new(Scratch::new().path(), "the tests").certificate_bytes();
    let plain = held("http", 0);
    for more in [0, most] {
        let secure = held("https", more);
        let each = secure.saturating_sub(plain) / ANNOUNCES_MAX;
        let line =
            format!("plain {plain}, secure {secure}: {each} bytes a connection, {more} certificates more");
        assert!(each <= TLS_CONNECTION_BYTES_MAX, "{line}");
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{line}\n"));
    }
}

#[test]
fn sessions_with_several_trackers_are_taken_up_again() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "the tests");
    let (_seeder, peer) = seeder::start(&scratch);
    let answers = Manner::Answers(reply(peer));
    let trackers = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        .map(|host| (Tracker::start_at(host, Some(authority.server(Flaw::None)), &answers), host));
    let (torrent, output) = (scratch.path().join("x.torrent"), scratch.folder("output"));
    write_torrent(&torrent, &trackers.each_ref().map(|(tracker, host)| tracker.url(host)));
    let mut command = swarmlet(&output, &torrent, &authority.certificate());
    let mut running = Running::start(&mut command, "swarmlet", scratch.path());
    assert_eq!(running.wait(PATIENCE).code(), Some(0), "{}", running.log());
    for (tracker, host) in &trackers {
        let seen = tracker.seen();
        assert!(seen.resumed >= 2, "{host}: {} of {:?}", seen.resumed, seen.requests);
    }
}
