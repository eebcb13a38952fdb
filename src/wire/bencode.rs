//! Bencode (BEP 3), read where it lies: one bounded pass without recursion checks everything, after which values are
//! views into the input that know their raw bytes.
//!
//! Accepted although not canonical: keys in any order, and line ends or spaces behind the value. Two keys of the same
//! name are not a fault of the grammar: [`Dict::get`] answers the first, and [`Dict::check_keys`] is for readers who
//! must not let two programs see different things. Refused: leading zeros, `-0`, signs where none belong, integers beyond
//! 64 bits, strings longer than the input, depth and number of values beyond the bounds of
//! [`limits`](crate::base::limits).

use crate::base::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX, BENCODE_UNSORTED_KEYS_MAX};
use alloc::vec::Vec;
use core::fmt;

/// Why bytes are not a bencoded value, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the bytes stop making sense, counted from 0.
    pub offset: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong with bencoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The bytes end before the value does.
    CutShort,
    /// Neither a digit nor `i`, `l` or `d` where a value begins.
    ExpectedValue,
    /// Something else than a digit where a number needs one.
    ExpectedDigit,
    /// Something else than `:` behind the length of a string.
    ExpectedColon,
    /// Something else than `e` behind the digits of an integer.
    ExpectedEnd,
    /// A number that begins with a zero but is not zero.
    LeadingZero,
    /// `-0`.
    NegativeZero,
    /// An integer beyond 64 bits with sign.
    IntegerTooBig,
    /// A string that is said to be longer than all that follows.
    StringTooLong,
    /// A key that is not a string.
    KeyNotString,
    /// A dictionary that ends behind a key.
    KeyWithoutValue,
    /// Lists and dictionaries nested beyond [`BENCODE_DEPTH_MAX`].
    TooDeep,
    /// More strings, integers, lists and dictionaries than [`BENCODE_TOKENS_MAX`].
    TooMany,
    /// A value that is not the dictionary that must stand here.
    NotDictionary,
    /// Bytes behind the value.
    Trailing,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::CutShort => "cut short",
            FaultKind::ExpectedValue => "expected a value",
            FaultKind::ExpectedDigit => "expected a digit",
            FaultKind::ExpectedColon => "expected ':'",
            FaultKind::ExpectedEnd => "expected 'e'",
            FaultKind::LeadingZero => "a number begins with 0",
            FaultKind::NegativeZero => "an integer is -0",
            FaultKind::IntegerTooBig => "an integer is beyond 64 bits",
            FaultKind::StringTooLong => "a string is longer than the rest",
            FaultKind::KeyNotString => "a key is not a string",
            FaultKind::KeyWithoutValue => "a key has no value",
            FaultKind::TooDeep => "nested too deeply",
            FaultKind::TooMany => "too many values",
            FaultKind::NotDictionary => "expected a dictionary",
            FaultKind::Trailing => "something follows the value",
        };
        write!(f, "not bencode: {what} at byte {}", self.offset)
    }
}

/// The one value that `bytes` are; line ends and spaces behind it are tolerated.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, Fault> {
    let end = value_end(bytes, 0)?;
    let trailing = bytes[end..].iter().position(|byte| !matches!(byte, b'\r' | b'\n' | b' '));
    match trailing {
        Some(at) => Err(Fault { offset: end + at, kind: FaultKind::Trailing }),
        None => Ok(Value { raw: &bytes[..end] }),
    }
}

/// The one dictionary that `bytes` are; line ends and spaces behind it are tolerated.
pub fn parse_dict(bytes: &[u8]) -> Result<Dict<'_>, Fault> {
    require_dict(bytes)?;
    parse(bytes).map(|value| Dict { raw: value.raw })
}

/// The dictionary that `bytes` begin with, and how many bytes it takes: what follows is somebody else's (BEP 9, BEP 10).
pub fn parse_dict_prefix(bytes: &[u8]) -> Result<(Dict<'_>, usize), Fault> {
    require_dict(bytes)?;
    let end = value_end(bytes, 0)?;
    Ok((Dict { raw: &bytes[..end] }, end))
}

