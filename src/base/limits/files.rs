//! Bounds of what is done with files.

use super::*;

/// Files of one torrent open at a time. Enough for pieces that cross files; far below any limit of descriptors.
pub const OPEN_FILES_MAX: usize = 32;
/// A file that was not used for longer is closed, so that its disk can be unmounted.
pub const FILE_IDLE_MAX: Duration = Duration::from_secs(60);
/// Bytes stored that are not known to be on the device, over all torrents: least bound. Below it a disk does little else
/// than to answer syncs.
pub const UNSYNCED_BYTES_MIN: u64 = 4 << 20;
/// The same: most, whatever the device can do. It is memory of the kernel's beside `--memory`: see
/// [`UNSYNCED_PER_MEMORY`].
pub const UNSYNCED_BYTES_MAX: u64 = 64 << 20;
/// The same: so many times `--memory` at most, so that who has little gives little.
pub const UNSYNCED_PER_MEMORY: u64 = 4;
/// The bound follows the device: what it takes in this time.
pub const SYNC_AIM: Duration = Duration::from_secs(1);
/// What was stored is synced after so long, if not before for its amount.
pub const SYNC_AGE_MAX: Duration = Duration::from_secs(5);
/// Files being synced at a time, over all torrents. The journal takes them together: 5,000 small files took 31 s one by
/// one and 0.3 s to 0.6 s with 8 to 128 (ext4); each costs the kernel a worker.
pub const SYNCS_MAX: usize = 32;
/// Where the loop has to wait for the device itself, it waits for so many bytes per turn.
pub const SYNC_SLICE_BYTES: u64 = 256 << 10;
/// Ranges of stored bytes that are remembered for that, per torrent.
pub const UNSYNCED_RANGES_MAX: usize = 256;
/// Files whose length and mode are settled in one turn when a torrent is complete.
pub const TURN_FILES_MAX: usize = 64;
/// The resume state is written this often at most.
pub const STATE_INTERVAL: Duration = Duration::from_secs(5);
/// Where only totals change, it is written this often.
pub const STATE_TOTALS_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Largest resume state read, in bytes: what [`FILES_MAX`] files and [`PIECES_MAX`] pieces take.
pub const STATE_BYTES_MAX: usize = 256 + 16 * FILES_MAX + 2 * (PIECES_MAX as usize / 8);
/// Where the machine was started anew, a file that changed so long after the state was written was changed by somebody else:
/// we would have written the state again. Twice what intervals and a slow disk take.
pub const STATE_AGE_MAX: Duration = Duration::from_secs(30);
/// Times of change differ by this for file systems that keep them in units of two seconds (vfat).
pub const STAMP_GRAIN: Duration = Duration::from_secs(2);
/// A file that has no holes is made longer by so many bytes at once, and between two syncs: what the kernel fills in a few
/// milliseconds, and a slow disk takes in a second.
pub const GROWTH_BYTES: u64 = UNSYNCED_BYTES_MIN;
/// It is made longer for so long in a turn.
pub const GROWTH_SLICE_TIME: Duration = Duration::from_millis(5);
