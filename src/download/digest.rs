//! SHA-1 of one piece, or of two side by side.
//!
//! SHA-1 is one long chain, in which a processor with SHA instructions waits for itself half of the time. Two chains
//! that take turns every 128 bytes fit into what a processor looks ahead, so that each fills the other's pauses: 0.29
//! seconds of CPU instead of 0.50 per GiB. Without such instructions it makes no difference.

use sha1::block_api::compress;

/// What the algorithm works on at a time.
const CHUNK_BYTES: usize = 64;
/// Chunks of one chain before it is the other's turn; 1, 4 and 8 were slower.
const TURN_CHUNKS: usize = 2;
/// The state that the algorithm begins with (FIPS 180-4, 5.3.1).
const BEGIN: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A SHA-1 in the making.
#[derive(Debug)]
pub struct Digest {
    state: [u32; 5],
    /// Bytes taken in.
    length: u64,
    /// The last of them, fewer than a chunk.
    tail: [u8; CHUNK_BYTES],
}

impl Digest {
    /// Of no bytes.
    pub fn new() -> Self {
        Self { state: BEGIN, length: 0, tail: [0; CHUNK_BYTES] }
    }

    /// Takes in `bytes`: a multiple of 64, unless they are the last.
    pub fn update(&mut self, bytes: &[u8]) {
        let chunks = self.begin(bytes);
        compress(&mut self.state, chunks);
    }

    /// Takes in bytes of two digests, faster than one after the other if they are equally many.
    pub fn update_both((one, bytes): (&mut Self, &[u8]), (other, other_bytes): (&mut Self, &[u8])) {
        let (chunks, other_chunks) = (one.begin(bytes), other.begin(other_bytes));
        let common = chunks.len().min(other_chunks.len());
        let (pairs, rest) = chunks.split_at(common);
        let (other_pairs, other_rest) = other_chunks.split_at(common);
        for (chunks, other_chunks) in pairs.chunks(TURN_CHUNKS).zip(other_pairs.chunks(TURN_CHUNKS)) {
            compress(&mut one.state, chunks);
            compress(&mut other.state, other_chunks);
        }
        compress(&mut one.state, rest);
        compress(&mut other.state, other_rest);
    }

    /// The digest of all bytes.
    pub fn finish(mut self) -> [u8; 20] {
        let used = (self.length % CHUNK_BYTES as u64) as usize;
        let mut end = [0; 2 * CHUNK_BYTES];
        end[..used].copy_from_slice(&self.tail[..used]);
        end[used] = 0x80;
        // The length takes the last eight bytes of a chunk (FIPS 180-4, 5.1.1).
        let end_bytes = if used + 9 <= CHUNK_BYTES { CHUNK_BYTES } else { 2 * CHUNK_BYTES };
        end[end_bytes - 8..end_bytes].copy_from_slice(&(8 * self.length).to_be_bytes());
        compress(&mut self.state, end[..end_bytes].as_chunks().0);
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    /// Counts `bytes` and keeps what is no whole chunk; the chunks are still to be compressed.
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> &'a [[u8; CHUNK_BYTES]] {
        debug_assert!(self.length.is_multiple_of(CHUNK_BYTES as u64), "bytes behind the last ones");
        self.length += bytes.len() as u64;
        let (chunks, tail) = bytes.as_chunks();
        self.tail[..tail.len()].copy_from_slice(tail);
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use sha1::{Digest as _, Sha1};

    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|n| ((n * 31 + seed) >> 3) as u8).collect()
    }

    #[test]
    fn every_length_gives_what_the_crate_gives() {
        for length in (0..200).chain([16_384, 16_385, 100_000]) {
            let bytes = bytes(length, 5);
            let mut digest = Digest::new();
            bytes.chunks(1024).for_each(|part| digest.update(part));
            assert_eq!(digest.finish(), <[u8; 20]>::from(Sha1::digest(&bytes)), "{length} bytes");
        }
    }

    #[test]
    fn two_side_by_side_do_not_mix() {
        for (length, other_length) in
            [(0, 0), (640, 640), (63, 64), (10_000, 129), (1, 16_384), (16_384, 16_384)]
        {
            let (one, other) = (bytes(length, 1), bytes(other_length, 2));
            let (mut a, mut b) = (Digest::new(), Digest::new());
            Digest::update_both((&mut a, &one), (&mut b, &other));
            assert_eq!(a.finish(), <[u8; 20]>::from(Sha1::digest(&one)), "{length} beside {other_length}");
            assert_eq!(b.finish(), <[u8; 20]>::from(Sha1::digest(&other)), "{other_length} beside {length}");
        }
    }
}
