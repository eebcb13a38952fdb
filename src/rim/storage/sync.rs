//! Waiting for the device without keeping anybody waiting: the kernel syncs beside the loop ([`Ring`]), and where it
//! cannot, the loop waits in small slices, one per turn.

use super::aio::Ring;
use super::sys;
use super::write_back::Range;
use crate::base::TorrentId;
use crate::base::limits::{SYNC_SLICE_BYTES, SYNCS_MAX};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Time of a turn in which files are opened for what is to be synced or settled, over all torrents: to open a file may wait
/// for the device.
const TURN_TIME: Duration = Duration::from_millis(5);

/// A sync that is done.
#[derive(Debug)]
pub struct Synced {
    /// Whose file.
    pub torrent: TorrentId,
    /// The number that it was given.
    pub number: u32,
    /// What the device said.
    pub result: io::Result<()>,
}

/// Syncs files of all torrents, a bounded number at a time.
#[derive(Debug)]
pub struct Syncer {
    ring: Option<Ring>,
    under_way: usize,
    /// The kernel has told that something is done.
    told: bool,
    /// What the loop waits for itself, the oldest first.
    slow: VecDeque<Slow>,
    done: VecDeque<Synced>,
    /// When no more files are to be opened in this turn; `None` if none was yet.
    end: Option<Instant>,
    turns: usize,
}

/// A file that is synced by the loop.
#[derive(Debug)]
struct Slow {
    torrent: TorrentId,
    number: u32,
    file: File,
    ranges: Vec<Range>,
    /// What went wrong first: the kernel tells of it once, and the last step may know nothing of it.
    fault: Option<io::Error>,
}

impl Syncer {
    /// One for the run.
    pub fn new() -> Self {
        let ring = Ring::new(SYNCS_MAX).inspect_err(|error| {
            log::debug!("no asynchronous I/O ({error}): waiting for the disk in slices");
        });
        Self { ring: ring.ok(), ..Self::waiting() }
    }

    /// One that does without the kernel's help.
    pub fn waiting() -> Self {
        Self {
            ring: None,
            under_way: 0,
            told: false,
            slow: VecDeque::new(),
            done: VecDeque::new(),
            end: None,
            turns: 0,
        }
    }

    /// What becomes readable when a sync is done; `None` if the loop waits itself.
    pub fn event(&self) -> Option<BorrowedFd<'_>> {
        self.ring.as_ref().map(Ring::event)
    }

    /// [`Syncer::event`] is readable: the next turn asks the kernel. Turns of which it says nothing cost no call.
    pub fn on_event(&mut self) {
        self.told = true;
    }

    /// True if another sync may begin.
    pub fn has_room(&self) -> bool {
        self.under_way + self.slow.len() + self.done.len() < SYNCS_MAX
    }

    /// True if [`Syncer::turn`] has something to do without waiting for an event.
    pub fn is_busy(&self) -> bool {
        !self.slow.is_empty() || !self.done.is_empty()
    }

    /// True if this turn has time for another file. Whoever has opened none yet opens one all the same.
    pub(super) fn has_time(&mut self) -> bool {
        let now = Instant::now();
        now < *self.end.get_or_insert(now + TURN_TIME)
    }

    /// This turn has no time left.
    #[cfg(test)]
    pub(super) fn end_time(&mut self) {
        self.end = Some(Instant::now());
    }

    /// Who of so many torrents goes on first in this turn: each in its turn, as one with many files takes all the room.
    pub fn first_of(&self, torrents: usize) -> usize {
        self.turns % torrents.max(1)
    }

    /// Begins to sync `file`. `ranges`: where bytes have been stored in it, as far as that is remembered.
    pub(super) fn sync(&mut self, torrent: TorrentId, number: u32, file: File, ranges: Vec<Range>) {
        if let Some(ring) = &mut self.ring {
            let data = u64::from(torrent.0) << 32 | u64::from(number);
            match ring.sync(file.as_fd(), data) {
                Ok(()) => return self.under_way += 1,
                // Full, or not for this file.
                Err(error) => log::debug!("a file is not synced asynchronously ({error})"),
            }
        }
        self.slow.push_back(Slow { torrent, number, file, ranges, fault: None });
    }

    /// Another turn begins: gathers what is done, and does a slice of what the loop has to wait for itself.
    pub fn turn(&mut self) {
        (self.end, self.turns) = (None, self.turns.wrapping_add(1));
        let Self { ring, under_way, done, told, .. } = self;
        if let Some(ring) = ring.as_mut().filter(|_| core::mem::take(told)) {
            ring.take_done(|data, result| {
                *under_way = under_way.saturating_sub(1);
                let (torrent, number) = (TorrentId((data >> 32) as u32), data as u32);
                done.push_back(Synced { torrent, number, result });
            });
        }
        if let Some(result) = self.slow.front_mut().and_then(Slow::turn)
            && let Some(Slow { torrent, number, .. }) = self.slow.pop_front()
        {
            self.done.push_back(Synced { torrent, number, result });
        }
    }

    /// The next sync that is done.
    pub fn next_done(&mut self) -> Option<Synced> {
        self.done.pop_front()
    }
}

