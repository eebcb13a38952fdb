//! A torrent and honest ends for it: a seeder that keeps to a rate, a tracker that says what it is told to.

use crate::frames::{self, Frame, Frames};
use sha1::{Digest as _, Sha1};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use swarmlet::base::Rng;

pub const PIECE_BYTES: usize = 256 << 10;

/// Content, and the `.torrent` that describes it.
pub struct Torrent {
    pub content: Vec<u8>,
    pub bytes: Vec<u8>,
    pub info_hash: [u8; 20],
    pub pieces: u32,
}

impl Torrent {
    /// `total_bytes` that look random, in one file called `name`; `more` is put in front of the info dictionary.
    pub fn new(total_bytes: usize, name: &[u8], more: &str) -> Arc<Self> {
        let mut content = vec![0; total_bytes];
        Rng::new(1).fill(&mut content);
        let hashes: Vec<[u8; 20]> =
            content.chunks(PIECE_BYTES).map(|piece| Sha1::digest(piece).into()).collect();
        let mut info = format!("d6:lengthi{total_bytes}e4:name{}:", name.len()).into_bytes();
        info.extend(name);
        info.extend(format!("12:piece lengthi{PIECE_BYTES}e6:pieces{}:", hashes.len() * 20).bytes());
        info.extend(hashes.as_flattened());
        info.extend(b"e");
        let bytes = [b"d", more.as_bytes(), b"4:info", &info, b"e"].concat();
        Arc::new(Self { pieces: hashes.len() as u32, content, bytes, info_hash: Sha1::digest(&info).into() })
    }

    /// The handshake of a peer with this id.
    pub fn handshake(&self, peer_id: &[u8; 20]) -> Vec<u8> {
        [b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04", &self.info_hash[..], peer_id].concat()
    }

    /// The `bitfield` of somebody who has everything.
    pub fn bitfield(&self) -> Vec<u8> {
        let mut bits = vec![0; self.pieces.div_ceil(8) as usize];
        (0..self.pieces as usize).for_each(|piece| bits[piece / 8] |= 0x80 >> (piece % 8));
        frames::message(frames::BITFIELD, &bits)
    }
}

/// Somebody who has everything and gives `rate` bytes a second; `first` is said after its bitfield.
pub fn seed(torrent: &Arc<Torrent>, rate: u64, first: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let torrent = torrent.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (torrent, first) = (torrent.clone(), first.clone());
            // A connection that ends is nobody's fault.
            thread::spawn(move || drop(serve(stream, &torrent, rate, &first)));
        }
    });
    address
}

fn serve(mut stream: TcpStream, torrent: &Torrent, rate: u64, first: &[u8]) -> io::Result<()> {
    let (mut frames, mut buffer, mut free_at) = (Frames::default(), [0; 8 << 10], Instant::now());
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        frames.push(&buffer[..count]);
        while let Some(frame) = frames.next() {
            match frame {
                Frame::Handshake(_) => {
                    let id = b"-HO0001-honestseeder";
                    stream
                        .write_all(&[torrent.handshake(id), torrent.bitfield(), first.to_vec()].concat())?;
                }
                Frame::Message(frames::INTERESTED, _) => {
                    stream.write_all(&frames::message(frames::UNCHOKE, &[]))?;
                }
                Frame::Message(frames::REQUEST, body) => {
                    let block: [u32; 3] = frames::read_numbers(&body).expect("three numbers");
                    let start = block[0] as usize * PIECE_BYTES + block[1] as usize;
                    let bytes = &torrent.content[start..start + block[2] as usize];
                    free_at = free_at.max(Instant::now())
                        + Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
                    stream.write_all(&frames::piece(block[0], block[1], bytes))?;
                    thread::sleep(free_at.saturating_duration_since(Instant::now()));
                }
                Frame::KeepAlive | Frame::Message(..) => {}
            }
        }
    }
}

/// A tracker on loopback that answers every request with `body`; and how many requests it got.
pub fn track(body: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut request = [0; 4096];
            let answered = stream.read(&mut request).and_then(|_| stream.write_all(head.as_bytes()));
            // A client that has heard enough hangs up.
            let _ = answered.and_then(|()| stream.write_all(&body));
        }
    });
    (address, asked)
}

/// What a tracker says of these peers (BEP 23).
pub fn compact(peers: impl Iterator<Item = SocketAddr>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for peer in peers {
        let SocketAddr::V4(peer) = peer else { panic!("{peer} is not IPv4") };
        bytes.extend(peer.ip().octets());
        bytes.extend(peer.port().to_be_bytes());
    }
    [format!("d8:intervali1800e5:peers{}:", bytes.len()).as_bytes(), &bytes, b"e"].concat()
}
