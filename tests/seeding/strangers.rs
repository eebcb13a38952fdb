//! Strangers who misuse a seeder, over real sockets: each gets what is its due, and honest peers are unharmed. And what
//! peers cost that do nothing.

use crate::Scene;
use crate::leechers::Client;
use crate::payload::{self, Payload};
use crate::process::{free_port, wait_for};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::FromRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use swarmlet::base::limits::{IDLE_PEER_BYTES_MAX, STATE_INTERVAL};

/// Most memory of its own that a seeder may have among strangers, in KiB.
const MEMORY_KIB: u64 = 12 << 10;

/// For so long an idle seeder is watched. It wakes once in five seconds at most.
const WATCHED: Duration = Duration::from_secs(30);

/// A connection past its handshake.
struct Stranger(TcpStream);

impl Stranger {
    /// From an address of its own on the loopback network.
    fn new(payload: &Payload, port: u16, nth: u16) -> io::Result<Self> {
        Self::shake(payload, port, nth, true)
    }

    /// With the fast extension (BEP 6) or without.
    fn shake(payload: &Payload, port: u16, nth: u16, fast: bool) -> io::Result<Self> {
        let [high, low] = nth.to_be_bytes();
        let mut stream = connect_from(Ipv4Addr::new(127, 9, high, low), port)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_millis(500)))?;
        let mut handshake = b"\x13BitTorrent protocol\0\0\0\0\0\0\0".to_vec();
        handshake.push(if fast { 4 } else { 0 });
        handshake.extend(payload.info_hash());
        handshake.extend(format!("-EV0001-stranger{nth:04}").bytes().take(20));
        stream.write_all(&handshake)?;
        stream.read_exact(&mut [0; 68])?;
        Ok(Self(stream))
    }

    fn say(&mut self, id: u8, numbers: &[u32]) -> io::Result<()> {
        self.0.write_all(&message(id, numbers))
    }

    /// Has nothing, and wants everything.
    fn interested(payload: &Payload, port: u16, nth: u16) -> io::Result<Self> {
        let mut stranger = Self::new(payload, port, nth)?;
        stranger.say(15, &[])?;
        stranger.say(2, &[])?;
        Ok(stranger)
    }

    /// The next message: its id, and what follows.
    fn hear(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body)?;
        if body.is_empty() { self.hear() } else { Ok((body[0], body.split_off(1))) }
    }

    /// Hears on until a message of this id comes.
    fn hear_until(&mut self, id: u8) -> io::Result<Vec<u8>> {
        loop {
            let (other, body) = self.hear()?;
            if other == id {
                return Ok(body);
            }
        }
    }
}

fn message(id: u8, numbers: &[u32]) -> Vec<u8> {
    let mut bytes = (1 + 4 * numbers.len() as u32).to_be_bytes().to_vec();
    bytes.push(id);
    numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    bytes
}

fn connect_from(own: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let raw = |address: SocketAddrV4| libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    };
    let (from, to) = (raw(SocketAddrV4::new(own, 0)), raw(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)));
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: plain numbers, and two addresses that live during the calls; the descriptor is ours alone.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = TcpStream::from_raw_fd(fd);
        let bound = libc::bind(fd, (&raw const from).cast(), length) == 0;
        let open = bound && libc::connect(fd, (&raw const to).cast(), length) == 0;
        if open { Ok(stream) } else { Err(io::Error::last_os_error()) }
    }
}

/// A figure of the seeder's process in `/proc`.
fn figure(scene: &Scene, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", scene.seeder.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn requests_for_what_cannot_be_end_the_connection_and_others_are_answered_or_rejected() {
    let payload = payload::names();
    let scene = Scene::new(payload, &[]);
    for (nth, bad) in (1..).zip([[u32::MAX, 0, 16384], [0, 0, 0], [0, 0, 1 << 31], [0, 1 << 18, 1]]) {
        let mut stranger = Stranger::interested(payload, scene.port, nth).unwrap();
        stranger.hear_until(1).unwrap();
        stranger.say(6, &bad).unwrap();
        assert!(stranger.hear().is_err(), "{bad:?} is answered");
    }
    let mut stranger = Stranger::interested(payload, scene.port, 9).unwrap();
    stranger.hear_until(1).unwrap();
    // Overlapping, and one longer than we send.
    [[0, 0, 100], [0, 50, 100], [0, 0, 200 << 10]].iter().for_each(|block| stranger.say(6, block).unwrap());
    // What is rejected may be said before what is sent.
    let mut heard: Vec<(u8, Vec<u8>)> = (0..3).map(|_| stranger.hear().unwrap()).collect();
    heard.sort_by_key(|(id, _)| *id);
    let lengths: Vec<(u8, usize)> = heard.iter().map(|(id, body)| (*id, body.len())).collect();
    assert_eq!(lengths, [(7, 108), (7, 108), (16, 12)]);
    assert_eq!(heard[0].1[8 + 50..], heard[1].1[8..8 + 50]);
    scene.end();
}

