//! Messages of the domain name system (RFC 1035): questions for addresses, and their answers.

use crate::base::Rng;
use crate::base::limits::{DNS_ALIASES_MAX, DNS_JUMPS_MAX, DNS_MESSAGE_BYTES_MAX, DNS_RECORDS_MAX};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes before the question.
const HEADER_BYTES: usize = 12;
/// Longest name, in bytes on the wire.
const NAME_BYTES_MAX: usize = 255;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_INTERNET: u16 = 1;

/// Which addresses are asked for; one question asks for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `A` records.
    V4,
    /// `AAAA` records.
    V6,
}

/// What a server knows about a name. No addresses is an answer, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order of the message.
    pub addresses: Vec<IpAddr>,
    /// For how many seconds it may be remembered; 0 where there is no address.
    pub ttl_seconds: u32,
}

/// Why a message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsFault {
    /// It does not answer this question: another number, another name, or somebody guessing. Go on waiting.
    Stray,
    /// It answers this question, but repeats the name in other letters than [`query`] chose: a server that does not
    /// keep them, or somebody guessing. To be asked again without disguise.
    OtherCase,
    /// It answers this question, but makes no sense.
    Malformed,
    /// The server cannot or will not answer (the code of RFC 1035, 4.1.1). Another one may.
    Refused(u8),
    /// The answer does not fit into a datagram, and no address is in the part that does.
    Truncated,
}

impl fmt::Display for DnsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stray => f.write_str("the datagram does not answer the question"),
            Self::OtherCase => f.write_str("the name server changes the letters of names"),
            Self::Malformed => f.write_str("the name server's answer makes no sense"),
            Self::Refused(code) => write!(f, "the name server refuses with code {code}"),
            Self::Truncated => f.write_str("the name server's answer does not fit into a datagram"),
        }
    }
}

/// The question for the addresses of `name`; `None` if it cannot be a name. The number is random, and with `disguise`
/// so is the case of the letters, which the answer has to repeat: one more thing for a forger to guess.
pub fn query(name: &str, family: Family, disguise: bool, rng: &mut Rng) -> Option<Vec<u8>> {
    let [high, low, ..] = rng.next_u64().to_be_bytes();
    // Recursion desired, one question, nothing else.
    let mut message = [&[high, low, 0x01, 0x00, 0, 1][..], &[0; 6]].concat();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        let cased = label.bytes().map(|byte| match disguise && rng.one_in(2) {
            true => byte.to_ascii_uppercase(),
            false => byte.to_ascii_lowercase(),
        });
        message.extend(cased);
    }
    message.push(0);
    if message.len() - HEADER_BYTES > NAME_BYTES_MAX {
        return None;
    }
    message.extend_from_slice(&family.record_type().to_be_bytes());
    message.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    Some(message)
}

/// What `message` answers to `query`, which [`query`] made.
///
/// # Errors
/// [`DnsFault`]; after [`DnsFault::Stray`] the right answer may still come.
pub fn answer(message: &[u8], query: &[u8]) -> Result<Answer, DnsFault> {
    let header = message.first_chunk::<HEADER_BYTES>().ok_or(DnsFault::Stray)?;
    let question = message.get(HEADER_BYTES..query.len()).ok_or(DnsFault::Stray)?;
    let asked = query.get(HEADER_BYTES..).ok_or(DnsFault::Stray)?;
    let [id_high, id_low, flags, code, questions_high, questions_low, count_high, count_low, ..] = *header;
    let ours = query.first_chunk::<2>() == Some(&[id_high, id_low]) && question.eq_ignore_ascii_case(asked);
    let is_answer = flags & 0xf8 == 0x80 && [questions_high, questions_low] == [0, 1];
    if !ours || !is_answer {
        return Err(DnsFault::Stray);
    }
    if question != asked {
        return Err(DnsFault::OtherCase);
    }
    match code & 0x0f {
        0 => {}
        3 => return Ok(Answer::default()), // there is no such name
        code => return Err(DnsFault::Refused(code)),
    }
    let truncated = flags & 0x02 != 0;
    let count = usize::from(u16::from_be_bytes([count_high, count_low])).min(DNS_RECORDS_MAX);
    let records = read_records(message, query.len(), count, truncated)?;
    let (wanted, end) = read_name(query, HEADER_BYTES).ok_or(DnsFault::Stray)?;
    let family = query.get(end..).and_then(|rest| rest.first_chunk::<2>()).ok_or(DnsFault::Stray)?;
    let answer = follow(wanted, &records, u16::from_be_bytes(*family) == TYPE_AAAA);
    if truncated && answer.addresses.is_empty() { Err(DnsFault::Truncated) } else { Ok(answer) }
}

