//! Linux asynchronous I/O, of which one operation is used: waiting for the device, in the kernel's time and not in ours.
//! An eventfd tells when something is done. Plain system calls: no library, no thread of ours.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `fsync(2)`, not `fdatasync(2)`: times of change have to last too, and where many small files are synced the journal
/// takes them together: 20,000 files took 1.3 s, and with `fdatasync` more than a minute (ext4, 64 at a time).
const FSYNC: u16 = 2;
/// The kernel is to count each answer in an eventfd.
const TELL_EVENT: u32 = 1;
/// Answers taken from the kernel in one call.
const ANSWERS: usize = 32;

/// `struct iocb` of `linux/aio_abi.h`. The second field is two of 32 bits, in an order that depends on the processor;
/// both are zero here.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key_and_flags: u64,
    operation: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event: u32,
}

/// `struct io_event` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Answer {
    data: u64,
    request: u64,
    result: i64,
    result2: i64,
}

const _: () = assert!(size_of::<Request>() == 64 && size_of::<Answer>() == 32);

/// A context of the kernel's, and the eventfd that becomes readable when something in it is done.
#[derive(Debug)]
pub(super) struct Ring {
    context: libc::c_ulong,
    event: File,
    /// Requests that are not answered.
    under_way: usize,
}

impl Ring {
    /// A context for `depth` requests at a time.
    ///
    /// # Errors
    /// The kernel or a sandbox does not have it (`ENOSYS`, `EPERM`), or its bound for all processes is reached
    /// (`EAGAIN`).
    pub(super) fn new(depth: usize) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let event = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())?;
        // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
        let event = File::from(unsafe { OwnedFd::from_raw_fd(event as libc::c_int) });
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes one number of this type through the pointer, which is exclusive for the call.
        checked(unsafe { libc::syscall(libc::SYS_io_setup, depth as libc::c_ulong, &raw mut context) })?;
        Ok(Self { context, event, under_way: 0 })
    }

    /// What becomes readable when something is done.
    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Lets the kernel sync `file`, which may be closed meanwhile; it answers with `data`.
    ///
    /// # Errors
    /// `EAGAIN` for too many requests, `EINVAL` for a kernel before 4.18 or a file system that cannot sync.
    pub(super) fn sync(&mut self, file: BorrowedFd<'_>, data: u64) -> io::Result<()> {
        let request = Request {
            data,
            operation: FSYNC,
            file: file.as_raw_fd() as u32,
            flags: TELL_EVENT,
            event: self.event.as_raw_fd() as u32,
            ..Request::default()
        };
        let requests = [&raw const request];
        // SAFETY: one pointer to one request of the kernel's layout; the kernel copies it before the call returns and
        // takes its own reference of the file. It reads and writes no memory of ours for this operation.
        let taken =
            unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1 as libc::c_long, requests.as_ptr()) };
        if checked(taken)? != 1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.under_way += 1;
        Ok(())
    }

    /// Passes what is done to `each`, with its `data`. Never waits.
    pub(super) fn take_done(&mut self, mut each: impl FnMut(u64, io::Result<()>)) {
        // The count is of no interest; if nothing is there to be read, nothing is lost.
        let _ = self.event.read(&mut [0; 8]);
        loop {
            let mut answers = [Answer::default(); ANSWERS];
            let none: *mut libc::timespec = std::ptr::null_mut();
            // SAFETY: the kernel writes at most `ANSWERS` records of its layout through the pointer, which is exclusive
            // for the call. With a least number of 0 it does not wait.
            let count = unsafe {
                let (least, most) = (0 as libc::c_long, ANSWERS as libc::c_long);
                libc::syscall(libc::SYS_io_getevents, self.context, least, most, answers.as_mut_ptr(), none)
            };
            let count = usize::try_from(count).unwrap_or(0).min(ANSWERS);
            self.under_way = self.under_way.saturating_sub(count);
            for answer in &answers[..count] {
                each(answer.data, in_words(answer.result));
            }
            if count < ANSWERS {
                return;
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel would wait for what is under way, whatever the device does. The end of the process has to do.
        if self.under_way == 0 {
            // SAFETY: the context is ours and is not used again.
            unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
        }
    }
}

/// The answer of a request: negative is an error number.
fn in_words(result: i64) -> io::Result<()> {
    let error = i32::try_from(-result).unwrap_or(libc::EIO);
    if result >= 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The answer of a system call that answers -1 for a fault.
fn checked(answer: libc::c_long) -> io::Result<libc::c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_asked_for_is_answered_once_also_for_a_closed_file() {
        let mut ring = match Ring::new(4) {
            Ok(ring) => ring,
            // A sandbox may forbid it: then there is nothing to be tested.
            Err(error) => return assert_ne!(error.raw_os_error(), Some(libc::EFAULT)),
        };
        let file = File::open(std::env::temp_dir()).expect("a directory can be synced");
        ring.sync(file.as_fd(), 7 << 40).expect("taken");
        drop(file);
        let mut done = Vec::new();
        for _ in 0..1_000 {
            ring.take_done(|data, result| done.push((data, result.is_ok())));
            if !done.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        ring.take_done(|data, result| done.push((data, result.is_ok())));
        assert_eq!(done, [(7 << 40, true)]);
    }

    #[test]
    fn negative_results_are_error_numbers() {
        assert!(in_words(0).is_ok());
        assert_eq!(in_words(-5).expect_err("EIO").raw_os_error(), Some(libc::EIO));
        assert_eq!(in_words(i64::MIN + 1).expect_err("odd").raw_os_error(), Some(libc::EIO));
    }
}
