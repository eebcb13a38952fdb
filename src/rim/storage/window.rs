//! A window: a piece of a file mapped for one copy, and unmapped. So neither memory nor addresses grow with the
//! torrent, and a 32-bit box stores a file of any size.

use super::parts::Parts;
use super::sigbus::Guard;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fs::File;
use std::io;

/// A mapped range of a file, to be filled once.
pub(super) struct Window(MmapMut);

impl Window {
    /// Maps `length` bytes of `file` from `offset`, which are best whole extents: only a window over a whole huge
    /// page costs one fault instead of hundreds.
    pub(super) fn map(file: &File, offset: u64, length: usize) -> io::Result<Self> {
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
        let guard = Guard::new(addresses.start as usize..addresses.end as usize);
        let wanted = self.0.len();
        let copied = parts.copy_to(&mut self.0);
        copied == wanted && !guard.hit()
    }
}
