//! The few system calls that std does not have, as safe functions. All offsets are 64 bits wide on every target.

use memmap2::MmapOptions;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Longest name of a directory entry and its final zero (`NAME_MAX` of Linux).
const NAME_BYTES: usize = 256;

/// Calls `act` with `name` as the kernel wants it. A name that is no plain entry of a directory is refused here,
/// whatever the metainfo's reader let pass: this is the last door before the file system.
fn with_name<T>(name: &[u8], act: impl FnOnce(&CStr) -> io::Result<T>) -> io::Result<T> {
    let mut buffer = [0; NAME_BYTES];
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.len() >= NAME_BYTES {
        return Err(invalid());
    }
    buffer[..name.len()].copy_from_slice(name);
    // A zero inside of the name ends it early: refused.
    act(CStr::from_bytes_with_nul(&buffer[..=name.len()]).map_err(|_| invalid())?)
}

/// The answer of a system call that answers -1 for a fault.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Opens the entry `name` of the directory `dir`; never follows a symlink, never blocks on a FIFO, never becomes a
/// controlling terminal.
pub(super) fn open_at(
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: libc::c_int,
    mode: libc::mode_t,
) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    with_name(name, |name| {
        // SAFETY: `name` ends with a zero and lives through the call; `mode` is passed as the C prototype promotes it.
        let fd = checked(unsafe { libc::openat64(dir.as_raw_fd(), name.as_ptr(), flags, mode) })?;
        // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// Opens the directory `dir`, which is only a place to start from, so that it can be synced.
pub(super) fn reopen_directory(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the name ends with a zero.
    let fd = checked(unsafe { libc::openat64(dir.as_raw_fd(), c".".as_ptr(), flags) })?;
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An error if we may not read and write the entry `name` of the directory `dir`, which is no symlink.
pub(super) fn may_write_at(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    with_name(name, |name| may(dir, name, libc::R_OK | libc::W_OK))
}

/// An error if we may not make anything in the directory `dir`.
pub(super) fn may_make_in(dir: BorrowedFd<'_>) -> io::Result<()> {
    may(dir, c".", libc::W_OK | libc::X_OK)
}

fn may(dir: BorrowedFd<'_>, name: &CStr, mode: libc::c_int) -> io::Result<()> {
    // SAFETY: `name` ends with a zero and lives through the call.
    checked(unsafe { libc::faccessat(dir.as_raw_fd(), name.as_ptr(), mode, 0) }).map(drop)
}

/// Makes the directory `name` in `dir`, if nothing of that name is there.
pub(super) fn make_directory_at(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    with_name(name, |name| {
        // SAFETY: `name` ends with a zero and lives through the call.
        match checked(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), 0o777) }) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
            _ => Ok(()),
        }
    })
}

/// Reserves `length` bytes of `file` from `offset` on on its device and makes the file reach so far, if it is shorter.
///
/// Raw `fallocate(2)`: where the file system cannot do it, glibc's `posix_fallocate` writes into every block.
pub(super) fn reserve(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let (offset, length) = (wire_offset(offset)?, wire_offset(length)?);
    // SAFETY: takes numbers only.
    retry(|| checked(unsafe { libc::fallocate64(file.as_raw_fd(), 0, offset, length) })).map(drop)
}

/// Makes `length` bytes of `file` from `offset` on zeros, without keeping what the kernel remembers of them; the file is no
/// longer afterwards.
pub(super) fn zero(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let (offset, length) = (wire_offset(offset)?, wire_offset(length)?);
    let mode = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: takes numbers only.
    retry(|| checked(unsafe { libc::fallocate64(file.as_raw_fd(), mode, offset, length) })).map(drop)
}

/// True if `file` is on an ext4, or on an older one of that name.
pub(super) fn is_ext(file: &File) -> bool {
    // SAFETY: all fields of the structure are integers, for which zero is a value.
    let mut answer: libc::statfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the kind that the call fills.
    let told = checked(unsafe { libc::fstatfs64(file.as_raw_fd(), &raw mut answer) }).is_ok();
    #[allow(clippy::unnecessary_cast, reason = "the types differ per target")]
    let kind = answer.f_type as i64;
    told && kind == 0xef53 // EXT4_SUPER_MAGIC of linux/magic.h
}

