//! The one place that writes to stdout and stderr.
//!
//! **What goes where.** stdout has what was asked for: answers to typed commands, `--show`, the result of
//! `--check`, the summary, and with `--json` everything. stderr has what nobody asked for: progress, news,
//! warnings, errors.
//!
//! **Typing while a line is redrawn.** The terminal echoes what the user types at the cursor, long before we
//! see the line. A progress line redrawn in the cursor's row would wipe `sta` away half-typed. Therefore the
//! progress line has the row *above* the cursor, and the cursor's row belongs to the user:
//!
//! ```text
//!  45.2% [=======>         ] 1.67 of 3.70 GiB  11.2 MiB/s  3 m 10 s left  12 peers
//! sta_
//! ```
//!
//! Redrawing saves the cursor, goes up one row, writes, and comes back. A message takes a new row above both:
//! scroll by one (`ESC D` keeps the column), go up, insert a row, write, come back. When the user presses
//! Enter the line that was above stays where it is, as a record of that moment, the answer follows, and the
//! next progress line is drawn below it. All sequences are those of the VT102, which the Linux console, tmux,
//! screen and busybox's friends know.
//!
//! An empty Enter, or a typed line longer than a row, leaves an old progress line standing above; nothing that
//! was typed is lost by it.
//!
//! Nothing here waits for a slow reader to draw progress, no failed write ends a run, a reader who has seen enough is no
//! fault (`| head`), and a background job does not draw, since the shell has the cursor then.

use crate::app::{terminal, width};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A [`Console`] for the logger and the screen together.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Console>>);

impl Shared {
    /// Shares a console.
    pub fn new(console: Console) -> Self {
        Self(Arc::new(Mutex::new(console)))
    }

    /// The console, for the time of one message.
    pub fn lock(&self) -> MutexGuard<'_, Console> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both outputs, and the progress line that may stand on them.
#[derive(Debug)]
pub struct Console {
    /// stderr is a terminal on which a progress line may be redrawn.
    redraws: bool,
    colours: bool,
    /// stdout is that terminal too.
    answers_there: bool,
    /// The user types there: what he types ends with a new row of its own.
    types_there: bool,
    /// The progress line that stands in the row above the cursor.
    drawn: Option<String>,
    /// Why an answer could not be written.
    fault: Option<io::Error>,
}

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Stdout,
    Stderr,
}

impl Console {
    /// A console that draws a progress line if `may_redraw` and the terminal can.
    pub fn new(may_redraw: bool) -> Self {
        let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
        let redraws = may_redraw && terminal::can_redraw(stderr.as_fd());
        Self {
            redraws,
            colours: terminal::can_colour(stderr.as_fd()),
            answers_there: redraws && terminal::are_same_terminal(),
            types_there: redraws && stdin.is_terminal(),
            drawn: None,
            fault: None,
        }
    }

    /// Why the last answer that could not be written was lost, once.
    pub fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    /// True if [`Console::progress`] redraws one line; false if each call would be a line of its own.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// True if messages may be coloured.
    pub fn colours(&self) -> bool {
        self.colours
    }

    /// Columns that a progress line may take: the last one stays free, since writing there moves the cursor
    /// on some.
    pub fn columns(&self) -> usize {
        terminal::size(std::io::stderr().as_fd()).0 - 1
    }

    /// Columns of answers: those of the terminal, and as many as are usual where stdout is something else.
    pub fn answer_columns(&self) -> usize {
        if self.answers_there {
            terminal::size(std::io::stderr().as_fd()).0
        } else {
            terminal::SIZE_DEFAULT.0
        }
    }

    /// Writes lines that nobody asked for to stderr. `text` has no control characters but line feeds between
    /// lines and colours.
    pub fn news(&mut self, text: &str) {
        let is_above = self.drawn.is_some();
        let _ = self.message(To::Stderr, text, is_above);
    }

    /// Writes the answer to a command to stdout.
    pub fn answer(&mut self, text: &str) {
        // After Enter the typed line stands above the cursor, and the progress line above that: it stays
        // there.
        self.drawn = self.drawn.take().filter(|_| !self.types_there);
        let written = if self.answers_there {
            self.message(To::Stdout, text, self.drawn.is_some())
        } else {
            write(To::Stdout, format!("{text}\n").as_bytes())
        };
        let is_heard = |error: &io::Error| {
            error.kind() != ErrorKind::BrokenPipe && !terminal::is_gone(io::stdout().as_fd())
        };
        self.fault = written.err().filter(is_heard).or(self.fault.take());
    }

    /// Draws the progress line, which must fit into [`Console::columns`], or writes it as a line of its own
    /// where nothing is redrawn. Left out when the output would block.
    pub fn progress(&mut self, line: &str) {
        let stderr = std::io::stderr();
        let is_idle = self.drawn.as_deref() == Some(line);
        if is_idle || !terminal::takes_bytes(stderr.as_fd()) {
            return;
        }
        if !self.redraws {
            let _ = write(To::Stderr, format!("{line}\n").as_bytes());
            return;
        }
        if !terminal::is_foreground(stderr.as_fd()) {
            self.drawn = None;
            return;
        }
        let bytes = match self.drawn {
            Some(_) => format!("\x1b7\x1b[A\r{line}\x1b[K\x1b8"),
            None => above(&[line], false),
        };
        let _ = write(To::Stderr, bytes.as_bytes());
        self.drawn = Some(line.to_string());
    }

    /// Writes a line to stdout unless that would block: what comes again soon may be left out.
    pub fn offer(&mut self, line: &str) {
        if terminal::takes_bytes(std::io::stdout().as_fd()) {
            self.answer(line);
        }
    }

    /// The terminal has another size: what was drawn may be anywhere, and is left there.
    pub fn resized(&mut self) {
        self.drawn = None;
    }

    /// Takes the progress line away, for the end.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() && terminal::is_foreground(std::io::stderr().as_fd()) {
            let _ = write(To::Stderr, b"\r\x1b[A\x1b[J");
        }
    }

    fn message(&self, to: To, text: &str, is_above: bool) -> io::Result<()> {
        let stderr = std::io::stderr();
        if !self.redraws || !terminal::is_foreground(stderr.as_fd()) {
            return write(to, format!("{text}\n").as_bytes());
        }
        let (columns, height) = terminal::size(stderr.as_fd());
        let rows: Vec<String> = text.lines().flat_map(|line| width::rows(line, columns)).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        // No more at a time than the screen has rows for, or the top ones would be written over.
        let bytes: String =
            rows.chunks(height.saturating_sub(3).max(1)).map(|rows| above(rows, is_above)).collect();
        write(to, bytes.as_bytes())
    }
}

/// What writes `rows` above the cursor's row, and above the progress line if that `is_above` it; the cursor
/// stays in its row and column, among what the user is typing.
fn above(rows: &[&str], is_above: bool) -> String {
    let count = rows.len();
    let up = count + usize::from(is_above);
    format!("{}\x1b7\x1b[{up}A\r\x1b[{count}L{}\x1b8", "\x1bD".repeat(count), rows.join("\r\n"))
}

/// One write for the whole message, so that others' lines do not come between.
fn write(to: To, bytes: &[u8]) -> io::Result<()> {
    match to {
        To::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        To::Stderr => io::stderr().lock().write_all(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_scrolls_by_its_own_rows_and_comes_back() {
        assert_eq!(above(&["a"], false), "\x1bD\x1b7\x1b[1A\r\x1b[1La\x1b8");
        assert_eq!(above(&["a", "b"], true), "\x1bD\x1bD\x1b7\x1b[3A\r\x1b[2La\r\nb\x1b8");
    }
}
