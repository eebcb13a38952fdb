//! The few system calls that neither std nor mio has, each in the smallest function that is safe to call.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// True if one of `signals`, which are blocked, has come and was not read yet.
pub fn is_any_pending(signals: &[c_int]) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigpending` writes the whole set where it succeeds, and only then it is looked at.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0
            && signals.iter().any(|&signal| libc::sigismember(set.as_ptr(), signal) == 1)
    }
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

/// True if the other end of `fd` is gone: the terminal is closed, nobody holds the pipe.
pub fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one record, exclusively borrowed; a timeout of 0 does not sleep.
    let polled = unsafe { libc::poll(&raw mut poll, 1, 0) };
    polled != 0 && poll.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
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

/// The number of descriptors that this process may have.
pub fn open_files_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one record, exclusively borrowed.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    #[allow(clippy::useless_conversion, reason = "the types differ per target")]
    Ok(u64::from(limit.rlim_cur))
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

/// Lets a datagram socket keep what the network says of datagrams that did not arrive, for [`next_undeliverable`].
pub fn report_undeliverable(fd: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    let (level, option) = match is_v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        false => (libc::IPPROTO_IP, libc::IP_RECVERR),
    };
    let (one, length): (c_int, _) = (1, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the pointer and the length are those of one integer, which is only read.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const one).cast(), length) })
        .map(drop)
}

/// Where the next datagram went that did not arrive, and why, as an error number; `None` if there is no more news.
pub fn next_undeliverable(fd: BorrowedFd<'_>) -> Option<(SocketAddr, c_int)> {
    // Of the datagram itself nothing is wanted, and room for no control message but the one about the error.
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control = [0u64; 64];
    let mut message = MaybeUninit::<libc::msghdr>::zeroed();
    // SAFETY: numbers and pointers only; zero is a good value for each. The pointers that are put in are valid and
    // exclusive for the call below, with the lengths of what they point to.
    let message = unsafe {
        let message = message.assume_init_mut();
        message.msg_name = name.as_mut_ptr().cast();
        message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        checked(libc::recvmsg(fd.as_raw_fd(), message, flags) as c_int).ok()?;
        message
    };
    let number = error_number(message)?;
    // SAFETY: the storage was zeroed, and the kernel has put an address in it.
    address_of(unsafe { name.assume_init_ref() }).map(|address| (address, number))
}

/// The number in the message about an error.
fn error_number(message: &libc::msghdr) -> Option<c_int> {
    // SAFETY: the header is one that `recvmsg` has filled in, and its buffer still lives.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a control message within that buffer.
    while let Some(control) = unsafe { next.as_ref() } {
        let kind = (control.cmsg_level, control.cmsg_type);
        if kind == (libc::IPPROTO_IP, libc::IP_RECVERR) || kind == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) {
            // SAFETY: the kernel puts a `sock_extended_err` into messages of this kind; it is read without a demand on
            // alignment.
            let error = unsafe { libc::CMSG_DATA(next).cast::<libc::sock_extended_err>().read_unaligned() };
            return c_int::try_from(error.ee_errno).ok();
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    None
}

/// An address as the kernel writes it.
fn address_of(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the storage is large enough and aligned for any address, and this is one of IPv4.
            let raw = unsafe { &*core::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some((ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, of IPv6.
            let raw = unsafe { &*core::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            Some((Ipv6Addr::from(raw.sin6_addr.s6_addr), u16::from_be(raw.sin6_port)).into())
        }
        _ => None,
    }
}
