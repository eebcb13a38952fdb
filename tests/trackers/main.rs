//! Trackers over real sockets: opentracker (HTTP and UDP), others over IPv6, and a UDP tracker of a few lines for what no
//! honest one does. opentracker and qBittorrent come from Debian's packages, aquatic from `scripts/aquatic`; without them
//! these tests fail and name them.
#![allow(dead_code, reason = "the helpers have more than is needed here")]

#[path = "../tls/seeder.rs"]
mod complete;
#[path = "../interop/payload.rs"]
mod payload;
#[path = "../interop/process.rs"]
mod process;

mod datagrams;
mod goodbyes;
mod opentracker;
mod over_ipv6;

use opentracker::{Opentracker, Swarm};
use payload::Payload;
use process::{Running, Scratch, free_port, wait_for};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// A swarmlet that keeps to loopback of one family.
fn swarmlet(torrent: &Path, output: &Path, ip: IpAddr, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.arg("-o").arg(output).args(["--bind", &ip.to_string(), "--port", &port.to_string()]).arg(torrent);
    command
}

/// A `.torrent` with these trackers, one tier each.
fn torrent(scratch: &Scratch, payload: &Payload, urls: &[String]) -> PathBuf {
    let path = scratch.path().join("x.torrent");
    payload.write_torrent(&path, None);
    let list: String = urls.iter().map(|url| format!("l{}:{url}e", url.len())).collect();
    let info = std::fs::read(&path).unwrap();
    let whole = [format!("d13:announce-listl{list}e").as_bytes(), &info[1..]].concat();
    std::fs::write(&path, whole).unwrap();
    path
}

fn seeder(scratch: &Scratch, torrent: &Path, payload: &Payload, ip: IpAddr) -> Running {
    // Two seeders of one folder would meet at its lock.
    let folder = scratch.folder("seeder");
    payload.link_to(&folder);
    let mut command = swarmlet(torrent, &folder, ip, free_port());
    command.arg("--seed");
    Running::start(&mut command, "seeder", scratch.path())
}

/// One swarmlet finds another through a tracker, which knows all the time what both are doing.
fn meet(ip: IpAddr, scratch: &Scratch, url: &str, swarm: &dyn Fn() -> Option<Swarm>) {
    let payload = payload::names();
    let torrent = torrent(scratch, payload, &[url.into()]);
    let mut seeder = seeder(scratch, &torrent, payload, ip);
    let knows = |what: &str, seeds, leechers| {
        let wanted = Swarm { seeds, leechers };
        wait_for(what, Duration::from_secs(60), || (swarm()? == wanted).then_some(()));
    };
    knows("the seeder", 1, 0);
    let output = scratch.folder("output");
    let mut leecher = swarmlet(&torrent, &output, ip, free_port());
    let start = Instant::now();
    let mut leecher = Running::start(&mut leecher, "leecher", scratch.path());
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0), "{}", leecher.log());
    payload.assert_same(&output);
    let took = start.elapsed();
    knows("that the leecher has gone", 1, 0);
    let quit = Instant::now();
    seeder.interrupt();
    assert_eq!(seeder.wait(Duration::from_secs(10)).code(), Some(0));
    assert!(quit.elapsed() < Duration::from_secs(3), "{:?}", quit.elapsed());
    knows("the goodbye of the seeder", 0, 0);
    let _ = writeln!(std::io::stderr(), "{url}: met and downloaded in {took:?}");
}

fn meet_at_opentracker(scheme: &str) {
    let scratch = Scratch::new();
    let ip = IpAddr::from([127, 0, 0, 1]);
    let tracker = Opentracker::start(ip, payload::names().info_hash(), &scratch);
    meet(ip, &scratch, &tracker.url(scheme), &|| tracker.swarm());
    assert_eq!(tracker.downloads(), Some(1), "completed is counted");
}

#[test]
fn two_meet_at_opentracker_by_udp() {
    meet_at_opentracker("udp");
}

#[test]
fn two_meet_at_opentracker_by_http() {
    meet_at_opentracker("http");
}

/// A tracker of each family and protocol that is dead in its own way, and one that lives.
#[test]
fn dead_trackers_delay_nobody() {
    let payload = payload::names();
    let scratch = Scratch::new();
    let ip = IpAddr::from([127, 0, 0, 1]);
    let tracker = Opentracker::start(ip, payload.info_hash(), &scratch);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = [
        format!("udp://127.0.0.1:{}/announce", silent.local_addr().unwrap().port()),
        format!("http://{}/announce", deaf.local_addr().unwrap()),
        format!("udp://127.0.0.1:{}/announce", free_port()),
        String::from("udp://[2001:db8::1]:6969/announce"),
        String::from("wss://tracker.example/"),
        tracker.url("udp"),
    ];
    let torrent = torrent(&scratch, payload, &urls);
    let _seeder = seeder(&scratch, &torrent, payload, ip);
    tracker.wait_for_seeder();
    let mut leecher = swarmlet(&torrent, &scratch.folder("output"), ip, free_port());
    let start = Instant::now();
    let mut leecher = Running::start(&mut leecher, "leecher", scratch.path());
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0), "{}", leecher.log());
    // 27 MB over loopback; the rest is the goodbye, which waits a second for the silent ones.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let log = leecher.log();
    assert!(log.contains("wss"), "a scheme that is not spoken is named:\n{log}");
}

/// A child that does not outlive a test that fails.
struct Killed(Option<Child>);

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `trackers` and `status` tell the kind, the numbers and the next announce.
#[test]
fn the_numbers_of_the_swarm_are_shown() {
    let payload = payload::names();
    let scratch = Scratch::new();
    let ip = IpAddr::from([127, 0, 0, 1]);
    let tracker = Opentracker::start(ip, payload.info_hash(), &scratch);
    let torrent = torrent(&scratch, payload, &[tracker.url("udp")]);
    let mut command = swarmlet(&torrent, payload.folder(), ip, free_port());
    command.args(["--seed", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(Some(command.spawn().unwrap()));
    let mut stdin = child.0.as_mut().unwrap().stdin.take().unwrap();
    tracker.wait_for_seeder();
    std::thread::sleep(Duration::from_millis(300));
    stdin.write_all(b"trackers\nstatus\nquit\n").unwrap();
    let output = child.0.take().unwrap().wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |kind: &str| {
        let start = format!("{{\"type\":\"{kind}\"");
        text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{text}")).to_string()
    };
    let trackers = line("trackers");
    for part in ["\"kind\":\"udp\"", "\"state\":\"good\"", "\"seeds\":1,\"leechers\":0", "\"next_seconds\":1"]
    {
        assert!(trackers.contains(part), "{part} in {trackers}");
    }
    assert!(line("status").contains("\"swarm_seeds\":1,\"swarm_leechers\":0"), "{text}");
}
