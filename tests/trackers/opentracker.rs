//! An opentracker that knows one torrent, and what it says of it.

use crate::process::{Running, Scratch, wait_for};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A running opentracker.
pub struct Opentracker {
    running: Running,
    address: SocketAddr,
    info_hash: [u8; 20],
}

/// What it knows of the torrent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swarm {
    pub seeds: u32,
    pub leechers: u32,
    pub downloads: u32,
}

/// Where `scripts/opentracker6` puts it.
fn built_for_ipv6() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../opentracker6/opentracker");
    assert!(path.exists(), "an opentracker for IPv6 is missing; scripts/opentracker6 builds it");
    path
}

impl Opentracker {
    pub fn start(ip: IpAddr, info_hash: [u8; 20], scratch: &Scratch) -> Self {
        let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let folder = scratch.folder("opentracker");
        // Debian builds it to serve only torrents of a list. It drops to `nobody`, who must be able to read that.
        let hex: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join("whitelist"), format!("{hex}\n")).unwrap();
        let mut command = Command::new(if ip.is_ipv6() { built_for_ipv6() } else { "opentracker".into() });
        command.args(["-i", &ip.to_string(), "-p", &port.to_string(), "-P", &port.to_string()]);
        command.arg("-d").arg(&folder);
        if ip.is_ipv4() {
            command.args(["-w", "whitelist"]);
        }
        let running = Running::start(&mut command, "opentracker", scratch.path());
        let address = SocketAddr::new(ip, port);
        wait_for("opentracker", Duration::from_secs(20), || TcpStream::connect(address).ok());
        Self { running, address, info_hash }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/announce", self.address)
    }

    /// Waits until it knows what `condition` wants.
    pub fn wait_for(&self, what: &str, condition: impl Fn(Swarm) -> bool) {
        wait_for(what, Duration::from_secs(60), || {
            let swarm = self.scrape()?;
            condition(swarm).then_some(())
        });
    }

    fn scrape(&self) -> Option<Swarm> {
        let hash: String = self.info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
        let mut reply = Vec::new();
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET /scrape?info_hash={hash} HTTP/1.0\r\n\r\n").ok()?;
        // It may reset the connection after its answer.
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8_lossy(&reply).into_owned();
        let number = |key: &str| {
            let rest = &reply[reply.find(key)? + key.len()..];
            rest[..rest.find('e')?].parse().ok()
        };
        Some(Swarm {
            seeds: number("8:completei")?,
            leechers: number("10:incompletei")?,
            downloads: number("10:downloadedi")?,
        })
    }
}
