//! Which way bytes go into a file: through a window where that is cheap and safe, by positioned writes elsewhere.
//!
//! A window is cheap only over whole extents, and only where the kernel maps a whole huge page with one fault. That
//! depends on kernel, file system, processor and luck with memory, so it is not looked up but counted: after a
//! window that took one fault per small page, the next extents go by positioned writes, and then one is tried again.

use super::files::OpenFile;
use super::parts::Parts;
use super::window::Window;
use super::{positioned, sys};
use crate::base::limits::EXTENT_BYTES;
use std::io;

/// Longest window, in bytes: bounds resident memory and addresses. Longer windows were not cheaper.
const WINDOW_BYTES: u64 = 2 * EXTENT_BYTES;
/// Faults that an extent may cost before its window counts as dear: a huge page costs 1 to 3, pages of 64 KiB cost
/// 32, pages of 4 KiB cost 512, which is five times the price of a positioned write.
const FAULTS_MAX: u64 = 64;
/// Extents that go by positioned writes after a dear window, which makes its price a small part of theirs.
const REST_EXTENTS: u64 = 64;

/// Whether files are mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Map {
    /// Where it is cheap and safe.
    #[default]
    Auto,
    /// Nowhere.
    Never,
}

/// Bytes stored so far, by the way they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Through windows.
    pub mapped_bytes: u64,
    /// By positioned writes.
    pub written_bytes: u64,
}

/// The two ways, and what is known about them.
pub(super) struct Backend {
    map: bool,
    populate: bool,
    /// Extents until a window is tried again.
    rest: u64,
    /// True once a window was dear: said once.
    said: bool,
    tally: Tally,
}

impl Backend {
    /// One per torrent, as its files mostly lie on one file system.
    pub(super) fn new(map: Map) -> Self {
        let map = map == Map::Auto;
        Self { map, populate: true, rest: 0, said: false, tally: Tally::default() }
    }

    /// What was stored so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Puts the next `length` bytes of `parts` at `at`. `reserved`: that range has its place on the device. After a
    /// fault some of the bytes may be in the file.
    pub(super) fn store(
        &mut self,
        open: &OpenFile,
        reserved: bool,
        mut at: u64,
        length: u64,
        parts: &mut Parts<'_>,
    ) -> io::Result<()> {
        let end = at.saturating_add(length);
        while at < end {
            let (length, whole) = cut(at, end);
            if whole && reserved && self.by_window(open, at, length, parts)? {
                self.tally.mapped_bytes += length;
            } else {
                positioned::store(&open.file, at, length, parts)?;
                self.tally.written_bytes += length;
            }
            at += length;
        }
        Ok(())
    }

    /// Stores through a window; `Ok(false)` if it has to go by positioned writes, with `parts` as they were.
    fn by_window(
        &mut self,
        open: &OpenFile,
        at: u64,
        length: u64,
        parts: &mut Parts<'_>,
    ) -> io::Result<bool> {
        let extents = length / EXTENT_BYTES;
        if !self.map || self.rest > 0 {
            self.rest = self.rest.saturating_sub(extents);
            return Ok(false);
        }
        let window = match Window::map(&open.file, at, length as usize) {
            Ok(window) => window,
            Err(refusal) => {
                self.on_refusal(&refusal);
                return Ok(false);
            }
        };
        let (before, mut ahead) = (sys::minor_faults(), *parts);
        if !self.populated(&window) || !window.fill(&mut ahead) {
            // Shortened by someone is a fault of its own. Else a positioned write finds out what is wrong.
            return open.unchanged().map(|_| false);
        }
        *parts = ahead;
        self.on_faults((sys::minor_faults() - before) / extents);
        Ok(true)
    }

    /// Makes the pages of a window present, if the kernel can. False if a page cannot be had.
    fn populated(&mut self, window: &Window) -> bool {
        if !self.populate {
            return true;
        }
        let answer = window.populate();
        // EINVAL: a kernel that does not know it. The guard of the copy has to do.
        let unknown = answer.as_ref().is_err_and(|fault| fault.raw_os_error() == Some(libc::EINVAL));
        self.populate = !unknown;
        unknown || answer.is_ok()
    }

    /// A file that cannot be mapped. No addresses left may pass; a file system that does not map stays so.
    fn on_refusal(&mut self, refusal: &io::Error) {
        if refusal.raw_os_error() == Some(libc::ENOMEM) {
            self.rest = REST_EXTENTS;
        } else {
            self.map = false;
        }
        self.say(format_args!("the file cannot be mapped ({refusal}): using positioned writes"));
    }

    /// A window took so many faults per extent.
    fn on_faults(&mut self, faults: u64) {
        if faults > FAULTS_MAX {
            self.rest = REST_EXTENTS;
            self.say(format_args!("mapping costs {faults} page faults per extent: using positioned writes"));
        }
    }

    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.said, true) {
            log::debug!("{line}");
        }
    }
}

/// The length of the next store of the range `at..end`, and whether it is a window of whole extents.
fn cut(at: u64, end: u64) -> (u64, bool) {
    let (left, over) = (end - at, at % EXTENT_BYTES);
    if over == 0 && left >= EXTENT_BYTES {
        ((left - left % EXTENT_BYTES).min(WINDOW_BYTES), true)
    } else {
        (left.min(EXTENT_BYTES - over), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_extents() {
        const E: u64 = EXTENT_BYTES;
        let cases: [(u64, u64, &[(u64, bool)]); 6] = [
            (0, 5, &[(5, false)]),
            (0, E, &[(E, true)]),
            (E - 1, E + 1, &[(1, false), (1, false)]),
            (E / 2, 3 * E + 7, &[(E / 2, false), (2 * E, true), (7, false)]),
            (0, 5 * E, &[(2 * E, true), (2 * E, true), (E, true)]),
            (3 * E, 3 * E + E - 1, &[(E - 1, false)]),
        ];
        for (mut at, end, expected) in cases {
            let mut cuts = Vec::new();
            while at < end {
                cuts.push(cut(at, end));
                at += cuts.last().expect("pushed").0;
            }
            assert_eq!(cuts, expected);
        }
    }

    #[test]
    fn dear_windows_rest_and_are_tried_again() {
        let mut backend = Backend::new(Map::Auto);
        backend.on_faults(3);
        assert_eq!(backend.rest, 0);
        backend.on_faults(512);
        assert_eq!((backend.rest, backend.map), (REST_EXTENTS, true));
    }

    #[test]
    fn a_refusal_for_want_of_addresses_passes_and_any_other_stays() {
        let mut backend = Backend::new(Map::Auto);
        backend.on_refusal(&io::Error::from_raw_os_error(libc::ENOMEM));
        assert_eq!((backend.rest, backend.map), (REST_EXTENTS, true));
        backend.on_refusal(&io::Error::from_raw_os_error(libc::ENODEV));
        assert!(!backend.map);
    }
}
