//! Whether a file takes bytes without waiting, learned by trying. btrfs holds a file's lock at some time while it is
//! synced, for as long as the device takes; it is known by answering a try that may not wait.

use super::parts::Parts;
use super::{Storage, sys};
use crate::base::limits::BLOCK_BYTES;
use crate::meta::Segment;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// So many refused tries in a row, none of them while a file was being synced, and files are tried no more.
const REFUSALS_MAX: u8 = 2;

/// What tries have told of the file system.
#[derive(Debug, Default)]
pub(super) enum Readiness {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It refused so many tries in a row although nothing was being synced.
    Refused(u8),
    /// It answers: nothing is stored while files are synced.
    Answers,
    /// It cannot be tried, or refuses for reasons that do not pass: it is never waited for.
    Never,
}

impl Readiness {
    /// Takes in how a try went; false if the file is to be waited for.
    fn learn(&mut self, answer: &io::Result<usize>, is_syncing: bool) -> bool {
        match answer {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                if is_syncing {
                    return false;
                }
                let refusals = if let Self::Refused(refusals) = self { *refusals + 1 } else { 1 };
                *self = if refusals < REFUSALS_MAX { Self::Refused(refusals) } else { Self::Never };
            }
            Err(error) if !is_about_trying(error) => {}
            Err(_) => *self = Self::Never,
            Ok(_) => *self = Self::Answers,
        }
        true
    }
}

/// True if this was said of the try, and not of the device, a limit or the file, which a store is told as well.
fn is_about_trying(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::ESPIPE))
}

impl Storage {
    /// True if the file in which `offset` of the torrent lies takes bytes without waiting, as far as can be told: it is
    /// tried with the first block of `parts` behind `done` bytes. Where that cannot be tried (ext4, which holds nothing;
    /// FUSE) it is true, and also where the file refuses for reasons that do not pass (xfs, for any page that is not in
    /// memory yet).
    pub fn takes_bytes(&mut self, offset: u64, parts: &[&[u8]], done: u64) -> bool {
        let is_syncing = self.tasks.is_syncing();
        match self.readiness {
            Readiness::Never => return true,
            Readiness::Answers if is_syncing => return false,
            _ => {}
        }
        let metainfo = Arc::clone(&self.metainfo);
        let block = u64::from(BLOCK_BYTES);
        let first = Parts::new(parts, done).first();
        let mut segments = metainfo.layout.segments(offset + done, first.len() as u64);
        // Part of a page would have to be read first.
        let whole = |segment: &Segment| segment.length >= block && segment.file_offset.is_multiple_of(block);
        let Some(segment) = segments.next().filter(whole) else { return true };
        let Some(open) = self.files.peek(segment.file).filter(|open| open.writable) else { return true };
        let slice = [IoSlice::new(&first[..block as usize])];
        let answer = sys::write_at_once(&open.file, &slice, segment.file_offset);
        self.readiness.learn(&answer, is_syncing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_waited_for_only_if_it_answers_tries() {
        let refused = || Err(io::Error::from_raw_os_error(libc::EAGAIN));
        let mut readiness = Readiness::default();
        assert!(!readiness.learn(&refused(), true), "it is being synced");
        assert!(readiness.learn(&refused(), false) && matches!(readiness, Readiness::Refused(1)));
        assert!(readiness.learn(&Ok(1), false) && matches!(readiness, Readiness::Answers));
        assert!(readiness.learn(&refused(), false) && readiness.learn(&refused(), false));
        assert!(matches!(readiness, Readiness::Never), "refusals that do not pass");
        let mut readiness = Readiness::default();
        for number in [libc::ENOSPC, libc::EIO, libc::EDQUOT, libc::EINTR] {
            assert!(readiness.learn(&Err(io::Error::from_raw_os_error(number)), true));
            assert!(matches!(readiness, Readiness::Unknown), "a store will be told {number}, too");
        }
        let unknown = Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        assert!(readiness.learn(&unknown, false) && matches!(readiness, Readiness::Never));
    }
}
