//! Who may have how many of the descriptors that the system grants: peers come by the hundred, and what files need is not
//! theirs.

use crate::base::limits::{OPEN_FILES_MAX, SYNCS_MAX};

/// Descriptors wished for: the most peers that may be asked for, and the open files of some hundred torrents.
pub const WANTED: u64 = 16 << 10;
/// What each torrent has beside its open files: its lock, two directories, and what is open for a moment.
const BESIDE_FILES: u64 = 6;
/// What all have together: files that are synced, the poll, signals, standard streams.
const TOGETHER: u64 = SYNCS_MAX as u64 + 16;

/// How descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Files that each torrent may keep open.
    pub open_files: usize,
    /// Streams have descriptors below this number. The system gives the lowest that is free, so the rest is left to files.
    pub streams_end: u64,
}

/// Shares out the numbers below `limit` for so many torrents. Streams have half of them at least.
pub fn share(limit: u64, torrents: usize) -> Share {
    let torrents = torrents.max(1) as u64;
    let open_files = (limit / 4 / torrents).clamp(1, OPEN_FILES_MAX as u64);
    let left = torrents.saturating_mul(open_files + BESIDE_FILES).saturating_add(TOGETHER);
    Share { open_files: open_files as usize, streams_end: limit - left.min(limit / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_what_they_need_and_streams_the_rest() {
        let cases = [
            ((WANTED, 1), (32, WANTED - 86)),
            ((WANTED, 100), (32, WANTED - 3_848)),
            ((WANTED, 1_000), (4, WANTED / 2)),
            ((1_024, 1), (32, 1_024 - 86)),
            ((1_024, 20), (12, 1_024 - 408)),
            ((1_024, 500), (1, 512)),
            ((64, 1), (16, 32)),
            ((0, 0), (1, 0)),
        ];
        for ((limit, torrents), (open_files, streams_end)) in cases {
            assert_eq!(share(limit, torrents), Share { open_files, streams_end }, "{limit} {torrents}");
        }
    }
}
