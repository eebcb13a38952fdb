//! Verifying what is on disk, a slice at a time.

use crate::base::Geometry;
use crate::base::limits::CHECK_SLICE_BYTES;
use sha1::{Digest, Sha1};

/// Reads a torrent from its first byte to its last and compares every piece's hash.
#[derive(Debug)]
pub struct Check {
    geometry: Geometry,
    offset: u64,
    hash: Sha1,
}

impl Check {
    /// Begins at the first byte.
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, offset: 0, hash: Sha1::new() }
    }

    /// The piece being read.
    pub fn piece(&self) -> u32 {
        (self.offset / u64::from(self.geometry.piece_bytes)) as u32
    }

    /// The bytes to be read next: offset in the torrent and length, within one piece. `None` at the end.
    pub fn wants(&self) -> Option<(u64, usize)> {
        let range = self.geometry.piece_range(self.piece());
        let left = range.end.saturating_sub(self.offset);
        (left > 0).then(|| (self.offset, left.min(CHECK_SLICE_BYTES as u64) as usize))
    }

    /// The wanted bytes. At the end of a piece, the piece and its digest.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Option<(u32, [u8; 20])> {
        let (piece, end) = (self.piece(), self.geometry.piece_range(self.piece()).end);
        self.hash.update(bytes);
        self.offset += bytes.len() as u64;
        (self.offset >= end).then(|| (piece, self.hash.finalize_reset().into()))
    }

    /// The piece being read cannot be read: goes on with the next one.
    pub fn skip_piece(&mut self) {
        self.offset = self.geometry.piece_range(self.piece()).end;
        self.hash.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn every_piece_is_hashed_in_slices() {
        let data: Vec<u8> = (0..700_000u32).map(|i| (i / 7) as u8).collect();
        let mut check = Check::new(Geometry::new(700_000, 300_000).unwrap());
        let mut digests = vec![];
        while let Some((offset, length)) = check.wants() {
            assert!(length <= CHECK_SLICE_BYTES);
            digests.extend(check.on_bytes(&data[offset as usize..][..length]));
        }
        let right: Vec<(u32, [u8; 20])> =
            data.chunks(300_000).zip(0..).map(|(bytes, piece)| (piece, Sha1::digest(bytes).into())).collect();
        assert_eq!(digests, right);
    }

    #[test]
    fn an_unreadable_piece_does_not_spoil_the_next() {
        let data = [1; 20];
        let mut check = Check::new(Geometry::new(20, 10).unwrap());
        check.skip_piece();
        assert_eq!(check.wants(), Some((10, 10)));
        assert_eq!(check.on_bytes(&data[10..]), Some((1, Sha1::digest(&data[10..]).into())));
        assert_eq!(check.wants(), None);
        check.skip_piece();
        assert_eq!(check.wants(), None);
    }
}
