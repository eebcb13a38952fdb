//! Names into addresses without ever blocking the loop: reads the system's files for the pure resolver and
//! carries its datagrams.
//!
//! Sockets live only while something is looked up: each time the kernel picks new ports at random, which
//! makes false answers harder to place, and an idle run holds no descriptor for it.

use crate::base::limits::{DNS_MESSAGE_BYTES_MAX, NAME_FILE_BYTES_MAX};
use crate::base::{Instant, Rng};
use crate::resolver::{Datagram, Hosts, Resolved, Resolver, name_servers};
use core::time::Duration;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The files are read again after so long: a laptop moves, a router gets other servers.
const REREAD: Duration = Duration::from_secs(60);
/// Datagrams taken from one server in a turn; there are at most two questions a name.
const TURN_DATAGRAMS: usize = 32;

/// Where the system says how names are found.
#[derive(Clone, Debug)]
pub struct NameFiles {
    /// Names and their addresses, hosts(5).
    pub hosts: PathBuf,
    /// The name servers, resolv.conf(5).
    pub servers: PathBuf,
}

impl Default for NameFiles {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), servers: "/etc/resolv.conf".into() }
    }
}

/// The pure resolver and what it needs of the system.
#[derive(Debug)]
pub struct Names {
    files: NameFiles,
    /// When the files were read.
    read: Option<Instant>,
    resolver: Resolver,
    rng: Rng,
    /// A socket for each server that was asked; the index is added to the first token.
    channels: Vec<Channel>,
    first_token: usize,
    answers: VecDeque<Resolved>,
}

/// The socket for one server. It is connected, so that nobody else can answer and "nobody listens" is heard.
#[derive(Debug)]
struct Channel {
    server: SocketAddr,
    io: UdpSocket,
    readable: bool,
}

impl Names {
    /// Finds names as `files` say, which are read with the first question. Its sockets have tokens from
    /// `first_token` up, one for each name server.
    pub fn new(files: NameFiles, rng: Rng, first_token: usize) -> Self {
        let resolver = Resolver::new(&[], Hosts::default());
        let answers = VecDeque::new();
        Self { files, read: None, resolver, rng, channels: Vec::new(), first_token, answers }
    }

    /// Asks for the addresses of `host`; [`Names::next_answer`] has them sooner or later.
    pub fn ask(&mut self, now: Instant, registry: &Registry, query: u32, host: &str) {
        let stale = self.read.is_none_or(|read| read.until(now) >= REREAD);
        if stale && self.channels.is_empty() {
            self.read_files(now);
        }
        self.resolver.resolve(now, query, host, &mut self.rng);
        self.settle(now, registry);
    }

    /// The next answer that is there.
    pub fn next_answer(&mut self) -> Option<Resolved> {
        self.answers.pop_front()
    }

    /// When [`Names::turn`] has to be called at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.resolver.next_deadline()
    }

    /// True if there is something to do without waiting for the poll.
    pub fn is_ready(&self) -> bool {
        !self.answers.is_empty() || self.channels.iter().any(|channel| channel.readable)
    }

    /// The poll says that a socket has something.
    pub fn on_event(&mut self, token: Token) {
        let nth = token.0.checked_sub(self.first_token);
        if let Some(channel) = nth.and_then(|nth| self.channels.get_mut(nth)) {
            channel.readable = true;
        }
    }

    /// Reads what has come and does what is due.
    pub fn turn(&mut self, now: Instant, registry: &Registry) {
        let due = self.resolver.next_deadline().is_some_and(|deadline| deadline <= now);
        if due || self.channels.iter().any(|channel| channel.readable) {
            self.receive(now);
            self.resolver.on_time(now, &mut self.rng);
            self.settle(now, registry);
        }
    }

    fn read_files(&mut self, now: Instant) {
        let hosts = Hosts::parse(&head_of(&self.files.hosts));
        let servers = name_servers(&head_of(&self.files.servers));
        self.resolver = Resolver::new(&servers, hosts);
        self.read = Some(now);
    }

    fn receive(&mut self, now: Instant) {
        let mut bytes = [0; DNS_MESSAGE_BYTES_MAX];
        for channel in &mut self.channels {
            for _ in 0..TURN_DATAGRAMS {
                if !channel.readable {
                    break;
                }
                match channel.io.recv(&mut bytes) {
                    Ok(count) => {
                        self.resolver.on_datagram(now, channel.server, &bytes[..count], &mut self.rng);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => channel.readable = false,
                    // An error of an earlier datagram: refused, no route. It is taken off by being told.
                    Err(_) => self.resolver.on_unreachable(now, channel.server, &mut self.rng),
                }
            }
        }
    }

    /// Sends what the resolver wishes, collects its answers, and closes the sockets when nothing is looked
    /// up.
    fn settle(&mut self, now: Instant, registry: &Registry) {
        while let Some(datagram) = self.resolver.next_datagram() {
            match self.send(registry, &datagram) {
                // A full buffer loses the datagram, as any network may; it is repeated when no answer comes.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    self.resolver.on_unreachable(now, datagram.server, &mut self.rng);
                }
                _ => {}
            }
        }
        while let Some(resolved) = self.resolver.next_resolved() {
            self.answers.push_back(resolved);
        }
        if self.resolver.next_deadline().is_none() {
            for mut channel in self.channels.drain(..) {
                let _ = registry.deregister(&mut channel.io);
            }
        }
    }

    fn send(&mut self, registry: &Registry, datagram: &Datagram) -> io::Result<usize> {
        let known = self.channels.iter().position(|channel| channel.server == datagram.server);
        let nth = known.unwrap_or(self.channels.len());
        if known.is_none() {
            let token = Token(self.first_token + nth);
            self.channels.push(Channel::open(datagram.server, registry, token)?);
        }
        self.channels[nth].io.send(&datagram.bytes)
    }
}