impl Default for Syncer {
    fn default() -> Self {
        Self::new()
    }
}

impl Slow {
    /// Waits for a slice; the answer, if that was the last.
    fn turn(&mut self) -> Option<io::Result<()>> {
        let Some(range) = self.ranges.last_mut() else {
            // What the slices promise is little: this waits for the rest, and for the file's length and place.
            let synced = sys::retry(|| self.file.sync_all());
            return Some(self.fault.take().map_or(synced, Err));
        };
        let length = range.length.min(SYNC_SLICE_BYTES);
        let waited = sys::retry(|| sys::wait_for_write_back(&self.file, range.offset, length));
        // A kernel or a file system that cannot do it leaves all to the last step.
        let is_fault = |error: &io::Error| {
            !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE))
        };
        self.fault = self.fault.take().or(waited.err().filter(is_fault));
        range.offset = range.offset.saturating_add(length);
        range.length -= length;
        if range.length == 0 {
            self.ranges.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    /// Syncs some files at once and returns the numbers in the order of their answers, and the turns it took.
    fn numbers(mut syncer: Syncer, count: u32) -> (Vec<u32>, u32) {
        let (mut numbers, mut turns, mut begun) = (Vec::new(), 0, 0);
        while numbers.len() < count as usize {
            while begun < count && syncer.has_room() {
                let path = std::env::temp_dir().join(format!("swarmlet-sync-{begun}-{}", std::process::id()));
                let mut file =
                    File::options().write(true).create(true).truncate(true).open(&path).expect("new");
                std::fs::remove_file(&path).expect("ours");
                file.write_all(&[1; 3 * SYNC_SLICE_BYTES as usize]).expect("room");
                let ranges = vec![Range { file: begun, offset: 0, length: 3 * SYNC_SLICE_BYTES }];
                syncer.sync(TorrentId(9), begun, file, ranges);
                begun += 1;
            }
            syncer.on_event();
            syncer.turn();
            turns += 1;
            while let Some(done) = syncer.next_done() {
                assert!(done.torrent == TorrentId(9) && done.result.is_ok(), "{done:?}");
                numbers.push(done.number);
            }
            if !syncer.is_busy() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        (numbers, turns)
    }

    #[test]
    fn each_file_is_answered_once() {
        let count = SYNCS_MAX as u32 + 3;
        let (mut numbers, _) = numbers(Syncer::new(), count);
        numbers.sort_unstable();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }

    /// A sync that is left out shows where no kernel grants it.
    #[test]
    fn a_file_that_cannot_be_synced_is_told_of() {
        use std::os::unix::fs::OpenOptionsExt;
        for mut syncer in [Syncer::new(), Syncer::waiting()] {
            let unsyncable = File::options().read(true).custom_flags(libc::O_PATH).open("/dev/null");
            syncer.sync(TorrentId(9), 0, unsyncable.expect("/dev/null is there"), vec![]);
            let done = loop {
                syncer.on_event();
                syncer.turn();
                if let Some(done) = syncer.next_done() {
                    break done;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            let error = done.result.expect_err("nobody can").raw_os_error();
            // musl and std together drop O_PATH; then it is the device that cannot.
            assert!(matches!(error, Some(libc::EBADF | libc::EINVAL)), "{error:?}");
        }
    }

    /// A file, and a range of it for which no kernel can wait: the file itself can be synced.
    #[test]
    fn a_fault_of_a_slice_is_told_although_the_last_step_knows_nothing_of_it() {
        let path = std::env::temp_dir().join(format!("swarmlet-slice-{}", std::process::id()));
        for (ranges, expected) in
            [([0, 0], None), ([0, 1 << 63], Some(libc::EFBIG)), ([1 << 63, 0], Some(libc::EFBIG))]
        {
            let file = File::create(&path).expect("new");
            let ranges = ranges.map(|offset| Range { file: 0, offset, length: 1 }).to_vec();
            let mut syncer = Syncer::waiting();
            syncer.sync(TorrentId(9), 0, file, ranges);
            let done = std::iter::repeat_with(|| (syncer.turn(), syncer.next_done()).1).flatten().next();
            let error = done.expect("it is over some time").result.err();
            assert_eq!(error.and_then(|error| error.raw_os_error()), expected);
        }
        std::fs::remove_file(&path).expect("ours");
    }

    #[test]
    fn without_the_kernels_help_each_turn_waits_for_one_slice() {
        assert_eq!(numbers(Syncer::waiting(), 2), (vec![0, 1], 8));
    }
}
