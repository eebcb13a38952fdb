//! Datagrams of the UDP tracker protocol (BEP 15), with the URL data of BEP 41. A tracker first gives out a connection
//! id, which proves that we can be reached at our address, and then answers announces and scrapes that bear it.

use crate::base::limits::UDP_TARGET_BYTES_MAX;
use crate::base::{InfoHash, PeerId};
use crate::wire::Cursor;
use alloc::vec::Vec;
use core::fmt;

/// The number that a connect request bears where others have their connection id.
const PROTOCOL_ID: u64 = 0x0417_2710_1980;
/// The answer to any request that the tracker refuses.
const ERROR: u32 = 3;
/// Head of an option that carries a part of the URL (BEP 41).
const URL_DATA: u8 = 2;

/// What is asked, and what the answer has to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// For a connection id.
    Connect,
    /// For peers.
    Announce,
    /// For the numbers of the swarm.
    Scrape,
}

/// What an announce says. Numbers are as in BEP 15.
#[derive(Clone, Copy, Debug)]
pub struct Announce<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// We.
    pub peer_id: PeerId,
    /// Block bytes received in this run.
    pub downloaded: u64,
    /// Bytes that are not there yet.
    pub left: u64,
    /// Block bytes sent in this run.
    pub uploaded: u64,
    /// Why we announce.
    pub event: Event,
    /// By which the tracker knows us again when our address has changed.
    pub key: u32,
    /// Peers wanted.
    pub numwant: u32,
    /// Where peers reach us.
    pub port: u16,
    /// Path and query of the URL; what is beyond [`UDP_TARGET_BYTES_MAX`] is cut off.
    pub target: &'a str,
}

/// Why a tracker is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is time.
    None = 0,
    /// The download has become whole.
    Completed = 1,
    /// We begin.
    Started = 2,
    /// We leave.
    Stopped = 3,
}

/// What a tracker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The connection id for what follows.
    Connected(u64),
    /// Peers and numbers.
    Announced {
        /// Seconds until the next announce.
        interval: u32,
        /// Downloaders that it knows.
        leechers: u32,
        /// Seeds that it knows.
        seeders: u32,
        /// Compact peers, of the family over which the answer came.
        peers: &'a [u8],
    },
    /// Numbers of the swarm.
    Scraped {
        /// Seeds that it knows.
        seeders: u32,
        /// Downloads that were completed.
        completed: u32,
        /// Downloaders that it knows.
        leechers: u32,
    },
    /// It refuses, in a stranger's words.
    Refused(&'a [u8]),
}

/// Why a datagram answers nothing that was asked. Anybody can send us such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends before it should.
    Short,
    /// It bears another transaction id.
    Transaction,
    /// It is about something else.
    Action(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the datagram is too short"),
            Self::Transaction => f.write_str("the datagram bears another transaction id"),
            Self::Action(action) => write!(f, "the datagram answers action {action}, which was not asked"),
        }
    }
}

impl Request {
    fn action(self) -> u32 {
        match self {
            Self::Connect => 0,
            Self::Announce => 1,
            Self::Scrape => 2,
        }
    }

    fn head(self, connection: u64, transaction: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&connection.to_be_bytes());
        bytes.extend_from_slice(&self.action().to_be_bytes());
        bytes.extend_from_slice(&transaction.to_be_bytes());
        bytes
    }
}

/// A request for a connection id.
pub fn connect(transaction: u32) -> Vec<u8> {
    Request::Connect.head(PROTOCOL_ID, transaction)
}

/// A request for the numbers of one swarm.
pub fn scrape(connection: u64, transaction: u32, info_hash: &InfoHash) -> Vec<u8> {
    let mut bytes = Request::Scrape.head(connection, transaction);
    bytes.extend_from_slice(&info_hash.0);
    bytes
}

impl Announce<'_> {
    /// The datagram.
    pub fn encode(&self, connection: u64, transaction: u32) -> Vec<u8> {
        let mut bytes = Request::Announce.head(connection, transaction);
        bytes.extend_from_slice(&self.info_hash.0);
        bytes.extend_from_slice(&self.peer_id.0);
        for number in [self.downloaded, self.left, self.uploaded] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        // An address of 0 is the one from which the datagram comes.
        for number in [self.event as u32, 0, self.key, self.numwant] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.port.to_be_bytes());
        self.encode_target(&mut bytes);
        bytes
    }

    /// Options with path and query, each at most 255 bytes of them. The bare root says nothing.
    fn encode_target(&self, bytes: &mut Vec<u8>) {
        let target = self.target.as_bytes();
        let target = &target[..target.len().min(UDP_TARGET_BYTES_MAX)];
        if target == b"/" {
            return;
        }
        for part in target.chunks(255) {
            bytes.extend_from_slice(&[URL_DATA, part.len() as u8]);
            bytes.extend_from_slice(part);
        }
    }
}

