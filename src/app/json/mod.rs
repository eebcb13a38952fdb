//! `--json`: on stdout one object a line, its `type` first. Names of keys carry their units; keys are only
//! ever added.
//!
//! | `type` | when | keys |
//! |---|---|---|
//! | `torrent` | at the start, `--show`, `info` | `torrent` (its number) `file` `name` `info_hash` `size_bytes` `piece_bytes` `pieces` `private` `hybrid` `output` `trackers` (of `tier` `url`) `web_seeds` `comment` `created_by` `creation_date` (seconds since 1970) `cleaned` `files` (of `path` `size_bytes`) |
//! | `progress` | once a second, if anything changed | as `status` |
//! | `status` | `status` | `torrents` (of `torrent` `name` `info_hash` `phase` `size_bytes` `done_bytes` `pieces` `pieces_have` `pieces_open` `pieces_checked` `pieces_unreadable` `downloaded_bytes` `uploaded_bytes` `ratio_permille` `duplicate_bytes` `corrupt_bytes` `down_bytes_per_second` `up_bytes_per_second` `time_left_seconds` `peers` `seeds` `useful` (has what we lack) `willing` (and lets us ask) `connecting` `known` `next_announce_seconds` `trackers` `trackers_good` `swarm_seeds` `swarm_leechers` `fault` `missing_bytes`) `buffered_bytes` `buffer_limit_bytes` `down_limit_bytes_per_second` `up_limit_bytes_per_second` (0: none) |
//! | `peers` | `peers` | `peers` (of `torrent` `address` `client` `flags` `down_bytes_per_second` `up_bytes_per_second` `downloaded_bytes` `uploaded_bytes` `has_permille` `requests` `requests_max`) |
//! | `files` | `files` | `files` (of `torrent` `path` `size_bytes` `done_bytes`) |
//! | `trackers` | `trackers` | `trackers` (of `torrent` `tier` `url` `kind` `state` `why` `peers` `seeds` `leechers` `downloads` `next_seconds`) |
//! | `help` | `help` | `commands` (of `command` `what`) |
//! | `done` | other commands | `text` |
//! | `command_fault` | a line that is no command | `text` |
//! | `checked` `complete` `given_enough` `peer_connected` `peer_gone` `peer_banned` `piece_failed` `piece_stored` `tracker_answered` `tracker_failed` `tracker_skipped` `tracker_warning` `resumed` `state_not_saved` `storage_fault` `storage_recovered` | events, as loud as `-v` asks | `torrent` `level` `text` and what the event has: `good` `unreadable` `believed` `doubtful_files` `pieces` `piece` `peers` `downloaded_bytes` `took_seconds` `stays` `by_ratio` `address` `why` `guilty` `url` `next_seconds` `file` `os_error` `retried` |
//! | `created` | `--create` | `path` `info_hash` |
//! | `error` | what ends the run early; the same line is on stderr | `text` `exit_code` |
//! | `summary` | last of a run | `exit_code` `took_seconds` `torrents` as in `status` and with `output` |
//!
//! Strings are UTF-8. Bytes that are not (names of files, of clients) have U+FFFD where they are not, and all
//! of them in hexadecimal beside it, under the same key with `_hex` at its end. What is not known is `null`.

mod answers;
mod events;
mod torrent;

pub use answers::{answer, progress, summary};
pub use events::event;
pub use torrent::torrent;

use crate::base::text::is_harmful;
use std::fmt::Write;

/// One object being written.
#[derive(Debug)]
pub struct Object {
    text: String,
}

impl Object {
    /// An object of a line, with its type.
    pub fn new(kind: &str) -> Self {
        Self::inner().text("type", kind)
    }

    /// An object within another.
    pub fn inner() -> Self {
        Self { text: String::from("{") }
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        let _ = write!(self.text, "\"{key}\":");
    }

