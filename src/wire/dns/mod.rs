//! Messages of the domain name system (RFC 1035): questions for addresses, and their answers.
//!
//! Written here and not taken from a crate, because two kinds of messages are needed and no more: this is 8 KiB of the
//! program. Measured the same way, crates take 12 (`dns-protocol`, which does not read the compressed name in an alias),
//! 16 (`domain`), 20 (`dns-parser`, unkept since 2018), 80 (`simple-dns`) and 340 KiB (`hickory-proto`).

mod records;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::{StreamReader, framed};

use crate::base::Rng;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// Bytes before the question.
const HEADER_BYTES: usize = 12;
/// Longest name, in bytes on the wire.
const NAME_BYTES_MAX: usize = 255;
/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 63;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;
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
    /// For how many seconds it may be remembered. Where there is no address the zone says it (RFC 2308, 5); 0 if it
    /// does not.
    pub ttl_seconds: u32,
    /// It did not fit into the datagram: the whole one has to be asked for on a stream.
    pub truncated: bool,
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
    /// The server knows nothing of the name and does not ask others for us.
    NotRecursive,
}

impl fmt::Display for DnsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stray => f.write_str("the message does not answer the question"),
            Self::OtherCase => f.write_str("the name server changes the letters of names"),
            Self::Malformed => f.write_str("the name server's answer makes no sense"),
            Self::Refused(code) => write!(f, "the name server refuses with code {code}"),
            Self::NotRecursive => f.write_str("the name server does not ask others"),
        }
    }
}

/// True if `name` can be asked for: labels of 1 to 63 bytes, in all no more than fit into a message. Any byte may stand
/// in a label: underscores do, and names of other scripts come as `xn--…`, which are letters like all others.
pub fn is_name(name: &str) -> bool {
    let labels = || name.split('.').map(str::len);
    labels().all(|length| (1..=LABEL_BYTES_MAX).contains(&length)) && name.len() + 2 <= NAME_BYTES_MAX
}

/// The question for the addresses of `name`; `None` if it cannot be a name. The number is random, and with `disguise`
/// so is the case of the letters, which the answer has to repeat: one more thing for a forger to guess.
pub fn query(name: &str, family: Family, disguise: bool, rng: &mut Rng) -> Option<Vec<u8>> {
    if !is_name(name) {
        return None;
    }
    let [high, low, ..] = rng.next_u64().to_be_bytes();
    // Recursion desired, one question, nothing else.
    let mut message = [&[high, low, 0x01, 0x00, 0, 1][..], &[0; 6]].concat();
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).ok()?);
        let cased = label.bytes().map(|byte| match disguise && rng.one_in(2) {
            true => byte.to_ascii_uppercase(),
            false => byte.to_ascii_lowercase(),
        });
        message.extend(cased);
    }
    message.push(0);
    message.extend_from_slice(&family.record_type().to_be_bytes());
    message.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    Some(message)
}

/// What `message` answers to `query`, which [`query`] made.
///
/// # Errors
/// [`DnsFault`]; after [`DnsFault::Stray`] the right answer may still come.
pub fn answer(message: &[u8], query: &[u8]) -> Result<Answer, DnsFault> {
    let header = Header::read(message, query)?;
    // Question: the name that was asked for, and two bytes each of type and class.
    let (wanted, end) = records::read_name(query, HEADER_BYTES).ok_or(DnsFault::Stray)?;
    let family = query.get(end..).and_then(|rest| rest.first_chunk::<2>()).ok_or(DnsFault::Stray)?;
    let v6 = u16::from_be_bytes(*family) == TYPE_AAAA;
    match header.code {
        0 | NO_SUCH_NAME => {}
        code => return Err(DnsFault::Refused(code)),
    }
    let sections = records::read(message, query.len(), &header)?;
    let answer = sections.follow(wanted, v6, header.truncated);
    let knows_nothing = answer.addresses.is_empty() && header.code == 0 && !header.truncated;
    if knows_nothing && !header.authoritative && !header.recursive {
        return Err(DnsFault::NotRecursive);
    }
    Ok(answer)
}

/// The code of an answer that says that there is no such name.
const NO_SUCH_NAME: u8 = 3;

/// What stands before the question.
struct Header {
    code: u8,
    truncated: bool,
    /// The server itself keeps the zone.
    authoritative: bool,
    /// The server asks others.
    recursive: bool,
    /// Records that answer.
    answers: u16,
    /// Records about the zone.
    authorities: u16,
}

impl Header {
    /// Reads the header, and sees that it and the question belong to `query`.
    fn read(message: &[u8], query: &[u8]) -> Result<Self, DnsFault> {
        let header = message.first_chunk::<HEADER_BYTES>().ok_or(DnsFault::Stray)?;
        let question = message.get(HEADER_BYTES..query.len()).ok_or(DnsFault::Stray)?;
        let asked = query.get(HEADER_BYTES..).ok_or(DnsFault::Stray)?;
        let [id_high, id_low, flags, code, questions_high, questions_low, a_high, a_low, z_high, z_low, ..] =
            *header;
        let ours =
            query.first_chunk::<2>() == Some(&[id_high, id_low]) && question.eq_ignore_ascii_case(asked);
        let is_answer = flags & 0xf8 == 0x80 && [questions_high, questions_low] == [0, 1];
        if !ours || !is_answer {
            return Err(DnsFault::Stray);
        }
        if question != asked {
            return Err(DnsFault::OtherCase);
        }
        Ok(Self {
            code: code & 0x0f,
            truncated: flags & 0x02 != 0,
            authoritative: flags & 0x04 != 0,
            recursive: code & 0x80 != 0,
            answers: u16::from_be_bytes([a_high, a_low]),
            authorities: u16::from_be_bytes([z_high, z_low]),
        })
    }
}

impl Family {
    fn record_type(self) -> u16 {
        match self {
            Self::V4 => TYPE_A,
            Self::V6 => TYPE_AAAA,
        }
    }
}
