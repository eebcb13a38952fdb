//! What a tracker's reply says (BEP 3, 7, 15, 23, 31, 48), each part bounded and judged on its own: one bad peer or
//! number never spoils the rest.

use crate::base::limits::{PEERS_PER_REPLY_MAX, TRACKER_TEXT_BYTES_MAX};
use crate::base::{InfoHash, Rng};
use crate::wire::bencode::{self, Dict, Value};
use crate::wire::compact;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// A reply that makes sense. What the tracker did not say, or said wrongly, is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// `warning message`, written by a stranger.
    pub warning: Option<String>,
    /// `interval`, as it came.
    pub interval: Option<Duration>,
    /// `min interval`, as it came.
    pub min_interval: Option<Duration>,
    /// `tracker id`, to be sent back as `trackerid`; never longer than [`TRACKER_TEXT_BYTES_MAX`].
    pub tracker_id: Option<Vec<u8>>,
    /// Numbers of the swarm.
    pub counts: Counts,
    /// Peers with a port; at most [`PEERS_PER_REPLY_MAX`], a random choice where there are more.
    pub peers: Vec<SocketAddr>,
}

/// Numbers of a swarm, as far as a tracker has told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Peers that have everything.
    pub seeds: Option<u32>,
    /// Peers that have not.
    pub leechers: Option<u32>,
    /// Downloads that were completed since the tracker began to count.
    pub downloads: Option<u32>,
}

/// Why a reply is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyFault {
    /// `failure reason`: the tracker refuses, in a stranger's words.
    Refused {
        /// The words.
        reason: String,
        /// `retry in` (BEP 31): not before this; the longest span there is for "never".
        retry: Option<Duration>,
    },
    /// An HTTP status other than success, and no reason in the body.
    Status(u16),
    /// A success whose body is not a bencoded dictionary; where it stops making sense.
    NotBencode(bencode::Fault),
}

impl fmt::Display for ReplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason, .. } => write!(f, "the tracker says: {reason}"),
            Self::Status(status) => write!(f, "the tracker answered with HTTP status {status}"),
            Self::NotBencode(fault) => write!(f, "the tracker's answer is not bencode: {fault}"),
        }
    }
}

impl Reply {
    /// Reads the body that came with an HTTP status.
    ///
    /// # Errors
    /// [`ReplyFault`] where the tracker refused or did not answer as a tracker.
    pub fn parse(status: u16, body: &[u8], rng: &mut Rng) -> Result<Self, ReplyFault> {
        let dict = dictionary(status, body)?;
        let mut reply = Self::default();
        let mut choice = Choice { seen: 0, peers: Vec::new(), rng };
        for (key, value) in dict.entries() {
            match key {
                b"peers" => choice.add_peers(value),
                b"peers6" => {
                    compact::peers6(value.as_bytes().unwrap_or_default()).for_each(|peer| choice.add(peer));
                }
                _ => reply.set(key, value),
            }
        }
        Ok(Self { peers: choice.peers, ..reply })
    }

    /// What a UDP tracker said, with compact peers of the family over which it answered.
    pub(crate) fn from_datagram(
        interval: Duration,
        counts: Counts,
        peers: &[u8],
        v6: bool,
        rng: &mut Rng,
    ) -> Self {
        let mut choice = Choice { seen: 0, peers: Vec::new(), rng };
        if v6 {
            compact::peers6(peers).for_each(|peer| choice.add(peer));
        } else {
            compact::peers(peers).for_each(|peer| choice.add(peer));
        }
        Self { interval: Some(interval), counts, peers: choice.peers, ..Self::default() }
    }

    fn set(&mut self, key: &[u8], value: Value<'_>) {
        let seconds = || value.as_int().and_then(|int| u64::try_from(int).ok()).map(Duration::from_secs);
        match key {
            b"warning message" => {
                self.warning = value.as_bytes().map(bounded_text).filter(|text| !text.is_empty());
            }
            b"interval" => self.interval = seconds(),
            b"min interval" => self.min_interval = seconds(),
            b"complete" | b"incomplete" | b"downloaded" => self.counts.set(key, value),
            // A cut id would be a wrong one: a longer one is dropped whole.
            b"tracker id" => {
                let id = value.as_bytes().filter(|id| id.len() <= TRACKER_TEXT_BYTES_MAX);
                self.tracker_id = id.map(Into::into);
            }
            _ => {}
        }
    }
}

