//! Which way bytes go into a file: through a window where that is cheap and safe, by positioned writes elsewhere.
//!
//! A window is cheap only over whole extents, and only where the kernel maps a whole huge page with one fault. That
//! depends on kernel, file system, processor and luck with memory, so it is not looked up but counted: after a
//! window that took one fault per small page, the next extents go by positioned writes, and then one is tried again.
//!
//! CPU seconds per GiB of random 2 MiB extents of 16 KiB parts, Linux 6.18 on x86-64, space reserved before:
//!
//! | way | ext4 | tmpfs | tmpfs with huge pages |
//! |---|---|---|---|
//! | positioned writes | 0.14 | 0.16 | 0.065 |
//! | windows of one extent, populated first | 0.19 | 0.37 | 0.087 |
//! | the same without populating | 0.19 | 0.87 | |
//! | windows of two extents | 0.18 | | |
//! | windows without huge pages | 0.77 | | |
//! | as chosen here by counting faults | 0.19 | 0.16 | 0.087 |

use super::files::OpenFile;
use super::parts::Parts;
use super::window::Window;
use super::{positioned, sys};
use crate::base::limits::EXTENT_BYTES;
use std::io;

/// Faults that an extent may cost before its window counts as dear: a huge page costs 1 to 3, pages of 64 KiB cost
/// 32, pages of 4 KiB cost 512, which is five times the price of a positioned write.
const FAULTS_MAX: u64 = 64;
/// Extents that go by positioned writes after a first dear window: it may have been bad luck.
const REST_MIN: u32 = 4;
/// The same after many in a row, each of which doubles it: the price of trying is lost in that of the others.
const REST_MAX: u32 = 256;

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
    rest: u32,
    /// How long the next rest will be, in extents.
    next_rest: u32,
    /// True once a window was dear: said once.
    said: bool,
    tally: Tally,
}

impl Backend {
    /// One per torrent, as its files mostly lie on one file system.
    pub(super) fn new(map: Map) -> Self {
        let map = map == Map::Auto;
        Self { map, populate: true, rest: 0, next_rest: REST_MIN, said: false, tally: Tally::default() }
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
            let length = cut(at, end);
            if length == EXTENT_BYTES && reserved && self.by_window(open, at, parts)? {
                self.tally.mapped_bytes += length;
            } else {
                positioned::store(&open.file, at, length, parts)?;
                self.tally.written_bytes += length;
            }
            at += length;
        }
        Ok(())
    }

    /// Stores an extent through a window; `Ok(false)` if it has to go by positioned writes, with `parts` as they were.
    fn by_window(&mut self, open: &OpenFile, at: u64, parts: &mut Parts<'_>) -> io::Result<bool> {
        if !self.map || self.rest > 0 {
            self.rest = self.rest.saturating_sub(1);
            return Ok(false);
        }
        let window = match Window::map(&open.file, at, EXTENT_BYTES as usize) {
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
        self.on_faults(sys::minor_faults().saturating_sub(before));
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
            self.rest = REST_MAX;
        } else {
            self.map = false;
        }
        self.say(format_args!("the file cannot be mapped ({refusal}): using positioned writes"));
    }

    /// An extent took so many faults.
    fn on_faults(&mut self, faults: u64) {
        if faults <= FAULTS_MAX {
            self.next_rest = REST_MIN;
            return;
        }
        self.rest = self.next_rest;
        self.next_rest = (2 * self.next_rest).min(REST_MAX);
        if self.next_rest == REST_MAX {
            self.say(format_args!("mapping costs {faults} page faults per extent: using positioned writes"));
        }
    }

    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.said, true) {
            log::debug!("{line}");
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
        let open = OpenFile { index: 0, file, writable: true, length: known, used: Instant::ZERO };
        let mut backend = Backend { populate, ..Backend::new(Map::Auto) };
        let bytes = vec![7; EXTENT_BYTES as usize];
        let answer = backend.store(&open, true, 0, EXTENT_BYTES, &mut Parts::new(&[&bytes]));
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
    fn dear_windows_rest_longer_each_time_until_one_is_cheap() {
        let mut backend = Backend::new(Map::Auto);
        let mut rests = Vec::new();
        for faults in [1, 512, 512, 512, 2, 512] {
            backend.rest = 0;
            backend.on_faults(faults);
            rests.push(backend.rest);
        }
        assert_eq!(rests, [0, REST_MIN, 2 * REST_MIN, 4 * REST_MIN, 0, REST_MIN]);
        (0..100).for_each(|_| backend.on_faults(512));
        assert_eq!((backend.rest, backend.map), (REST_MAX, true));
    }

    #[test]
    fn a_refusal_for_want_of_addresses_passes_and_any_other_stays() {
        let mut backend = Backend::new(Map::Auto);
        backend.on_refusal(&io::Error::from_raw_os_error(libc::ENOMEM));
        assert_eq!((backend.rest, backend.map), (REST_MAX, true));
        backend.on_refusal(&io::Error::from_raw_os_error(libc::ENODEV));
        assert!(!backend.map);
    }
}
