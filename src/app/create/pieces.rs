//! The pieces of a new torrent: how long they are, and their hashes.

use super::{CreateFault, Source};
use crate::base::limits::PIECE_BYTES_MAX;
use crate::base::units::{KIB, MIB};
use sha1::{Digest, Sha1};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Pieces that a torrent has at most where nothing speaks against it: fewer make a mended error dear, more the `.torrent`.
const PIECES_GOOD: u64 = 2_000;
/// Pieces that a torrent has at most, however long pieces become: their hashes are 20 MiB.
const PIECES_BEARABLE: u64 = 1 << 20;
const PIECE_BYTES_LEAST: u32 = 16 * KIB;
const PIECE_BYTES_MOST: u32 = 16 * MIB;
/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// A power of two that makes at most [`PIECES_GOOD`] pieces, or the longest that most clients like.
pub(super) fn suitable_piece_bytes(total: u64) -> u32 {
    let mut bytes = PIECE_BYTES_LEAST;
    let pieces = |bytes: u32| total.div_ceil(u64::from(bytes));
    while bytes < PIECE_BYTES_MOST && pieces(bytes) > PIECES_GOOD {
        bytes *= 2;
    }
    while bytes < PIECE_BYTES_MAX && pieces(bytes) > PIECES_BEARABLE {
        bytes *= 2;
    }
    bytes
}

/// The hashes of all pieces, one behind the other.
pub(super) fn hash(sources: &[Source], piece_bytes: u32) -> Result<Vec<u8>, CreateFault> {
    let mut pieces =
        Pieces { hasher: Sha1::new(), left: piece_bytes as usize, piece_bytes, hashes: Vec::new() };
    let mut buffer = vec![0; READ_BYTES];
    for source in sources {
        let fault = |error| CreateFault::Io(source.path.clone(), error);
        let mut file = open(&source.path).map_err(fault)?;
        let mut length = 0;
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(fault(error)),
            };
            length += count as u64;
            if length > source.length {
                break;
            }
            pieces.add(&buffer[..count]);
        }
        if length != source.length {
            return Err(CreateFault::Changed(source.path.clone()));
        }
    }
    Ok(pieces.finish())
}

/// Opens a file that was one a moment ago; what has become a symlink or a pipe since is not followed or waited for.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Cuts a stream of bytes into pieces and hashes them.
struct Pieces {
    hasher: Sha1,
    /// Bytes until the piece is whole.
    left: usize,
    piece_bytes: u32,
    hashes: Vec<u8>,
}

impl Pieces {
    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.left));
            self.hasher.update(now);
            self.left -= now.len();
            bytes = later;
            if self.left == 0 {
                self.end_piece();
            }
        }
    }

    fn end_piece(&mut self) {
        self.hashes.extend_from_slice(&self.hasher.finalize_reset());
        self.left = self.piece_bytes as usize;
    }

    fn finish(mut self) -> Vec<u8> {
        if self.left < self.piece_bytes as usize {
            self.end_piece();
        }
        self.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_wherever_the_reads_end() {
        for length in [1usize, 3, 4, 5, 8, 11] {
            let bytes: Vec<u8> = (0..length as u8).collect();
            for read in 1..=length {
                let mut pieces = Pieces { hasher: Sha1::new(), left: 4, piece_bytes: 4, hashes: Vec::new() };
                bytes.chunks(read).for_each(|chunk| pieces.add(chunk));
                let expected: Vec<u8> = bytes.chunks(4).flat_map(Sha1::digest).collect();
                assert_eq!(pieces.finish(), expected, "{length} {read}");
            }
        }
    }

    #[test]
    fn piece_lengths_suit_the_size() {
        let cases = [
            (1, 16 * KIB),
            (2_000 * 16_384, 16 * KIB),
            (2_000 * 16_384 + 1, 32 * KIB),
            (1 << 30, MIB),
            (1 << 40, 16 * MIB),
            (1 << 45, 32 * MIB),
        ];
        for (total, bytes) in cases {
            assert_eq!(suitable_piece_bytes(total), bytes, "{total}");
        }
    }
}
