//! What the operating system says about our three descriptors: terminal or not, how wide, whose turn it is.

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Narrowest terminal that is drawn for, in columns.
const COLUMNS_MIN: usize = 20;
/// Size assumed where the terminal does not tell, in columns and rows.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

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
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` through the pointer, which is valid and exclusive for the call.
    let told = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
    let from_environment = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    let columns = match size.ws_col {
        columns if told && columns > 0 => usize::from(columns),
        _ => from_environment().unwrap_or(SIZE_DEFAULT.0),
    };
    let rows = if told && size.ws_row > 0 { usize::from(size.ws_row) } else { SIZE_DEFAULT.1 };
    (columns.max(COLUMNS_MIN), rows)
}

/// True unless we are a background job of this terminal's shell, which then has the cursor.
pub fn is_foreground(descriptor: BorrowedFd<'_>) -> bool {
    // SAFETY: both calls take and return plain numbers and touch no memory of ours.
    let (owner, ours) = unsafe { (libc::tcgetpgrp(descriptor.as_raw_fd()), libc::getpgrp()) };
    owner == -1 || owner == ours
}

/// True if a short write would not wait: the reader of a pipe keeps up, the terminal is not stopped by
/// Ctrl-S.
pub fn takes_bytes(descriptor: BorrowedFd<'_>) -> bool {
    let mut asked = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is valid and exclusive for the call, and the count of 1 is the number of elements.
    unsafe { libc::poll(&raw mut asked, 1, 0) == 1 }
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
