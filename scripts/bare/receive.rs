//! The connection: asks for blocks in order and scatters what arrives to where it belongs.

use crate::torrent::Torrent;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;

const BLOCK_BYTES: u64 = 16 << 10;
/// Length prefix, id, piece, begin.
pub const HEADER_BYTES: usize = 13;
/// Requests outstanding: enough that the seeder never waits.
const OUTSTANDING: u64 = 256;
/// Requests are sent so many at a time.
const BATCH: u64 = 64;
/// Pairs of header and block that one read may fill.
const PAIRS: usize = 15;

pub struct Receiver {
    stream: TcpStream,
    piece_bytes: u64,
    total_bytes: u64,
    /// Holds the byte at offset `n` of the content at `n` modulo its length.
    ring: Vec<u8>,
    asked_blocks: u64,
    /// Blocks that are whole.
    whole_blocks: u64,
    /// Bytes there are of the next block and its header.
    begun_bytes: usize,
    headers: [[u8; HEADER_BYTES]; PAIRS],
}

impl Receiver {
    /// Shakes hands and waits until it is unchoked; `unit_bytes` are kept together, or whole pieces if those are
    /// longer.
    pub fn start(mut stream: TcpStream, torrent: &Torrent, unit_bytes: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\x04".to_vec();
        hello.extend(torrent.info_hash);
        hello.extend(b"-BA0010-000000000000");
        hello.extend([0, 0, 0, 1, 2]); // interested
        stream.write_all(&hello)?;
        stream.read_exact(&mut [0; 68])?;
        while read_message(&mut stream)? != Some(1) {} // unchoke
        let ring_bytes = 2 * unit_bytes.max(torrent.piece_bytes).max(PAIRS as u64 * BLOCK_BYTES * 2);
        let ring = vec![0; ring_bytes.next_multiple_of(torrent.piece_bytes) as usize];
        let (piece_bytes, total_bytes) = (torrent.piece_bytes, torrent.total_bytes);
        let headers = [[0; HEADER_BYTES]; PAIRS];

        let (asked_blocks, whole_blocks, begun_bytes) = (0, 0, 0);
        Ok(Self { stream, piece_bytes, total_bytes, ring, asked_blocks, whole_blocks, begun_bytes, headers })
    }

    /// Reads once; returns how many bytes of the content, from its beginning, have arrived.
    pub fn receive(&mut self) -> io::Result<u64> {
        self.ask()?;
        let mut len = self.read()?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        len += self.begun_bytes;
        let mut nth = 0;
        while let Some(header) = self.headers.get(nth) {
            let block = block(self.whole_blocks, self.total_bytes);
            let pair_bytes = HEADER_BYTES + (block.end - block.start) as usize;
            if len < pair_bytes || block.is_empty() {
                break;
            }
            if header != &message(7, 9 + block.end - block.start, &block, self.piece_bytes) {
                return Err(io::Error::other("a message that is not the next block"));
            }
            len -= pair_bytes;
            self.whole_blocks += 1;
            nth += 1;
        }
        // The next read expects the header of the block that is not whole at the front.
        if nth < PAIRS {
            self.headers[0] = self.headers[nth];
        }
        self.begun_bytes = len;
        Ok((self.whole_blocks * BLOCK_BYTES).min(self.total_bytes))
    }

    /// Bytes that have arrived and are still there.
    pub fn bytes(&self, range: &Range<u64>) -> &[u8] {
        let start = (range.start % self.ring.len() as u64) as usize;
        &self.ring[start..start + (range.end - range.start) as usize]
    }

    fn ask(&mut self) -> io::Result<()> {
        let blocks = self.total_bytes.div_ceil(BLOCK_BYTES);
        if self.asked_blocks == blocks || self.asked_blocks > self.whole_blocks + OUTSTANDING - BATCH {
            return Ok(());
        }
        let until = blocks.min(self.whole_blocks + OUTSTANDING);
        let mut requests = Vec::with_capacity(OUTSTANDING as usize * 17);
        for nth in self.asked_blocks..until {
            let block = block(nth, self.total_bytes);
            requests.extend(message(6, 13, &block, self.piece_bytes));
            requests.extend(((block.end - block.start) as u32).to_be_bytes());
        }
        self.asked_blocks = until;
        self.stream.write_all(&requests)
    }

    fn read(&mut self) -> io::Result<usize> {
        let ring_bytes = self.ring.len() as u64;
        let first = self.whole_blocks;
        // The blocks are neighbours in the ring, which they may go around once.
        let start = (first * BLOCK_BYTES % ring_bytes) as usize;
        let (front, back) = self.ring.split_at_mut(start);
        let blocks = back.chunks_mut(BLOCK_BYTES as usize).chain(front.chunks_mut(BLOCK_BYTES as usize));
        let mut slices = Vec::with_capacity(PAIRS * 2);
        for ((header, bytes), nth) in self.headers.iter_mut().zip(blocks).zip(first..) {
            let block = block(nth, self.total_bytes);
            slices.push(IoSliceMut::new(header));
            slices.push(IoSliceMut::new(&mut bytes[..(block.end - block.start) as usize]));
        }
        let mut slices = &mut slices[..];
        IoSliceMut::advance_slices(&mut slices, self.begun_bytes);
        self.stream.read_vectored(slices)
    }
}

/// Where a block lies in the content; empty past the end.
fn block(nth: u64, total_bytes: u64) -> Range<u64> {
    let start = (nth * BLOCK_BYTES).min(total_bytes);
    start..(start + BLOCK_BYTES).min(total_bytes)
}

/// The beginning of a `request` or `piece` message about a block.
fn message(id: u8, len: u64, block: &Range<u64>, piece_bytes: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&(len as u32).to_be_bytes());
    bytes[4] = id;
    bytes[5..9].copy_from_slice(&((block.start / piece_bytes) as u32).to_be_bytes());
    bytes[9..].copy_from_slice(&((block.start % piece_bytes) as u32).to_be_bytes());
    bytes
}

/// The id of a message whose rest does not matter; none for a keep-alive.
fn read_message(stream: &mut TcpStream) -> io::Result<Option<u8>> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut body)?;
    Ok(body.first().copied())
}
