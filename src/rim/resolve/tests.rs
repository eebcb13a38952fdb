//! Names through real sockets, with name servers that do as they are told.

use super::*;
use crate::base::limits::NAME_FILES_INTERVAL;
use crate::rim::clock::Clock;
use core::time::Duration;
use mio::{Events, Poll};
use std::io::{Read as _, Write as _};
use std::net::{self, IpAddr};
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
        let files = NameFiles { hosts: "/nonexistent/hosts".into(), servers: "/nonexistent/servers".into() };
        let (poll, clock) = (Poll::new().unwrap(), Clock::new());
        let mut names = Names::new(files, Rng::new(1), 5);
        // They are not there, and that is no news any more.
        assert!(names.watch.news(clock.now()).is_some());
        names.resolver = Resolver::new(Setup::new(servers), Hosts::default());
        Self { poll, names, clock }
    }

    /// The next answer.
    fn answer(&mut self) -> Resolved {
        let mut events = Events::with_capacity(8);
        loop {
            if let Some(answer) = self.names.next_answer() {
                return answer;
            }
            let now = self.clock.now();
            let deadline = self.names.next_deadline().expect("no answer, and nothing to wait for");
            let wait = if self.names.is_ready() { Duration::ZERO } else { now.until(deadline) };
            self.poll.poll(&mut events, Some(wait)).unwrap();
            events.iter().for_each(|event| self.names.on_event(event.token()));
            self.names.turn(self.clock.now(), self.poll.registry());
        }
    }

    /// The addresses of `host`, in the end.
    fn addresses(&mut self, host: &str) -> Vec<String> {
        self.names.ask(self.clock.now(), self.poll.registry(), 9, host);
        let answer = core::iter::from_fn(|| Some(self.answer())).find(|answer| answer.complete).unwrap();
        assert_eq!(answer.query, 9);
        answer.addresses.iter().map(IpAddr::to_string).collect()
    }
}

/// What a name server says that knows of every name that it is 10.1.2.3, and nothing about IPv6.
fn reply(question: &[u8]) -> Vec<u8> {
    let mut reply = question.to_vec();
    let is_v4 = reply[reply.len() - 3] == 1;
    (reply[2], reply[3]) = (0x81, 0x80);
    reply[7] = u8::from(is_v4); // answers
    if is_v4 {
        // The name asked for, A, IN, 60 s, 4 bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
    }
    reply
}

fn server() -> SocketAddr {
    serve(net::UdpSocket::bind("127.0.0.1:0").unwrap(), reply)
}

fn serve(io: net::UdpSocket, reply: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let address = io.local_addr().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((count, asker)) = io.recv_from(&mut bytes) {
            let reply = reply(&bytes[..count]);
            if !reply.is_empty() {
                io.send_to(&reply, asker).unwrap();
            }
        }
    });
    address
}

/// A server whose datagrams say that there is more; `talk` has the streams.
fn truncating_server(talk: fn(net::TcpStream)) -> SocketAddr {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let io = net::UdpSocket::bind(listener.local_addr().unwrap()).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(talk));
    serve(io, |question| {
        let mut reply = question.to_vec();
        (reply[2], reply[3]) = (0x83, 0x80);
        reply
    })
}

fn read_question(io: &mut net::TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    io.read_exact(&mut length).unwrap();
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    io.read_exact(&mut question).unwrap();
    question
}

#[test]
fn a_name_server_is_asked_and_the_sockets_go_away() {
    let mut bench = Bench::new(&[server()]);
    assert_eq!(bench.addresses(HOST), ["10.1.2.3"]);
    assert!(!bench.names.is_ready() && bench.names.next_deadline().is_none());
    assert_eq!(bench.addresses("other.example"), ["10.1.2.3"], "and again");
}

