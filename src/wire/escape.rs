//! Bytes as text that fits into a URL (RFC 3986) or a header (RFC 4648).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Appends `bytes` to `out` with everything outside the unreserved set escaped (RFC 3986, 2.3).
pub fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}"); // a String takes everything
            }
        }
    }
}

/// Undoes percent-escapes; what is not a whole escape stays as it is.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, after @ ..]) => hex_pair(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((first, after));
        out.push(byte);
        rest = after;
    }
    out
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Base 64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_rfc() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, coded) in cases {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    #[test]
    fn escapes_are_undone_and_rubbish_is_kept() {
        let cases = [("a%20b%2Fc", "a b/c"), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%%41", "%A")];
        for (text, wanted) in cases {
            assert_eq!(unescaped(text), wanted.as_bytes(), "{text}");
        }
    }

    #[test]
    fn every_byte_outside_the_unreserved_set_is_escaped() {
        let mut out = String::new();
        escape(b"\x00 aZ09-._~+/%&=\xff", &mut out);
        assert_eq!(out, "%00%20aZ09-._~%2B%2F%25%26%3D%FF");
    }
}
