//! Command lines out of bytes: any cut gives the same lines, and none grows without end.

use crate::base::limits::COMMAND_BYTES_MAX;

/// What came instead of, or as, a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end. Bytes that are not UTF-8 are replaced by U+FFFD, which no command contains.
    Text(String),
    /// A line of more than [`COMMAND_BYTES_MAX`] bytes; it is dropped up to its end.
    TooLong,
}

/// Cuts what is typed into lines. Holds at most [`COMMAND_BYTES_MAX`] bytes and one push.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
    /// Bytes at the front of `pending` that have been given out.
    taken: usize,
    /// A line was too long; its end has not come yet.
    skipping: bool,
}

impl Lines {
    /// Adds what was read. Call when [`Lines::next`] has nothing more, so that nothing piles up.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.taken);
        self.taken = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole line.
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let rest = self.pending.get(self.taken..).unwrap_or_default();
            let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
                return self.overlong_without_end(rest.len());
            };
            let line = judge(&rest[..length]);
            self.taken += length + 1;
            if !core::mem::take(&mut self.skipping) {
                return Some(line);
            }
        }
    }

    /// What is left when the input has ended: a line without its end counts.
    pub fn finish(&mut self) -> Option<Line> {
        let rest = core::mem::take(&mut self.pending);
        let rest = rest.get(core::mem::take(&mut self.taken)..).unwrap_or_default();
        (!rest.is_empty() && !self.skipping).then(|| judge(rest))
    }

    /// Gives up a line whose first `length` bytes are here, if that is too many; says so once.
    fn overlong_without_end(&mut self, length: usize) -> Option<Line> {
        let first = length > COMMAND_BYTES_MAX && !self.skipping;
        self.skipping |= first;
        if self.skipping {
            self.pending.clear();
            self.taken = 0;
        }
        first.then_some(Line::TooLong)
    }
}

/// The line that these bytes are.
fn judge(bytes: &[u8]) -> Line {
    match bytes.len() {
        0..=COMMAND_BYTES_MAX => Line::Text(String::from_utf8_lossy(bytes).into_owned()),
        _ => Line::TooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            found.extend(core::iter::from_fn(|| lines.next()));
            assert!(lines.pending.len() <= COMMAND_BYTES_MAX + chunk.len());
        }
        found.extend(lines.finish());
        found
    }

    fn text(line: &str) -> Line {
        Line::Text(line.into())
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        let typed = b"status\r\n\nadd 1.2.3.4:5\npeers";
        let expected = [text("status\r"), text(""), text("add 1.2.3.4:5"), text("peers")];
        for first in 0..typed.len() {
            for second in first..typed.len() {
                assert_eq!(all(&[&typed[..first], &typed[first..second], &typed[second..]]), expected);
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_said_once_and_the_next_one_counts() {
        let long = vec![b'x'; COMMAND_BYTES_MAX + 1];
        let cases: [&[&[u8]]; 4] = [
            &[&long, b"\nquit\n"],
            &[&long, &long, b"xx", b"y\nquit"],
            &[&[&long[..], b"\nquit\n"].concat()],
            &[&long[1..], b"x", b"\n", b"quit"],
        ];
        for case in cases {
            assert_eq!(all(case), [Line::TooLong, text("quit")]);
        }
        assert_eq!(all(&[&long]), [Line::TooLong], "its end never comes");
        assert_eq!(all(&[&long[1..]]).len(), 1, "the longest that counts");
        assert_ne!(all(&[&long[1..]]), [Line::TooLong]);
    }

    #[test]
    fn bytes_that_are_no_text_stay_one_line() {
        assert_eq!(all(&[b"\xff\xfe\x00quit\n"]), [text("\u{fffd}\u{fffd}\0quit")]);
        assert_eq!(all(&[]), []);
        assert_eq!(all(&[b"\n"]), [text("")]);
    }
}
