//! The records of an answer, and the way through them from a name to its addresses.

use super::{
    Answer, CLASS_INTERNET, DnsFault, Header, NAME_BYTES_MAX, TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_SOA,
};
use crate::base::limits::{DNS_ALIASES_MAX, DNS_JUMPS_MAX, DNS_RECORDS_MAX};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What matters to us of the records of a message.
#[derive(Default)]
pub(super) struct Sections {
    answers: Vec<Record>,
    /// For how many seconds it may be remembered that something is missing.
    nothing_ttl_seconds: u32,
}

struct Record {
    /// In lower case.
    owner: Vec<u8>,
    ttl_seconds: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    /// The owner is another name for this one.
    Alias(Vec<u8>),
    /// The owner is a zone that says for how many seconds a missing name stays missing.
    Zone(u32),
}

/// Reads the first [`DNS_RECORDS_MAX`] records from `start`: what answers, and what is said of the zone.
pub(super) fn read(message: &[u8], start: usize, header: &Header) -> Result<Sections, DnsFault> {
    let mut sections = Sections::default();
    let answers = usize::from(header.answers).min(DNS_RECORDS_MAX);
    let mut at = start;
    for _ in 0..answers {
        match read_record(message, at) {
            Some((record, end)) => {
                sections.answers.extend(record.filter(|record| !matches!(record.data, Data::Zone(_))));
                at = end;
            }
            None if header.truncated => return Ok(sections),
            None => return Err(DnsFault::Malformed),
        }
    }
    // What is broken here costs only the time for which nothing is remembered.
    for _ in 0..usize::from(header.authorities).min(DNS_RECORDS_MAX - answers) {
        let Some((record, end)) = read_record(message, at) else { break };
        if let Some(Record { data: Data::Zone(minimum), ttl_seconds, .. }) = record {
            sections.nothing_ttl_seconds = minimum.min(ttl_seconds);
        }
        at = end;
    }
    Ok(sections)
}

/// The record at `at`, if it is one of ours, and where it ends; `None` if it is broken.
fn read_record(message: &[u8], at: usize) -> Option<(Option<Record>, usize)> {
    let (owner, at) = read_name(message, at)?;
    let &[t0, t1, c0, c1, l0, l1, l2, l3, d0, d1] = message.get(at..)?.first_chunk::<10>()?;
    let (start, length) = (at + 10, usize::from(u16::from_be_bytes([d0, d1])));
    let data = message.get(start..start + length)?;
    let data = match (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([t0, t1])) {
        (CLASS_INTERNET, TYPE_A) => {
            Some(Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()))
        }
        (CLASS_INTERNET, TYPE_AAAA) => {
            Some(Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()))
        }
        (CLASS_INTERNET, TYPE_CNAME) => Some(Data::Alias(read_name(message, start)?.0)),
        // Two names and five numbers, of which the last one is meant.
        (CLASS_INTERNET, TYPE_SOA) => Some(Data::Zone(u32::from_be_bytes(*data.last_chunk()?))),
        _ => None,
    };
    // RFC 2181, 8: a time with the highest bit set is none.
    let ttl_seconds = Some(u32::from_be_bytes([l0, l1, l2, l3])).filter(|ttl| ttl >> 31 == 0).unwrap_or(0);
    Some((data.map(|data| Record { owner, ttl_seconds, data }), start + length))
}

/// The name at `at` in lower case, each label with its length before it, and where it ends in the message. Pointers
/// are followed a bounded number of times, wherever they lead.
pub(super) fn read_name(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut end = None;
    let mut jumps = 0;
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at..at + 1 + usize::from(length))?;
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                at += label.len();
            }
            0xc0.. => {
                let low = *message.get(at + 1)?;
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                jumps += 1;
            }
            _ => return None,
        }
        if name.len() >= NAME_BYTES_MAX || jumps > DNS_JUMPS_MAX {
            return None;
        }
    }
}

impl Sections {
    /// The addresses of `name`, by way of its aliases. Records about other names are not believed.
    pub fn follow(&self, mut name: Vec<u8>, v6: bool, truncated: bool) -> Answer {
        let mut ttl_seconds = u32::MAX;
        for _ in 0..DNS_ALIASES_MAX {
            let alias = self.answers.iter().find_map(|record| match &record.data {
                Data::Alias(target) if record.owner == name => Some((target, record.ttl_seconds)),
                _ => None,
            });
            let Some((target, ttl)) = alias else { break };
            name.clone_from(target);
            ttl_seconds = ttl_seconds.min(ttl);
        }
        let mut addresses = Vec::new();
        for record in &self.answers {
            if let Data::Address(ip) = record.data
                && record.owner == name
                && ip.is_ipv6() == v6
            {
                addresses.push(ip);
                ttl_seconds = ttl_seconds.min(record.ttl_seconds);
            }
        }
        if addresses.is_empty() {
            ttl_seconds = self.nothing_ttl_seconds;
        }
        Answer { addresses, ttl_seconds, truncated }
    }
}
