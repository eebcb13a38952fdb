//! Fuzz bodies: names. Each takes any bytes and asserts what must hold.

use crate::base::limits::{DNS_MESSAGE_BYTES_MAX, DNS_RECORDS_MAX};
use crate::base::{Instant, Rng};
use crate::resolver::{Hosts, Resolver, Setup, Wish};
use crate::wire::dns::{self, Family, StreamReader};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// A name server's answer: as a message by itself, as the answer to a real question, in pieces on a stream, and to a
/// resolver at work. The same bytes serve as the files that the resolver is set up from.
pub fn dns(data: &[u8]) {
    let mut rng = Rng::new(2);
    let Some(query) = dns::query("t.example", Family::V4, true, &mut rng) else { return };
    let _ = dns::answer(data, &query);
    // With the question in front the reader gets past it, to where the work is.
    let message = as_answer(&query, data);
    if let Ok(answer) = dns::answer(&message, &query) {
        assert!(answer.addresses.iter().all(|ip| ip.is_ipv4()) && answer.addresses.len() <= DNS_RECORDS_MAX);
    }
    dns_stream(data);
    resolver_at_work(data, &mut rng);
}

/// The beginning of an answer to `query`, and `data` for its records.
fn as_answer(query: &[u8], data: &[u8]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 6, 0, 3, 0, 0]);
    message.extend_from_slice(data);
    message
}

/// However a stream is cut, the same message comes out of it.
fn dns_stream(data: &[u8]) {
    let read = |size: usize| {
        let mut reader = StreamReader::default();
        data.chunks(size).find_map(|piece| reader.on_bytes(piece).map(Vec::from))
    };
    let whole = read(data.len().max(1));
    assert_eq!(whole, read(1 + usize::from(data.first().copied().unwrap_or(0))));
    assert!(
        whole.is_none_or(|message| message.len() <= DNS_MESSAGE_BYTES_MAX && message.len() + 2 <= data.len())
    );
}

/// Whatever comes in, each query is answered once for all, and within the time that the bounds allow; every stream is
/// closed, by them or by us.
fn resolver_at_work(data: &[u8], rng: &mut Rng) {
    let setup = Setup::parse(data, &[(String::from("eth0"), 2)]);
    let longest = u64::from(setup.rounds) * 3 * 16 * 1_000_000 * (setup.search.len() as u64 + 2);
    let mut resolver = Resolver::new(setup, Hosts::parse(data));
    let mut now = Instant::ZERO;
    let mut streams = BTreeSet::new();
    resolver.resolve(now, 1, "tracker", rng);
    loop {
        while let Some(wish) = resolver.next_wish() {
            match wish {
                Wish::Send { server, bytes } => {
                    resolver.on_datagram(now, server, data, rng);
                    resolver.on_datagram(now, server, &as_answer(&bytes, data), rng);
                }
                Wish::Open { stream, bytes, .. } => {
                    assert!(streams.insert(stream));
                    resolver.on_stream_bytes(now, stream, &dns::framed(&as_answer(&bytes[2..], data)), rng);
                    if data.len().is_multiple_of(2) && streams.remove(&stream) {
                        resolver.on_stream_closed(now, stream, rng);
                    }
                }
                Wish::Close { stream } => drop(streams.remove(&stream)),
            }
        }
        let Some(deadline) = resolver.next_deadline() else { break };
        assert!(deadline > now && deadline < Instant::from_micros(longest), "it comes to an end");
        now = deadline;
        resolver.on_time(now, rng);
    }
    assert!(streams.is_empty());
    let mut resolved = core::iter::from_fn(|| resolver.next_resolved()).collect::<Vec<_>>();
    assert!(resolved.pop().is_some_and(|resolved| resolved.complete && resolved.query == 1));
    assert!(resolved.len() <= 1 && resolved.iter().all(|resolved| !resolved.complete));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::mutation::mutate;

    #[test]
    fn answers_of_name_servers_survive_mutation() {
        let seeds: [&[u8]; 3] = [
            b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x02\xc0\x0e\xc0\x0e\0\x01\0\x01\0\0\0\x09\0\x04\x01\x02\x03\x04",
            b"nameserver 1.1.1.1\nsearch a b\noptions timeout:2 ndots:2 rotate\n127.0.0.1 t.example\n",
            b"\0\x04abcdef",
        ];
        mutate(4_000, &seeds, dns);
    }
}
