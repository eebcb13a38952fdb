//! Bytes of files on their way to a socket: the kernel passes them on, they never come into our memory. A page that
//! cannot be had is an error number here, and no SIGBUS.

use super::known::stale;
use super::sys;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

/// Bytes sent at a time where they do have to pass through our memory, and zeros of pad files.
const COPY_BYTES: usize = 16 << 10;

/// Why bytes could not be sent.
#[derive(Debug)]
pub enum SendFault {
    /// The socket does not take them: `WouldBlock` if only for the time being.
    Socket(io::Error),
    /// The file does not give them.
    File(io::Error),
}

/// Sends up to `length` bytes of `file` from `offset`; how many, at least 1.
pub(super) fn send_file(
    file: &File,
    offset: u64,
    length: usize,
    to: BorrowedFd<'_>,
) -> Result<usize, SendFault> {
    match sys::retry(|| sys::send_file(to, file, offset, length)) {
        // The file ends before the torrent says.
        Ok(0) => Err(SendFault::File(stale())),
        Ok(count) => Ok(count),
        Err(error) if is_unknown(&error) => send_copy(file, offset, length, to),
        Err(error) if is_of_file(&error) => Err(SendFault::File(error)),
        Err(error) => Err(SendFault::Socket(error)),
    }
}

/// The same through our memory, for file systems that cannot do it otherwise.
fn send_copy(file: &File, offset: u64, length: usize, to: BorrowedFd<'_>) -> Result<usize, SendFault> {
    let mut buffer = [0; COPY_BYTES];
    let length = length.min(COPY_BYTES);
    let count = sys::retry(|| file.read_at(&mut buffer[..length], offset)).map_err(SendFault::File)?;
    if count == 0 {
        return Err(SendFault::File(stale()));
    }
    sys::retry(|| crate::rim::sys::send(to, &buffer[..count], false)).map_err(SendFault::Socket)
}

/// Sends up to `length` zeros: the bytes of a pad file.
pub(super) fn send_zeros(length: usize, to: BorrowedFd<'_>) -> Result<usize, SendFault> {
    static ZEROS: [u8; COPY_BYTES] = [0; COPY_BYTES];
    let zeros = &ZEROS[..length.min(COPY_BYTES)];
    sys::retry(|| crate::rim::sys::send(to, zeros, false)).map_err(SendFault::Socket)
}

/// The file system, or an old kernel, does not know `sendfile`.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::ESPIPE))
}

/// Errors that only a file has.
fn is_of_file(error: &io::Error) -> bool {
    let of_file =
        [libc::EIO, libc::ESTALE, libc::EBADF, libc::EISDIR, libc::ENXIO, libc::EOVERFLOW, libc::EUCLEAN];
    error.raw_os_error().is_some_and(|number| of_file.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let ours = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (ours, listener.accept().expect("came").0)
    }

    fn file(bytes: &[u8], name: &str) -> File {
        let path = std::env::temp_dir().join(format!("swarmlet-send-{name}-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        file.write_all(bytes).expect("room");
        file
    }

    #[test]
    fn bytes_arrive_by_each_way() {
        let (ours, mut theirs) = pair();
        let file = file(b"0123456789", "ways");
        assert_eq!(send_file(&file, 2, 3, ours.as_fd()).expect("sent"), 3);
        assert_eq!(send_file(&file, 8, 30, ours.as_fd()).expect("as far as there is"), 2);
        assert_eq!(send_copy(&file, 1, 2, ours.as_fd()).expect("sent"), 2);
        assert_eq!(send_zeros(2, ours.as_fd()).expect("sent"), 2);
        let mut arrived = [1; 9];
        theirs.read_exact(&mut arrived).expect("there");
        assert_eq!(&arrived, b"2348912\0\0");
    }

    #[test]
    fn a_file_cut_short_is_its_own_fault_and_a_full_socket_is_none() {
        let (ours, _theirs) = pair();
        let file = file(&[7; 1 << 16], "cut");
        for send in [send_file, send_copy] {
            assert!(matches!(send(&file, 1 << 16, 5, ours.as_fd()), Err(SendFault::File(_))));
        }
        ours.set_nonblocking(true).expect("set");
        let full = (0..10_000).find_map(|_| send_file(&file, 0, 1 << 16, ours.as_fd()).err());
        let would_block = |fault: &SendFault| matches!(fault, SendFault::Socket(error) if error.kind() == io::ErrorKind::WouldBlock);
        assert!(full.as_ref().is_some_and(would_block), "{full:?}");
    }
}
