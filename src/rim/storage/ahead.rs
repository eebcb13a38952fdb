//! Bytes that are asked of the device before they are read, so that a slow one keeps nobody waiting.
//!
//! A read of what is not in the page cache stops the loop for as long as the device takes: a quarter of a second for what
//! the kernel reads ahead of a disk of 5 MB/s, seconds when writes are queued before it. So reads are announced first
//! (`posix_fadvise`), which does not wait, and done when a probe that never waits (`RWF_NOWAIT`) finds them.

use super::sys;
use std::fs::File;

/// A probe looks at one byte in so many: pages arrive in the order of the file, some at a time.
const PROBE_BYTES: u64 = 64 << 10;
/// The least page of any processor. Of a last page that is not whole, Linux 6.18 does not tell that it has it where
/// nothing was written yet (ext4), so it is not asked for that.
const PAGE_BYTES: u64 = 4 << 10;

/// True if the bytes can be read without waiting, as far as a few probes tell; also where that cannot be known (tmpfs,
/// NFS, FUSE), and if reading would fail.
pub(super) fn is_at_hand(file: &File, offset: u64, length: u64) -> bool {
    let end = offset.saturating_add(length);
    let mut at = offset;
    while at < end {
        let next = end.min((at - at % PROBE_BYTES).saturating_add(PROBE_BYTES));
        let pages_end = next - next % PAGE_BYTES;
        let waits = |at| sys::probe(file, at).is_err_and(|error| error.raw_os_error() == Some(libc::EAGAIN));
        if pages_end > at && waits(pages_end - 1) {
            return false;
        }
        at = next;
    }
    true
}

/// Starts reading into the page cache. Who cannot do that reads later.
pub(super) fn announce(file: &File, offset: u64, length: u64) {
    let _ = sys::read_ahead(file, offset, length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::{Duration, Instant};

    /// A file on the disk of the build, which is no tmpfs.
    fn file(name: &str) -> File {
        let folder = std::env::current_exe().expect("ourselves");
        let path = folder.with_file_name(format!("swarmlet-ahead-{name}-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        file.write_all(&vec![7; 1 << 20]).expect("room");
        file.sync_all().expect("room");
        file
    }

    #[test]
    fn what_is_announced_comes_without_being_waited_for() {
        let file = file("announced");
        assert!(is_at_hand(&file, 0, 1 << 20), "just written");
        sys::forget_cached(&file);
        if !is_at_hand(&file, 0, 1 << 20) {
            announce(&file, 0, 1 << 20);
        }
        let start = Instant::now();
        while !is_at_hand(&file, 0, 1 << 20) {
            assert!(start.elapsed() < Duration::from_secs(20), "it never comes");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_end_that_was_never_written_is_at_hand() {
        let file = file("end");
        file.set_len((1 << 20) + 12_345).expect("longer");
        sys::reserve(&file, 0, (1 << 20) + 12_345).expect("room");
        announce(&file, 1 << 20, 12_345);
        std::thread::sleep(Duration::from_millis(50));
        assert!(is_at_hand(&file, 1 << 20, 12_345) && is_at_hand(&file, (1 << 20) + 12_000, 345));
    }

    #[test]
    fn what_cannot_be_read_is_at_hand() {
        let file = File::options().write(true).open("/dev/null").expect("/dev/null is there");
        assert!(is_at_hand(&file, 0, 100_000) && is_at_hand(&file, u64::MAX - 5, 10));
        announce(&file, u64::MAX, u64::MAX);
    }
}
