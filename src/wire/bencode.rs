//! Bencode (BEP 3), read where it lies: one bounded pass without recursion checks everything, after which values are
//! views into the input that know their raw bytes.
//!
//! Accepted although not canonical: keys in any order, and line ends or spaces behind the value. Two keys of the same
//! name are not a fault of the grammar: [`Dict::get`] answers the first, and [`Dict::check_keys`] is for readers who
//! must not let two programs see different things. Refused: leading zeros, `-0`, signs where none belong, integers beyond
//! 64 bits, strings longer than the input, depth and number of values beyond the bounds of
//! [`limits`](crate::base::limits).

mod fault;
mod scan;

pub use fault::{Fault, FaultKind, KeysFault};

use crate::base::limits::BENCODE_UNSORTED_KEYS_MAX;
use alloc::vec::Vec;
use core::fmt;
use scan::{integer, string, value_end};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
