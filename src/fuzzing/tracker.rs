//! Fuzz bodies: everything between an announce and its peers. Each takes any bytes and asserts what must hold.

use crate::base::limits::{HTTP_BODY_BYTES_MAX, PEERS_PER_REPLY_MAX, TRACKER_TEXT_BYTES_MAX, URL_BYTES_MAX};
use crate::base::{InfoHash, Instant, PeerId, Rng};
use crate::tracker::{Counts, Handle, Identity, Part, Reply, Totals, Trackers, Wish};
use crate::wire::http::{HttpFault, Progress, ReplyReader};
use crate::wire::udp_tracker::{self, Answer, Request};
use crate::wire::url::Url;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// An HTTP reply: however it is cut, the outcome is the same. The first byte says how long the parts are.
pub fn http_reply(data: &[u8]) {
    let Some((&cut, reply)) = data.split_first() else { return };
    let whole = read_in_parts(reply, reply.len().max(1));
    assert_eq!(whole, read_in_parts(reply, usize::from(cut) + 1), "parts of {}", usize::from(cut) + 1);
    if reply.len() < 2_000 {
        assert_eq!(whole, read_in_parts(reply, 1), "byte by byte");
    }
    if let Ok(Progress::Done { body, .. }) = whole {
        assert!(body.len() <= HTTP_BODY_BYTES_MAX && body.len() <= reply.len());
    }
}

fn read_in_parts(reply: &[u8], part_bytes: usize) -> Result<Progress, HttpFault> {
    let mut reader = ReplyReader::default();
    for part in reply.chunks(part_bytes) {
        let progress = reader.on_bytes(part)?;
        if progress != Progress::NeedMore {
            return Ok(progress);
        }
    }
    reader.on_close()
}

/// The body of a tracker's reply: what comes out is bounded and usable. The first byte says whether the status was a
/// good one.
pub fn tracker_reply(data: &[u8]) {
    let Some((&status, body)) = data.split_first() else { return };
    let status = if status % 2 == 0 { 200 } else { 404 };
    let _ = Counts::parse(status, body, &InfoHash([b'h'; 20]));
    match Reply::parse(status, body, &mut Rng::new(1)) {
        Ok(reply) => {
            assert!(status == 200 && reply.peers.len() <= PEERS_PER_REPLY_MAX);
            assert!(reply.peers.len() <= body.len() / 6, "no peer takes less than six bytes");
            assert!(reply.peers.iter().all(|peer| peer.port() != 0));
            assert!(reply.warning.is_none_or(|text| text.len() <= TRACKER_TEXT_BYTES_MAX));
            assert!(reply.tracker_id.is_none_or(|id| id.len() <= TRACKER_TEXT_BYTES_MAX));
        }
        Err(fault) => {
            let words = fault.to_string();
            assert!(words.len() <= TRACKER_TEXT_BYTES_MAX + 100 && !words.is_empty());
        }
    }
}

/// A URL, and behind the first line break a reference that stands in it: nothing that is read can break a request
/// line or a header, and what is shown is read as the same again.
pub fn url(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (base, reference) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(base) = Url::parse(base) else { return };
    check_url(&base);
    if let Ok(joined) = base.join(reference) {
        check_url(&joined);
        let same_server =
            (base.scheme(), base.host(), base.port()) == (joined.scheme(), joined.host(), joined.port());
        assert!(same_server || !reference.is_empty());
        assert!(same_server || reference.contains('@') || joined.authorization().is_none());
    }
}

fn check_url(url: &Url) {
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(url.target().starts_with('/') && printable(url.target()) && !url.target().contains('#'));
    assert!(printable(&url.authority()) && url.port() != 0);
    assert!(url.authorization().is_none_or(|value| value.strip_prefix("Basic ").is_some_and(printable)));
    let shown = url.to_string();
    if shown.len() <= URL_BYTES_MAX {
        let again = Url::parse(&shown).map(|again| (again.authority(), again.target().to_string()));
        assert_eq!(again, Ok((url.authority(), url.target().to_string())));
    }
}

/// A datagram in answer to a request to a UDP tracker: what is read is no longer than what came, and nothing is read
/// that was not asked for.
pub fn udp_tracker(data: &[u8]) {
    let Some((&which, datagram)) = data.split_first() else { return };
    let request = [Request::Connect, Request::Announce, Request::Scrape][usize::from(which % 3)];
    let transaction = u32::from(which / 3);
    let about = datagram.get(4..8).map(|id| u32::from_be_bytes([id[0], id[1], id[2], id[3]]));
    match udp_tracker::answer(datagram, request, transaction) {
        Ok(answer) => {
            assert_eq!(about, Some(transaction));
            match answer {
                Answer::Connected(_) => assert!(request == Request::Connect && datagram.len() >= 16),
                Answer::Scraped { .. } => assert!(request == Request::Scrape && datagram.len() >= 20),
                Answer::Announced { peers, .. } => {
                    assert!(request == Request::Announce && peers.len() == datagram.len() - 20);
                }
                Answer::Refused(words) => assert_eq!(words.len(), datagram.len() - 8),
            }
        }
        Err(udp_tracker::Fault::Transaction) => assert_ne!(about, Some(transaction)),
        Err(udp_tracker::Fault::Short | udp_tracker::Fault::Action(_)) => {}
    }
}

