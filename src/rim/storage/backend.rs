//! Which way bytes go into a file: through a window where that is cheap and safe, by positioned writes elsewhere.
//!
//! A window can be cheap only over whole extents. Whether it is depends on kernel, file system, processor and, in a
//! virtual machine, on the host, so it is tried: see [`Prices`]. README says what was found.

use super::files::OpenFile;
use super::parts::Parts;
use super::prices::{Prices, Way};
use super::window::Window;
use super::{positioned, sys};
use crate::base::limits::EXTENT_BYTES;
use std::io;

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
    prices: Prices,
    tally: Tally,
}

impl Backend {
    /// One per torrent, as its files mostly lie on one file system.
    pub(super) fn new(map: Map) -> Self {
        let map = map == Map::Auto;
        Self { map, populate: true, prices: Prices::default(), tally: Tally::default() }
    }

    /// What was stored so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Puts the next `length` bytes of `parts` at `at`. `fresh`: that range has its place on the device, and nothing to be
    /// read: a page of a window is read before it is written to, where the file had one. After a fault some of the bytes
    /// may be in the file.
    pub(super) fn store(
        &mut self,
        open: &OpenFile,
        fresh: bool,
        mut at: u64,
        length: u64,
        parts: &mut Parts<'_>,
    ) -> io::Result<()> {
        let end = at.saturating_add(length);
        while at < end {
            let length = cut(at, end);
            if length == EXTENT_BYTES && fresh && self.map {
                self.store_extent(open, at, parts)?;
            } else {
                self.by_position(open, at, length, parts)?;
            }
            at += length;
        }
        Ok(())
    }

    /// Stores an extent that may go either way.
    fn store_extent(&mut self, open: &OpenFile, at: u64, parts: &mut Parts<'_>) -> io::Result<()> {
        let way = self.prices.way();
        let before = self.prices.wants_price().then(sys::thread_cpu_us);
        let is_mapped = way == Way::Window && self.by_window(open, at, parts)?;
        if !is_mapped {
            self.by_position(open, at, EXTENT_BYTES, parts)?;
        }
        self.prices.stored(way, before.map(|before| sys::thread_cpu_us().saturating_sub(before)));
        Ok(())
    }

    fn by_position(
        &mut self,
        open: &OpenFile,
        at: u64,
        length: u64,
        parts: &mut Parts<'_>,
    ) -> io::Result<()> {
        self.tally.written_bytes += length;
        positioned::store(&open.file, at, length, parts)
    }

    /// Stores an extent through a window; `Ok(false)` if it has to go by positioned writes, with `parts` as they were.
    fn by_window(&mut self, open: &OpenFile, at: u64, parts: &mut Parts<'_>) -> io::Result<bool> {
        let window = match Window::map(&open.file, at, EXTENT_BYTES as usize) {
            Ok(window) => window,
            Err(refusal) => {
                self.on_refusal(&refusal);
                return Ok(false);
            }
        };
        let mut ahead = *parts;
        if !self.populated(&window) || !window.fill(&mut ahead) {
            // Shortened by someone is a fault of its own. Else a positioned write finds out what is wrong.
            return open.unchanged().map(|_| false);
        }
        *parts = ahead;
        self.tally.mapped_bytes += EXTENT_BYTES;
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
        log::debug!("the file cannot be mapped ({refusal}): using positioned writes");
        if refusal.raw_os_error() == Some(libc::ENOMEM) {
            self.prices.refused();
        } else {
            self.map = false;
        }
    }
}

/// How much of the range `at..end` is stored next: up to the border of an extent.
fn cut(at: u64, end: u64) -> u64 {
    (end - at).min(EXTENT_BYTES - at % EXTENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;

    #[test]
    fn ranges_are_cut_at_extents() {
        const E: u64 = EXTENT_BYTES;
        let cases: [(u64, u64, &[u64]); 5] = [
            (0, 5, &[5]),
            (0, E, &[E]),
            (E - 1, E + 1, &[1, 1]),
            (E / 2, 3 * E + 7, &[E / 2, E, E, 7]),
            (3 * E, 3 * E + E - 1, &[E - 1]),
        ];
        for (mut at, end, expected) in cases {
            let mut cuts = Vec::new();
            while at < end {
                cuts.push(cut(at, end));
                at += cut(at, end);
            }
            assert_eq!(cuts, expected);
        }
    }

    /// What happens when pages of a window cannot be had, with and without populating: `known` is the length that
    /// the file is believed to have, while it is empty.
    fn store_into_empty_file(name: &str, known: u64, populate: bool) -> (io::Result<()>, u64) {
        let path = std::env::temp_dir().join(format!("swarmlet-backend-{name}-{}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).expect("new");
        let open = OpenFile {
            index: 0,
            file,
            writable: true,
            length: known,
            reserved_bytes: 0,
            used: Instant::ZERO,
        };
        let mut backend = Backend { populate, ..Backend::new(Map::Auto) };
        let bytes = vec![7; EXTENT_BYTES as usize];
        let answer = backend.store(&open, true, 0, EXTENT_BYTES, &mut Parts::new(&[&bytes], 0));
        let stored = std::fs::read(&path).expect("there").iter().filter(|byte| **byte == 7).count();
        std::fs::remove_file(&path).expect("ours");
        (answer, stored as u64)
    }

    #[test]
    fn pages_that_cannot_be_had_are_a_fault_or_written_by_position() {
        for (populate, name) in [(true, "populated"), (false, "guarded")] {
            let (cut_short, _) = store_into_empty_file(&format!("short-{name}"), EXTENT_BYTES, populate);
            assert_eq!(cut_short.expect_err("shorter than known").raw_os_error(), Some(libc::ESTALE));
            let (other, stored) = store_into_empty_file(&format!("other-{name}"), 0, populate);
            assert!(other.is_ok() && stored == EXTENT_BYTES, "{name}: {other:?} {stored}");
        }
    }

    #[test]
    fn a_refusal_for_want_of_addresses_passes_and_any_other_stays() {
        let mut backend = Backend::new(Map::Auto);
        backend.on_refusal(&io::Error::from_raw_os_error(libc::ENOMEM));
        assert!(backend.map && backend.prices.way() == Way::Positioned);
        backend.on_refusal(&io::Error::from_raw_os_error(libc::ENODEV));
        assert!(!backend.map);
    }
}
