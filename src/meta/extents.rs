//! Extents: the ranges in which the torrent goes to disk, each copied once into one mapped window and written back once.
//!
//! A file of at least [`EXTENT_BYTES`] is cut into aligned ranges of that length, because a window that holds a whole
//! aligned huge page of the file costs one page fault, and its last extent is what remains. Shorter files and padding
//! between two such files are cut as if they were one file.

use super::layout::{FileKind, Layout};
use crate::base::limits::EXTENT_BYTES;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// The extents of a torrent, numbered in its order without gaps. Costs 16 bytes for each file of at least
/// [`EXTENT_BYTES`] and each run of shorter ones, not for each extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extents {
    zones: Box<[Zone]>,
    count: u32,
    total_bytes: u64,
}

/// Bytes of the torrent that are cut into extents from their start on: a long file, or a run of what is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Zone {
    /// First byte in the torrent.
    offset: u64,
    /// The number of its first extent.
    first: u32,
}

impl Extents {
    /// The extents of `layout`.
    pub fn new(layout: &Layout) -> Self {
        let total_bytes = layout.total_bytes();
        let mut zones: Vec<Zone> = Vec::new();
        let mut count = 0;
        let mut in_run = false;
        for file in layout.files().filter(|file| file.length > 0) {
            let is_long = file.kind == FileKind::Normal && file.length >= EXTENT_BYTES;
            if is_long || !in_run {
                count += extents_between(zones.last(), file.offset);
                zones.push(Zone { offset: file.offset, first: count });
            }
            in_run = !is_long;
        }
        count += extents_between(zones.last(), total_bytes);
        Self { zones: zones.into(), count, total_bytes }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The extent that byte `offset` of the torrent is in; behind its end, the number after the last extent.
    pub fn at(&self, offset: u64) -> u32 {
        if offset >= self.total_bytes {
            return self.count;
        }
        let zone = self.zone(|zone| zone.offset <= offset);
        zone.map_or(0, |(zone, _)| zone.first + ((offset - zone.offset) / EXTENT_BYTES) as u32)
    }

    /// The bytes of the torrent that `extent` is; none for a number without extent.
    pub fn range(&self, extent: u32) -> Range<u64> {
        match self.zone(|zone| zone.first <= extent) {
            Some((zone, end)) if extent < self.count => {
                let start = zone.offset + u64::from(extent - zone.first) * EXTENT_BYTES;
                start..end.min(start + EXTENT_BYTES)
            }
            _ => self.total_bytes..self.total_bytes,
        }
    }

    /// The pieces of `piece_bytes` each, not 0, that have bytes in `extent`.
    pub fn pieces(&self, extent: u32, piece_bytes: u32) -> Range<u32> {
        let bytes = self.range(extent);
        let first = bytes.start / u64::from(piece_bytes);
        let end = if bytes.is_empty() { first } else { bytes.end.div_ceil(u64::from(piece_bytes)) };
        first as u32..end as u32
    }

    /// The last zone for which `begins_before` holds, and where it ends.
    fn zone(&self, begins_before: impl Fn(&Zone) -> bool) -> Option<(Zone, u64)> {
        let next = self.zones.partition_point(begins_before);
        let zone = self.zones.get(next.checked_sub(1)?)?;
        Some((*zone, self.zones.get(next).map_or(self.total_bytes, |next| next.offset)))
    }
}

/// The extents of `zone`, if there is one, when it ends at `end`.
fn extents_between(zone: Option<&Zone>, end: u64) -> u32 {
    zone.map_or(0, |zone| (end - zone.offset).div_ceil(EXTENT_BYTES) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    const LONG: u64 = EXTENT_BYTES;

    fn layout(lengths: &[(u64, FileKind)]) -> Layout {
        let mut builder = Layout::builder(Some(b"root"));
        for (index, (length, kind)) in lengths.iter().enumerate() {
            if *kind == FileKind::Normal {
                builder.paths.extend_from_slice(index.to_string().as_bytes());
            }
            assert!(builder.push(*length, *kind, false));
        }
        builder.finish()
    }

    fn normal(lengths: &[u64]) -> Layout {
        layout(&lengths.iter().map(|length| (*length, FileKind::Normal)).collect::<Vec<_>>())
    }

    fn ranges(extents: &Extents) -> Vec<Range<u64>> {
        (0..extents.count()).map(|extent| extents.range(extent)).collect()
    }

    #[test]
    fn long_files_are_cut_by_themselves_and_short_ones_together() {
        let extents = Extents::new(&normal(&[10, 2 * LONG + 5, 0, 7, 8, LONG, LONG - 1]));
        let (big, after) = (10, 2 * LONG + 15);
        let expected = [
            0..10,
            big..big + LONG,
            big + LONG..big + 2 * LONG,
            big + 2 * LONG..after,
            after..after + 15,
            after + 15..after + 15 + LONG,
            after + 15 + LONG..after + 14 + 2 * LONG,
        ];
        assert_eq!(ranges(&extents), expected);
    }

    #[test]
    fn padding_is_never_a_long_file() {
        let pad = (3 * LONG, FileKind::Pad);
        let extents = Extents::new(&layout(&[(1, FileKind::Normal), pad, (LONG, FileKind::Normal)]));
        assert_eq!(extents.count(), 5);
        assert_eq!(extents.range(3), 3 * LONG..3 * LONG + 1);
        assert_eq!(extents.range(4), 3 * LONG + 1..4 * LONG + 1);
    }

    #[test]
    fn numbers_beyond_the_end_are_nobody() {
        let extents = Extents::new(&normal(&[5]));
        assert_eq!((extents.at(4), extents.at(5), extents.at(u64::MAX)), (0, 1, 1));
        assert!(extents.range(1).is_empty() && extents.range(u32::MAX).is_empty());
        assert!(extents.pieces(1, 2).is_empty());
        let nothing = Extents::new(&normal(&[]));
        assert_eq!((nothing.count(), nothing.at(0), nothing.range(0)), (0, 0, 0..0));
    }

    #[test]
    fn pieces_of_an_extent_are_those_that_touch_it() {
        let extents = Extents::new(&normal(&[3 * LONG]));
        assert_eq!(extents.pieces(1, LONG as u32), 1..2);
        assert_eq!(extents.pieces(1, LONG as u32 / 4), 4..8);
        assert_eq!(extents.pieces(1, LONG as u32 * 2), 0..1);
        assert_eq!(extents.pieces(1, LONG as u32 / 4 * 3), 1..3);
    }

    #[test]
    fn extents_tile_every_torrent_and_are_aligned_in_long_files() {
        let mut rng = Rng::new(4);
        for _ in 0..500 {
            let files = rng.below(12);
            let lengths: Vec<_> = (0..files)
                .map(|_| {
                    let length = [0, 1, 5000, LONG - 1, LONG, LONG + 1, 9 * LONG + 17][rng.below(7) as usize];
                    (length, if rng.one_in(4) { FileKind::Pad } else { FileKind::Normal })
                })
                .collect();
            crate::fuzzing::meta::check_extents(&layout(&lengths));
        }
    }
}
