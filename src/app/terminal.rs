//! What the operating system says about our three descriptors: terminal or not, how wide, whose turn it is.

use crate::rim::sys;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};

/// Narrowest terminal that is drawn for, in columns.
const COLUMNS_MIN: usize = 20;
/// Size assumed where the terminal does not tell, in columns and rows.
pub const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// True if lines may be redrawn there: a terminal, and one that can move its cursor.
pub fn can_redraw(descriptor: BorrowedFd<'_>) -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    descriptor.is_terminal() && !dumb
}

/// True if colours are welcome there: it can redraw, and `NO_COLOR` is unset or empty
/// (<https://no-color.org>).
pub fn can_colour(descriptor: BorrowedFd<'_>) -> bool {
    can_redraw(descriptor) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns and rows of the terminal.
pub fn size(descriptor: BorrowedFd<'_>) -> (usize, usize) {
    let (columns, rows) = sys::terminal_size(descriptor).unwrap_or((0, 0));
    let from_environment = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    let columns = match columns {
        0 => from_environment().unwrap_or(SIZE_DEFAULT.0),
        columns => usize::from(columns),
    };
    let rows = if rows > 0 { usize::from(rows) } else { SIZE_DEFAULT.1 };
    (columns.max(COLUMNS_MIN), rows)
}

/// True unless we are a background job of this terminal's shell, which then has the cursor.
pub fn is_foreground(descriptor: BorrowedFd<'_>) -> bool {
    !sys::is_in_background(descriptor)
}

/// True if a short write would not wait: the reader of a pipe keeps up, the terminal is not stopped by
/// Ctrl-S.
pub fn takes_bytes(descriptor: BorrowedFd<'_>) -> bool {
    sys::is_writable(descriptor)
}

/// True if nobody is left to read: the terminal is closed, nobody holds the other end of the pipe.
pub fn is_gone(descriptor: BorrowedFd<'_>) -> bool {
    sys::is_hung_up(descriptor)
}

/// True if stdout and stderr are one and the same terminal, as they are unless somebody redirects.
pub fn are_same_terminal() -> bool {
    let device = |descriptor: BorrowedFd<'_>| {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::File::from(descriptor.try_clone_to_owned().ok()?);
        file.metadata().ok().map(|metadata| metadata.rdev())
    };
    let (out, err) = (std::io::stdout(), std::io::stderr());
    out.is_terminal() && err.is_terminal() && device(out.as_fd()) == device(err.as_fd())
}