/// A record of an answer that matters to us.
struct Record {
    owner: Vec<u8>,
    ttl_seconds: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    /// The owner is another name for this one.
    Alias(Vec<u8>),
}

fn read_records(
    message: &[u8],
    start: usize,
    count: usize,
    truncated: bool,
) -> Result<Vec<Record>, DnsFault> {
    let message = &message[..message.len().min(DNS_MESSAGE_BYTES_MAX)];
    let mut records = Vec::new();
    let mut at = start;
    for _ in 0..count {
        match read_record(message, at) {
            Some((record, end)) => {
                records.extend(record);
                at = end;
            }
            None if truncated => break,
            None => return Err(DnsFault::Malformed),
        }
    }
    Ok(records)
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
        _ => None,
    };
    // RFC 2181, 8: a time with the highest bit set is none.
    let ttl_seconds = Some(u32::from_be_bytes([l0, l1, l2, l3])).filter(|ttl| ttl >> 31 == 0).unwrap_or(0);
    Some((data.map(|data| Record { owner, ttl_seconds, data }), start + length))
}

/// The name at `at` in lower case, each label with its length before it, and where it ends in the message. Pointers
/// are followed a bounded number of times, wherever they lead.
fn read_name(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
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

/// The addresses that `records` give to `name`, by way of its aliases. Records about other names are not believed.
fn follow(mut name: Vec<u8>, records: &[Record], v6: bool) -> Answer {
    let mut ttl_seconds = u32::MAX;
    for _ in 0..DNS_ALIASES_MAX {
        let alias = records.iter().find_map(|record| match &record.data {
            Data::Alias(target) if record.owner == name => Some((target, record.ttl_seconds)),
            _ => None,
        });
        let Some((target, ttl)) = alias else { break };
        name.clone_from(target);
        ttl_seconds = ttl_seconds.min(ttl);
    }
    let mut addresses = Vec::new();
    for record in records {
        if let Data::Address(ip) = record.data
            && record.owner == name
            && ip.is_ipv6() == v6
        {
            addresses.push(ip);
            ttl_seconds = ttl_seconds.min(record.ttl_seconds);
        }
    }
    let ttl_seconds = if addresses.is_empty() { 0 } else { ttl_seconds };
    Answer { addresses, ttl_seconds }
}

impl Family {
    fn record_type(self) -> u16 {
        match self {
            Self::V4 => TYPE_A,
            Self::V6 => TYPE_AAAA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER_TO_QUESTION: &[u8] = &[0xc0, 12];

    fn question() -> Vec<u8> {
        query("t.example", Family::V4, false, &mut Rng::new(1)).unwrap()
    }

    /// An answer to `query` with these flags and records.
    fn reply(query: &[u8], flags: [u8; 2], records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2..4].copy_from_slice(&flags);
        message[7] = records.len() as u8;
        [&message[..], &records.concat()].concat()
    }

    fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        [owner, &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, data].concat()
    }

    fn addresses(texts: &[&str], ttl_seconds: u32) -> Result<Answer, DnsFault> {
        Ok(Answer { addresses: texts.iter().map(|text| text.parse().unwrap()).collect(), ttl_seconds })
    }

    #[test]
    fn a_question_is_laid_out_as_the_rfc_says() {
        let message = question();
        assert_eq!(&message[2..], b"\x01\0\0\x01\0\0\0\0\0\0\x01t\x07example\0\0\x01\0\x01");
        let disguised =
            query("ttttttttttttttttttttttttttttttt.example", Family::V6, true, &mut Rng::new(1)).unwrap();
        let letters = &disguised[13..44];
        assert!(letters.contains(&b't') && letters.contains(&b'T') && disguised.ends_with(&[0, 28, 0, 1]));
        for bad in ["", ".", "a..b", &"x".repeat(64), &"abcdefg.".repeat(40)] {
            assert_eq!(query(bad, Family::V4, false, &mut Rng::new(1)), None, "{bad}");
        }
    }

    #[test]
    fn addresses_are_found_also_behind_aliases() {
        let query = question();
        let alias = record(POINTER_TO_QUESTION, TYPE_CNAME, 50, b"\x01a\xc0\x0e");
        let chained = record(b"\x01A\x07Example\0", TYPE_CNAME, 500, b"\x01b\xc0\x0e");
        let end = record(b"\x01b\xc0\x0e", TYPE_A, 99, &[5, 6, 7, 8]);
        let one = record(POINTER_TO_QUESTION, TYPE_A, 60, &[1, 2, 3, 4]);
        let two = record(b"\x01T\x07examplE\0", TYPE_A, 70, &[1, 2, 3, 5]);
        let other = record(b"\x05other\0", TYPE_A, 70, &[6, 6, 6, 6]);
        let text = record(POINTER_TO_QUESTION, 16, 1, b"\x03txt");
        let wrong_family = record(POINTER_TO_QUESTION, TYPE_AAAA, 1, &[0; 16]);
        let cases = [
            (vec![one.clone(), two, other, text, wrong_family], addresses(&["1.2.3.4", "1.2.3.5"], 60)),
            (vec![alias.clone(), chained.clone(), end.clone()], addresses(&["5.6.7.8"], 50)),
            (vec![end, chained, alias.clone()], addresses(&["5.6.7.8"], 50)),
            (vec![alias, one], addresses(&[], 0)),
            (vec![], addresses(&[], 0)),
        ];
        for (nth, (records, wanted)) in cases.into_iter().enumerate() {
            assert_eq!(answer(&reply(&query, [0x81, 0x80], &records), &query), wanted, "case {nth}");
        }
    }

    #[test]
    fn ipv6_addresses_are_found() {
        let query = query("t.example", Family::V6, true, &mut Rng::new(9)).unwrap();
        let mut ip = [0; 16];
        ip[15] = 1;
        let message = reply(&query, [0x81, 0x80], &[record(POINTER_TO_QUESTION, TYPE_AAAA, u32::MAX, &ip)]);
        assert_eq!(answer(&message, &query), addresses(&["::1"], 0));
    }

    #[test]
    fn what_answers_another_question_is_stray() {
        let query = question();
        let good = reply(&query, [0x81, 0x80], &[record(POINTER_TO_QUESTION, TYPE_A, 1, &[1, 2, 3, 4])]);
        assert!(answer(&good, &query).is_ok());
        for at in [0, 1, 2, 4, 5, 13, 16, 24, 26] {
            let mut bad = good.clone();
            bad[at] ^= 0x81;
            assert_eq!(answer(&bad, &query), Err(DnsFault::Stray), "byte {at}");
        }
        let mut shouted = good.clone();
        shouted[15] ^= 0x20;
        assert_eq!(answer(&shouted, &query), Err(DnsFault::OtherCase));
        for cut in 0..query.len() {
            assert_eq!(answer(&good[..cut], &query), Err(DnsFault::Stray), "cut at {cut}");
        }
        assert_eq!(answer(&query, &query), Err(DnsFault::Stray), "our own question sent back");
    }

    #[test]
    fn servers_that_will_not_answer_are_told_apart() {
        let query = question();
        assert_eq!(answer(&reply(&query, [0x81, 0x83], &[]), &query), addresses(&[], 0), "no such name");
        assert_eq!(answer(&reply(&query, [0x81, 0x82], &[]), &query), Err(DnsFault::Refused(2)));
        assert_eq!(answer(&reply(&query, [0x81, 0x85], &[]), &query), Err(DnsFault::Refused(5)));
        assert_eq!(answer(&reply(&query, [0x83, 0x80], &[]), &query), Err(DnsFault::Truncated));
        let one = record(POINTER_TO_QUESTION, TYPE_A, 9, &[1, 2, 3, 4]);
        let cut = reply(&query, [0x83, 0x80], &[one.clone(), one[..7].to_vec()]);
        assert_eq!(answer(&cut, &query), addresses(&["1.2.3.4"], 9), "part of a list will do");
    }

    #[test]
    fn broken_records_are_broken_answers() {
        let query = question();
        let here = query.len() as u8;
        let cases = [
            vec![0xc0, here],                                                     // a pointer to itself
            vec![0xc0],                                                           // half a pointer
            vec![0x40, 0],                                                        // a label of no kind
            vec![63, 1],                                                          // a label that is cut off
            record(POINTER_TO_QUESTION, TYPE_A, 1, &[1, 2, 3]),                   // an address too short
            record(POINTER_TO_QUESTION, TYPE_AAAA, 1, &[1; 17]),                  // too long
            record(POINTER_TO_QUESTION, TYPE_CNAME, 1, &[0xff, 0xff]),            // an alias beyond the end
            record(POINTER_TO_QUESTION, TYPE_A, 1, &[1, 2, 3, 4])[..13].to_vec(), // data cut off
            [&[63][..], &[b'x'; 63], &[0xc0, here]].concat(), // a name that grows for ever
        ];
        for (nth, broken) in cases.into_iter().enumerate() {
            assert_eq!(
                answer(&reply(&query, [0x81, 0x80], &[broken]), &query),
                Err(DnsFault::Malformed),
                "case {nth}"
            );
        }
    }

    #[test]
    fn aliases_in_a_circle_end() {
        let query = question();
        let circle = record(POINTER_TO_QUESTION, TYPE_CNAME, 1, POINTER_TO_QUESTION);
        assert_eq!(answer(&reply(&query, [0x81, 0x80], &[circle]), &query), addresses(&[], 0));
    }
}