#[test]
fn where_no_server_listens_the_next_one_is_asked_without_waiting() {
    let nobody = net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = std::time::Instant::now();
    assert_eq!(Bench::new(&[nobody, server()]).addresses(HOST), ["10.1.2.3"]);
    assert_eq!(Bench::new(&[nobody]).addresses(HOST), [""; 0]);
    assert_eq!(Bench::new(&[]).addresses(HOST), [""; 0]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn what_fits_into_no_datagram_comes_on_a_stream_even_in_drops() {
    let drop_by_drop = |mut io: net::TcpStream| {
        let reply = reply(&read_question(&mut io));
        let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
        for byte in length.iter().chain(&reply) {
            let _ = io.write_all(&[*byte]);
            thread::sleep(Duration::from_millis(1));
        }
        let _ = io.read(&mut [0]);
    };
    let mut bench = Bench::new(&[truncating_server(drop_by_drop)]);
    assert_eq!(bench.addresses(HOST), ["10.1.2.3"]);
    assert!(!bench.names.is_ready() && bench.names.next_deadline().is_none());
}

#[test]
fn a_stream_that_is_closed_or_refused_costs_no_time() {
    let start = std::time::Instant::now();
    let closing = truncating_server(|mut io| drop(read_question(&mut io)));
    assert_eq!(Bench::new(&[closing, server()]).addresses(HOST), ["10.1.2.3"]);
    let refusing = serve(net::UdpSocket::bind("127.0.0.1:0").unwrap(), |question| {
        let mut reply = question.to_vec();
        (reply[2], reply[3]) = (0x83, 0x80);
        reply
    });
    assert_eq!(Bench::new(&[refusing, server()]).addresses(HOST), ["10.1.2.3"]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_stream_that_sends_for_ever_is_left_after_the_first_part() {
    let endless = truncating_server(|mut io| while io.write_all(&[0xff; 4096]).is_ok() {});
    assert_eq!(Bench::new(&[endless, server()]).addresses(HOST), ["10.1.2.3"]);
}

#[test]
fn a_family_that_is_never_answered_for_does_not_delay_the_other() {
    let only_v4 = serve(net::UdpSocket::bind("127.0.0.1:0").unwrap(), |question| match reply(question) {
        reply if reply[7] == 1 => reply,
        _ => Vec::new(),
    });
    let mut bench = Bench::new(&[only_v4]);
    let start = std::time::Instant::now();
    bench.names.ask(bench.clock.now(), bench.poll.registry(), 9, HOST);
    let answer = bench.answer();
    assert!(!answer.complete && answer.addresses == [IpAddr::from([10, 1, 2, 3])]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn servers_on_this_machine_are_asked_wherever_the_run_is_bound() {
    let mut bench = Bench::new(&[server()]);
    bench.names.bind(Bind::Interface("no-such-if0".into()));
    assert_eq!(bench.addresses(HOST), ["10.1.2.3"]);
    // Others are not asked beside it.
    let mut bench = Bench::new(&[SocketAddr::from(([192, 0, 2, 1], 53))]);
    bench.names.bind(Bind::Interface("no-such-if0".into()));
    let start = std::time::Instant::now();
    assert_eq!(bench.addresses(HOST), [""; 0]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_hosts_file_is_read_again_when_it_has_changed() {
    let hosts = std::env::temp_dir().join(format!("swarmlet-hosts-{}", std::process::id()));
    std::fs::write(&hosts, "10.9.9.9 nas.lan nas\n").unwrap();
    let mut bench = Bench::new(&[]);
    let files = NameFiles { hosts: hosts.clone(), servers: "/nonexistent/servers".into() };
    bench.names = Names::new(files, Rng::new(1), 5);
    assert_eq!(bench.addresses("NAS"), ["10.9.9.9"]);
    assert_eq!(bench.addresses("localhost"), ["127.0.0.1", "::1"]);
    std::fs::write(&hosts, "10.9.9.10 nas.lan nas\n").unwrap();
    thread::sleep(NAME_FILES_INTERVAL);
    assert_eq!(bench.addresses("nas"), ["10.9.9.10"]);
    std::fs::remove_file(&hosts).unwrap();
}
