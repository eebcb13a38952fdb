//! Verifying what is on disk, a slice at a time.

use crate::base::limits::CHECK_SLICE_BYTES;
use crate::base::{Bitfield, Geometry};
use sha1::{Digest, Sha1};

/// Reads pieces of a torrent, from the first to the last, and tells their hashes.
#[derive(Debug)]
pub struct Check {
    geometry: Geometry,
    /// Pieces that are not read.
    known: Bitfield,
    /// Pieces that are known to be all zeros.
    holes: Bitfield,
    /// The hash of a piece of zeros, as soon as one has been read.
    of_zeros: Option<[u8; 20]>,
    offset: u64,
    hash: Sha1,
    /// The piece is written again as it is read.
    renewing: bool,
    /// That has to be done once more: a device has refused something since it began.
    spoilt: bool,
}

impl Check {
    /// Of all pieces.
    pub fn new(geometry: Geometry) -> Self {
        let none = Bitfield::new(geometry.pieces);
        Self::except(geometry, none.clone(), none)
    }

    /// Of all pieces but those in `known`. Of the `holes`, pieces that are known to be all zeros, one is read for all.
    pub fn except(geometry: Geometry, known: Bitfield, holes: Bitfield) -> Self {
        let (of_zeros, hash) = (None, Sha1::new());
        let mut check =
            Self { geometry, known, holes, of_zeros, offset: 0, hash, renewing: false, spoilt: false };
        check.pass_known();
        check
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
        if self.offset < end {
            return None;
        }
        let digest = self.hash.finalize_reset().into();
        self.renewing = false;
        if self.is_hole(piece) {
            self.of_zeros = Some(digest);
        }
        self.pass_known();
        Some((piece, digest))
    }

    /// The piece that would be read next and its digest, if that is known without reading it.
    pub fn next_hole(&mut self) -> Option<(u32, [u8; 20])> {
        let (piece, digest) = (self.piece(), self.of_zeros?);
        let is_next =
            self.is_hole(piece) && self.offset == self.geometry.piece_start(piece) && !self.renewing;
        is_next.then(|| {
            self.skip_piece();
            (piece, digest)
        })
    }

    /// Reads `piece`, which was read last, a second time, and has it written again.
    pub fn renew(&mut self, piece: u32) {
        self.offset = self.geometry.piece_start(piece);
        self.renewing = true;
    }

    /// A piece begins to be read; `renew`: and written again.
    pub fn begin(&mut self, renew: bool) {
        if self.offset == self.geometry.piece_start(self.piece()) {
            self.renewing |= renew;
            self.spoilt = false;
        }
    }

    /// A device has refused something.
    pub fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// True if the piece being read was written again so far, and nothing was refused since.
    pub fn is_renewed(&self) -> bool {
        self.renewing && !self.spoilt
    }

    /// True if what is read is to be written again.
    pub fn is_renewing(&self) -> bool {
        self.renewing
    }

    /// The piece being read cannot be read: goes on with the next one.
    pub fn skip_piece(&mut self) {
        self.renewing = false;
        self.offset = self.geometry.piece_range(self.piece()).end;
        self.hash.reset();
        self.pass_known();
    }

    /// True for a hole as long as all others.
    fn is_hole(&self, piece: u32) -> bool {
        self.holes.has(piece) && self.geometry.piece_length(piece) == self.geometry.piece_bytes
    }

    fn pass_known(&mut self) {
        while self.known.has(self.piece()) {
            self.offset = self.geometry.piece_range(self.piece()).end;
            if self.offset >= self.geometry.total_bytes {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Reads all that is wanted of `data`; the digests, and the pieces read.
    fn digests(mut check: Check, data: &[u8]) -> (Vec<(u32, [u8; 20])>, Vec<u32>) {
        let (mut digests, mut read) = (vec![], vec![]);
        while let Some((offset, length)) = check.wants() {
            if let Some(hole) = check.next_hole() {
                digests.push(hole);
                continue;
            }
            assert!(length <= CHECK_SLICE_BYTES);
            read.push(check.piece());
            digests.extend(check.on_bytes(&data[offset as usize..][..length]));
        }
        (digests, read)
    }

    fn right(data: &[u8], piece_bytes: usize) -> Vec<(u32, [u8; 20])> {
        data.chunks(piece_bytes).zip(0..).map(|(bytes, piece)| (piece, Sha1::digest(bytes).into())).collect()
    }

    #[test]
    fn every_piece_is_hashed_in_slices() {
        let data: Vec<u8> = (0..700_000u32).map(|i| (i / 7) as u8).collect();
        let check = Check::new(Geometry::new(700_000, 300_000).unwrap());
        assert_eq!(digests(check, &data), (right(&data, 300_000), vec![0, 0, 1, 1, 2]));
    }

    #[test]
    fn known_pieces_are_passed_wherever_they_are() {
        let data: Vec<u8> = (0..95).collect();
        let geometry = Geometry::new(95, 10).unwrap();
        for known in [vec![], vec![0, 1, 5], vec![9], (0..10).collect(), (1..10).collect()] {
            let mut set = Bitfield::new(10);
            known.iter().for_each(|&piece| assert!(set.insert(piece)));
            let (digests, read) = digests(Check::except(geometry, set, Bitfield::new(10)), &data);
            let expected: Vec<u32> = (0..10).filter(|piece| !known.contains(piece)).collect();
            assert_eq!(read, expected);
            assert!(digests.iter().all(|digest| right(&data, 10).contains(digest)));
        }
    }

    #[test]
    fn one_hole_is_read_for_all_but_a_shorter_one() {
        let mut data = vec![0; 95];
        data[33] = 1;
        let mut holes = Bitfield::full(10);
        holes.remove(3);
        let check = Check::except(Geometry::new(95, 10).unwrap(), Bitfield::new(10), holes);
        assert_eq!(digests(check, &data), (right(&data, 10), vec![0, 3, 9]));
    }

    #[test]
    fn a_piece_is_read_a_second_time_before_the_next_one() {
        let data: Vec<u8> = (0..20).collect();
        let mut check = Check::new(Geometry::new(20, 10).unwrap());
        let right = Some((0, Sha1::digest(&data[..10]).into()));
        assert_eq!(check.on_bytes(&data[..10]), right);
        check.renew(0);
        assert_eq!((check.wants(), check.is_renewing()), (Some((0, 10)), true));
        assert_eq!(check.on_bytes(&data[..10]), right);
        assert_eq!((check.wants(), check.is_renewing()), (Some((10, 10)), false));
        check.renew(0);
        check.skip_piece();
        assert_eq!((check.wants(), check.is_renewing()), (Some((10, 10)), false));
        check.begin(true);
        assert!(check.is_renewed());
        check.spoil();
        assert!(check.is_renewing() && !check.is_renewed());
        check.begin(false);
        assert!(check.is_renewed(), "as it begins anew");
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
