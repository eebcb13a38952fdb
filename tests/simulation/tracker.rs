//! Model trackers: HTTP servers of a few lines, honest or with one fault.

use crate::peer::Wish;
use std::net::{IpAddr, SocketAddr};
use swarmlet::base::Rng;
use swarmlet::session::CloseCause;

/// How a tracker behaves.
#[derive(Clone, Debug)]
pub enum Service {
    /// Names these peers.
    Good(Vec<SocketAddr>),
    /// The same, in chunks, a byte at a time.
    Slow(Vec<SocketAddr>),
    /// Dictionaries instead of six bytes a peer.
    Verbose(Vec<SocketAddr>),
    Fails,
    /// A body that never ends.
    Endless,
    RedirectsForEver,
    /// Sends to this URL.
    Redirects(String),
    BrokenChunks,
    Deep,
    NotHttp,
    NeverAnswers,
    /// Packets to it are lost.
    NeverOpens,
    Resets,
    Refuses,
}

/// One connection to a tracker.
#[derive(Debug)]
pub struct Visit {
    service: Service,
    request: Vec<u8>,
    drops: Vec<u8>,
    sent: usize,
}

impl Visit {
    pub fn new(service: Service) -> Self {
        Self { service, request: Vec::new(), drops: Vec::new(), sent: 0 }
    }

    /// Bytes of ours. The wishes that follow, and the request's head if it is whole.
    pub fn on_bytes(&mut self, now: u64, rng: &mut Rng, bytes: &[u8]) -> (Vec<Wish>, Option<String>) {
        self.request.extend_from_slice(bytes);
        if !self.request.ends_with(b"\r\n\r\n") {
            return (vec![], None);
        }
        let head = String::from_utf8(core::mem::take(&mut self.request)).expect("an ASCII request");
        assert!(head.starts_with("GET /") && head.contains("\r\nHost: "), "{head}");
        (self.answer(now, rng), Some(head))
    }

    fn answer(&mut self, now: u64, rng: &mut Rng) -> Vec<Wish> {
        let reply = match &self.service {
            Service::Good(peers) => whole(&compact(peers), rng),
            Service::Verbose(peers) => whole(&verbose(peers), rng),
            Service::Slow(peers) => {
                let body = compact(peers);
                let mut reply = b"HTTP/1.1 200 OK\r\ntransfer-ENCODING: chunked\r\n\r\n".to_vec();
                for chunk in body.chunks(7) {
                    reply.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    reply.extend_from_slice(chunk);
                    reply.extend_from_slice(b"\r\n");
                }
                reply.extend_from_slice(b"0\r\n\r\n");
                self.drops = reply;
                return vec![Wish::TickAt(now + 10_000)];
            }
            Service::Fails => whole(b"d14:failure reason15:not \x1b[2J heree", rng),
            Service::Endless => {
                self.drops = vec![b'x'; 65_536];
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec();
                return vec![Wish::Send(head), Wish::TickAt(now + 1000)];
            }
            Service::RedirectsForEver => redirect("/announce?again=1"),
            Service::Redirects(url) => redirect(url),
            Service::BrokenChunks => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nd\r\n".to_vec()
            }
            Service::Deep => whole(&[b'l'; 200_000], rng),
            Service::NotHttp => b"\x13BitTorrent protocol\r\n\r\n".to_vec(),
            Service::NeverAnswers | Service::NeverOpens => return vec![],
            Service::Resets | Service::Refuses => return vec![Wish::Close(CloseCause::Reset)],
        };
        vec![Wish::Send(reply), Wish::Close(CloseCause::Ended)]
    }

    /// Goes on with what leaves slowly.
    pub fn on_tick(&mut self, now: u64) -> Vec<Wish> {
        if matches!(self.service, Service::Endless) {
            return vec![Wish::Send(self.drops.clone()), Wish::TickAt(now + 1000)];
        }
        let Some(&byte) = self.drops.get(self.sent) else { return vec![Wish::Close(CloseCause::Ended)] };
        self.sent += 1;
        vec![Wish::Send(vec![byte]), Wish::TickAt(now + 10_000)]
    }
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLOCATION: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A reply whose end is told by its length or by the end of the stream.
fn whole(body: &[u8], rng: &mut Rng) -> Vec<u8> {
    let length = if rng.one_in(2) { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let mut reply = format!("HTTP/1.1 200 OK\r\n{length}\r\n").into_bytes();
    reply.extend_from_slice(body);
    reply
}

fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let (mut list, mut list6) = (vec![], vec![]);
    for peer in peers {
        let (list, ip) = match peer.ip() {
            IpAddr::V4(ip) => (&mut list, ip.octets().to_vec()),
            IpAddr::V6(ip) => (&mut list6, ip.octets().to_vec()),
        };
        list.extend(ip);
        list.extend(peer.port().to_be_bytes());
    }
    let mut body = format!("d8:intervali1800e5:peers{}:", list.len()).into_bytes();
    body.extend(list);
    if !list6.is_empty() {
        body.extend(format!("6:peers6{}:", list6.len()).bytes());
        body.extend(list6);
    }
    body.push(b'e');
    body
}

fn verbose(peers: &[SocketAddr]) -> Vec<u8> {
    let mut body = b"d8:intervali60e12:min intervali30e5:peersl".to_vec();
    for peer in peers {
        let ip = peer.ip().to_string();
        body.extend(format!("d2:ip{}:{ip}4:porti{}ee", ip.len(), peer.port()).bytes());
    }
    body.extend(b"e15:warning message7:be kinde");
    body
}
