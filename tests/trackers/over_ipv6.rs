//! Trackers that others wrote, over IPv6: aquatic by UDP, the one inside qBittorrent by HTTP. Debian's opentracker speaks
//! IPv4 alone.

use crate::meet;
use crate::opentracker::{Swarm, number};
use crate::payload;
use crate::process::{Running, Scratch, wait_for};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Where `scripts/aquatic` puts it.
fn aquatic() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../aquatic/bin/aquatic_udp");
    assert!(path.exists(), "aquatic_udp is missing; build it with: scripts/aquatic");
    path
}

/// What a UDP tracker says of the torrent (BEP 15).
fn scrape(tracker: SocketAddr) -> Option<Swarm> {
    let io = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
    io.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut reply = [0; 100];
    io.send_to(&[&0x0417_2710_1980_u64.to_be_bytes()[..], &[0, 0, 0, 0], b"conn"].concat(), tracker).ok()?;
    (io.recv(&mut reply).ok()? == 16).then_some(())?;
    let hash = payload::names().info_hash();
    io.send_to(&[&reply[8..16], &[0, 0, 0, 2], b"scrp", &hash].concat(), tracker).ok()?;
    (io.recv(&mut reply).ok()? == 20).then_some(())?;
    let number = |at: usize| u32::from_be_bytes(reply[at..at + 4].try_into().unwrap());
    Some(Swarm { seeds: number(8), leechers: number(16) })
}

#[test]
fn two_meet_at_aquatic_by_udp_over_ipv6() {
    let (scratch, address) = (Scratch::new(), free_address());
    let settings = scratch.path().join("aquatic.toml");
    fs::write(&settings, format!("[network]\naddress = \"{address}\"\nonly_ipv6 = true\n")).unwrap();
    let _tracker = Running::start(Command::new(aquatic()).arg("-c").arg(settings), "aquatic", scratch.path());
    wait_for("aquatic", PATIENCE, || scrape(address));
    meet(address.ip(), &scratch, &format!("udp://{address}/announce"), &|| scrape(address));
}

/// What an HTTP tracker that knows no scrape says to somebody else who comes for the torrent, without them.
fn ask(tracker: SocketAddr) -> Option<Swarm> {
    let hash: String = payload::names().info_hash().iter().map(|byte| format!("%{byte:02x}")).collect();
    let mut stream = TcpStream::connect(tracker).ok()?;
    let rest = "peer_id=-XX0000-somebodyelse&port=1&uploaded=0&downloaded=0&left=1&compact=1&numwant=0";
    write!(stream, "GET /announce?info_hash={hash}&{rest} HTTP/1.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = [0; 1000];
    // It is short, and the connection stays open behind it.
    let count = stream.read(&mut reply).ok()?;
    let reply = String::from_utf8_lossy(&reply[..count]).into_owned();
    let leechers = number(&reply, "10:incompletei")?.checked_sub(1)?;
    Some(Swarm { seeds: number(&reply, "8:completei")?, leechers })
}

#[test]
fn two_meet_at_qbittorrent_by_http_over_ipv6() {
    // It listens on every address that it finds: here there are none but those of loopback.
    let alone = thread::spawn(|| {
        // SAFETY: a plain number; it concerns this thread alone, and what it starts.
        let answer = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        let root =
            "this test makes a network namespace: run it as root (sudo -E env PATH=\"$PATH\" cargo test)";
        assert_eq!(answer, 0, "{root}");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "ip is missing: apt-get install -y iproute2");
        meet_at_qbittorrent();
    });
    if let Err(panic) = alone.join() {
        std::panic::resume_unwind(panic);
    }
}

fn meet_at_qbittorrent() {
    let (scratch, address) = (Scratch::new(), free_address());
    let folder = scratch.folder("profile/qBittorrent/config");
    let settings = [
        "[LegalNotice]\nAccepted=true",
        "[BitTorrent]\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\nTrackerEnabled=true",
        "[Preferences]\nConnection\\UPnP=false\nConnection\\ResolvePeerCountries=false\nWebUI\\Enabled=false",
        &format!("Advanced\\trackerPort={}\n", address.port()),
    ];
    fs::write(folder.join("qBittorrent.conf"), settings.join("\n")).unwrap();
    let mut command = Command::new("qbittorrent-nox");
    command.arg(format!("--profile={}", scratch.path().join("profile").display()));
    let _tracker = Running::start(&mut command, "qbittorrent-nox", scratch.path());
    wait_for("the tracker of qBittorrent", PATIENCE, || ask(address));
    meet(address.ip(), &scratch, &format!("http://{address}/announce"), &|| ask(address));
}
