//! Why bytes are not bencode.

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
    /// Lists and dictionaries nested beyond [`BENCODE_DEPTH_MAX`](crate::base::limits::BENCODE_DEPTH_MAX).
    TooDeep,
    /// More strings, integers, lists and dictionaries than [`BENCODE_TOKENS_MAX`](crate::base::limits::BENCODE_TOKENS_MAX).
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

/// Why a dictionary may not mean the same to two readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysFault<'a> {
    /// This key stands there twice.
    Twice(&'a [u8]),
    /// There are too many to find out.
    TooMany,
}
