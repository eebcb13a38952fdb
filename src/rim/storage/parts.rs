//! Bytes that are contiguous in the torrent and scattered in memory, taken from the front.

use std::io::IoSlice;

/// What is still to be stored of some parts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    rest: &'a [&'a [u8]],
    /// Bytes of the first part that are taken already; less than its length.
    skip: usize,
}

impl<'a> Parts<'a> {
    /// All bytes of `parts` in order, but the first `done`, which are not more than there are. Parts may be empty.
    pub(super) fn new(parts: &'a [&'a [u8]], done: u64) -> Self {
        let mut rest = Self { rest: parts, skip: 0 };
        rest.advance(done as usize);
        rest
    }

    /// Bytes left.
    pub(super) fn len(&self) -> u64 {
        self.rest.iter().map(|part| part.len() as u64).sum::<u64>() - self.skip as u64
    }

    /// The first bytes that lie together in memory; empty if nothing is left.
    pub(super) fn first(&self) -> &'a [u8] {
        self.rest.first().and_then(|part| part.get(self.skip..)).unwrap_or_default()
    }

    /// Takes `count` bytes off; at most what is left.
    pub(super) fn advance(&mut self, count: usize) {
        self.skip += count;
        while let Some((first, rest)) = self.rest.split_first()
            && self.skip >= first.len()
        {
            self.skip -= first.len();
            self.rest = rest;
        }
    }

    /// Moves bytes into `target` until it is full or nothing is left; the number moved.
    pub(super) fn copy_to(&mut self, mut target: &mut [u8]) -> usize {
        let wanted = target.len();
        while !target.is_empty() && !self.first().is_empty() {
            let part = self.first();
            let count = part.len().min(target.len());
            let (now, later) = target.split_at_mut(count);
            now.copy_from_slice(&part[..count]);
            target = later;
            self.advance(count);
        }
        wanted - target.len()
    }

    /// Lists the next bytes, at most `limit` of them and as far as `list` reaches, without taking them; the number
    /// of entries used.
    pub(super) fn gather(&self, limit: u64, list: &mut [IoSlice<'a>]) -> usize {
        let (mut ahead, mut left, mut used) = (*self, limit, 0);
        for entry in list {
            let part = ahead.first();
            let count = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                break;
            }
            *entry = IoSlice::new(&part[..count]);
            ahead.advance(count);
            left -= count as u64;
            used += 1;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &[&[u8]] = &[b"", b"abc", b"", b"defg", b"h", b""];

    #[test]
    fn every_way_of_cutting_gives_the_same_bytes() {
        for first in 0..=8 {
            let (mut parts, mut head, mut tail) = (Parts::new(PARTS, 0), vec![0; first], [0; 20]);
            assert_eq!(parts.copy_to(&mut head), first);
            assert_eq!(parts.len(), 8 - first as u64);
            let rest = parts.copy_to(&mut tail);
            head.extend(&tail[..rest]);
            assert_eq!(head, b"abcdefgh");
            assert_eq!((parts.len(), parts.copy_to(&mut tail)), (0, 0));
        }
    }

    #[test]
    fn what_is_done_is_passed_wherever_it_ends() {
        for done in 0..=8 {
            let (mut parts, mut rest) = (Parts::new(PARTS, done as u64), [0; 8]);
            assert_eq!(parts.len(), 8 - done as u64);
            let count = parts.copy_to(&mut rest);
            assert_eq!(&rest[..count], &b"abcdefgh"[done..]);
        }
    }

    #[test]
    fn gathering_is_bounded_by_bytes_and_by_entries() {
        let cases: [(usize, u64, usize, &[&[u8]]); 6] = [
            (0, 100, 5, &[b"abc", b"defg", b"h"]),
            (0, 100, 2, &[b"abc", b"defg"]),
            (0, 5, 5, &[b"abc", b"de"]),
            (1, 2, 5, &[b"bc"]),
            (4, 100, 5, &[b"efg", b"h"]),
            (8, 100, 5, &[]),
        ];
        for (taken, limit, entries, expected) in cases {
            let mut parts = Parts::new(PARTS, 0);
            parts.advance(taken);
            let mut list = [IoSlice::new(&[]); 5];
            let used = parts.gather(limit, &mut list[..entries]);
            assert_eq!(list[..used].iter().map(|slice| &slice[..]).collect::<Vec<_>>(), expected);
        }
    }
}