/// Reads the answer to a `request` that bore `transaction`. Bytes beyond what BEP 15 describes are passed over, as it
/// demands.
///
/// # Errors
/// [`Fault`]: the datagram is to be ignored.
pub fn answer(bytes: &[u8], request: Request, transaction: u32) -> Result<Answer<'_>, Fault> {
    let mut cursor = Cursor::new(bytes);
    let action = cursor.u32().ok_or(Fault::Short)?;
    let about = cursor.u32().ok_or(Fault::Short)?;
    if about != transaction {
        return Err(Fault::Transaction);
    }
    if action == ERROR {
        return Ok(Answer::Refused(cursor.rest()));
    }
    if action != request.action() {
        return Err(Fault::Action(action));
    }
    body(cursor, request).ok_or(Fault::Short)
}

fn body(mut cursor: Cursor<'_>, request: Request) -> Option<Answer<'_>> {
    Some(match request {
        Request::Connect => Answer::Connected(cursor.array().map(u64::from_be_bytes)?),
        Request::Announce => Answer::Announced {
            interval: cursor.u32()?,
            leechers: cursor.u32()?,
            seeders: cursor.u32()?,
            peers: cursor.rest(),
        },
        Request::Scrape => {
            Answer::Scraped { seeders: cursor.u32()?, completed: cursor.u32()?, leechers: cursor.u32()? }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn announce(target: &str) -> Announce<'_> {
        Announce {
            info_hash: InfoHash([0xaa; 20]),
            peer_id: PeerId([0xbb; 20]),
            downloaded: 1,
            left: 2,
            uploaded: 3,
            event: Event::Started,
            key: 4,
            numwant: 200,
            port: 6881,
            target,
        }
    }

    #[test]
    fn requests_stand_as_the_bep_draws_them() {
        let head = [0, 0, 0x04, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(connect(9), head);
        let scrape = scrape(7, 9, &InfoHash([0xaa; 20]));
        assert_eq!(scrape[..16], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 9]);
        assert_eq!((&scrape[16..], scrape.len()), (&[0xaa; 20][..], 36));
        let bytes = announce("/").encode(7, 9);
        assert_eq!(bytes.len(), 98);
        assert_eq!(bytes[..16], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!((&bytes[16..36], &bytes[36..56]), (&[0xaa; 20][..], &[0xbb; 20][..]));
        assert_eq!([bytes[63], bytes[71], bytes[79], bytes[83]], [1, 2, 3, 2]);
        assert_eq!(bytes[84..98], [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 200, 0x1a, 0xe1]);
    }

    #[test]
    fn path_and_query_follow_in_parts() {
        let bytes = announce("/announce?k=1").encode(7, 9);
        assert_eq!(bytes[98..], *b"\x02\x0d/announce?k=1");
        let long = "/".repeat(300);
        let bytes = announce(&long).encode(7, 9);
        assert_eq!((bytes[98], bytes[99], bytes[355], bytes[356]), (2, 255, 2, 45));
        assert_eq!(bytes.len(), 98 + 300 + 4);
        let longest: String = "x".repeat(UDP_TARGET_BYTES_MAX + 1000);
        assert!(announce(&longest).encode(7, 9).len() < 1_400, "no datagram is cut into packets");
    }

    #[test]
    fn answers_are_read() {
        let say = |action: u8, rest: &[u8]| [&[0, 0, 0, action, 0, 0, 0, 9], rest].concat();
        let bytes = say(0, &[1, 2, 3, 4, 5, 6, 7, 8, 99]);
        assert_eq!(answer(&bytes, Request::Connect, 9), Ok(Answer::Connected(0x0102_0304_0506_0708)));
        let bytes = say(1, &[0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4, 0, 80]);
        let announced =
            Answer::Announced { interval: 1800, leechers: 2, seeders: 1, peers: &[1, 2, 3, 4, 0, 80] };
        assert_eq!(answer(&bytes, Request::Announce, 9), Ok(announced));
        let bytes = say(2, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
        let scraped = Answer::Scraped { seeders: 1, completed: 2, leechers: 3 };
        assert_eq!(answer(&bytes, Request::Scrape, 9), Ok(scraped));
        for request in [Request::Connect, Request::Announce, Request::Scrape] {
            assert_eq!(answer(&say(3, b"no"), request, 9), Ok(Answer::Refused(b"no")));
        }
        assert_eq!(answer(&say(3, b""), Request::Scrape, 9), Ok(Answer::Refused(b"")));
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        let whole = [0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        for cut in 0..whole.len() {
            assert_eq!(answer(&whole[..cut], Request::Announce, 9), Err(Fault::Short), "{cut} bytes");
        }
        assert_eq!(answer(&whole, Request::Announce, 8), Err(Fault::Transaction));
        for (request, action) in [(Request::Connect, 1), (Request::Scrape, 1)] {
            assert_eq!(answer(&whole, request, 9), Err(Fault::Action(action)));
        }
        let odd = [0, 0, 0, 4, 0, 0, 0, 9];
        assert_eq!(answer(&odd, Request::Connect, 9), Err(Fault::Action(4)));
        let words =
            [Fault::Short, Fault::Transaction, Fault::Action(4)].map(|fault| alloc::format!("{fault}"));
        assert!(words.iter().all(|words| words.starts_with("the datagram ")), "{words:?}");
    }
}
