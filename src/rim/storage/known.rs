//! How a file was when it was last seen: what tells it from another one of the same name, and whether somebody else has
//! been at it.

use super::survey::stamp_of;
use super::sys;
use crate::base::limits::STAMP_GRAIN;
use crate::resume::Stamp;
use std::fs::{File, Metadata};
use std::io;

/// What is known of a file. A torrent may have a million, so it is small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Bytes.
    length: u64,
    /// When it was changed, in seconds since 1970; 0: no file was seen.
    changed_s: u32,
    /// A digest of when it was made, to the nanosecond; 0 as long as it was not opened, or where the file system does not
    /// tell. Its number (inode) would not do: some file systems give a new one each time that they look.
    birth: u32,
}

impl Known {
    /// What the survey has seen.
    pub(super) fn of_stamp(stamp: &Stamp) -> Self {
        if *stamp == Stamp::default() {
            return Self::default();
        }
        // A file from before 1970 or after 2106 is as good as any other.
        let changed_s = (stamp.changed_ns / 1_000_000_000) as u32;
        Self { length: stamp.length, changed_s: changed_s.max(1), birth: 0 }
    }

    /// An open file.
    pub(super) fn of(file: &File, metadata: &Metadata) -> Self {
        let birth =
            sys::birth(file).map_or(0, |(seconds, nanos)| (seconds as u32).rotate_left(30) ^ nanos | 1);
        Self { birth, ..Self::of_stamp(&stamp_of(metadata)) }
    }

    /// The file was this long, in bytes, or longer.
    pub(super) fn is_at_least(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    /// An error (`ESTALE`) if `now` is another file than this one, or shorter.
    pub(super) fn fits(self, now: &Self) -> io::Result<()> {
        let is_another = self.birth != 0 && now.birth != 0 && self.birth != now.birth;
        if is_another || now.length < self.length { Err(stale()) } else { Ok(()) }
    }

    /// An error (`ESTALE`) if somebody has made or changed the file since it was as this one is.
    pub(super) fn is_unchanged(self, now: &Self) -> io::Result<()> {
        let grain = STAMP_GRAIN.as_secs() as u32;
        let is_changed = now.changed_s.abs_diff(self.changed_s) > grain || now.length != self.length;
        if is_changed { Err(stale()) } else { Ok(()) }
    }
}

/// What is there is not the file that was.
pub(super) fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Known = Known { length: 100, changed_s: 1_000, birth: 7 };

    #[test]
    fn another_file_and_a_shorter_one_do_not_fit() {
        let cases = [
            (SEEN, true),
            (Known { length: 101, changed_s: 9_000, ..SEEN }, true),
            (Known { length: 99, ..SEEN }, false),
            (Known { birth: 8, ..SEEN }, false),
            (Known { birth: 0, ..SEEN }, true),
            (Known::default(), false),
        ];
        for (now, fits) in cases {
            assert_eq!(SEEN.fits(&now).is_ok(), fits, "{now:?}");
        }
        assert!(Known::default().fits(&SEEN).is_ok(), "nothing was known");
    }

    #[test]
    fn a_file_at_rest_keeps_its_length_and_its_time() {
        let cases = [
            (SEEN, true),
            (Known { changed_s: 1_002, ..SEEN }, true),
            (Known { changed_s: 1_003, ..SEEN }, false),
            (Known { changed_s: 997, ..SEEN }, false),
            (Known { length: 101, ..SEEN }, false),
        ];
        for (now, is_unchanged) in cases {
            assert_eq!(SEEN.is_unchanged(&now).is_ok(), is_unchanged, "{now:?}");
        }
        assert!(Known::default().is_unchanged(&SEEN).is_err(), "somebody has made it");
    }
}
