//! Name servers: dnsmasq, and what makes one slow, dead or half blind.

use crate::net::{FAR_MANY, FAR_V4, FAR_V6, Far, INSTALL, SILENT_V4, SILENT_V6};
use crate::process::{Running, wait_for};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// Where the tracker and the seeder listen at the far end.
pub const TRACKER_PORT: u16 = 6969;
pub const SEEDER_PORT: u16 = 7001;

/// A real name server on both addresses of the far end, which knows names under `test`:
///
/// | name | addresses |
/// |---|---|
/// | `both.test`, `deep.down.lan.test` | of both families |
/// | `four.test`, `six.test` | of one |
/// | `alias.test` | `both.test` is its other name |
/// | `many.test` | more than fit into a datagram |
/// | `no-v6.test`, `no-v4.test` | of both families, one of which swallows everything |
/// | `größe.test` | `both.test` is its other name |
pub struct Dnsmasq {
    _running: Running,
    log: PathBuf,
}

impl Dnsmasq {
    pub fn start(far: &Far, folder: &Path) -> Self {
        let log = folder.join("queries.log");
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--user=root",
        ]);
        command.args(["--bind-interfaces", "--local=/test/", "--log-queries=extra", "--pid-file"]);
        command.arg(format!("--log-facility={}", log.display()));
        command.args([FAR_V4, FAR_V6].map(|ip| format!("--listen-address={ip}")));
        for name in ["both.test", "deep.down.lan.test"] {
            command.arg(format!("--host-record={name},{FAR_V4},{FAR_V6}"));
        }
        command.arg(format!("--host-record=four.test,{FAR_V4}"));
        command.arg(format!("--host-record=six.test,{FAR_V6}"));
        command.arg(format!("--host-record=no-v6.test,{FAR_V4},{SILENT_V6}"));
        command.arg(format!("--host-record=no-v4.test,{SILENT_V4},{FAR_V6}"));
        command.args(["--cname=alias.test,both.test", "--cname=xn--gre-6ka8i.test,both.test"]);
        command.args((1..=FAR_MANY).map(|nth| format!("--host-record=many.test,10.99.1.{nth}")));
        let name = "dnsmasq";
        let folder = folder.to_path_buf();
        assert!(crate::net_has(name), "{name} is missing; install it with: {INSTALL}");
        let running = far.run(move || Running::start(&mut command, name, &folder));
        let server = Self { _running: running, log };
        wait_for("dnsmasq", PATIENCE, || server.log().contains("started").then_some(()));
        server
    }

    /// What it was asked, and from where.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Listens at `address` of the far end and hands questions on to dnsmasq: those for IPv4 addresses
/// and those for IPv6 addresses each so much later, or not at all.
pub fn relay(far: &Far, address: &'static str, delays: [Option<Duration>; 2]) {
    far.run(move || {
        let _ = Command::new("ip").args(["address", "add", &format!("{address}/24"), "dev", "far"]).output();
        let io = UdpSocket::bind((address, 53)).unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((count, asker)) = io.recv_from(&mut bytes) {
                let question = bytes[..count].to_vec();
                let wants_v6 = question[count - 3] == 28;
                let io = io.try_clone().unwrap();
                if let Some(delay) = delays[usize::from(wants_v6)] {
                    thread::spawn(move || hand_on(&io, &question, asker, delay));
                }
            }
        });
    });
}

fn hand_on(io: &UdpSocket, question: &[u8], asker: SocketAddr, delay: Duration) -> Option<usize> {
    sleep(delay);
    let upstream = UdpSocket::bind("0.0.0.0:0").ok()?;
    upstream.send_to(question, (FAR_V4, 53)).ok()?;
    let mut reply = [0; 512];
    let count = upstream.recv(&mut reply).ok()?;
    io.send_to(&reply[..count], asker).ok()
}

/// Listens at `address` of the far end and never answers.
pub fn dead(far: &Far, address: &'static str) {
    far.run(move || {
        let _ = Command::new("ip").args(["address", "add", &format!("{address}/24"), "dev", "far"]).output();
        let io = UdpSocket::bind((address, 53)).unwrap();
        thread::spawn(move || while io.recv(&mut [0; 512]).is_ok() {});
    });
}

/// A tracker at the far end that sends everybody to the seeder, and remembers who came when.
#[derive(Clone, Default)]
pub struct Tracker {
    announces: Arc<Mutex<Vec<(Instant, IpAddr, String)>>>,
}

impl Tracker {
    pub fn start(far: &Far) -> Self {
        let tracker = Self::default();
        let own = tracker.clone();
        far.run(move || {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, TRACKER_PORT)).unwrap();
            thread::spawn(move || listener.incoming().flatten().for_each(|io| drop(own.answer(io))));
        });
        tracker
    }

    fn answer(&self, mut io: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        let mut bytes = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            match io.read(&mut bytes)? {
                0 => return Ok(()),
                count => head.extend_from_slice(&bytes[..count]),
            }
        }
        let from = io.peer_addr()?.ip().to_canonical();
        let head = String::from_utf8_lossy(&head).into_owned();
        self.announces.lock().unwrap().push((Instant::now(), from, head));
        let v4 = FAR_V4.parse::<Ipv4Addr>().unwrap().octets();
        let v6 = FAR_V6.parse::<Ipv6Addr>().unwrap().octets();
        let port = SEEDER_PORT.to_be_bytes();
        let body = [b"d8:intervali60e5:peers6:", &v4[..], &port, b"6:peers618:", &v6, &port, b"e"].concat();
        write!(io, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
        io.write_all(&body)
    }

    /// How long after `start` the first announce came, with its sender and its head.
    pub fn first(&self, start: Instant) -> (Duration, IpAddr, String) {
        self.nth(0, start)
    }

    /// The same of a later one.
    pub fn nth(&self, nth: usize, start: Instant) -> (Duration, IpAddr, String) {
        let heard = || self.announces.lock().unwrap().get(nth).cloned();
        let (at, from, head) = wait_for("an announce", PATIENCE, heard);
        (at.saturating_duration_since(start), from, head)
    }
}
