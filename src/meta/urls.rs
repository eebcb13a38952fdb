//! The URLs of a `.torrent`: trackers in tiers (BEP 12) and web seeds (BEP 19). Here only the text is checked; who speaks
//! a scheme decides about it.

use super::cleaned::Cleaned;
use crate::base::Printable;
use crate::base::limits::{TRACKERS_MAX, URL_BYTES_MAX, WEB_SEEDS_MAX};
use crate::wire::bencode::Value;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// Entries looked at for each that may be kept, so that repeated and bad ones cost no time.
const LOOKED_AT_PER_KEPT: usize = 20;

/// The trackers in tiers: of `announce-list` where it names any, else of `announce`. Each URL once, at most
/// [`TRACKERS_MAX`], no tier empty. A flat list of URLs, which some programs write, is one tier for each.
pub(super) fn tiers(
    announce: Option<Value<'_>>,
    list: Option<Value<'_>>,
    cleaned: &mut Cleaned,
) -> Vec<Vec<String>> {
    let mut urls = Urls::new("tracker", TRACKERS_MAX);
    let mut tiers: Vec<Vec<String>> = Vec::new();
    for tier in list.and_then(Value::as_list).into_iter().flatten() {
        if urls.is_exhausted(cleaned) {
            break;
        }
        let entries = tier.as_list().map(|list| list.iter());
        let single = entries.is_none().then_some(tier);
        tiers.push(urls.take(entries.into_iter().flatten().chain(single), &tiers, cleaned));
        if tiers.last().is_some_and(Vec::is_empty) {
            tiers.pop();
        }
    }
    if tiers.is_empty() {
        tiers.push(urls.take(announce.into_iter(), &[], cleaned));
        tiers.retain(|tier| !tier.is_empty());
    }
    tiers
}

/// The web seeds: `url-list` is one URL or a list of them. Each once, at most [`WEB_SEEDS_MAX`].
pub(super) fn web_seeds(url_list: Option<Value<'_>>, cleaned: &mut Cleaned) -> Vec<String> {
    let list = url_list.and_then(Value::as_list).into_iter().flatten();
    let single = url_list.filter(|value| value.as_bytes().is_some());
    Urls::new("web seed", WEB_SEEDS_MAX).take(list.chain(single), &[], cleaned)
}

/// Picks good URLs up to a number.
struct Urls {
    kind: &'static str,
    room: usize,
    looks: usize,
    told: bool,
}

impl Urls {
    fn new(kind: &'static str, max: usize) -> Self {
        Self { kind, room: max, looks: max * LOOKED_AT_PER_KEPT, told: false }
    }

    fn is_exhausted(&mut self, cleaned: &mut Cleaned) -> bool {
        let exhausted = self.room == 0 || self.looks == 0;
        if exhausted && !self.told {
            self.told = true;
            cleaned.note(format_args!("too many {}s: the rest of them is left out", self.kind));
        }
        self.looks = self.looks.saturating_sub(1);
        exhausted
    }

    /// The good ones of `entries` that are not in `tiers` yet.
    fn take<'a>(
        &mut self,
        entries: impl Iterator<Item = Value<'a>>,
        tiers: &[Vec<String>],
        cleaned: &mut Cleaned,
    ) -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for entry in entries {
            if self.is_exhausted(cleaned) {
                break;
            }
            let text = entry.as_bytes().unwrap_or_default().trim_ascii();
            match check_url(text) {
                Ok(url) if tiers.iter().flatten().chain(&kept).any(|known| known == url) => {}
                Ok(url) => {
                    self.room -= 1;
                    kept.push(url.to_owned());
                }
                // Empty entries are left by programs that write an empty line of their form.
                Err(_) if text.is_empty() => {}
                Err(why) => {
                    let shown = Printable(text).within(80);
                    cleaned.note(format_args!("{} \"{shown}\" is left out: {why}", self.kind));
                }
            }
        }
        kept
    }
}