/// Writes the slices at `offset`; the number of bytes written, which may be less than all.
pub(super) fn write_at(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    let offset = wire_offset(offset)?;
    let count = libc::c_int::try_from(slices.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: std promises that an `IoSlice` is laid out as an `iovec`; there are `count` of them, and their bytes
    // are borrowed through the call.
    let written = unsafe { libc::pwritev64(file.as_raw_fd(), slices.as_ptr().cast(), count, offset) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Writes one slice at `offset` if nothing has to be waited for: `EAGAIN` if so, `EOPNOTSUPP` where the file system cannot
/// tell. Linux 6.0 and newer.
pub(super) fn write_at_once(file: &File, slice: &[IoSlice<'_>; 1], offset: u64) -> io::Result<usize> {
    let offset = wire_offset(offset)?;
    let (low, high) = (offset as libc::c_long, (offset >> 32) as libc::c_long);
    let (fd, slices, flags) = (file.as_raw_fd(), slice.as_ptr(), libc::RWF_NOWAIT);
    // SAFETY: std promises that an `IoSlice` is laid out as an `iovec`; there is one, and its bytes are borrowed.
    let written = unsafe { libc::syscall(libc::SYS_pwritev2, fd, slices, 1_usize, low, high, flags) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Passes up to `length` bytes of `file` from `offset` on to a socket; the number, 0 at the end of the file. A socket
/// whose other end is gone raises SIGPIPE, which every Rust program ignores.
pub(super) fn send_file(to: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    let mut offset = wire_offset(offset)?;
    // SAFETY: `offset` is exclusively borrowed; everything else is numbers.
    let count = unsafe { libc::sendfile64(to.as_raw_fd(), file.as_raw_fd(), &raw mut offset, length) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Has a file without content be overwritten in its place for good, where the file system would copy on write (btrfs):
/// there, also a page that has its space may fail to be written when the disk is full.
pub(super) fn write_in_place(file: &File) {
    const NO_COPY_ON_WRITE: libc::c_int = 0x0080_0000; // FS_NOCOW_FL of linux/fs.h
    let mut flags: libc::c_int = 0;
    // SAFETY: the kernel writes an `int` there, whatever the number of the request says.
    let known = unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut flags) };
    flags |= NO_COPY_ON_WRITE;
    if known == 0 {
        // SAFETY: the kernel reads an `int` there. Who does not know the flag refuses it, and does not need it.
        unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS, &raw const flags) };
    }
}

/// Looks for the byte at `offset` without waiting for a device; `EAGAIN` if it would have to, `EOPNOTSUPP` where the file
/// system cannot tell. Linux 4.14 and newer.
pub(super) fn probe(file: &File, offset: u64) -> io::Result<bool> {
    let offset = wire_offset(offset)?;
    let mut byte = [0_u8];
    let slice = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // The kernel takes the offset in two parts, of which 64-bit kernels use the first alone.
    let (low, high) = (offset as libc::c_long, (offset >> 32) as libc::c_long);
    let (fd, slices, one, flags) = (file.as_raw_fd(), &raw const slice, 1_usize, libc::RWF_NOWAIT);
    // SAFETY: there is one `iovec`, and the byte that it names is ours.
    let count = unsafe { libc::syscall(libc::SYS_preadv2, fd, slices, one, low, high, flags) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count == 1) }
}

/// True if the byte at `offset` is in the page cache. Of files of others kernels from 5.2 on say that of any byte.
pub(super) fn is_cached(file: &File, offset: u64) -> io::Result<bool> {
    let page_bytes = page_bytes();
    let start = offset - offset % page_bytes as u64;
    // Nobody touches the map, so that whatever becomes of the file cannot hurt.
    let map = MmapOptions::new().offset(start).len(page_bytes).map_raw_read_only(file)?;
    let mut told = 0_u8;
    // SAFETY: the map is ours, starts at a page and is one page long: the kernel writes one byte.
    checked(unsafe { libc::mincore(map.as_mut_ptr().cast(), page_bytes, &raw mut told) })?;
    Ok(told & 1 != 0)
}

/// Starts reading `length` bytes at `offset` into the page cache, without waiting for them.
pub(super) fn read_ahead(file: &File, offset: u64, length: u64) -> io::Result<()> {
    advise(file, offset, length, libc::POSIX_FADV_WILLNEED)
}

fn advise(file: &File, offset: u64, length: u64, advice: libc::c_int) -> io::Result<()> {
    let (offset, length) = (wire_offset(offset)?, wire_offset(length)?);
    // SAFETY: takes numbers only. The answer is the error number itself.
    match unsafe { libc::posix_fadvise64(file.as_raw_fd(), offset, length, advice) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// When the file was made, in seconds and nanoseconds; `None` where the file system or a kernel before 4.11 does not tell.
/// std asks for it only where the C library does.
pub(super) fn birth(file: &File) -> Option<(i64, u32)> {
    const BIRTH: libc::c_uint = 0x800; // STATX_BTIME of linux/stat.h
    /// `struct statx` of linux/stat.h, which is the same on all processors.
    #[repr(C)]
    struct Answer {
        mask: u32,
        rest: [u32; 19],
        birth_s: i64,
        birth_ns: u32,
        more: [u32; 41],
    }
    const _: () = assert!(size_of::<Answer>() == 256 && std::mem::offset_of!(Answer, birth_s) == 80);
    let mut answer = Answer { mask: 0, rest: [0; 19], birth_s: 0, birth_ns: 0, more: [0; 41] };
    let (fd, name, flags) = (file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: the name ends with a zero, and the kernel fills 256 bytes, of which any value is one.
    let failed = unsafe { libc::syscall(libc::SYS_statx, fd, name, flags, BIRTH, &raw mut answer) };
    (failed == 0 && answer.mask & BIRTH != 0).then_some((answer.birth_s, answer.birth_ns))
}

/// Starts writing `length` bytes at `offset` to the device, without waiting for it and without any promise.
pub(super) fn start_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let (offset, length) = (wire_offset(offset)?, wire_offset(length)?);
    // SAFETY: takes numbers only.
    checked(unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) })
        .map(drop)
}

/// Starts writing `length` bytes at `offset` to the device and waits for them, without any promise.
pub(super) fn wait_for_write_back(file: &File, offset: u64, length: u64) -> io::Result<()> {
    const ALL: libc::c_uint =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let (offset, length) = (wire_offset(offset)?, wire_offset(length)?);
    // SAFETY: takes numbers only.
    checked(unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, ALL) }).map(drop)
}

/// Lets the kernel forget what it remembers of `file` and has written: what is read next comes from the device.
pub(super) fn forget_cached(file: &File) {
    // SAFETY: takes numbers only. It is a hint: where it is not taken, nothing changes.
    unsafe { libc::posix_fadvise64(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Takes the lock of `file` for this process, until the file is closed. False if another has it; a file system without
/// locks gives it to everybody.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: takes numbers only.
    match checked(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EWOULDBLOCK) => Ok(false),
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOLCK) => Ok(true),
            _ => Err(error),
        },
    }
}