impl Counts {
    /// Reads the body of a scrape's reply that came with an HTTP status: what it says of `info_hash` (BEP 48).
    ///
    /// # Errors
    /// [`ReplyFault`] where the tracker refused or did not answer as a tracker.
    pub fn parse(status: u16, body: &[u8], info_hash: &InfoHash) -> Result<Self, ReplyFault> {
        let dict = dictionary(status, body)?;
        let file = dict.get(b"files").and_then(Value::as_dict).and_then(|files| files.get(&info_hash.0));
        let mut counts = Self::default();
        for (key, value) in file.and_then(Value::as_dict).into_iter().flat_map(Dict::entries) {
            counts.set(key, value);
        }
        Ok(counts)
    }

    fn set(&mut self, key: &[u8], value: Value<'_>) {
        let count = value.as_int().and_then(|int| u32::try_from(int).ok());
        match key {
            b"complete" => self.seeds = count,
            b"incomplete" => self.leechers = count,
            b"downloaded" => self.downloads = count,
            _ => {}
        }
    }

    /// True if both sides of the swarm are known.
    pub fn is_full(&self) -> bool {
        self.seeds.is_some() && self.leechers.is_some()
    }

    /// What `newer` says, and what it does not say as before.
    pub fn updated(self, newer: Self) -> Self {
        Self {
            seeds: newer.seeds.or(self.seeds),
            leechers: newer.leechers.or(self.leechers),
            downloads: newer.downloads.or(self.downloads),
        }
    }
}

/// The dictionary of any reply over HTTP, unless it refuses.
fn dictionary(status: u16, body: &[u8]) -> Result<Dict<'_>, ReplyFault> {
    let success = (200..300).contains(&status);
    let dict = match bencode::parse_dict(body.trim_ascii()) {
        Ok(dict) => dict,
        Err(fault) if success => return Err(ReplyFault::NotBencode(fault)),
        Err(_) => return Err(ReplyFault::Status(status)),
    };
    if let Some(reason) = dict.get(b"failure reason").and_then(Value::as_bytes) {
        let retry = dict.get(b"retry in").and_then(retry_time);
        return Err(ReplyFault::Refused { reason: bounded_text(reason), retry });
    }
    if success { Ok(dict) } else { Err(ReplyFault::Status(status)) }
}

/// A fair choice among more peers than are kept (reservoir sampling), in one pass.
struct Choice<'a> {
    seen: u32,
    peers: Vec<SocketAddr>,
    rng: &'a mut Rng,
}

impl Choice<'_> {
    fn add(&mut self, peer: SocketAddr) {
        self.seen = self.seen.saturating_add(1);
        if self.peers.len() < PEERS_PER_REPLY_MAX {
            self.peers.push(peer);
            return;
        }
        let at = self.rng.below(self.seen) as usize;
        if let Some(slot) = self.peers.get_mut(at) {
            *slot = peer;
        }
    }

    /// A `peers` value: compact (BEP 23) or a list of dictionaries (BEP 3).
    fn add_peers(&mut self, value: Value<'_>) {
        if let Some(bytes) = value.as_bytes() {
            compact::peers(bytes).for_each(|peer| self.add(peer));
        } else if let Some(list) = value.as_list() {
            list.iter().filter_map(dictionary_peer).for_each(|peer| self.add(peer));
        }
    }
}

/// A peer of the long form. Its `ip` may be a host name (BEP 3), which is skipped: strangers shall not make us ask
/// name servers.
fn dictionary_peer(value: Value<'_>) -> Option<SocketAddr> {
    let peer = value.as_dict()?;
    let port =
        peer.get(b"port")?.as_int().and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0)?;
    let text = core::str::from_utf8(peer.get(b"ip")?.as_bytes()?).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip: IpAddr = bare.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// `retry in`: minutes, or the word `never`; some write the number as a string.
