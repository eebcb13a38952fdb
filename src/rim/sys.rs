//! The few system calls that neither std nor mio has, each in the smallest function that is safe to call.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The result of a call that answers −1 and sets `errno`.
fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Fills `bytes` from `getrandom(2)`, which is never cut short below 256 bytes.
///
/// By its number, because std declares the C function as weak. Optimised as one with std (LTO), ours would be weak as
/// well, and a static C library links nothing for it: the call then does nothing, or ends the program.
pub fn random(bytes: &mut [u8; 8]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one exclusive borrow.
    let count = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    match usize::try_from(count) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Blocks `signals` for this thread and returns a nonblocking descriptor from which they are read as
/// records of [`SIGNAL_RECORD_BYTES`].
pub fn signal_fd(signals: &[c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` writes the whole set; from then on it is a valid set for all other calls, which
    // only read it, but for `sigaddset`, which has it exclusively. A null pointer asks for no old mask.
    let fd = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), core::ptr::null_mut()) {
            0 => checked(libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?,
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    };
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Size of what one signal makes readable. Its first four bytes are the signal's number.
pub const SIGNAL_RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// Ignores `signal` from now on.
pub fn ignore_signal(signal: c_int) {
    // SAFETY: `SIG_IGN` runs no code of ours. A wrong number is refused and changes nothing.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// True if `signal` is ignored, as `nohup` leaves SIGHUP for the program that it starts.
pub fn signal_is_ignored(signal: c_int) -> bool {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; the old one is written into memory of the right type, which is
    // valid when zeroed, so that it may be read even if the call failed.
    let old = unsafe {
        libc::sigaction(signal, core::ptr::null(), old.as_mut_ptr());
        old.assume_init()
    };
    old.sa_sigaction == libc::SIG_IGN
}

/// True if a read from `fd` would not block: bytes, the end or an error are there.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one record, exclusively borrowed; a timeout of 0 does not sleep.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// True if a short write to `fd` would not block.
pub fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one record, exclusively borrowed; a timeout of 0 does not sleep.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// Columns and rows of the terminal behind `fd`; `None` if it is none.
pub fn terminal_size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` through the pointer, which is valid and exclusive for the call.
    let told = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
    told.then_some((size.ws_col, size.ws_row))
}

/// True if `fd` can be read at all, which the standard input of `program 0>file` cannot.
pub fn is_open_for_reading(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: `F_GETFL` takes no pointer and changes nothing.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE != libc::O_WRONLY
}

/// True if `fd` is the terminal that controls us, and another job has it now: reading would stop us
/// (SIGTTIN).
pub fn is_in_background(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: both calls take numbers and change nothing.
    let (foreground, own) = unsafe { (libc::tcgetpgrp(fd.as_raw_fd()), libc::getpgrp()) };
    foreground >= 0 && foreground != own
}

/// Lets this process have at least `wanted` open files, or as many as its hard limit allows.
pub fn raise_open_files_limit(wanted: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one record, exclusively borrowed.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let wanted = libc::rlim_t::try_from(wanted).unwrap_or(libc::rlim_t::MAX).min(limit.rlim_max);
    if wanted <= limit.rlim_cur {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    // SAFETY: one record, only read.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}

/// Lets a socket have to do only with the network interface `name`.
pub fn bind_to_interface(fd: BorrowedFd<'_>, name: &std::ffi::OsStr) -> io::Result<()> {
    let name = name.as_encoded_bytes();
    let length = libc::socklen_t::try_from(name.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the pointer and the length are those of one borrow, which is only read.
    let answer = unsafe {
        let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
        libc::setsockopt(fd.as_raw_fd(), level, option, name.as_ptr().cast(), length)
    };
    checked(answer).map(drop)
}

/// Sends `bytes`; `more`: others follow at once, so that they may share a packet. A socket whose other end is gone is
/// an error and no signal.
pub fn send(to: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the pointer and the length are those of one borrow, which is only read.
    let count = unsafe { libc::send(to.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
