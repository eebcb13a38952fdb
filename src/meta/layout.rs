//! How the files of a torrent lie one behind the other, and which part of which file a range of its bytes is.
//!
//! A file costs 16 bytes beside the letters of its path: a torrent may have a million on a box that has 32 MiB.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Stands between the components of a stored path. No component contains it, and it sorts before everything else, so
/// that what is in a directory sorts directly behind the directory.
pub(super) const SEPARATOR: u8 = 0;

/// The files of a torrent in its order, pad files included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The directory that all files are in: the `name` of a torrent with `files`.
    root: Option<Box<[u8]>>,
    paths: Box<[u8]>,
    entries: Box<[Entry]>,
    total_bytes: u64,
    wanted_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// First byte in the torrent. The next entry's tells the length.
    offset: u64,
    /// Where its path ends in `paths`; it begins where the one before ends.
    path_end: u32,
    kind: FileKind,
    executable: bool,
}

/// What becomes of the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// They are written; an empty file is created.
    Normal,
    /// They only fill up a piece (BEP 47) and are zeros: nothing is written or created.
    Pad,
}

/// One file of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// First byte in the torrent.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Whether it is written.
    pub kind: FileKind,
    /// The executable bit is wished for (BEP 47 `x`).
    pub executable: bool,
    root: Option<&'a [u8]>,
    path: &'a [u8],
}

impl<'a> File<'a> {
    /// The components of the path, relative to the output directory: each safe to be created, the last is the file, the
    /// ones before are directories. No other file of the torrent has the same, nor is a directory called so. A pad file
    /// has none.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a> {
        let path = (!self.path.is_empty()).then_some(self.path);
        let root = path.and(self.root);
        root.into_iter().chain(path.into_iter().flat_map(|path| path.split(|byte| *byte == SEPARATOR)))
    }

    /// The components joined by `/`.
    pub fn path(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        for component in self.components() {
            if !joined.is_empty() {
                joined.push(b'/');
            }
            joined.extend_from_slice(component);
        }
        joined
    }

    /// True if it is only padding.
    pub fn is_pad(&self) -> bool {
        self.kind == FileKind::Pad
    }
}

/// A range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of the file in the [`Layout`].
    pub file: u32,
    /// First byte within the file.
    pub file_offset: u64,
    /// Bytes; never 0.
    pub length: u64,
    /// Whether it is written.
    pub kind: FileKind,
}

impl Layout {
    /// A layout without files yet.
    pub(super) fn builder(root: Option<&[u8]>) -> Builder {
        Builder {
            root: root.map(Box::from),
            paths: Vec::new(),
            entries: Vec::new(),
            total_bytes: 0,
            wanted_bytes: 0,
        }
    }

    /// Bytes of all files, pad files included: what the pieces are cut from.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes of all files that are written.
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }

    /// How many files there are, pad files included.
    pub fn count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Bytes that the letters of all paths take.
    pub fn path_bytes(&self) -> u64 {
        self.paths.len() as u64
    }

    /// The directory that all files are in, where there is one.
    pub fn root(&self) -> Option<&[u8]> {
        self.root.as_deref()
    }

    /// File `index` in the order of the torrent.
    pub fn file(&self, index: u32) -> Option<File<'_>> {
        let index = index as usize;
        let entry = self.entries.get(index)?;
        let path_start = index.checked_sub(1).map_or(0, |before| self.entries[before].path_end);
        Some(File {
            offset: entry.offset,
            length: self.end(index) - entry.offset,
            kind: entry.kind,
            executable: entry.executable,
            root: self.root.as_deref(),
            path: &self.paths[path_start as usize..entry.path_end as usize],
        })
    }

    /// All files in the order of the torrent.
    pub fn files(&self) -> impl ExactSizeIterator<Item = File<'_>> + DoubleEndedIterator {
        (0..self.entries.len()).map(|index| self.file(index as u32).expect("the index is of the table"))
    }

    /// The parts of files that `length` bytes from `offset` on are, in order, without empty ones. Costs the logarithm of
    /// the number of files and then a step for each file; what lies behind the end of the torrent is left out.
    pub fn segments(&self, offset: u64, length: u64) -> Segments<'_> {
        let end = offset.saturating_add(length).min(self.total_bytes);
        // Of several files that begin at `offset` only the last is not empty.
        let file = self.entries.partition_point(|entry| entry.offset <= offset).saturating_sub(1);
        Segments { layout: self, file, offset, end }
    }

    /// Where file `index` ends in the torrent.
    fn end(&self, index: usize) -> u64 {
        self.entries.get(index + 1).map_or(self.total_bytes, |next| next.offset)
    }
}

/// The answer of [`Layout::segments`].
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    layout: &'a Layout,
    file: usize,
    offset: u64,
    end: u64,
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        while self.offset < self.end {
            let file = self.file;
            let entry = self.layout.entries.get(file)?;
            let file_end = self.layout.end(file).min(self.end);
            self.file += 1;
            if file_end > self.offset {
                let (file_offset, length) = (self.offset - entry.offset, file_end - self.offset);
                self.offset = file_end;
                return Some(Segment { file: file as u32, file_offset, length, kind: entry.kind });
            }
        }
        None
    }
}

/// A [`Layout`] in the making. Paths must be clean; [`Builder::finish`] makes them unique.
#[derive(Debug)]
pub(super) struct Builder {
    root: Option<Box<[u8]>>,
    pub(super) paths: Vec<u8>,
    entries: Vec<Entry>,
    total_bytes: u64,
    wanted_bytes: u64,
}

