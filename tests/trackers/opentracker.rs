//! An opentracker that knows one torrent, and what it says of it.

use crate::process::{Running, Scratch, wait_for};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A running opentracker.
pub struct Opentracker {
    running: Running,
    address: SocketAddr,
    info_hash: [u8; 20],
}

/// What a tracker knows of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    pub seeds: u32,
    pub leechers: u32,
}

impl Opentracker {
    pub fn start(ip: IpAddr, info_hash: [u8; 20], scratch: &Scratch) -> Self {
        let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let folder = scratch.folder("opentracker");
        // Debian builds it to serve only torrents of a list. It drops to `nobody`, who must be able to read that.
        let hex: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join("whitelist"), format!("{hex}\n")).unwrap();
        let mut command = Command::new("opentracker");
        command.args(["-i", &ip.to_string(), "-p", &port.to_string(), "-P", &port.to_string()]);
        command.args(["-w", "whitelist", "-d"]).arg(&folder);
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

    /// Waits until a seeder has come.
    pub fn wait_for_seeder(&self) {
        self.wait_for("the seeder", |swarm| swarm.seeds == 1);
    }

    /// Waits until it knows what `condition` wants.
    pub fn wait_for(&self, what: &str, condition: impl Fn(Swarm) -> bool) {
        wait_for(what, Duration::from_secs(60), || condition(self.swarm()?).then_some(()));
    }

    /// Who is there.
    pub fn swarm(&self) -> Option<Swarm> {
        let reply = self.scrape()?;
        Some(Swarm { seeds: number(&reply, "8:completei")?, leechers: number(&reply, "10:incompletei")? })
    }

    /// How often it was told `completed`.
    pub fn downloads(&self) -> Option<u32> {
        number(&self.scrape()?, "10:downloadedi")
    }

    fn scrape(&self) -> Option<String> {
        let hash: String = self.info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
        let mut reply = Vec::new();
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET /scrape?info_hash={hash} HTTP/1.0\r\n\r\n").ok()?;
        // It may reset the connection after its answer.
        let _ = stream.read_to_end(&mut reply);
        Some(String::from_utf8_lossy(&reply).into_owned())
    }
}

/// The number behind `key` in a bencoded reply.
pub fn number(reply: &str, key: &str) -> Option<u32> {
    let rest = &reply[reply.find(key)? + key.len()..];
    rest[..rest.find('e')?].parse().ok()
}