    /// A string.
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        push_string(&mut self.text, value);
        self
    }

    /// Bytes that should be UTF-8; if they are not, `key_hex` has them all.
    pub fn bytes(self, key: &str, value: &[u8]) -> Self {
        let object = self.text(key, &String::from_utf8_lossy(value));
        if std::str::from_utf8(value).is_ok() {
            return object;
        }
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        object.text(&format!("{key}_hex"), &hex)
    }

    /// A number. Readers that hold numbers as `f64` are exact up to 8 PiB.
    pub fn number(self, key: &str, value: impl Into<i128>) -> Self {
        self.raw(key, value.into())
    }

    /// A number, or `null`.
    pub fn maybe(self, key: &str, value: Option<impl Into<i128>>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self.raw(key, "null"),
        }
    }

    /// A time span in seconds and milliseconds, or `null`.
    pub fn seconds(self, key: &str, value: Option<std::time::Duration>) -> Self {
        match value {
            Some(span) => self.raw(key, format_args!("{}.{:03}", span.as_secs(), span.subsec_millis())),
            None => self.raw(key, "null"),
        }
    }

    /// True or false.
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, value)
    }

    /// Objects.
    pub fn list(mut self, key: &str, items: impl IntoIterator<Item = Self>) -> Self {
        self.key(key);
        self.items(items, |text, item| text.push_str(&item.end()));
        self
    }

    /// Strings.
    pub fn texts<'a>(mut self, key: &str, items: impl IntoIterator<Item = &'a str>) -> Self {
        self.key(key);
        self.items(items, push_string);
        self
    }

    fn items<T>(&mut self, items: impl IntoIterator<Item = T>, mut push: impl FnMut(&mut String, T)) {
        self.text.push('[');
        for (nth, item) in items.into_iter().enumerate() {
            if nth > 0 {
                self.text.push(',');
            }
            push(&mut self.text, item);
        }
        self.text.push(']');
    }

    fn raw(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.key(key);
        let _ = write!(self.text, "{value}");
        self
    }

    /// The finished line, without a line feed.
    pub fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// Writes a JSON string (RFC 8259). Everything that a terminal could act on is escaped too, as JSON allows,
/// so that looking at the output is safe.
fn push_string(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if is_harmful(c) => {
                // Characters beyond the first 65,536 are two surrogates in JSON.
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn values_are_written_as_the_standard_says() {
        let object = Object::new("x")
            .text("quote", "a\"b\\c\nd\u{1b}\u{7f}\u{202e}é")
            .number("most", u64::MAX)
            .maybe("none", None::<u64>)
            .seconds("wait_seconds", Some(Duration::from_millis(1_050)))
            .flag("yes", true)
            .texts("texts", ["a", "b"])
            .list("list", [Object::inner().number("n", -1_i64), Object::inner()]);
        let expected = r#"{"type":"x","quote":"a\"b\\c\nd\u001b\u007f\u202eé","most":18446744073709551615,"none":null,"wait_seconds":1.050,"yes":true,"texts":["a","b"],"list":[{"n":-1},{}]}"#;
        assert_eq!(object.end(), expected);
    }

    #[test]
    fn every_key_and_every_event_stands_in_the_table() {
        let table = include_str!("mod.rs").split("mod answers;").next().unwrap();
        let sources = [include_str!("answers.rs"), include_str!("events.rs"), include_str!("torrent.rs")];
        let mut seen = 0;
        for source in sources.map(|source| source.split("#[cfg(test)]").next().unwrap()) {
            let calls = [
                ".number(",
                ".maybe(",
                ".text(",
                ".texts(",
                ".bytes(",
                ".seconds(",
                ".flag(",
                ".list(",
                "::new(",
            ];
            let keys = calls.iter().flat_map(|call| source.split(call).skip(1));
            let kinds = source.split("Note::").skip(1).filter_map(|rest| rest.split_once("} => "));
            let kinds = kinds.map(|(_, rest)| rest);
            for word in keys.chain(kinds).filter_map(|rest| rest.trim_start().strip_prefix('"')) {
                let word = word.split('"').next().unwrap();
                assert!(table.contains(&format!("`{word}`")), "{word} is not in the table");
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped_beyond_the_first_plane_too() {
        let text = "\u{9b}2J\u{feff}\u{61c}\u{e0041}\u{3164}";
        let expected = r#"{"x":"\u009b2J\ufeff\u061c\udb40\udc41\u3164"}"#;
        assert_eq!(Object::inner().text("x", text).end(), expected);
    }

    #[test]
    fn bytes_that_are_no_text_come_in_hexadecimal_too() {
        assert_eq!(Object::inner().bytes("name", b"ok").end(), r#"{"name":"ok"}"#);
        assert_eq!(
            Object::inner().bytes("name", b"a\xff").end(),
            "{\"name\":\"a\u{fffd}\",\"name_hex\":\"61ff\"}"
        );
    }
}