/// A web page or an archive in place of a torrent is told by its first byte, before anything is read.
fn require_dict(bytes: &[u8]) -> Result<(), Fault> {
    match bytes.first() {
        None => Err(Fault { offset: 0, kind: FaultKind::CutShort }),
        Some(b'd') => Ok(()),
        Some(_) => Err(Fault { offset: 0, kind: FaultKind::NotDictionary }),
    }
}

/// A checked value: its bytes are known to be well-formed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// The bytes as they stand in the input, for hashing.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The bytes of a string; `None` for anything else.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        self.raw.first()?.is_ascii_digit().then(|| string(self.raw, 0).ok().map(|(text, _)| text))?
    }

    /// The number; `None` for anything but an integer.
    pub fn as_int(self) -> Option<i64> {
        (self.raw.first() == Some(&b'i')).then(|| integer(self.raw, 0).ok().map(|(number, _)| number))?
    }

    /// The items of a list; `None` for anything else.
    pub fn as_list(self) -> Option<List<'a>> {
        (self.raw.first() == Some(&b'l')).then_some(List { raw: self.raw })
    }

    /// The dictionary; `None` for anything else.
    pub fn as_dict(self) -> Option<Dict<'a>> {
        (self.raw.first() == Some(&b'd')).then_some(Dict { raw: self.raw })
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.raw.get(..80).unwrap_or(self.raw).escape_ascii())
    }
}

/// A checked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    raw: &'a [u8],
}

impl<'a> List<'a> {
    /// The list without items.
    pub const EMPTY: Self = Self { raw: b"le" };

    /// The items in order.
    pub fn iter(self) -> Items<'a> {
        Items { raw: self.raw, at: 1 }
    }
}

impl<'a> IntoIterator for List<'a> {
    type Item = Value<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

/// A checked dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dict<'a> {
    raw: &'a [u8],
}

impl<'a> Dict<'a> {
    /// The bytes as they stand in the input.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Keys and values in the order of the input. To pick many keys out, walk once instead of asking [`Dict::get`] often.
    pub fn entries(self) -> Entries<'a> {
        Entries { items: Items { raw: self.raw, at: 1 } }
    }

    /// The first value of `key`, by looking through.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        self.entries().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Refuses keys that stand here twice. Sorted keys, which is what nearly all write, cost no memory; of others there
    /// may be [`BENCODE_UNSORTED_KEYS_MAX`].
    pub fn check_keys(self) -> Result<(), KeysFault<'a>> {
        let keys = || self.entries().map(|(key, _)| key);
        if keys().is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        let mut keys: Vec<_> = keys().take(BENCODE_UNSORTED_KEYS_MAX + 1).collect();
        if keys.len() > BENCODE_UNSORTED_KEYS_MAX {
            return Err(KeysFault::TooMany);
        }
        keys.sort_unstable();
        keys.windows(2).find(|pair| pair[0] == pair[1]).map_or(Ok(()), |pair| Err(KeysFault::Twice(pair[0])))
    }
}

/// Why a dictionary may not mean the same to two readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysFault<'a> {
    /// This key stands there twice.
    Twice(&'a [u8]),
    /// There are too many to find out.
    TooMany,
}

/// The items of a [`List`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.raw.get(self.at) == Some(&b'e') {
            return None;
        }
        let end = value_end(self.raw, self.at).ok()?;
        let raw = self.raw.get(self.at..end)?;
        self.at = end;
        Some(Value { raw })
    }
}

/// The entries of a [`Dict`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    items: Items<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.items.next()?.as_bytes()?;
        Some((key, self.items.next()?))
    }
}

/// The lists and dictionaries around a place: one bit each instead of a stack frame each.
#[derive(Default)]
struct Nest {
    /// Bit 0 is the innermost; set for a dictionary.
    dicts: u64,
    depth: usize,
}

const _: () = assert!(BENCODE_DEPTH_MAX <= 64);

impl Nest {
    fn open(&mut self, dict: bool, offset: usize) -> Result<(), Fault> {
        if self.depth == BENCODE_DEPTH_MAX {
            return Err(Fault { offset, kind: FaultKind::TooDeep });
        }
        self.dicts = self.dicts << 1 | u64::from(dict);
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.dicts >>= 1;
        self.depth -= 1;
    }