/// Trackers told facts in any order: streams are opened and closed in pairs, and the loop never spins. Each byte is
/// one fact; tracker replies are taken from what follows it.
pub fn trackers(data: &[u8]) {
    let urls = [["http://a.example/announce", "http://9.1.1.1/"], ["udp://10.0.0.1:1/", "udp://b.example:1"]];
    let tiers: Vec<Vec<String>> = urls.iter().map(|tier| tier.map(String::from).into()).collect();
    let identity = Identity { info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]), port: 1 };
    let (mut now, mut rng) = (Instant::ZERO, Rng::new(3));
    let mut trackers = Trackers::new(now, identity, &tiers, &mut rng);
    let (mut open, mut posted) = (BTreeSet::new(), None);
    let mut recent = Handle { tracker: 0, part: Part::Name, generation: 0 };
    let totals = Totals::default();
    for (at, &byte) in data.iter().enumerate() {
        let handle = Handle { generation: recent.generation.saturating_sub(u32::from(byte >> 7)), ..recent };
        let reply = &data[at + 1..];
        match byte & 7 {
            0 => trackers.on_resolved(
                now,
                handle,
                &[[9, 9, 9, byte].into(), [10, 0, 0, byte].into()],
                &mut rng,
            ),
            1 => trackers.on_resolved(now, handle, &[], &mut rng),
            2 if open.contains(&handle) => trackers.on_connected(now, handle, &mut rng),
            3 => trackers.on_bytes(now, handle, reply, &mut rng),
            6 if byte < 128 => tell_datagram(&mut trackers, now, posted, byte, reply, &mut rng),
            4 if open.remove(&handle) => {
                trackers.on_closed(now, handle, Some("broken").filter(|_| byte > 99), &mut rng);
            }
            5 if byte == 0xfd => trackers.stop(now, &totals, &mut rng),
            5 if byte == 0xf5 => trackers.complete(),
            5 if byte == 0xed => trackers.scrape_now(now),
            5 if byte < 0x20 => trackers.set_hungry(byte < 0x10),
            5 => drop(trackers.announce_now(now)),
            _ => {
                now = now + Duration::from_secs(u64::from(byte >> 3));
                trackers.on_time(now, &totals, &mut rng);
                assert!(trackers.next_deadline().is_none_or(|deadline| deadline > now));
            }
        }
        while let Some(wish) = trackers.next_wish() {
            match wish {
                Wish::Resolve { handle, .. } => recent = handle,
                Wish::Connect { handle, .. } | Wish::Reach { handle, .. } => {
                    assert!(open.insert(handle));
                    recent = handle;
                }
                Wish::Send { handle, .. } => assert!(open.contains(&handle)),
                Wish::Post { server, bytes } => {
                    let address = server.address.filter(|_| bytes.len() >= 16);
                    posted = address
                        .map(|address| (address, [bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]]));
                }
                Wish::Close { handle } => assert!(open.remove(&handle)),
            }
        }
        while trackers.next_news().is_some() {}
    }
}

/// Answers the last datagram: as it wants, as something else, from somebody else, or not at all.
fn tell_datagram(
    trackers: &mut Trackers,
    now: Instant,
    posted: Option<(SocketAddr, [u8; 5])>,
    byte: u8,
    rest: &[u8],
    rng: &mut Rng,
) {
    let Some((address, [action, about @ ..])) = posted else { return };
    let action = if byte & 0x20 == 0 { action } else { byte >> 6 };
    let datagram = [&[0, 0, 0, action], &about[..], rest].concat();
    match byte & 0x18 {
        0 => trackers.on_undeliverable(now, address, "refused", rng),
        8 => trackers.on_datagram(now, ([9, 9, 9, 9], 9).into(), &datagram, rng),
        _ => trackers.on_datagram(now, address, &datagram, rng),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::mutation::mutate;

    #[test]
    fn http_replies_survive_mutation() {
        let seeds: [&[u8]; 3] = [
            b"\x05HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            b"\x02HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
            b"\x09HTTP/1.0 302 Found\r\nlocation : /x\r\nX: a\r\n b\r\n\r\n",
        ];
        mutate(4_000, &seeds, http_reply);
    }

    #[test]
    fn tracker_replies_survive_mutation() {
        let seeds: [&[u8]; 3] = [
            b"\0d8:intervali900e5:peers6:\x01\x02\x03\x04\x00\x50e",
            b"\0d5:peersld2:ip7:1.2.3.44:porti80eee15:warning message2:hie",
            b"\x01d14:failure reason4:busy8:retry in5:nevere",
        ];
        mutate(4_000, &seeds, tracker_reply);
    }

    #[test]
    fn urls_survive_mutation() {
        mutate(4_000, &[b"http://u:p@t.example:81/a/b?c=d\n../x?y#z", b"http://[::1]/\n//o.example/"], url);
    }

    #[test]
    fn datagrams_survive_mutation() {
        let seeds: [&[u8]; 3] = [
            b"\x1b\0\0\0\0\0\0\0\x09\x01\x02\x03\x04\x05\x06\x07\x08",
            b"\x1c\0\0\0\x01\0\0\0\x09\0\0\x07\x08\0\0\0\x01\0\0\0\x02\x01\x02\x03\x04\0\x50",
            b"\x1d\0\0\0\x03\0\0\0\x09no such torrent",
        ];
        mutate(4_000, &seeds, udp_tracker);
    }

    #[test]
    fn facts_in_any_order_are_survived() {
        let seeds: [&[u8]; 3] = [
            b"\x05\x07\0\x02\x1e\x01\x02\x03\x04\x05\x06\x07\x08\x16\0\0\x07\x08\0\0\0\x01\0\0\0\x02\xff\xff\xed\x16",
            b"\x06\0\x02\x03HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde",
            b"\x06\0\x02\x04\x06\x06\0\x02\xfd\x02\x03\x06",
        ];
        mutate(4_000, &seeds, trackers);
    }
}