fn retry_time(value: Value<'_>) -> Option<Duration> {
    let text = || value.as_bytes().and_then(|bytes| core::str::from_utf8(bytes).ok());
    if text() == Some("never") {
        return Some(Duration::MAX);
    }
    let minutes = match value.as_int() {
        Some(minutes) => u64::try_from(minutes).ok()?,
        None => text()?.parse().ok()?,
    };
    Some(Duration::from_secs(minutes.saturating_mul(60)))
}

/// A stranger's text, at most [`TRACKER_TEXT_BYTES_MAX`] bytes of it.
pub(crate) fn bounded_text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(TRACKER_TEXT_BYTES_MAX)]).into_owned();
    // What is not UTF-8 grows: a replacement letter takes three bytes.
    while text.len() > TRACKER_TEXT_BYTES_MAX {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, body: &[u8]) -> Result<Reply, ReplyFault> {
        Reply::parse(status, body, &mut Rng::new(1))
    }

    fn peers(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_full_reply_is_read_in_any_order_of_keys() {
        let body = b"d5:peers6:\x01\x02\x03\x04\x1a\xe115:warning message4:slow12:min intervali60e10:tracker id3:\xffid\
            8:intervali1800e8:completei5e10:incompletei7e7:unknownle6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x05e\r\n";
        let wanted = Reply {
            warning: Some("slow".into()),
            interval: Some(Duration::from_secs(1800)),
            min_interval: Some(Duration::from_secs(60)),
            tracker_id: Some(b"\xffid".to_vec()),
            counts: Counts { seeds: Some(5), leechers: Some(7), downloads: None },
            peers: peers(&["1.2.3.4:6881", "[::1]:5"]),
        };
        assert_eq!(parse(200, body), Ok(wanted));
    }

    #[test]
    fn bad_parts_are_skipped_singly() {
        let body =
            b"d8:intervali-5e12:min interval3:abc8:completei99999999999e10:tracker idi1e15:warning messagele\
            5:peersl i1e"; // spaces are not bencode
        assert!(matches!(parse(200, body), Err(ReplyFault::NotBencode(_))));
        let body = b"d8:intervali-5e12:min interval3:abc8:completei99999999999e10:tracker idi1e15:warning messagele\
            5:peersli1ed2:ip7:1.2.3.44:porti80eed2:ip9:localhost4:porti80eed2:ip7:1.2.3.44:porti0eed2:ip7:1.2.3.4\
            4:porti65536eed4:porti80eed2:ip7:1.2.3.4ed2:ip5:[::1]7:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti9eee6:peers6lee";
        assert_eq!(
            parse(200, body),
            Ok(Reply { peers: peers(&["1.2.3.4:80", "[::1]:9"]), ..Reply::default() })
        );
        let cut_off = b"d5:peers11:\x01\x02\x03\x04\0\x05\x01\x02\x03\x04\0e";
        assert_eq!(parse(200, cut_off).unwrap().peers, peers(&["1.2.3.4:5"]));
        assert_eq!(parse(200, b"de"), Ok(Reply::default()), "an empty swarm");
    }

    #[test]
    fn a_scrape_is_read() {
        let hash = InfoHash([b'h'; 20]);
        let counts = |seeds, leechers, downloads| Ok(Counts { seeds, leechers, downloads });
        let hashes = "h".repeat(20);
        let file = |inner: &str| format!("d5:filesd20:{hashes}d{inner}eee").into_bytes();
        let full = file("8:completei5e10:downloadedi50e10:incompletei10e");
        assert_eq!(Counts::parse(200, &full, &hash), counts(Some(5), Some(10), Some(50)));
        let odd = file("8:completei-5e10:downloaded2:5010:incompletei7e");
        assert_eq!(Counts::parse(200, &odd, &hash), counts(None, Some(7), None));
        for other in [&b"de"[..], b"d5:filesdee", b"d5:filesi1ee", b"d5:filesd20:aaaaaaaaaaaaaaaaaaaadeee"] {
            assert_eq!(Counts::parse(200, other, &hash), counts(None, None, None));
        }
        let refused = Counts::parse(200, b"d14:failure reason2:noe", &hash);
        assert_eq!(refused, Err(ReplyFault::Refused { reason: "no".into(), retry: None }));
        assert_eq!(Counts::parse(404, b"", &hash), Err(ReplyFault::Status(404)));
    }

    #[test]
    fn peers_of_a_datagram_are_of_its_family() {
        let reply = |bytes: &[u8], v6| {
            Reply::from_datagram(Duration::ZERO, Counts::default(), bytes, v6, &mut Rng::new(1)).peers
        };
        assert_eq!(reply(&[1, 2, 3, 4, 0, 5, 9, 9], false), peers(&["1.2.3.4:5"]));
        let mut bytes = [0; 20];
        (bytes[15], bytes[17]) = (1, 5);
        assert_eq!(reply(&bytes, true), peers(&["[::1]:5"]));
        assert_eq!(reply(&[9; 60_000], false).len(), PEERS_PER_REPLY_MAX);
    }

    #[test]
    fn refusals_are_told_apart() {
        let refused = |reason: &str, retry| Err(ReplyFault::Refused { reason: reason.into(), retry });
        let cases: [(u16, &[u8], Result<Reply, ReplyFault>); 7] = [
            (200, b"d14:failure reason7:unknowne", refused("unknown", None)),
            (404, b"d14:failure reason7:unknowne", refused("unknown", None)),
            (503, b"d14:failure reason4:busy8:retry ini5ee", refused("busy", Some(Duration::from_secs(300)))),
            (200, b"d14:failure reason4:gone8:retry in5:nevere", refused("gone", Some(Duration::MAX))),
            (
                200,
                b"d14:failure reason4:busy8:retry in2:10e",
                refused("busy", Some(Duration::from_secs(600))),
            ),
            (500, b"d5:peers0:e", Err(ReplyFault::Status(500))),
            (502, b"<html>Bad Gateway</html>", Err(ReplyFault::Status(502))),
        ];
        for (status, body, wanted) in cases {
            assert_eq!(parse(status, body), wanted, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_bencode_is_said_in_words() {
        let deep = [vec![b'l'; 100_000], vec![b'e'; 100_000]].concat();
        for body in [&b""[..], b"<html>", b"le", b"d8:interval", b"unregistered torrent", &deep] {
            let fault = parse(200, body).unwrap_err();
            assert!(fault.to_string().starts_with("the tracker's answer is not bencode: "), "{fault}");
        }
        assert_eq!(ReplyFault::Status(503).to_string(), "the tracker answered with HTTP status 503");
    }

    #[test]
    fn ten_thousand_peers_are_a_fair_choice_of_some() {
        let mut body = b"d5:peers60000:".to_vec();
        for at in 0..10_000u16 {
            body.extend_from_slice(&[10, 0]);
            body.extend_from_slice(&at.to_be_bytes());
            body.extend_from_slice(&[0, 80]);
        }
        body.push(b'e');
        let reply = parse(200, &body).unwrap();
        assert_eq!(reply.peers.len(), PEERS_PER_REPLY_MAX);
        let late = reply.peers.iter().filter(|peer| **peer > "10.0.19.136:0".parse().unwrap()).count();
        assert!((150..350).contains(&late), "half of the choice comes from the second half: {late}");
    }

    #[test]
    fn texts_are_bounded_even_if_they_are_not_utf_8() {
        for letter in [b'x', 0xff] {
            let body = [&b"d14:failure reason2000:"[..], &[letter; 2000], b"e"].concat();
            let Err(ReplyFault::Refused { reason, .. }) = parse(200, &body) else { panic!("not refused") };
            assert!((500..=TRACKER_TEXT_BYTES_MAX).contains(&reason.len()), "{}", reason.len());
        }
        let body = [&b"d10:tracker id2000:"[..], &[b'x'; 2000], b"e"].concat();
        assert_eq!(parse(200, &body).unwrap().tracker_id, None);
    }
}