    fn in_dict(&self) -> bool {
        self.depth > 0 && self.dicts & 1 == 1
    }
}

/// Where the value that begins at `at` ends. Checks it whole.
fn value_end(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    let mut nest = Nest::default();
    let mut key_next = false;
    for _ in 0..BENCODE_TOKENS_MAX {
        let first = *bytes.get(at).ok_or(Fault { offset: bytes.len(), kind: FaultKind::CutShort })?;
        let fault = |kind| Err(Fault { offset: at, kind });
        if key_next && !first.is_ascii_digit() && first != b'e' {
            return fault(FaultKind::KeyNotString);
        }
        let mut opened = false;
        match first {
            b'0'..=b'9' => at = string(bytes, at)?.1,
            b'i' => at = integer(bytes, at)?.1,
            b'l' | b'd' => {
                nest.open(first == b'd', at)?;
                opened = true;
                at += 1;
            }
            b'e' if nest.in_dict() && !key_next => return fault(FaultKind::KeyWithoutValue),
            b'e' if nest.depth > 0 => {
                nest.close();
                key_next = false;
                at += 1;
            }
            _ => return fault(FaultKind::ExpectedValue),
        }
        if nest.depth == 0 {
            return Ok(at);
        }
        // Within a dictionary keys and values take turns; a list or dictionary that has just closed was a value.
        key_next = nest.in_dict() && (opened || !key_next);
    }
    Err(Fault { offset: at, kind: FaultKind::TooMany })
}

/// The string that begins at `at`, and where it ends.
fn string(bytes: &[u8], at: usize) -> Result<(&[u8], usize), Fault> {
    let fault = |offset, kind| Err(Fault { offset, kind });
    let (length, colon) = digits(bytes, at)?;
    let Some(length) = length else { return fault(at, FaultKind::StringTooLong) };
    match bytes.get(colon) {
        None => return fault(colon, FaultKind::CutShort),
        Some(b':') => {}
        Some(_) => return fault(colon, FaultKind::ExpectedColon),
    }
    let rest = &bytes[colon + 1..];
    // A file cut within a string and a length that lies look the same: the length is where to look first.
    match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
        Some(text) => Ok((text, colon + 1 + text.len())),
        None => fault(at, FaultKind::StringTooLong),
    }
}

/// The integer whose `i` is at `at`, and where it ends.
fn integer(bytes: &[u8], at: usize) -> Result<(i64, usize), Fault> {
    let negative = bytes.get(at + 1) == Some(&b'-');
    let first = at + 1 + usize::from(negative);
    let (magnitude, end) = digits(bytes, first)?;
    let number = match magnitude {
        Some(0) if negative => return Err(Fault { offset: at, kind: FaultKind::NegativeZero }),
        Some(magnitude) if negative => 0i64.checked_sub_unsigned(magnitude),
        Some(magnitude) => i64::try_from(magnitude).ok(),
        None => None,
    };
    let number = number.ok_or(Fault { offset: at, kind: FaultKind::IntegerTooBig })?;
    match bytes.get(end) {
        Some(b'e') => Ok((number, end + 1)),
        Some(_) => Err(Fault { offset: end, kind: FaultKind::ExpectedEnd }),
        None => Err(Fault { offset: end, kind: FaultKind::CutShort }),
    }
}

