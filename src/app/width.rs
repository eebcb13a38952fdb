//! How many columns text takes on a terminal, so that lines fit and tables align.

use crate::base::columns::of as of_char;

/// Columns of a text without control characters.
pub fn of(text: &str) -> usize {
    text.chars().map(of_char).sum()
}

/// The text if it fits into `columns`, else its beginning and `…`.
pub fn cut(text: &str, columns: usize) -> String {
    if of(text) <= columns {
        return text.to_string();
    }
    let mut short = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += of_char(character);
        if used > columns {
            break;
        }
        short.push(character);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// The text, cut and filled with blanks, in exactly `columns`.
pub fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let blanks = columns.saturating_sub(of(&text));
    text + &" ".repeat(blanks)
}

/// Narrowest row whose continuation is indented, in columns.
const INDENTED_COLUMNS_MIN: usize = 40;

/// Breaks a line into rows of at most `columns`, which is 2 at least: at a blank where there is one in the
/// second half of the row, else anywhere. What follows a blank is indented, so that it is seen to belong to the row
/// above; what was one word stays whole for those who copy it. Colours (`ESC [ … m`) take no column.
pub fn rows(line: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut rest = line;
    let mut indent = 0;
    // Who has made his lines of blanks only shall not make ours of nothing else.
    let leading = line.bytes().take_while(|&byte| byte == b' ').count().min(columns / 2);
    loop {
        let (end, next) = row_end(rest, columns.saturating_sub(indent).max(2));
        rows.push(format!("{:indent$}{}", "", &rest[..end]));
        if next >= rest.len() {
            return rows;
        }
        indent = if next > end && columns >= INDENTED_COLUMNS_MIN { leading + 2 } else { 0 };
        rest = &rest[next..];
    }
}

/// Where the first row of `text` ends, and where the next one begins.
fn row_end(text: &str, columns: usize) -> (usize, usize) {
    let (mut used, mut is_colour, mut blank) = (0, false, None);
    for (at, character) in text.char_indices() {
        is_colour |= character == '\x1b';
        used += if is_colour { 0 } else { of_char(character) };
        is_colour &= character != 'm';
        if character == ' ' && used > columns / 2 {
            blank = Some(at);
        }
        if used > columns {
            return blank.map_or((at, at), |blank| (blank, blank + 1));
        }
    }
    (text.len(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_letters_count_as_the_terminal_counts_them() {
        for (text, columns) in
            [("abc", 3), ("日本", 4), ("e\u{301}", 1), ("", 0), ("…", 1), ("🦀", 2), ("⚡✅⌚⭐", 8)]
        {
            assert_eq!(of(text), columns, "{text}");
        }
    }

    #[test]
    fn cut_text_never_takes_more_than_it_may() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        for columns in 0..9 {
            assert!(of(&cut("日本語abc", columns)) <= columns, "{columns}");
            assert_eq!(of(&left("日本語", columns.max(1))), columns.max(1));
        }
    }

    #[test]
    fn rows_hold_everything() {
        assert_eq!(rows("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(rows("", 4), [""]);
        assert_eq!(rows("日本語", 5), ["日本", "語"]);
        assert_eq!(rows("abc", 0).concat(), "abc");
        assert_eq!(rows("one two three", 9), ["one two", "three"]);
        assert_eq!(rows("one two three", 7), ["one two", "three"]);
        assert_eq!(rows("a threefold", 6), ["a thre", "efold"]);
        assert_eq!(rows("abc ", 3), ["abc"]);
        let path = "/".repeat(90);
        assert_eq!(rows(&path, 80), ["/".repeat(80), "/".repeat(10)]);
        let sentence = format!("  {} of them {}", "x".repeat(30), "y".repeat(14));
        assert_eq!(
            rows(&sentence, 40),
            [format!("  {} of them", "x".repeat(30)), format!("    {}", "y".repeat(14))]
        );
        for line in [&" ".repeat(300), &"a ".repeat(300)] {
            assert!(rows(line, 60).iter().all(|row| of(row) <= 60), "{line}");
        }
        assert_eq!(rows("\x1b[31mab\x1b[0mcd", 3), ["\x1b[31mab\x1b[0mc", "d"]);
    }
}
