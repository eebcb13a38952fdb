//! How the descriptors that the process may have (`ulimit -n`) are shared out between the loop, files and peers.

use crate::base::limits::OPEN_FILES_MAX;

/// Descriptors without which nothing goes: standard streams, the loop's own, a few files, listening, names, a tracker.
pub const LEAST: u64 = 24;

/// Peers that may be connected at a time beside the files of so many torrents; `None` if `limit` is too low for anything.
pub fn peers(limit: u64, torrents: usize) -> Option<u32> {
    let room = limit.checked_sub(LEAST).filter(|&room| room > 1)?;
    // Peers are no use without files: both have half of it at least.
    let files = (torrents as u64).saturating_mul(OPEN_FILES_MAX as u64).min(room / 2);
    Some(u32::try_from(room - files).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_comes_first_and_files_and_peers_share_the_rest() {
        let cases = [
            ((8, 1), None),
            ((LEAST + 1, 1), None),
            ((LEAST + 2, 1), Some(1)),
            ((64, 1), Some(20)),
            ((256, 1), Some(200)),
            ((1024, 100), Some(500)),
            ((u64::MAX, 1), Some(u32::MAX)),
        ];
        for ((limit, torrents), expected) in cases {
            assert_eq!(peers(limit, torrents), expected, "{limit} {torrents}");
        }
    }
}
