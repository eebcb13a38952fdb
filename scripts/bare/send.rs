//! The least that giving a file can cost: one connection, a header and a `sendfile` for each request, nothing else.

use crate::receive::HEADER_BYTES;
use crate::torrent::Torrent;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// A request on the wire, its length prefix included.
const REQUEST_BYTES: usize = 17;

/// Serves the first who comes to `address`, until it goes.
pub fn serve(address: SocketAddr, torrent: &Torrent, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let (mut stream, _) = TcpListener::bind(address)?.accept()?;
    stream.set_nodelay(true)?;
    // The handshake, and `interested`.
    stream.read_exact(&mut [0; 73])?;
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    hello.extend(torrent.info_hash);
    hello.extend(b"-BA0010-111111111111");
    hello.extend([0, 0, 0, 1, 1]); // unchoke
    stream.write_all(&hello)?;
    let (mut requests, mut len) = ([0; REQUEST_BYTES * 64], 0);
    loop {
        let count = stream.read(&mut requests[len..])?;
        if count == 0 {
            return Ok(());
        }
        len += count;
        let whole = len / REQUEST_BYTES * REQUEST_BYTES;
        for request in requests[..whole].chunks_exact(REQUEST_BYTES) {
            answer(&stream, &file, torrent.piece_bytes, request)?;
        }
        requests.copy_within(whole..len, 0);
        len -= whole;
    }
}

fn answer(stream: &std::net::TcpStream, file: &File, piece_bytes: u64, request: &[u8]) -> io::Result<()> {
    let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|nth| request[at + nth]));
    let (piece, begin, length) = (number(5), number(9), number(13));
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(9 + length).to_be_bytes());
    header[4] = 7;
    header[5..].copy_from_slice(&request[5..13]);
    let mut offset = (u64::from(piece) * piece_bytes + u64::from(begin)) as libc::off_t;
    // SAFETY: the pointer and the length are those of `header`, which is only read.
    let sent =
        unsafe { libc::send(stream.as_raw_fd(), header.as_ptr().cast(), header.len(), libc::MSG_MORE) };
    if sent != HEADER_BYTES as isize {
        return Err(io::Error::last_os_error());
    }
    let mut left = length as usize;
    while left > 0 {
        // SAFETY: `offset` is exclusively borrowed for the call.
        let sent = unsafe { libc::sendfile(stream.as_raw_fd(), file.as_raw_fd(), &raw mut offset, left) };
        if sent <= 0 {
            return Err(io::Error::last_os_error());
        }
        left -= sent as usize;
    }
    Ok(())
}