/// The decimal number at `at` and where its digits end; no number if it is beyond 64 bits, in which case the rest of its
/// digits is not looked at.
fn digits(bytes: &[u8], at: usize) -> Result<(Option<u64>, usize), Fault> {
    let mut number = 0u64;
    let mut end = at;
    while let Some(digit) = bytes.get(end).filter(|byte| byte.is_ascii_digit()) {
        if end > at && number == 0 {
            return Err(Fault { offset: at, kind: FaultKind::LeadingZero });
        }
        let next = number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit - b'0')));
        let Some(next) = next else { return Ok((None, end)) };
        number = next;
        end += 1;
    }
    match (end > at, bytes.get(end)) {
        (true, _) => Ok((Some(number), end)),
        (false, Some(_)) => Err(Fault { offset: end, kind: FaultKind::ExpectedDigit }),
        (false, None) => Err(Fault { offset: end, kind: FaultKind::CutShort }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn values_are_what_was_written() {
        let dict = parse_dict(b"d3:cow3:moo4:spaml1:ai-12eee").unwrap();
        assert_eq!(dict.get(b"cow").and_then(Value::as_bytes), Some(&b"moo"[..]));
        let spam = dict.get(b"spam").unwrap();
        assert_eq!(spam.raw(), b"l1:ai-12ee");
        let items: Vec<_> = spam.as_list().unwrap().iter().collect();
        assert_eq!((items[0].as_bytes(), items[0].as_int()), (Some(&b"a"[..]), None));
        assert_eq!((items[1].as_int(), items[1].as_bytes()), (Some(-12), None));
        assert_eq!(dict.get(b"none"), None);
    }

    #[test]
    fn integers_span_64_bits() {
        let cases = [("i0e", 0), ("i9223372036854775807e", i64::MAX), ("i-9223372036854775808e", i64::MIN)];
        for (text, number) in cases {
            assert_eq!(parse(text.as_bytes()).unwrap().as_int(), Some(number), "{text}");
        }
    }

    #[test]
    fn faults_are_told_with_their_place() {
        use FaultKind::*;
        let cases: [(&[u8], usize, FaultKind); 33] = [
            (b"", 0, CutShort),
            (b"x", 0, ExpectedValue),
            (b"e", 0, ExpectedValue),
            (b"-1:a", 0, ExpectedValue),
            (b"i5", 2, CutShort),
            (b"i", 1, CutShort),
            (b"i-", 2, CutShort),
            (b"ie", 1, ExpectedDigit),
            (b"i+5e", 1, ExpectedDigit),
            (b"i 5e", 1, ExpectedDigit),
            (b"i--5e", 2, ExpectedDigit),
            (b"i5.e", 2, ExpectedEnd),
            (b"i03e", 1, LeadingZero),
            (b"i00e", 1, LeadingZero),
            (b"i-03e", 2, LeadingZero),
            (b"i-0e", 0, NegativeZero),
            (b"i9223372036854775808e", 0, IntegerTooBig),
            (b"i-9223372036854775809e", 0, IntegerTooBig),
            (b"i99999999999999999999999999e", 0, IntegerTooBig),
            (b"3", 1, CutShort),
            (b"3;abc", 1, ExpectedColon),
            (b"3:ab", 0, StringTooLong),
            (b"03:abc", 0, LeadingZero),
            (b"9223372036854775807:abc", 0, StringTooLong),
            (b"18446744073709551615:abc", 0, StringTooLong),
            (b"99999999999999999999:abc", 0, StringTooLong),
            (b"l", 1, CutShort),
            (b"li1e", 4, CutShort),
            (b"di1ei2ee", 1, KeyNotString),
            (b"dlei2ee", 1, KeyNotString),
            (b"d1:ae", 4, KeyWithoutValue),
            (b"i1ei2e", 3, Trailing),
            (b"le\n\0", 3, Trailing),
        ];
        for (bytes, offset, kind) in cases {
            let fault = parse(bytes).unwrap_err();
            assert_eq!(fault, Fault { offset, kind }, "{}", bytes.escape_ascii());
        }
        assert_eq!(parse(b"i-0e").unwrap_err().to_string(), "not bencode: an integer is -0 at byte 0");
    }

    #[test]
    fn line_ends_behind_the_value_are_tolerated() {
        assert_eq!(parse(b"de\r\n \n").unwrap().raw(), b"de");
        assert_eq!(parse_dict(b"le").unwrap_err().kind, FaultKind::NotDictionary);
        assert_eq!(parse_dict(b"").unwrap_err().kind, FaultKind::CutShort);
    }

    #[test]
    fn a_prefix_tells_where_the_rest_begins() {
        let (dict, taken) = parse_dict_prefix(b"d8:msg_typei1eee\x00rest").unwrap();
        assert_eq!((dict.raw(), taken), (&b"d8:msg_typei1ee"[..], 15));
    }

    #[test]
    fn keys_take_turns_with_values_at_every_level() {
        let dict = parse_dict(b"d1:ad1:b1:ce1:dle1:ei1e1:f1:ge").unwrap();
        let keys: Vec<_> = dict.entries().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a", b"d", b"e", b"f"]);
        assert!(dict.entries().map(|(_, value)| value.raw()).eq([&b"d1:b1:ce"[..], b"le", b"i1e", b"1:g"]));
    }

    #[test]
    fn duplicates_are_found_in_any_order() {
        let check = |text: &'static str| parse_dict(text.as_bytes()).unwrap().check_keys();
        assert_eq!(check("d1:ai1e1:bi1ee"), Ok(()));
        assert_eq!(check("d1:bi1e1:ai1ee"), Ok(()), "unsorted is fine");
        assert_eq!(check("d1:ai1e1:ai1ee"), Err(KeysFault::Twice(b"a")));
        assert_eq!(check("d1:bi1e1:ai1e1:bi2ee"), Err(KeysFault::Twice(b"b")));
        let dict = |keys: &mut dyn Iterator<Item = usize>| {
            format!("d{}e", keys.map(|n| format!("4:{n:04}0:")).collect::<String>())
        };
        let (sorted, unsorted) = (dict(&mut (0..2000)), dict(&mut (0..2000).rev()));
        assert_eq!(parse_dict(sorted.as_bytes()).unwrap().check_keys(), Ok(()));
        assert_eq!(parse_dict(unsorted.as_bytes()).unwrap().check_keys(), Err(KeysFault::TooMany));
        assert_eq!(parse_dict(b"d1:bi1e1:bi2ee").unwrap().get(b"b").unwrap().as_int(), Some(1), "first wins");
    }

    /// Time is only asserted generously: what must not happen is seconds, megabytes of stack, or minutes.
    fn fault_in_time(bytes: &[u8]) -> Fault {
        let start = Instant::now();
        let fault = std::thread::scope(|scope| {
            let small = std::thread::Builder::new().stack_size(32 << 10);
            small.spawn_scoped(scope, || parse(bytes).unwrap_err()).unwrap().join().unwrap()
        });
        assert!(start.elapsed() < Duration::from_secs(2), "{fault}");
        fault
    }

    #[test]
    fn hostile_input_costs_neither_stack_nor_time() {
        let deep = BENCODE_DEPTH_MAX;
        assert_eq!(fault_in_time(&vec![b'l'; 1 << 20]), Fault { offset: deep, kind: FaultKind::TooDeep });
        assert_eq!(fault_in_time(&b"d1:a".repeat(1 << 18)).kind, FaultKind::TooDeep);
        assert_eq!(fault_in_time(&vec![0; 50_000_000]).kind, FaultKind::ExpectedValue);
        assert_eq!(fault_in_time(&vec![b'0'; 50_000_000]).kind, FaultKind::LeadingZero);
        assert_eq!(fault_in_time(&vec![b'9'; 50_000_000]).kind, FaultKind::StringTooLong);
        let mut list = vec![b'l'];
        list.resize(32 << 20, b'd');
        list[1..].chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(b"de"));
        assert_eq!(fault_in_time(&list).kind, FaultKind::TooMany);
    }

    #[test]
    fn the_deepest_allowed_value_is_read() {
        let text = [vec![b'l'; BENCODE_DEPTH_MAX], vec![b'e'; BENCODE_DEPTH_MAX]].concat();
        assert_eq!(parse(&text).unwrap().raw().len(), 2 * BENCODE_DEPTH_MAX);
    }

    #[test]
    fn every_cut_is_a_fault_and_no_panic() {
        let whole = b"d4:infod6:lengthi12345e4:name3:abce3:urll4:httpee";
        assert!(parse(whole).is_ok());
        for cut in 0..whole.len() {
            let fault = parse(&whole[..cut]).unwrap_err();
            assert!(fault.offset <= cut, "{fault}");
        }
    }
}
