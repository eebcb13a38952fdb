//! How long a disk is waited for, and how much of it is read ahead.

use core::time::Duration;

/// Bytes read from disk and hashed per turn while checking what is there.
pub const CHECK_SLICE_BYTES: usize = 256 << 10;
/// Bytes from disk that are on their way before they are read, at most: enough to keep a disk busy, small beside any page
/// cache.
pub const READ_AHEAD_BYTES: u64 = 2 << 20;
/// The same: about what the disk gives in this time, and at least [`CHECK_SLICE_BYTES`].
pub const READ_AHEAD_TIME: Duration = Duration::from_millis(100);
/// Files of which that is done at a time: fewer than may be open.
pub const READ_AHEAD_FILES_MAX: usize = 16;
/// A slow disk is asked whether bytes have arrived: first after the shorter time, and then whenever the wait has grown by an
/// eighth, but not less often than after the longer one.
pub const READ_POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(250));
/// Bytes that have not arrived by then, although what was to come behind them has, are read without asking further: the
/// device has refused them, or their pages were taken away again.
pub const READ_PATIENCE: Duration = Duration::from_secs(5);
/// The same where nothing has come behind them: disks that start take 10 s or more, and Linux gives a disk 30 s for a
/// command. Below [`SEND_PATIENCE`](super::SEND_PATIENCE), so that whoever waits for a block hears first that the disk does not give it.
pub const READ_PATIENCE_MAX: Duration = Duration::from_secs(40);
/// Bytes that a file has not taken by then are written without asking further: most of what the device takes at a time.
pub const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// A disk that let the loop wait for so long while bytes were sent from it is slow: from then on it is asked first.
pub const SLOW_READ: Duration = Duration::from_millis(10);
/// For so long it is.
pub const SLOW_DISK_SPAN: Duration = Duration::from_secs(60);
/// A disk that gave bytes sooner than that is read without asking for so long: it does not go to sleep meanwhile.
pub const FAST_DISK_SPAN: Duration = Duration::from_secs(10);
