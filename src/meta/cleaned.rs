//! The lines that tell the user what was cleaned or left out of a `.torrent`.

use crate::base::limits::CLEANED_LINES_MAX;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Collects lines up to [`CLEANED_LINES_MAX`] and counts the rest.
#[derive(Debug, Default)]
pub struct Cleaned {
    lines: Vec<String>,
    more: usize,
}

impl Cleaned {
    /// Notes one thing that was cleaned; it is only put into words if there is room for them.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        if self.lines.len() < CLEANED_LINES_MAX {
            self.lines.push(alloc::fmt::format(line));
        } else {
            self.more += 1;
        }
    }

    /// The lines, with a last one for those that found no room.
    pub fn into_lines(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(alloc::format!("and {} more like these", self.more));
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_number() {
        let mut cleaned = Cleaned::default();
        (0..CLEANED_LINES_MAX + 5).for_each(|n| cleaned.note(format_args!("line {n}")));
        let lines = cleaned.into_lines();
        assert_eq!((lines.len(), lines[0].as_str()), (CLEANED_LINES_MAX + 1, "line 0"));
        assert_eq!(lines[CLEANED_LINES_MAX], "and 5 more like these");
    }
}
