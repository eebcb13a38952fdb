//! Whether the disk is asked before bytes are sent from it. A read of what is not in memory stops the loop for as long as
//! the disk takes: less than a millisecond, a quarter of a second, or ten seconds if it has to start first.

use crate::base::limits::{FAST_DISK_SPAN, SLOW_DISK_SPAN, SLOW_READ};
use crate::base::{Instant, TorrentId};
use crate::session::FileBytes;
use core::time::Duration;

/// What is asked for at a time: asking costs a system call for each of them, and a block is a quarter of it.
const WINDOW_BYTES: u64 = 64 << 10;
/// Windows that are remembered to be in memory, and for how long: pages may be taken away again.
const SEEN_MAX: usize = 32;
const SEEN_SPAN: Duration = Duration::from_secs(1);

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct DiskSpeed {
    known: Known,
    /// Windows that were found in memory, since then.
    seen: Vec<(TorrentId, u64)>,
    seen_since: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
enum Known {
    /// It may sleep.
    #[default]
    Nothing,
    /// It gave what was not in memory at once; believed until then.
    Fast(Instant),
    /// It lets the loop wait; believed until then.
    Slow(Instant),
}

impl DiskSpeed {
    /// For how many bytes from `file.offset` on the disk is to be asked before that is sent; `None`: for none.
    pub(super) fn asks(&mut self, now: Instant, file: &FileBytes) -> Option<usize> {
        match self.known {
            Known::Slow(until) if now < until => return Some(file.length),
            Known::Fast(until) if now < until => return None,
            _ => {}
        }
        if self.seen_since.until(now) >= SEEN_SPAN {
            self.seen.clear();
            self.seen_since = now;
        }
        let ahead = (WINDOW_BYTES - file.offset % WINDOW_BYTES) as usize;
        (!self.seen.contains(&window(file))).then_some(ahead)
    }

    /// What the disk was asked for is in memory, after it was waited for so long.
    pub(super) fn found(&mut self, now: Instant, file: &FileBytes, waited: Duration) {
        if waited.is_zero() {
            if self.seen.len() >= SEEN_MAX {
                self.seen.clear();
            }
            self.seen.push(window(file));
        } else if waited >= SLOW_READ {
            self.known = Known::Slow(now + SLOW_DISK_SPAN);
        } else if !matches!(self.known, Known::Slow(until) if now < until) {
            self.known = Known::Fast(now + FAST_DISK_SPAN);
        }
    }

    /// Bytes were read and sent.
    pub(super) fn took(&mut self, start: Instant, end: Instant) {
        if start.until(end) >= SLOW_READ {
            self.known = Known::Slow(end + SLOW_DISK_SPAN);
        }
    }
}

fn window(file: &FileBytes) -> (TorrentId, u64) {
    (file.torrent, file.offset / WINDOW_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 16 << 10;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn block(nth: u64) -> FileBytes {
        FileBytes { torrent: TorrentId(0), offset: nth * BLOCK as u64, length: BLOCK }
    }

    #[test]
    fn what_is_in_memory_is_asked_for_a_window_at_a_time_and_anew_after_a_while() {
        let mut speed = DiskSpeed::default();
        let mut asked = 0;
        for nth in 0..1000 {
            if speed.asks(at(5000), &block(nth)).is_some() {
                asked += 1;
                speed.found(at(5000), &block(nth), Duration::ZERO);
            }
        }
        assert_eq!(asked, 250);
        assert_eq!(speed.asks(at(5001), &block(999)), None);
        assert_eq!(speed.asks(at(6001), &block(999)), Some(BLOCK));
    }

    #[test]
    fn a_fast_disk_is_not_asked_for_a_while_and_a_slow_one_for_each_block() {
        let mut speed = DiskSpeed::default();
        assert_eq!(speed.asks(at(0), &block(0)), Some(4 * BLOCK), "it may sleep");
        speed.found(at(5), &block(0), SLOW_READ / 2);
        let awake = at(5) + FAST_DISK_SPAN;
        assert_eq!(speed.asks(at(6), &block(9)), None);
        assert!(speed.asks(awake, &block(9)).is_some(), "it may have gone to sleep");
        speed.took(awake, awake + SLOW_READ);
        for nth in [0, 1, 0] {
            assert_eq!(speed.asks(awake + SLOW_READ, &block(nth)), Some(BLOCK));
            speed.found(awake + SLOW_READ, &block(nth), Duration::ZERO);
        }
        assert_eq!(speed.asks(awake + SLOW_DISK_SPAN, &block(4)), Some(BLOCK));
    }
}
