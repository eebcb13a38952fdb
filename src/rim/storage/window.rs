//! A window: a piece of a file mapped for one copy, and unmapped. So neither memory nor addresses grow with the
//! torrent, and a 32-bit box stores a file of any size.

use super::parts::Parts;
use super::sigbus::Guard;
use crate::base::limits::EXTENT_BYTES;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fs::File;
use std::io;

/// A mapped range of a file, to be filled once.
pub(super) struct Window(MmapMut);

impl Window {
    /// Maps `length` bytes of `file` from `offset`, both multiples of an extent: only a window over a whole huge page
    /// costs one fault instead of hundreds.
    pub(super) fn map(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        debug_assert!(offset.is_multiple_of(EXTENT_BYTES) && (length as u64).is_multiple_of(EXTENT_BYTES));
        // SAFETY: the bytes are written and never read, so it does not matter who else changes the file; a file
        // that becomes shorter is what `fill` guards against.
        let map = unsafe { MmapOptions::new().offset(offset).len(length).map_mut(file)? };
        // A kernel without huge pages refuses. Whether windows pay without them is seen by counting faults.
        let _ = map.advise(Advice::HugePage);
        Ok(Self(map))
    }

    /// Makes all pages present and writable ahead: what would be SIGBUS is an error here (EFAULT). Linux before 5.14
    /// does not know it (EINVAL).
    pub(super) fn populate(&self) -> io::Result<()> {
        self.0.advise(Advice::PopulateWrite)
    }

    /// Fills the window from `parts`. False if a page could not be had; then nothing is promised about the range.
    pub(super) fn fill(mut self, parts: &mut Parts<'_>) -> bool {
        let addresses = self.0.as_ptr_range();
        // SAFETY: the map starts at a page, is whole extents long, is ours, and is dropped after the guard. It is only
        // written to, here.
        let guard = unsafe { Guard::new(addresses.start as usize..addresses.end as usize) };
        let wanted = self.0.len();
        let copied = parts.copy_to(&mut self.0);
        copied == wanted && !guard.hit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const LENGTH: usize = EXTENT_BYTES as usize;

    /// A file of two extents that nobody else can reach.
    fn file(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("swarmlet-window-{name}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        file.set_len(2 * EXTENT_BYTES).expect("room for a sparse file");
        file
    }

    #[test]
    fn what_is_filled_in_is_in_the_file_also_beyond_32_bits() {
        const FAR: u64 = 5 << 30;
        let file = file("fill");
        file.set_len(FAR + 2 * EXTENT_BYTES).expect("room for a sparse file");
        let bytes: Vec<u8> = (0..LENGTH).map(|n| (n % 253) as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(16 << 10).collect();
        let window = Window::map(&file, FAR + EXTENT_BYTES, LENGTH).expect("mapped");
        assert!(window.fill(&mut Parts::new(&parts, 0)));
        let mut back = vec![1; 2 * LENGTH];
        file.read_exact_at(&mut back, FAR).expect("there");
        assert!(back[..LENGTH].iter().all(|byte| *byte == 0) && back[LENGTH..] == bytes);
    }

    #[test]
    fn a_file_cut_short_under_the_window_ends_nothing() {
        let file = file("cut");
        for shorter in [0, 5 << 12] {
            file.set_len(2 * EXTENT_BYTES).expect("room");
            let window = Window::map(&file, 0, LENGTH).expect("mapped");
            file.set_len(shorter).expect("shorter");
            assert!(!window.fill(&mut Parts::new(&[&vec![7; LENGTH]], 0)), "SIGBUS became a value");
        }
        // The guard is gone with the window: the next one works.
        file.set_len(2 * EXTENT_BYTES).expect("room");
        let window = Window::map(&file, 0, LENGTH).expect("mapped");
        assert!(window.fill(&mut Parts::new(&[&vec![7; LENGTH]], 0)));
    }

    #[test]
    fn populating_a_file_cut_short_is_an_error() {
        let file = file("populate");
        let window = Window::map(&file, 0, LENGTH).expect("mapped");
        file.set_len(0).expect("shorter");
        let error = window.populate().expect_err("no pages to be had").raw_os_error();
        assert!(matches!(error, Some(libc::EFAULT | libc::EINVAL)), "{error:?} (EINVAL before Linux 5.14)");
    }

    #[test]
    fn too_few_bytes_are_noticed() {
        let window = Window::map(&file("few"), 0, LENGTH).expect("mapped");
        assert!(!window.fill(&mut Parts::new(&[b"abc"], 0)));
    }
}