/// Gives the entry `from` of the directory `dir` the name `to`, in whose place nothing is left.
pub(super) fn rename_at(dir: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> io::Result<()> {
    with_name(from, |from| {
        with_name(to, |to| {
            let dir = dir.as_raw_fd();
            // SAFETY: both names end with a zero and live through the call.
            checked(unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) }).map(drop)
        })
    })
}

/// Removes the entry `name` of the directory `dir`, which is no directory.
pub(super) fn remove_at(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    with_name(name, |name| {
        // SAFETY: `name` ends with a zero and lives through the call.
        checked(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
    })
}

/// The first byte from `offset` on for which the file system has something, and the end of that; `None` if there is
/// nothing more. Where it does not tell, all up to the end of the file is something.
pub(super) fn next_data(file: &File, offset: u64) -> io::Result<Option<std::ops::Range<u64>>> {
    let seek = |offset: u64, whence| {
        let offset = wire_offset(offset)?;
        // SAFETY: takes numbers only.
        let found = unsafe { libc::lseek64(file.as_raw_fd(), offset, whence) };
        u64::try_from(found).map_err(|_| io::Error::last_os_error())
    };
    let start = match seek(offset, libc::SEEK_DATA) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => offset,
        found => found?,
    };
    let end = match seek(start, libc::SEEK_HOLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => file.metadata()?.len(),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        found => found?,
    };
    Ok((start < end).then_some(start..end))
}

