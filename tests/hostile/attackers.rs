//! Strangers who come to the client, each from an address of its own on the loopback network.

use crate::frames;
use crate::swarm::Torrent;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a stranger does with its connection.
#[derive(Clone, Debug)]
pub enum Attack {
    /// Shakes hands, says `first`, then repeats `then` for ever; what comes back is read or not.
    Repeats { first: Vec<u8>, then: Vec<u8>, reads: bool },
    /// One byte of a handshake a second.
    Drips,
    /// Connects, shakes hands and hangs up, without a pause.
    ComesAndGoes,
}

/// A crowd of strangers, until it is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    /// How often they have connected.
    pub connections: Arc<AtomicU64>,
    /// Bytes that they got rid of.
    pub bytes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// One stranger for each attack, all on the way to `target`. Whoever is thrown out comes again.
    pub fn start(torrent: &Arc<Torrent>, target: SocketAddr, attacks: Vec<Attack>) -> Self {
        let (stop, connections, bytes) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut crowd = Self { stop, connections, bytes, threads: Vec::new() };
        for (nth, attack) in (0_u16..).zip(attacks) {
            let (torrent, stop) = (torrent.clone(), crowd.stop.clone());
            let (connections, bytes) = (crowd.connections.clone(), crowd.bytes.clone());
            crowd.threads.push(thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let own = Ipv4Addr::new(127, 7, (nth >> 8) as u8, nth as u8);
                    if let Ok(stream) = connect_from(own, target) {
                        connections.fetch_add(1, Ordering::Relaxed);
                        // To be thrown out is what it came for.
                        let _ = perform(&attack, stream, &torrent, nth, &stop, &bytes);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            }));
        }
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn perform(
    attack: &Attack,
    mut stream: TcpStream,
    torrent: &Torrent,
    nth: u16,
    stop: &AtomicBool,
    bytes: &AtomicU64,
) -> io::Result<()> {
    // A write that waits for ever would keep the test from ending.
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let handshake =
        torrent.handshake(format!("-EV0001-stranger{nth:04}").as_bytes().try_into().expect("20 bytes"));
    match attack {
        Attack::ComesAndGoes => stream.write_all(&handshake),
        Attack::Drips => {
            for byte in handshake {
                stream.write_all(&[byte])?;
                for _ in 0..10 {
                    if stop.load(Ordering::Relaxed) || is_over(&mut stream) {
                        return Ok(());
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            }
            Ok(())
        }
        Attack::Repeats { first, then, reads } => {
            stream.write_all(&[&handshake, &first[..]].concat())?;
            if *reads {
                let mut other = stream.try_clone()?;
                other.set_read_timeout(None)?;
                thread::spawn(move || drop(io::copy(&mut other, &mut io::sink())));
            }
            while !stop.load(Ordering::Relaxed) {
                match stream.write(then) {
                    Ok(count) => drop(bytes.fetch_add(count as u64, Ordering::Relaxed)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            stream.shutdown(std::net::Shutdown::Both)
        }
    }
}

fn is_over(stream: &mut TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let over = matches!(stream.read(&mut [0; 100]), Ok(0));
    let _ = stream.set_nonblocking(false);
    over
}

/// Connects from `own`, an address of this machine; the standard library cannot choose one.
pub fn connect_from(own: Ipv4Addr, target: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(target) = target else { panic!("{target} is not IPv4") };
    // SAFETY: takes plain numbers; a number that is not negative is a descriptor which nobody else has.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(socket)
    };
    for (address, port, is_own) in [(own, 0, true), (*target.ip(), target.port(), false)] {
        let name = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
            sin_zero: [0; 8],
        };
        let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let act = if is_own { libc::bind } else { libc::connect };
        // SAFETY: `name` is a whole `sockaddr_in` of `length` bytes, which both calls only read.
        if unsafe { act(socket.as_raw_fd(), (&raw const name).cast(), length) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(TcpStream::from(socket))
}

/// The same message many times, as one write.
fn many(message: &[u8]) -> Vec<u8> {
    message.repeat((64 << 10) / message.len().max(1) + 1)
}

/// A flood of every type of message, sound and unsound, by name.
pub fn floods(torrent: &Torrent) -> Vec<(&'static str, Attack)> {
    let last = torrent.pieces - 1;
    let block = vec![0x55; 16 << 10];
    let message = frames::message;
    let numbers = frames::numbers;
    let pair = |a: Vec<u8>, b: Vec<u8>| [a, b].concat();
    let nothing = message(frames::HAVE_NONE, &[]);
    let floods = [
        ("keep-alive", vec![0; 4]),
        ("choke and unchoke", pair(message(frames::CHOKE, &[]), message(frames::UNCHOKE, &[]))),
        (
            "interest that comes and goes",
            pair(message(frames::INTERESTED, &[]), message(frames::NOT_INTERESTED, &[])),
        ),
        ("have of one piece", numbers(frames::HAVE, &[last])),
        ("have of no piece", numbers(frames::HAVE, &[u32::MAX])),
        ("bitfield again", torrent.bitfield()),
        ("bitfield of a mebibyte", message(frames::BITFIELD, &vec![0xff; 1 << 20])),
        (
            "bitfield of four gibibytes",
            [&u32::MAX.to_be_bytes()[..], &[frames::BITFIELD], &[0xff; 9000]].concat(),
        ),
        ("request", numbers(frames::REQUEST, &[0, 0, 16 << 10])),
        ("request of nothing", numbers(frames::REQUEST, &[0, 0, 0])),
        ("request of 128 KiB", numbers(frames::REQUEST, &[0, 0, 128 << 10])),
        ("block unasked", frames::piece(0, 0, &block)),
        ("block of nothing", frames::piece(0, 0, &[])),
        ("cancel", numbers(frames::CANCEL, &[0, 0, 16 << 10])),
        ("port", message(9, &[1, 2])),
        ("suggest", numbers(13, &[last])),
        ("have all", message(frames::HAVE_ALL, &[])),
        ("have none", nothing.clone()),
        ("reject", numbers(frames::REJECT, &[0, 0, 16 << 10])),
        ("allowed fast", numbers(frames::ALLOWED_FAST, &[last])),
        ("extended handshake", message(frames::EXTENDED, b"\0d4:reqqi9e1:v3:eveee")),
        ("extended without id", message(frames::EXTENDED, &[])),
        ("extended unknown", message(frames::EXTENDED, &[&[77][..], &[b'x'; 900]].concat())),
        ("message of an unknown id", message(99, &[])),
        ("message of an unknown id, long", message(99, &vec![0; 1 << 19])),
    ];
    let floods = floods.into_iter().enumerate();
    let attack = |(nth, (name, message)): (usize, (_, Vec<u8>))| {
        let first = [&nothing[..], &frames::message(frames::INTERESTED, &[])].concat();
        (name, Attack::Repeats { first, then: many(&message), reads: nth % 2 == 0 })
    };
    floods.map(attack).collect()
}

/// Asks for everything that there is again and again, and reads nothing.
pub fn greed(torrent: &Torrent) -> Attack {
    let first = [frames::message(frames::HAVE_NONE, &[]), frames::message(frames::INTERESTED, &[])].concat();
    let all = (0..torrent.pieces).flat_map(|piece| {
        (0..16).map(move |nth| frames::numbers(frames::REQUEST, &[piece, nth << 14, 16 << 10]))
    });
    Attack::Repeats { first, then: all.flatten().collect(), reads: false }
}
