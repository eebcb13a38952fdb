//! The one place where names of strangers become names on our disk, for `.torrent` files and magnet links alike.
//!
//! A component is cleaned, never refused: a torrent with one odd name is still worth having. What is done, in this order:
//!
//! | component | becomes | why |
//! |---|---|---|
//! | empty, `.` | `_` | names no file, or the directory itself |
//! | `..` | `__` | leaves the output directory |
//! | contains `/` or NUL | each replaced by `_` | would be several components, absolute, or end early |
//! | longer than 255 bytes | cut before the extension, between two characters | the file system refuses it |
//!
//! Everything else is kept byte by byte, whatever its encoding: control characters and spaces are unpleasant in a name
//! but harmless, and screens are looked after by [`Printable`](crate::base::Printable). So the result is always one
//! component, neither empty nor `.` nor `..`, and cleaning it again changes nothing.

use crate::base::limits::PATH_COMPONENT_BYTES_MAX;

/// An extension longer than this, in bytes with its dot, is taken for a part of the name.
const EXTENSION_BYTES_MAX: usize = 32;

/// Appends the clean form of `component` to `out`. True if it differs.
pub fn clean_component(component: &[u8], out: &mut alloc::vec::Vec<u8>) -> bool {
    let safe = |byte: &u8| if matches!(byte, b'/' | 0) { b'_' } else { *byte };
    match component {
        b"" | b"." => out.push(b'_'),
        b".." => out.extend_from_slice(b"__"),
        _ if component.len() > PATH_COMPONENT_BYTES_MAX => {
            let (stem, extension) = shorten(component, PATH_COMPONENT_BYTES_MAX);
            out.extend(stem.iter().chain(extension).map(safe));
        }
        _ if !component.iter().any(|byte| matches!(byte, b'/' | 0)) => {
            out.extend_from_slice(component);
            return false;
        }
        _ => out.extend(component.iter().map(safe)),
    }
    true
}

/// The beginning and the extension of `name` that together are at most `bytes_max` bytes, which must be more than an
/// extension takes.
pub fn shorten(name: &[u8], bytes_max: usize) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).unwrap_or(name.len());
    let dot = if name.len() - dot > EXTENSION_BYTES_MAX { name.len() } else { dot };
    let (stem, extension) = name.split_at(dot);
    let mut end = stem.len().min(bytes_max - extension.len());
    // Not within a character of UTF-8, whose later bytes are at most three.
    let longest_back_off = end.saturating_sub(3);
    if end < stem.len() {
        let boundary = (longest_back_off..=end).rev().find(|at| stem[*at] & 0xc0 != 0x80);
        end = boundary.filter(|at| *at > 0).unwrap_or(end);
    }
    (&stem[..end], extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(component: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let changed = clean_component(component, &mut out);
        assert_eq!(changed, out != component);
        out
    }

    #[test]
    fn names_that_lead_astray_are_cleaned() {
        let cases: [(&[u8], &[u8]); 12] = [
            (b"", b"_"),
            (b".", b"_"),
            (b"..", b"__"),
            (b"/", b"_"),
            (b"/etc/passwd", b"_etc_passwd"),
            (b"a/../../x", b"a_.._.._x"),
            (b"nul\0byte", b"nul_byte"),
            (b"...", b"..."),
            (b".hidden", b".hidden"),
            (b"C:\\x", b"C:\\x"),
            (b"\xff\xfe", b"\xff\xfe"),
            (b"two words\n", b"two words\n"),
        ];
        for (name, cleaned) in cases {
            assert_eq!(clean(name), cleaned, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn long_names_keep_their_extension_and_whole_characters() {
        let long = clean(&[b"x".repeat(300), b".tar.gz".to_vec()].concat());
        assert_eq!((long.len(), &long[252..]), (255, &b".gz"[..]));
        let umlauts = clean(&["ü".repeat(200).as_bytes(), b".mp3"].concat());
        assert_eq!(core::str::from_utf8(&umlauts).unwrap(), "ü".repeat(125) + ".mp3");
        assert_eq!(clean(&b"y".repeat(256)).len(), 255, "no extension");
        assert_eq!(
            clean(&[b"a.".to_vec(), b"z".repeat(300)].concat()).len(),
            255,
            "an extension of 300 bytes is none"
        );
        assert_eq!(clean(&[b".".to_vec(), b"z".repeat(300)].concat()).len(), 255, "a hidden file");
        assert_eq!(clean(&vec![0x80; 300]).len(), 255, "no UTF-8 at all");
        assert_eq!(clean(&b"/".repeat(300)), b"_".repeat(255));
    }

    #[test]
    fn cleaning_twice_changes_nothing() {
        for length in 0..600 {
            let name: Vec<u8> = (0..length).map(|n| b"/.\0a\xc3\xbc"[n * n % 6]).collect();
            let once = clean(&name);
            assert_eq!(clean(&once), once);
        }
    }
}
