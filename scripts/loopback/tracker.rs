//! The tracker: answers every announce with all seeders and every scrape with their number, and checks what it is told.

use crate::seeder::Swarm;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const HEAD_BYTES_MAX: usize = 16 << 10;
const INTERVAL_S: u32 = 60;
/// Of a peer in an answer: see [`compact`].
const PEER_BYTES: usize = 6;

/// Answers announces in a thread of its own.
pub fn listen(listener: TcpListener, swarm: &Arc<Swarm>, peers: &[SocketAddr]) {
    let swarm = Arc::clone(swarm);
    let peers = compact(peers);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(stream, &swarm, &peers) {
                let _ = writeln!(io::stderr(), "tracker: {error}");
            }
        }
    });
}

/// BEP 23: four bytes of address and two of port for each peer.
fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for peer in peers {
        if let IpAddr::V4(ip) = peer.ip() {
            bytes.extend(ip.octets());
            bytes.extend(peer.port().to_be_bytes());
        }
    }
    bytes
}

fn answer(mut stream: TcpStream, swarm: &Swarm, peers: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let head = read_head(&mut stream)?;
    let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let info_hash = &swarm.torrent.info_hash;
    let scrape = target.strip_prefix(b"/scrape?").map(|query| parameter(query, b"info_hash"));
    let fault = match &scrape {
        None => announce_fault(&head, target, info_hash),
        Some(hash) => (hash.as_deref() != Some(info_hash)).then_some("wrong info_hash in a scrape"),
    };
    let body = match fault {
        Some(fault) => {
            swarm.watch.fault(format_args!("tracker: {fault}"));
            format!("d14:failure reason{}:{fault}e", fault.len()).into_bytes()
        }
        None if scrape.is_some() => counts(info_hash, peers.len() / PEER_BYTES),
        None => {
            [format!("d8:intervali{INTERVAL_S}e5:peers{}:", peers.len()).as_bytes(), peers, b"e"].concat()
        }
    };
    let _ = writeln!(io::stderr(), "announce {}", String::from_utf8_lossy(target));
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// BEP 48: how many seed, have downloaded, and download.
fn counts(info_hash: &[u8; 20], seeders: usize) -> Vec<u8> {
    let counts = format!("d8:completei{seeders}e10:downloadedi0e10:incompletei1eeee");
    [b"d5:filesd20:", info_hash.as_slice(), counts.as_bytes()].concat()
}

fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4 << 10];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let len = stream.read(&mut buffer)?;
        if len == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("no whole request arrived"));
        }
        head.extend(&buffer[..len]);
    }
    Ok(head)
}

/// What is wrong with an announce, in the words of BEP 3.
fn announce_fault(head: &[u8], target: &[u8], info_hash: &[u8; 20]) -> Option<&'static str> {
    let query = target.strip_prefix(b"/announce?");
    let values = |key: &str| query.and_then(|query| parameter(query, key.as_bytes()));
    let number = |key| values(key).and_then(|value| String::from_utf8(value).ok()?.parse::<u64>().ok());
    let has_host =
        head.split(|&byte| byte == b'\n').any(|line| line.to_ascii_lowercase().starts_with(b"host: "));
    let event = values("event").unwrap_or_default();
    let checks = [
        (head.starts_with(b"GET "), "not a GET"),
        (has_host, "no Host"),
        (query.is_some(), "not /announce?..."),
        (values("info_hash").is_some_and(|hash| hash == info_hash), "wrong info_hash"),
        (values("peer_id").is_some_and(|id| id.len() == 20), "peer_id is not 20 bytes"),
        (number("port").is_some_and(|port| port > 0 && port < 65_536), "no port"),
        (
            ["uploaded", "downloaded", "left"].iter().all(|key| number(key).is_some()),
            "no uploaded, downloaded, left",
        ),
        (
            ["", "started", "completed", "stopped"].iter().any(|known| known.as_bytes() == event),
            "unknown event",
        ),
    ];
    checks.iter().find(|(right, _)| !right).map(|(_, fault)| *fault)
}

/// The unescaped value of a key of the query; none if it is missing or wrongly escaped.
fn parameter(query: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut pairs = query.split(|&byte| byte == b'&');
    let value = pairs.find_map(|pair| pair.strip_prefix(key)?.strip_prefix(b"="))?;
    let mut bytes = Vec::new();
    let mut rest = value;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &after[2..];
    }
    Some(bytes)
}
