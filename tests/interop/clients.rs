//! The others: three clients that seed, and a tracker. All on loopback, with everything off that looks for peers in
//! other ways, so that what is tested is what was meant.

use crate::payload::Payload;
use crate::process::{INSTALL, Running, Scratch, free_port, wait_for, wait_for_listener};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Whose seeder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Transmission,
    Libtorrent,
    Aria2,
}

/// All of them.
pub const CLIENTS: [Client; 3] = [Client::Transmission, Client::Libtorrent, Client::Aria2];

/// A client that has everything and seeds.
pub struct Seeder {
    running: Running,
    port: u16,
}

impl Seeder {
    /// Starts one; `bytes_per_s` limits what it sends (libtorrent only).
    pub fn start(
        client: Client,
        payload: &Payload,
        torrent: &Path,
        scratch: &Scratch,
        bytes_per_s: Option<u32>,
    ) -> Self {
        let port = free_port();
        let mut command = match client {
            Client::Transmission => transmission(payload, torrent, scratch, port),
            Client::Libtorrent => libtorrent(payload, torrent, port, bytes_per_s),
            Client::Aria2 => aria2(payload, torrent, port),
        };
        assert!(
            bytes_per_s.is_none() || client == Client::Libtorrent,
            "{client:?} is started without a limit"
        );
        let mut running = Running::start(&mut command, &format!("{client:?}"), scratch.path());
        wait_for_listener(&mut running, port);
        Self { running, port }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Payload bytes sent so far (libtorrent only).
    pub fn sent_bytes(&self) -> u64 {
        let log = self.running.log();
        let whole = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
        whole.lines().next_back().and_then(|line| line.parse().ok()).unwrap_or(0)
    }

    /// Waits until it has sent so much.
    pub fn wait_until_sent(&self, bytes: u64) {
        wait_for("the seeder to send", Duration::from_secs(60), || {
            (self.sent_bytes() >= bytes).then_some(())
        });
    }
}

fn transmission(payload: &Payload, torrent: &Path, scratch: &Scratch, port: u16) -> Command {
    let config = scratch.folder("transmission");
    let settings = format!(
        r#"{{"bind-address-ipv4": "127.0.0.1", "bind-address-ipv6": "::1", "peer-port": {port},
            "rpc-enabled": false, "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false,
            "utp-enabled": false, "port-forwarding-enabled": false, "preallocation": 0,
            "trash-original-torrent-files": false, "start-added-torrents": true}}"#
    );
    fs::write(config.join("settings.json"), settings).unwrap();
    let watched = scratch.folder("transmission-watched");
    fs::copy(torrent, watched.join("x.torrent")).unwrap();
    let mut command = Command::new("transmission-daemon");
    command.arg("--foreground").arg("--log-info");
    command.arg("--config-dir").arg(config).arg("--watch-dir").arg(watched);
    command.arg("--download-dir").arg(payload.folder());
    command
}

fn libtorrent(payload: &Payload, torrent: &Path, port: u16, bytes_per_s: Option<u32>) -> Command {
    // Debian's own: another python3 earlier in PATH would not find Debian's module.
    let python = "/usr/bin/python3";
    let known = Command::new(python).args(["-c", "import libtorrent"]).output();
    assert!(known.is_ok_and(|out| out.status.success()), "libtorrent is missing; install it with: {INSTALL}");
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/seeder.py"));
    command.arg(torrent).arg(payload.folder());
    command.args([port.to_string(), bytes_per_s.unwrap_or(0).to_string()]);
    command
}

fn aria2(payload: &Payload, torrent: &Path, port: u16) -> Command {
    let mut command = Command::new("aria2c");
    command.args(["--no-conf", "--interface=127.0.0.1", "--disable-ipv6"]);
    command.args(["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0"]);
    command.args(["--check-integrity=true", "--bt-seed-unverified=true", "--seed-ratio=0.0"]);
    command.arg(format!("--listen-port={port}"));
    command.arg("--dir").arg(payload.folder()).arg(torrent);
    command
}

/// An opentracker that knows one torrent.
pub struct Tracker {
    #[expect(dead_code, reason = "held so that it runs on")]
    running: Running,
    port: u16,
    info_hash: [u8; 20],
}

impl Tracker {
    pub fn start(payload: &Payload, scratch: &Scratch) -> Self {
        let port = free_port();
        let folder = scratch.folder("opentracker");
        let info_hash = payload.info_hash();
        // Debian builds it to serve only torrents of a list. It drops to `nobody`, who must be able to read that.
        let hex: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join("whitelist"), format!("{hex}\n")).unwrap();
        let mut command = Command::new("opentracker");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-P", &port.to_string()]);
        command.arg("-d").arg(&folder).args(["-w", "whitelist"]);
        let mut running = Running::start(&mut command, "opentracker", scratch.path());
        wait_for_listener(&mut running, port);
        Self { running, port, info_hash }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/announce", self.port)
    }

    /// Waits until so many seeders have announced themselves.
    pub fn wait_for_seeders(&self, count: usize) {
        let what = format!("{count} seeders at the tracker");
        let key = "8:completei";
        wait_for(&what, Duration::from_secs(60), || {
            let reply = self.scrape();
            let number = &reply[reply.find(key)? + key.len()..];
            let complete: usize = number[..number.find('e')?].parse().ok()?;
            (complete >= count).then_some(())
        });
    }

    fn scrape(&self) -> String {
        let hash: String = self.info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
        let mut reply = Vec::new();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        write!(stream, "GET /scrape?info_hash={hash} HTTP/1.0\r\n\r\n").unwrap();
        // It may reset the connection after its answer.
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    }
}
