//! What strangers wrote, made fit for a terminal: nothing in it can move the cursor, change the colour, reorder the line
//! or hide.

use crate::base::columns;
use core::fmt::{self, Write as _};

/// Shows bytes of unknown origin: readable text as it is; control characters, invisible and direction-changing
/// characters and bytes that are not UTF-8 escaped, as `\x1b`, `\u{202e}`.
///
/// For reading only: a backslash stands for itself, so the bytes cannot be told from it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printable<'a>(pub &'a [u8]);

impl<'a> Printable<'a> {
    /// The same within `columns` columns of a terminal; `…` takes the last one if something is left out.
    pub const fn within(self, columns: usize) -> Within<'a> {
        Within { bytes: self.0, columns }
    }

    fn signs(self) -> impl Iterator<Item = Sign> + 'a {
        self.0.utf8_chunks().flat_map(|chunk| {
            let valid =
                chunk.valid().chars().map(|c| if is_harmful(c) { Sign::Escaped(c) } else { Sign::Plain(c) });
            valid.chain(chunk.invalid().iter().map(|byte| Sign::Byte(*byte)))
        })
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.signs().try_for_each(|sign| sign.fmt(f))
    }
}

/// What a user typed: in quotes, escaped, and short enough for one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", Printable(self.0.as_bytes()).within(QUOTED_COLUMNS))
    }
}

/// Columns of what is shown of it: enough to recognise it.
const QUOTED_COLUMNS: usize = 60;

/// A [`Printable`] of bounded width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<'a> {
    bytes: &'a [u8],
    columns: usize,
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signs = || Printable(self.bytes).signs();
        let mut left = self.columns;
        let fits = signs().all(|sign| {
            let width = sign.columns();
            let room = width <= left;
            left = left.saturating_sub(width);
            room
        });
        if fits {
            return signs().try_for_each(|sign| sign.fmt(f));
        }
        let Some(mut left) = self.columns.checked_sub(1) else { return Ok(()) };
        for sign in signs() {
            let Some(rest) = left.checked_sub(sign.columns()) else { break };
            left = rest;
            sign.fmt(f)?;
        }
        f.write_char('…')
    }
}

/// A character as shown.
#[derive(Clone, Copy)]
enum Sign {
    Plain(char),
    Escaped(char),
    Byte(u8),
}

impl Sign {
    fn fmt(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(c) => f.write_char(c),
            Self::Escaped(c) if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c)),
            Self::Escaped(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
            Self::Byte(byte) => write!(f, "\\x{byte:02x}"),
        }
    }

    /// Columns it takes; never too few, for combining characters one too many.
    fn columns(self) -> usize {
        match self {
            Self::Plain(c) => columns::of(c).max(1),
            Self::Escaped(c) if !c.is_ascii() => 4 + (u32::from(c).ilog2() / 4 + 1) as usize,
            Self::Escaped(_) | Self::Byte(_) => 4,
        }
    }
}

/// True for characters that act on a terminal or a reader instead of being seen.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' // soft hyphen, joiner, Arabic mark, Mongolian
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' // fillers
            | '\u{200b}'..='\u{200f}' // zero width, directional marks
            | '\u{2028}'..='\u{202e}' // line and paragraph separators, directional overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, directional isolates
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}' // byte order mark, interlinear annotation
            | '\u{1d173}'..='\u{1d17a}' // marks of musical notation
            | '\u{e0000}'..='\u{e0fff}') // tags, selectors of variants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        let cases: [(&[u8], &str); 10] = [
            (b"plain name.iso", "plain name.iso"),
            ("Grüße, 世界 🐝".as_bytes(), "Grüße, 世界 🐝"),
            (b"\x1b[2J\x07", "\\x1b[2J\\x07"),
            (b"a\r\nb\0\x7f", "a\\x0d\\x0ab\\x00\\x7f"),
            ("\u{85}\u{9b}".as_bytes(), "\\u{85}\\u{9b}"),
            ("abc\u{202e}fdp.exe".as_bytes(), "abc\\u{202e}fdp.exe"),
            ("\u{2066}\u{2069}\u{200f}".as_bytes(), "\\u{2066}\\u{2069}\\u{200f}"),
            ("\u{feff}\u{200b}\u{2028}".as_bytes(), "\\u{feff}\\u{200b}\\u{2028}"),
            (b"\xff\xc3(\xe2\x82", "\\xff\\xc3(\\xe2\\x82"),
            (b"", ""),
        ];
        for (bytes, text) in cases {
            assert_eq!(Printable(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_width_is_never_passed() {
        let cases: [(&[u8], usize, &str); 11] = [
            (b"abcdef", 6, "abcdef"),
            (b"abcdef", 5, "abcd…"),
            (b"abcdef", 1, "…"),
            (b"abcdef", 0, ""),
            (b"", 0, ""),
            ("世界".as_bytes(), 4, "世界"),
            ("世界".as_bytes(), 3, "世…"),
            ("⚡✅".as_bytes(), 4, "⚡✅"),
            ("▶▶▶✅".as_bytes(), 4, "▶▶▶…"),
            (b"ab\x1b", 6, "ab\\x1b"),
            (b"ab\x1b", 5, "ab…"),
        ];
        for (bytes, columns, text) in cases {
            assert_eq!(Printable(bytes).within(columns).to_string(), text, "{columns}");
        }
    }

    #[test]
    fn what_was_typed_is_quoted_within_a_line() {
        assert_eq!(Quoted("a\x1bb").to_string(), "'a\\x1bb'");
        assert_eq!(Quoted(&"x".repeat(99)).to_string().chars().count(), QUOTED_COLUMNS + 2);
    }

    #[test]
    fn the_width_of_an_escape_is_the_width_of_its_text() {
        for c in ['\u{1b}', '\u{85}', '\u{202e}', '\u{e0001}'] {
            let text = Sign::Escaped(c);
            let mut buffer = [0; 4];
            let shown = Printable(c.encode_utf8(&mut buffer).as_bytes()).to_string();
            assert_eq!(text.columns(), shown.chars().count(), "{shown}");
        }
    }
}