#[test]
fn ten_thousand_requests_are_bounded_and_each_is_answered() {
    let payload = payload::names();
    for (nth, fast) in (1..).zip([true, false]) {
        let scene = Scene::new(payload, &["--up-limit", "128"]);
        let mut greedy = Stranger::shake(payload, scene.port, nth, fast).unwrap();
        greedy.say(2, &[]).unwrap();
        greedy.hear_until(1).unwrap();
        let asked: Vec<[u32; 3]> = (0..10_000).map(|nth| [nth % 7, nth, 16]).collect();
        let requests: Vec<u8> = asked.iter().flat_map(|block| message(6, block)).collect();
        greedy.0.write_all(&requests).unwrap();
        for (answered, block) in asked.iter().enumerate() {
            let (id, body) = greedy.hear().unwrap();
            let expected = block[..2].iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
            assert_eq!((id, &body[..8], body.len()), (7, &expected[..], 8 + 16), "fast: {fast}");
            if answered == 100 {
                assert!(figure(&scene, "RssAnon:") < MEMORY_KIB);
            }
        }
        scene.end();
    }
}

/// What one stranger does again and again, until it is told to stop.
fn misbehave(payload: &Payload, port: u16, nth: u16, stop: &AtomicBool) -> io::Result<()> {
    let mut stranger = Stranger::interested(payload, port, nth)?;
    while !stop.load(Ordering::Relaxed) {
        match nth % 4 {
            // Flaps.
            0 => stranger.0.write_all(&[message(3, &[]), message(2, &[])].concat().repeat(500))?,
            // Asks for much and reads nothing.
            1 => stranger.0.write_all(&message(6, &[u32::from(nth), 0, 16384]).repeat(10_000))?,
            // Asks for what it may not have while it is choked.
            2 => stranger.0.write_all(&message(6, &[50, 0, 131_072]).repeat(100))?,
            _ => return stranger.say(6, &[0, 0, 1 << 31]),
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn an_honest_peer_gets_everything_while_strangers_misbehave() {
    let payload = payload::names();
    let scene = Scene::new(payload, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = (0..40)
        .map(|nth| {
            let (stop, port) = (stop.clone(), scene.port);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // To be thrown out is what it came for.
                    let _ = misbehave(payload, port, nth, &stop);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        })
        .collect();
    // One machine that opens a thousand connections and says nothing.
    let silent: Vec<_> =
        (0..1_000).filter_map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, scene.port)).ok()).collect();
    let start = Instant::now();
    let (mut leecher, output) = scene.start(Client::Swarmlet, free_port(), &[]);
    leecher.complete();
    let took = start.elapsed();
    let memory = figure(&scene, "RssAnon:");
    stop.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|thread| thread.join().unwrap());
    payload.assert_same(&output);
    let _ = writeln!(
        io::stdout(),
        "{} MiB in {:.1} s among 40 strangers and {} silent connections; {memory} KiB of memory",
        payload.bytes() >> 20,
        took.as_secs_f64(),
        silent.len()
    );
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    scene.end();
}

#[test]
fn peers_that_do_nothing_cost_little_memory_and_wake_nobody() {
    let payload = payload::large();
    let scene = Scene::new(payload, &["--max-peers", "400", "--up-slots", "400"]);
    let mut peers = Vec::new();
    let mut memory = Vec::new();
    for count in [50, 100, 200, 300] {
        while peers.len() < count {
            let mut peer = Stranger::interested(payload, scene.port, peers.len() as u16).unwrap();
            peer.hear_until(1).unwrap();
            peers.push(peer);
        }
        // What is kept for an exchange that goes on is given back with the first keep-alive; it is counted here.
        memory.push((count as u64, figure(&scene, "RssAnon:") << 10));
    }
    // That everything is there has to be written down once, and once more when the device has it.
    let state = scene.scratch.path().join("seeder/.large file.bin.swarmlet");
    let is_saved = || fs::metadata(&state).is_ok_and(|data| data.len() > 0).then_some(());
    wait_for("the state in its file", Duration::from_secs(20), is_saved);
    thread::sleep(STATE_INTERVAL + Duration::from_secs(3));
    let wakes = || figure(&scene, "voluntary_ctxt_switches:");
    let before = wakes();
    thread::sleep(WATCHED);
    let woken = wakes() - before;
    let each = (memory[3].1 - memory[1].1) / (memory[3].0 - memory[1].0);
    let bitfield = payload.bytes().div_ceil(1 << 20).div_ceil(8);
    let _ =
        writeln!(io::stdout(), "{each} bytes for a peer, {woken} wake-ups in {WATCHED:?}; memory {memory:?}");
    assert!(each <= IDLE_PEER_BYTES_MAX as u64 + bitfield, "{each} bytes for each peer");
    assert!(woken <= WATCHED.as_secs() / 5, "{woken} wake-ups in {WATCHED:?}");
    // They are still served.
    let last = peers.last_mut().unwrap();
    last.say(6, &[1, 0, 16384]).unwrap();
    assert_eq!(last.hear_until(7).unwrap().len(), 8 + 16384);
    scene.end();
}
