//! Bytes that are asked of the device before they are read, so that a slow one keeps nobody waiting.
//!
//! A read of what is not in the page cache stops the loop for as long as the device takes: a quarter of a second for what
//! the kernel reads ahead of a disk of 5 MB/s, seconds when writes are queued before it. So reads are announced first
//! (`posix_fadvise`), which does not wait, and done when a probe that never waits (`RWF_NOWAIT`) finds them. Where the file
//! system does not know such a probe (FAT, exFAT, some FUSE), a map that nobody touches tells (`mincore`).

use super::sys;
use crate::base::limits::{CHECK_SLICE_BYTES, READ_AHEAD_BYTES, READ_AHEAD_TIME, READ_PATIENCE_MAX};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// A probe looks at one byte in so many: pages arrive in the order of the file, some at a time.
const PROBE_BYTES: u64 = 64 << 10;
/// The least page of any processor. Of a last page that is not whole, Linux 6.18 does not tell that it has it where
/// nothing was written yet (ext4), so it is not asked for that.
const PAGE_BYTES: u64 = 4 << 10;

/// How it is found out what is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Probe {
    /// By reads that do not wait, as far as is known.
    #[default]
    Read,
    /// By maps.
    Map,
    /// Not at all: the file system keeps what it reads for itself, or maps nothing.
    Never,
}

impl Probe {
    /// True if the bytes can be read without waiting, as far as a few probes tell; also where that cannot be known, and if
    /// reading would fail.
    pub(super) fn is_at_hand(&mut self, file: &File, offset: u64, length: u64) -> bool {
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            let next = end.min((at - at % PROBE_BYTES).saturating_add(PROBE_BYTES));
            let pages_end = next - next % PAGE_BYTES;
            if pages_end > at && self.waits(file, pages_end - 1) {
                return false;
            }
            at = next;
        }
        true
    }

    /// True if the byte at `at` would have to be waited for.
    fn waits(&mut self, file: &File, at: u64) -> bool {
        if *self == Self::Read {
            match sys::probe(file, at).map_err(|error| error.raw_os_error()) {
                Err(Some(libc::EAGAIN)) => return true,
                Err(Some(libc::EOPNOTSUPP)) => {}
                _ => return false,
            }
        }
        match self {
            Self::Never => false,
            Self::Map => is_absent(file, at) && is_within(file, at),
            Self::Read => {
                self.try_map(file, at);
                false
            }
        }
    }

    /// Finds out, with one read that may wait, whether maps tell the truth: what was just read is there.
    fn try_map(&mut self, file: &File, at: u64) {
        if is_absent(file, at) && is_within(file, at) {
            let is_read = file.read_at(&mut [0], at).is_ok_and(|count| count == 1);
            *self = if is_read && !is_absent(file, at) { Self::Map } else { Self::Never };
        }
    }
}

/// True if a map says that the byte is not in memory.
fn is_absent(file: &File, at: u64) -> bool {
    sys::is_cached(file, at).is_ok_and(|is_cached| !is_cached)
}

/// What is behind the end never comes to memory.
fn is_within(file: &File, at: u64) -> bool {
    file.metadata().is_ok_and(|metadata| at < metadata.len())
}

/// How far ahead of what is read the device is kept busy: about as far as it comes in [`READ_AHEAD_TIME`], because whatever
/// else is wanted of it waits behind that.
#[derive(Debug)]
pub(super) struct Reach {
    bytes: u64,
    /// What is waited for, and since when. One wait at a time is measured.
    waits: Option<(u64, Instant)>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { bytes: READ_AHEAD_BYTES, waits: None }
    }
}

impl Reach {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes at `offset` are not at hand.
    pub(super) fn missed(&mut self, offset: u64, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) > READ_PATIENCE_MAX;
        if self.waits.is_none_or(|(_, since)| is_over(since)) {
            self.waits = Some((offset, now));
        }
    }

    /// The `length` bytes at `offset` are at hand.
    pub(super) fn came(&mut self, offset: u64, length: u64, now: impl FnOnce() -> Instant) {
        if let Some((_, since)) = self.waits.take_if(|(awaited, _)| *awaited == offset) {
            self.learn(length, now().saturating_duration_since(since));
        }
    }

    /// Bytes came after so long. Of few bytes most of the time is the way to their place.
    fn learn(&mut self, length: u64, took: Duration) {
        let (least, most) = (CHECK_SLICE_BYTES as u64, READ_AHEAD_BYTES);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let fitting = length.saturating_mul(READ_AHEAD_TIME.as_micros() as u64) / us;
        let bytes = if length * 2 >= least {
            fitting
        } else if took > READ_AHEAD_TIME {
            self.bytes / 2
        } else if took < READ_AHEAD_TIME / 4 {
            self.bytes * 2
        } else {
            self.bytes
        };
        self.bytes = bytes.clamp(least, most);
    }
}