impl Builder {
    /// Adds a file whose components have been appended to `paths`, with [`SEPARATOR`] between them. False if the torrent
    /// would grow beyond 64 bits.
    #[must_use]
    pub(super) fn push(&mut self, length: u64, kind: FileKind, executable: bool) -> bool {
        let Some(total_bytes) = self.total_bytes.checked_add(length) else { return false };
        // The paths of a .torrent are a part of it, and it is shorter than 4 GiB; asserted in limits.rs.
        let path_end = self.paths.len() as u32;
        self.entries.push(Entry { offset: self.total_bytes, path_end, kind, executable });
        self.total_bytes = total_bytes;
        if kind == FileKind::Normal {
            self.wanted_bytes += length;
        }
        true
    }

    /// Files added.
    pub(super) fn count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The path of file `index`, which must have been added, with [`SEPARATOR`] between components and without the root.
    pub(super) fn path(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].path_end);
        &self.paths[start as usize..self.entries[index].path_end as usize]
    }

    /// Puts other paths in place of all: the letters, and where each file's end.
    pub(super) fn replace_paths(&mut self, paths: Vec<u8>, ends: &[u32]) {
        self.paths = paths;
        self.entries.iter_mut().zip(ends).for_each(|(entry, end)| entry.path_end = *end);
    }

    /// The layout.
    pub(super) fn finish(self) -> Layout {
        let Self { root, paths, entries, total_bytes, wanted_bytes } = self;
        Layout { root, paths: paths.into(), entries: entries.into(), total_bytes, wanted_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FileKind::{Normal, Pad};

    fn layout(root: Option<&[u8]>, files: &[(&str, u64, FileKind)]) -> Layout {
        let mut builder = Layout::builder(root);
        for (path, length, kind) in files {
            builder.paths.extend(path.bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }));
            assert!(builder.push(*length, *kind, *path == "run"));
        }
        builder.finish()
    }

    fn segments(layout: &Layout, offset: u64, length: u64) -> Vec<(u32, u64, u64)> {
        layout.segments(offset, length).map(|s| (s.file, s.file_offset, s.length)).collect()
    }

    #[test]
    fn files_say_where_they_lie_and_what_they_are() {
        let files = [("a/b", 3, Normal), ("", 5, Pad), ("run", 0, Normal), ("c", 9, Normal)];
        let layout = layout(Some(b"top"), &files);
        assert_eq!((layout.total_bytes(), layout.wanted_bytes(), layout.count()), (17, 12, 4));
        let paths: Vec<_> = layout.files().map(|file| file.path()).collect();
        assert_eq!(paths, [&b"top/a/b"[..], b"", b"top/run", b"top/c"]);
        let places: Vec<_> = layout.files().map(|file| (file.offset, file.length, file.executable)).collect();
        assert_eq!(places, [(0, 3, false), (3, 5, false), (8, 0, true), (8, 9, false)]);
        assert_eq!(layout.file(4), None);
    }

    #[test]
    fn segments_name_the_parts_of_files_and_never_an_empty_one() {
        let files = [
            ("z", 0, Normal),
            ("a", 3, Normal),
            ("y", 0, Normal),
            ("", 5, Pad),
            ("c", 9, Normal),
            ("x", 0, Normal),
        ];
        let layout = layout(None, &files);
        type Parts = &'static [(u32, u64, u64)];
        let cases: [(u64, u64, Parts); 9] = [
            (0, 17, &[(1, 0, 3), (3, 0, 5), (4, 0, 9)]),
            (0, 3, &[(1, 0, 3)]),
            (3, 1, &[(3, 0, 1)]),
            (2, 7, &[(1, 2, 1), (3, 0, 5), (4, 0, 1)]),
            (16, 1, &[(4, 8, 1)]),
            (16, 100, &[(4, 8, 1)]),
            (17, 1, &[]),
            (u64::MAX, u64::MAX, &[]),
            (5, 0, &[]),
        ];
        for (offset, length, expected) in cases {
            assert_eq!(segments(&layout, offset, length), expected, "{offset} {length}");
        }
        assert_eq!(layout.segments(3, 1).next().map(|segment| segment.kind), Some(Pad));
    }

    #[test]
    fn a_thousand_empty_files_are_not_walked_over() {
        let mut files = vec![("a", 3, Normal)];
        files.extend([("empty", 0, Normal); 1000]);
        files.push(("b", 5, Normal));
        let layout = layout(None, &files);
        assert_eq!(layout.segments(3, 1).file, 1001, "found by search");
        assert_eq!(segments(&layout, 3, 1), [(1001, 0, 1)]);
    }

    #[test]
    fn a_terabyte_is_no_trouble_on_32_bits() {
        let layout = layout(None, &[("a", 1 << 40, Normal), ("b", 1 << 40, Normal)]);
        assert_eq!(segments(&layout, (1 << 40) - 1, 2), [(0, (1 << 40) - 1, 1), (1, 0, 1)]);
    }

    #[test]
    fn a_file_costs_16_bytes_and_sums_do_not_wrap() {
        assert!(size_of::<Entry>() <= 16);
        let mut builder = Layout::builder(None);
        assert!(builder.push(u64::MAX, Normal, false));
        assert!(!builder.push(1, Normal, false));
    }
}
