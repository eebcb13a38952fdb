//! What has been stored and is not known to be on the device: which files, and where in them.
//!
//! How much may wait is the session's business; it asks for a sync long before the kernel would begin by itself (after
//! 30 seconds, or a tenth of the memory: gigabytes on a big box).

use crate::base::limits::UNSYNCED_RANGES_MAX;
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

/// Files and ranges that are to be synced.
pub(super) struct WriteBack {
    files: Vec<u32>,
    /// For each file, whether it is in `files`, and whether it has ever been changed.
    marks: Box<[Marks]>,
    /// The oldest first; as many as are worth remembering.
    ranges: VecDeque<Range>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    is_listed: bool,
    is_changed: bool,
}

impl WriteBack {
    /// Nothing is stored yet in any of so many files.
    pub(super) fn new(files: u32) -> Self {
        Self {
            files: Vec::new(),
            marks: vec![Marks::default(); files as usize].into(),
            ranges: VecDeque::new(),
        }
    }

    /// Notes a file that is of doubtful age.
    pub(super) fn note_file(&mut self, file: u32) {
        if let Some(marks) = self.marks.get_mut(file as usize)
            && !core::mem::replace(&mut marks.is_listed, true)
        {
            self.files.push(file);
        }
    }

    /// Notes a file that we have changed.
    pub(super) fn note_changed(&mut self, file: u32) {
        self.note_file(file);
        if let Some(marks) = self.marks.get_mut(file as usize) {
            marks.is_changed = true;
        }
    }

    /// True if we have changed the file in this run.
    pub(super) fn is_changed(&self, file: u32) -> bool {
        self.marks.get(file as usize).is_some_and(|marks| marks.is_changed)
    }

    /// Notes a stored range. A range that continues the last one becomes one with it. Answers the oldest, if there are
    /// too many: its way to the device is to be started, as nobody will wait for it in slices.
    pub(super) fn note(&mut self, range: Range) -> Option<Range> {
        self.note_changed(range.file);
        match self.ranges.back_mut() {
            Some(last) if last.file == range.file && last.offset + last.length == range.offset => {
                last.length += range.length;
            }
            _ => self.ranges.push_back(range),
        }
        if self.ranges.len() > UNSYNCED_RANGES_MAX { self.ranges.pop_front() } else { None }
    }

    /// Takes out all files.
    pub(super) fn take_files(&mut self) -> Vec<u32> {
        let files = core::mem::take(&mut self.files);
        for &file in &files {
            self.marks[file as usize].is_listed = false;
        }
        files
    }

    /// Takes out the ranges of a file.
    pub(super) fn take_ranges(&mut self, file: u32) -> Vec<Range> {
        let own = self.ranges.iter().copied().filter(|range| range.file == file).collect();
        self.ranges.retain(|range| range.file != file);
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_taken_once_until_it_changes_again() {
        let mut write_back = WriteBack::new(3);
        for (file, offset) in [(2, 0), (1, 0), (2, 70), (9, 0)] {
            assert_eq!(write_back.note(Range { file, offset, length: 50 }), None);
        }
        assert_eq!((write_back.take_files(), write_back.take_files()), (vec![2, 1], vec![]));
        let two = |offset| Range { file: 2, offset, length: 50 };
        assert_eq!(write_back.take_ranges(2), [two(0), two(70)]);
        assert_eq!((write_back.take_ranges(2).len(), write_back.take_ranges(1).len()), (0, 1));
        write_back.note_file(2);
        write_back.note_file(0);
        assert_eq!(write_back.take_files(), [2, 0]);
        assert_eq!([0, 1, 2, 9].map(|file| write_back.is_changed(file)), [false, true, true, false]);
    }

    #[test]
    fn the_list_is_bounded_and_neighbours_are_joined() {
        let mut write_back = WriteBack::new(1);
        for n in 0..UNSYNCED_RANGES_MAX as u64 {
            assert_eq!(write_back.note(Range { file: 0, offset: n * 100, length: 50 }), None);
            assert_eq!(write_back.note(Range { file: 0, offset: n * 100 + 50, length: 49 }), None);
        }
        let oldest = write_back.note(Range { file: 0, offset: 1 << 40, length: 1 });
        assert_eq!(oldest, Some(Range { file: 0, offset: 0, length: 99 }));
    }
}