/// The URL that `text` is, if it could be one: `scheme://rest` in UTF-8 without white space or control characters, which
/// would end the line of a request or a log.
pub fn check_url(text: &[u8]) -> Result<&str, &'static str> {
    if text.len() > URL_BYTES_MAX {
        return Err("it is too long");
    }
    let url = core::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it contains white space or control characters");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it is no URL")?;
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if scheme.is_empty() || !is_scheme || rest.is_empty() {
        return Err("it is no URL");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bencode::{parse, parse_dict};

    fn read(announce: &str, list: &str) -> (Vec<Vec<String>>, Vec<String>) {
        let mut cleaned = Cleaned::default();
        let announce = format!("{}:{announce}", announce.len());
        let announce = (announce != "0:").then(|| parse(announce.as_bytes()).unwrap());
        let list = (!list.is_empty()).then(|| parse(list.as_bytes()).unwrap());
        (tiers(announce, list, &mut cleaned), cleaned.into_lines())
    }

    #[test]
    fn tiers_are_read_in_every_shape() {
        let cases: [(&str, &str, &[&[&str]]); 9] = [
            ("http://a/x", "", &[&["http://a/x"]]),
            (" http://a/x\n", "", &[&["http://a/x"]]),
            ("", "", &[]),
            (
                "http://a/x",
                "ll8:udp://b/8:udp://c/el8:udp://d/ee",
                &[&["udp://b/", "udp://c/"], &["udp://d/"]],
            ),
            ("http://a/x", "le", &[&["http://a/x"]]),
            ("http://a/x", "ll0:elee", &[&["http://a/x"]]),
            ("http://a/x", "i5e", &[&["http://a/x"]]),
            ("", "l8:udp://b/8:udp://c/e", &[&["udp://b/"], &["udp://c/"]]),
            ("", "ll8:udp://b/8:udp://b/el8:udp://b/i7eee", &[&["udp://b/"]]),
        ];
        for (announce, list, expected) in cases {
            assert_eq!(
                read(announce, list),
                (expected.iter().map(|t| t.iter().map(|u| (*u).to_string()).collect()).collect(), vec![])
            );
        }
    }

    #[test]
    fn urls_that_could_do_harm_are_left_out_with_a_line() {
        for bad in [
            "http://a/\r\nHost: b",
            "http://a b/",
            "a/announce",
            "://x",
            "http://",
            "ht tp://x",
            "http://\u{85}",
        ] {
            let (tiers, lines) = read(bad, "");
            assert_eq!((tiers.len(), lines.len()), (0, 1), "{bad:?}");
            assert!(lines[0].starts_with("tracker \"") && !lines[0].contains('\n'), "{lines:?}");
        }
        assert_eq!(read(&format!("http://{}", "x".repeat(URL_BYTES_MAX)), "").0.len(), 0);
        assert_eq!(check_url(b"http://\xff/"), Err("it is not UTF-8"));
    }

    #[test]
    fn a_flood_of_trackers_is_cut() {
        let list: String = (0..1000).map(|n| format!("l13:http://x/{n:04}e")).collect();
        let (tiers, lines) = read("", &format!("l{list}e"));
        assert_eq!((tiers.len(), lines.len()), (TRACKERS_MAX, 1));
        let (tiers, lines) = read("", &format!("l{}e", "l8:udp://b/e".repeat(100_000)));
        assert_eq!((tiers.len(), lines.len()), (1, 1));
    }

    #[test]
    fn web_seeds_are_one_or_many() {
        let read = |text: &'static [u8]| {
            let dict = parse_dict(text).unwrap();
            web_seeds(dict.get(b"url-list"), &mut Cleaned::default())
        };
        assert_eq!(read(b"d8:url-list8:http://ae"), ["http://a"]);
        assert_eq!(read(b"d8:url-listl8:http://a8:http://a8:http://bee"), ["http://a", "http://b"]);
        assert!(read(b"d8:url-list0:e").is_empty());
        assert!(read(b"d8:url-listi1ee").is_empty());
    }
}
