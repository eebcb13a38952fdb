//! Starting the way of stored bytes to the device: in the order they came, a bounded number of bytes behind.
//!
//! Left alone, the kernel waits for 30 seconds or a tenth of the memory: gigabytes on a big box, which the sync at the
//! end would have to wait for. Started after each extent, it costs the caller 0.1 s of CPU per GiB; 64 MiB later, when
//! neighbours go together, 0.03 s (mapped and positioned alike, ext4).

use crate::base::limits::{UNSENT_BYTES_MAX, UNSENT_RANGES_MAX};
use std::collections::VecDeque;

/// A stored range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The file, by index in the torrent.
    pub(super) file: u32,
    /// First byte within the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) length: u64,
}

/// The ranges whose write-back has not been started, the oldest first.
#[derive(Default)]
pub(super) struct WriteBack {
    waiting: VecDeque<Range>,
    bytes: u64,
}

impl WriteBack {
    /// Notes a stored range. A range that continues the last one becomes one with it.
    pub(super) fn note(&mut self, range: Range) {
        self.bytes += range.length;
        match self.waiting.back_mut() {
            Some(last) if last.file == range.file && last.offset + last.length == range.offset => {
                last.length += range.length;
            }
            _ => self.waiting.push_back(range),
        }
    }

    /// The oldest range, if too much waits: its write-back is to be started.
    pub(super) fn due(&mut self) -> Option<Range> {
        let due = self.bytes > UNSENT_BYTES_MAX || self.waiting.len() > UNSENT_RANGES_MAX;
        let range = if due { self.waiting.pop_front() } else { None };
        self.bytes -= range.map_or(0, |range| range.length);
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_too_many_bytes_wait() {
        let mut write_back = WriteBack::default();
        let range = |offset| Range { file: 1, offset, length: UNSENT_BYTES_MAX / 2 };
        write_back.note(range(1 << 40));
        write_back.note(range(0));
        assert_eq!(write_back.due(), None);
        write_back.note(range(2 << 40));
        assert_eq!((write_back.due(), write_back.due()), (Some(range(1 << 40)), None));
    }

    #[test]
    fn the_list_is_bounded_and_neighbours_are_joined() {
        let mut write_back = WriteBack::default();
        for n in 0..=UNSENT_RANGES_MAX as u64 {
            write_back.note(Range { file: 0, offset: n * 100, length: 50 });
            write_back.note(Range { file: 0, offset: n * 100 + 50, length: 49 });
        }
        assert_eq!(write_back.due(), Some(Range { file: 0, offset: 0, length: 99 }));
        assert_eq!(write_back.due(), None);
    }
}