/// Starts reading into the page cache. Who cannot do that reads later. Little by little, as the kernel takes no more of each
/// wish than it reads ahead by itself: 128 KiB on many devices, and what is behind that never comes.
pub(super) fn announce(file: &File, offset: u64, length: u64) {
    let end = offset.saturating_add(length);
    let mut at = offset;
    while at < end {
        let part = PROBE_BYTES.min(end - at);
        if sys::read_ahead(file, at, part).is_err() {
            return;
        }
        at += part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::{Duration, Instant};

    /// A file on the disk of the build, which is no tmpfs.
    fn file(name: &str) -> File {
        let folder = std::env::current_exe().expect("ourselves");
        let path = folder.with_file_name(format!("swarmlet-ahead-{name}-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        file.write_all(&vec![7; 1 << 20]).expect("room");
        file.sync_all().expect("room");
        file
    }

    fn is_at_hand(file: &File, offset: u64, length: u64) -> bool {
        let by_map = Probe::Map.is_at_hand(file, offset, length);
        let by_read = Probe::Read.is_at_hand(file, offset, length);
        assert!(by_read || !by_map || Probe::Read.is_at_hand(file, offset, length), "they agree");
        by_map && by_read
    }

    #[test]
    fn maps_are_asked_only_where_they_tell_the_truth() {
        let file = file("truth");
        let mut probe = Probe::default();
        probe.try_map(&file, 5000);
        assert_eq!(probe, Probe::Read, "nothing is absent");
        sys::forget_cached(&file);
        if is_absent(&file, 5000) {
            probe.try_map(&file, 5000);
            assert_eq!(probe, Probe::Map);
            assert!(!probe.is_at_hand(&file, 512 << 10, 64 << 10) && probe.is_at_hand(&file, 4096, 4096));
        }
        assert!(probe.is_at_hand(&file, 1 << 20, 1 << 20), "behind the end");
        // A page of a hole is never in memory there.
        let path = std::path::Path::new("/dev/shm").join(format!("swarmlet-hole-{}", std::process::id()));
        if let Ok(hole) = File::options().read(true).write(true).create_new(true).open(&path) {
            std::fs::remove_file(&path).expect("ours");
            hole.set_len(1 << 20).expect("a hole");
            let mut probe = Probe::default();
            probe.try_map(&hole, 5000);
            assert_eq!(probe, Probe::Never);
        }
    }

    #[test]
    fn the_reach_is_what_the_device_gives_in_its_time() {
        let (slice, ms) = (CHECK_SLICE_BYTES as u64, Duration::from_millis);
        let mut reach = Reach::default();
        let start = Instant::now();
        let mut wait = |offset, length, took| {
            reach.missed(offset, start);
            reach.missed(offset + 1, start + ms(1));
            reach.came(offset, length, || start + took);
            reach.bytes()
        };
        assert_eq!(wait(0, slice, READ_AHEAD_TIME / 2), 2 * slice);
        assert_eq!(wait(7, slice, ms(500)), slice);
        assert_eq!(wait(8, slice, ms(4)), READ_AHEAD_BYTES);
        for expected in [4 * slice, 2 * slice, slice, slice] {
            assert_eq!(wait(9, 1, READ_AHEAD_TIME * 2), expected);
        }
        assert_eq!((wait(9, 1, READ_AHEAD_TIME / 2), wait(9, 1, ms(8))), (slice, 2 * slice));
    }

    #[test]
    fn what_is_announced_comes_without_being_waited_for() {
        let file = file("announced");
        assert!(is_at_hand(&file, 0, 1 << 20), "just written");
        sys::forget_cached(&file);
        if !is_at_hand(&file, 0, 1 << 20) {
            announce(&file, 0, 1 << 20);
        }
        let start = Instant::now();
        while !is_at_hand(&file, 0, 1 << 20) {
            assert!(start.elapsed() < Duration::from_secs(20), "it never comes");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_end_that_was_never_written_is_at_hand() {
        let file = file("end");
        file.set_len((1 << 20) + 12_345).expect("longer");
        sys::reserve(&file, 0, (1 << 20) + 12_345).expect("room");
        announce(&file, 1 << 20, 12_345);
        std::thread::sleep(Duration::from_millis(50));
        assert!(is_at_hand(&file, 1 << 20, 12_345) && is_at_hand(&file, (1 << 20) + 12_000, 345));
    }

    #[test]
    fn what_cannot_be_read_is_at_hand() {
        let file = File::options().write(true).open("/dev/null").expect("/dev/null is there");
        assert!(is_at_hand(&file, 0, 100_000) && is_at_hand(&file, u64::MAX - 5, 10));
        announce(&file, u64::MAX, u64::MAX);
    }
}
