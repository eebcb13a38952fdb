//! The one pass over strangers' bytes: the grammar, checked without recursion.

use super::fault::{Fault, FaultKind};
use crate::base::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX};

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
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
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
pub(super) fn string(bytes: &[u8], at: usize) -> Result<(&[u8], usize), Fault> {
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
pub(super) fn integer(bytes: &[u8], at: usize) -> Result<(i64, usize), Fault> {
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
    use super::super::parse;
    use super::*;
    use std::time::{Duration, Instant};

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

    /// Time is only asserted generously: what must not happen is seconds, megabytes of stack, or minutes.
    fn fault_in_time(bytes: &[u8]) -> Fault {
        let start = Instant::now();
        let fault = std::thread::scope(|scope| {
            let small = std::thread::Builder::new().stack_size(32 << 10);
            small.spawn_scoped(scope, || parse(bytes).unwrap_err()).unwrap().join().unwrap()
        });
        assert!(start.elapsed() < Duration::from_secs(30), "{fault}");
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