impl Channel {
    fn open(server: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut io = UdpSocket::bind(SocketAddr::new(any, 0))?;
        io.connect(server)?;
        registry.register(&mut io, token, Interest::READABLE)?;
        Ok(Self { server, io, readable: false })
    }
}

/// The first [`NAME_FILE_BYTES_MAX`] bytes of a file; nothing if it cannot be read.
fn head_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(NAME_FILE_BYTES_MAX).read_to_end(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rim::clock::Clock;
    use mio::{Events, Poll};
    use std::net;
    use std::thread;

    const HOST: &str = "tracker.example";

    struct Bench {
        poll: Poll,
        names: Names,
        clock: Clock,
    }

    impl Bench {
        /// A resolver that asks `servers`.
        fn new(servers: &[SocketAddr]) -> Self {
            let files =
                NameFiles { hosts: "/nonexistent/hosts".into(), servers: "/nonexistent/servers".into() };
            let (poll, clock) = (Poll::new().unwrap(), Clock::new());
            let mut names = Names::new(files, Rng::new(1), 5);
            names.resolver = Resolver::new(servers, Hosts::default());
            names.read = Some(clock.now());
            Self { poll, names, clock }
        }

        /// The answer about `host`, in the end.
        fn addresses(&mut self, host: &str) -> Vec<String> {
            self.names.ask(self.clock.now(), self.poll.registry(), 9, host);
            let mut events = Events::with_capacity(8);
            loop {
                if let Some(answer) = self.names.next_answer() {
                    assert_eq!(answer.query, 9);
                    return answer.addresses.iter().map(IpAddr::to_string).collect();
                }
                let now = self.clock.now();
                let deadline = self.names.next_deadline().expect("no answer, and nothing to wait for");
                let wait = if self.names.is_ready() { Duration::ZERO } else { now.until(deadline) };
                self.poll.poll(&mut events, Some(wait)).unwrap();
                events.iter().for_each(|event| self.names.on_event(event.token()));
                self.names.turn(self.clock.now(), self.poll.registry());
            }
        }
    }

    /// A name server that says of every name that it is 10.1.2.3, and nothing about IPv6.
    fn server() -> SocketAddr {
        let io = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = io.local_addr().unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((count, asker)) = io.recv_from(&mut bytes) {
                let mut reply = bytes[..count].to_vec();
                let is_v4 = reply[count - 3] == 1;
                reply[2] |= 0x80; // a response
                reply[7] = u8::from(is_v4); // answers
                reply[11] = 0; // no additional records
                if is_v4 {
                    // The name asked for, A, IN, 60 s, 4 bytes.
                    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
                }
                io.send_to(&reply, asker).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_name_server_is_asked_and_the_sockets_go_away() {
        let mut bench = Bench::new(&[server()]);
        assert_eq!(bench.addresses(HOST), ["10.1.2.3"]);
        assert!(bench.names.channels.is_empty() && bench.names.next_deadline().is_none());
        assert_eq!(bench.addresses(HOST), ["10.1.2.3"], "and again");
    }

    #[test]
    fn where_no_server_listens_the_next_one_is_asked_without_waiting() {
        let nobody = net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let start = std::time::Instant::now();
        assert_eq!(Bench::new(&[nobody, server()]).addresses(HOST), ["10.1.2.3"]);
        assert_eq!(Bench::new(&[nobody]).addresses(HOST), [""; 0]);
        assert_eq!(Bench::new(&[]).addresses(HOST), [""; 0]);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn the_files_are_read_with_the_first_question() {
        let hosts = std::env::temp_dir().join(format!("swarmlet-hosts-{}", std::process::id()));
        std::fs::write(&hosts, "10.9.9.9 nas.lan nas\n").unwrap();
        let mut bench = Bench::new(&[]);
        bench.names.files.hosts.clone_from(&hosts);
        bench.names.read = None;
        assert_eq!(bench.addresses("NAS"), ["10.9.9.9"]);
        assert_eq!(bench.addresses("localhost"), ["127.0.0.1", "::1"]);
        std::fs::remove_file(&hosts).unwrap();
        assert_eq!(bench.addresses("nas"), ["10.9.9.9"], "not read each time");
    }
}
