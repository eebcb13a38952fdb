//! Which client a peer id (BEP 20) claims to be of. People read the result; nothing depends on it.

use crate::base::PeerId;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Codes of ids like `-TR4060-…` (BEP 20, "Azureus style").
const AZUREUS_STYLE: [(&[u8; 2], &str); 24] = [
    (b"AZ", "Vuze"),
    (b"BC", "BitComet"),
    (b"BI", "BiglyBT"),
    (b"BT", "BitTorrent"),
    (b"DE", "Deluge"),
    (b"FD", "Free Download Manager"),
    (b"FL", "Folx"),
    (b"GT", "anacrolix/torrent"),
    (b"KT", "KTorrent"),
    (b"LT", "libtorrent"),
    (b"PI", "PicoTorrent"),
    (b"SD", "Thunder"),
    (b"TL", "Tribler"),
    (b"TR", "Transmission"),
    (b"UE", "uTorrent Embedded"),
    (b"UM", "uTorrent Mac"),
    (b"UT", "uTorrent"),
    (b"UW", "uTorrent Web"),
    (b"WD", "WebTorrent Desktop"),
    (b"WW", "WebTorrent"),
    (b"XL", "Xunlei"),
    (b"lt", "rTorrent's libTorrent"),
    (b"qB", "qBittorrent"),
    (b"rQ", "rqbit"),
];

/// Codes of ids like `A2-1-37-0-…` or `M7-4-3--…`, where the version stands in decimal numbers.
const DASHED_STYLE: [(&[u8], &str); 2] = [(b"A2-", "aria2"), (b"M", "BitTorrent")];

/// Client and version, as far as the id tells them; else its first eight bytes, escaped. Always printable ASCII.
pub fn client_name(id: &PeerId) -> String {
    azureus_style(&id.0)
        .or_else(|| dashed_style(&id.0))
        .unwrap_or_else(|| id.0[..8].escape_ascii().to_string())
}

fn azureus_style(id: &[u8; 20]) -> Option<String> {
    let [b'-', a, b, version @ .., b'-'] = id.first_chunk::<8>()? else { return None };
    let code = [*a, *b];
    if !code.iter().chain(version).all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let known = AZUREUS_STYLE.iter().find(|(known, _)| **known == code);
    let name = known.map_or_else(|| code.escape_ascii().to_string(), |(_, name)| (*name).to_string());
    Some(format!("{name} {}", azureus_version(code, version)))
}

/// Four characters, each a digit of base 36; the last often tells only that it is a release.
fn azureus_version(code: [u8; 2], version: &[u8]) -> String {
    let number = |nth: usize| version.get(nth).and_then(|&c| char::from(c).to_digit(36)).unwrap_or(0);
    let (major, minor, patch) = (number(0), number(1), number(2));
    match version.get(3) {
        // Transmission counted 2.93, 2.94, 3.00 before it counted 4.0.0.
        _ if code == *b"TR" && major < 4 => format!("{major}.{minor}{patch}"),
        Some(build @ b'1'..=b'9') => format!("{major}.{minor}.{patch}.{}", char::from(*build)),
        _ => format!("{major}.{minor}.{patch}"),
    }
}

fn dashed_style(id: &[u8; 20]) -> Option<String> {
    let (code, name) = DASHED_STYLE.iter().find(|(code, _)| id.starts_with(code))?;
    let numbers = id.get(code.len()..)?.split(|&byte| byte == b'-').take(3);
    let text: Vec<&[u8]> = numbers.collect();
    let sound = |number: &&[u8]| (1..4).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
    (text.len() == 3 && text.iter().all(sound)).then(|| format!("{name} {}", text.join(&b'.').escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_ids_are_named() {
        let cases: [(&[u8; 20], &str); 13] = [
            (b"-TR4060-abcdefghijkl", "Transmission 4.0.6"),
            (b"-TR2940-abcdefghijkl", "Transmission 2.94"),
            (b"-TR3000-abcdefghijkl", "Transmission 3.00"),
            (b"-qB4630-abcdefghijkl", "qBittorrent 4.6.3"),
            (b"-LT20B0-abcdefghijkl", "libtorrent 2.0.11"),
            (b"-DE13F0-abcdefghijkl", "Deluge 1.3.15"),
            (b"-DE211s-abcdefghijkl", "Deluge 2.1.1"),
            (b"-UT3551-abcdefghijkl", "uTorrent 3.5.5.1"),
            (b"A2-1-37-0-abcdefghij", "aria2 1.37.0"),
            (b"M7-10-5--abcdefghijk", "BitTorrent 7.10.5"),
            (b"-XX1234-abcdefghijkl", "XX 1.2.3.4"),
            (b"-TR40\x1b0-abcdefghijkl", "-TR40\\x1b0-"),
            (b"\x00\xff\"quite\\other!!!!!!", r#"\x00\xff\"quite"#),
        ];
        for (id, name) in cases {
            assert_eq!(client_name(&PeerId(*id)), name);
        }
    }

    #[test]
    fn whatever_the_id_the_name_is_printable_and_short() {
        let mut rng = crate::base::Rng::new(5);
        for prefix in [&b""[..], b"-TR", b"A2-", b"M1-2-", b"-lt0D60"] {
            for _ in 0..500 {
                let mut id = [0; 20];
                rng.fill(&mut id);
                id[..prefix.len()].copy_from_slice(prefix);
                let name = client_name(&PeerId(id));
                assert!(name.len() <= 40 && name.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{name}");
            }
        }
    }
}