/// Bytes free for us on the file system of `file`; `None` where it does not count them (ramfs, some FUSE).
pub(super) fn free_bytes(file: &File) -> Option<u64> {
    // SAFETY: all fields of the structure are integers, for which zero is a value.
    let mut answer: libc::statvfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the kind that the call fills.
    checked(unsafe { libc::fstatvfs64(file.as_raw_fd(), &raw mut answer) }).ok()?;
    #[allow(clippy::useless_conversion, reason = "the types differ per target")]
    let (all, free, unit) =
        (u64::from(answer.f_blocks), u64::from(answer.f_bavail), u64::from(answer.f_frsize));
    (all != 0).then(|| free.saturating_mul(unit))
}

/// The number by which a kind of file system is known (linux/magic.h); `None` where the kernel does not tell.
pub(super) fn magic(file: &File) -> Option<u32> {
    // SAFETY: all fields of the structure are integers, for which zero is a value.
    let mut answer: libc::statfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the kind that the call fills.
    checked(unsafe { libc::fstatfs64(file.as_raw_fd(), &raw mut answer) }).ok()?;
    // Signed or not, 32 bits or 64, by the target: the numbers have 32.
    Some(answer.f_type as u32)
}

/// Processor time of this thread so far, in µs; 0 where the kernel does not tell.
pub(super) fn thread_cpu_us() -> u64 {
    let ns = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
    ns.and_then(|ns| u64::try_from(ns / 1_000).ok()).unwrap_or(0)
}

/// What a clock of the kernel shows, in nanoseconds; `None` if there is no such clock, or its time does not fit.
pub(super) fn clock_ns(clock: libc::clockid_t) -> Option<i64> {
    // SAFETY: numbers alone, for which zero is good; on some targets there are fields that have no name.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of the kind that the call fills.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    #[allow(clippy::unnecessary_cast, reason = "the types differ per target")]
    let ns = (time.tv_sec as i64).checked_mul(1_000_000_000)?.checked_add(time.tv_nsec as i64)?;
    (failed == 0).then_some(ns)
}

/// The longest file that this process may write, in bytes (`ulimit -f`).
pub(super) fn file_bytes_max() -> u64 {
    let mut limit = libc::rlimit64 { rlim_cur: libc::RLIM64_INFINITY, rlim_max: libc::RLIM64_INFINITY };
    // SAFETY: the pointer is to a structure of the kind that the call fills; where it fails, there is no limit.
    unsafe { libc::getrlimit64(libc::RLIMIT_FSIZE, &raw mut limit) };
    limit.rlim_cur
}

/// Bytes of a page: maps begin at multiples of it.
pub(super) fn page_bytes() -> usize {
    // SAFETY: takes a number only.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16)
}

/// An offset or length as the kernel takes it; more than 2^63 - 1 is `EFBIG`, as the kernel would say.
fn wire_offset(bytes: u64) -> io::Result<libc::off64_t> {
    libc::off64_t::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

/// Does it again as long as a signal interrupts it.
pub(super) fn retry<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn names_that_are_no_entry_of_a_directory_are_refused() {
        let root = File::open("/tmp").expect("/tmp is there");
        let long = [b'x'; 256];
        let names: [&[u8]; 8] = [b"", b".", b"..", b"/", b"a/b", b"../x", b"a\0b", &long];
        for name in names {
            let flags = libc::O_RDWR | libc::O_CREAT;
            let opened = open_at(root.as_fd(), name, flags, 0o600).expect_err("a bad name");
            let made = make_directory_at(root.as_fd(), name).expect_err("a bad name");
            assert_eq!(opened.raw_os_error(), Some(libc::EINVAL), "{}", name.escape_ascii());
            assert_eq!(made.raw_os_error(), Some(libc::EINVAL), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn offsets_beyond_the_kernels_are_faults() {
        let file = File::open("/dev/null").expect("/dev/null is there");
        for fault in [reserve(&file, 0, u64::MAX), start_write_back(&file, 1 << 63, 1)] {
            assert_eq!(fault.expect_err("too far").raw_os_error(), Some(libc::EFBIG));
        }
    }
}
