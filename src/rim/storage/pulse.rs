//! The clock by which files are stamped, and the sign of life that a state carries: a few bytes at its end, mapped, into
//! which the time is written as long as the program runs. That costs no system call, and the kernel keeps them if the
//! program is killed. What it is good for is said in [`resume`](crate::resume).

use super::sigbus::Guard;
use super::sys::{clock_ns, page_bytes};
use crate::resume::{PULSE_BYTES, Pulse, Wall, grain_ns};
use memmap2::{MmapMut, MmapOptions};
use std::fs::File;
use std::io;
use std::time::SystemTime;

/// The longest tick of a kernel: its clock for files is no more than this behind.
const TICK_NS: i64 = 10_000_000;
/// The kernel's clock for files cannot be a second beside the real one.
const ABSURD_NS: i64 = 1_000_000_000;
/// Two clocks asked one after the other, again if the machine was busy elsewhere between.
const TRIES: u32 = 5;
const PROMPT_NS: i64 = 1_000_000;

/// The last bytes of a state.
pub(super) struct Heart {
    map: MmapMut,
    /// Bytes of the map before them.
    before: usize,
    page_bytes: usize,
    /// What is written there.
    last_ns: i64,
}

impl Heart {
    /// Maps the last bytes of `file`, which has this length, and writes the first sign of life.
    ///
    /// # Errors
    /// What the system says: some file systems share no maps.
    pub(super) fn new(file: &File, length: u64, now_ns: i64) -> io::Result<Self> {
        let page_bytes = page_bytes();
        let at = length.checked_sub(PULSE_BYTES as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let start = at / page_bytes as u64 * page_bytes as u64;
        // SAFETY: the bytes are written and never read, so it does not matter who else changes the file; a file that
        // becomes shorter is what `write` guards against.
        let map = unsafe { MmapOptions::new().offset(start).len((length - start) as usize).map_mut(file)? };
        let mut heart = Self { map, before: (at - start) as usize, page_bytes, last_ns: now_ns };
        if heart.write(Pulse(now_ns).bytes()) { Ok(heart) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Writes that the program is alive. False if that cannot be written any more.
    pub(super) fn beat(&mut self, now_ns: i64) -> bool {
        // Within a tick nothing new is to be said.
        if now_ns == self.last_ns {
            return true;
        }
        self.last_ns = now_ns;
        self.write(Pulse(now_ns).bytes())
    }

    /// Leaves no sign of life.
    pub(super) fn stop(mut self) {
        self.write([0; PULSE_BYTES]);
    }

    fn write(&mut self, bytes: [u8; PULSE_BYTES]) -> bool {
        let start = self.map.as_ptr() as usize;
        let end = start + self.map.len().next_multiple_of(self.page_bytes);
        // SAFETY: the map starts at a page, as its offset in the file does, the kernel maps whole pages, and they are ours
        // and dropped after the guard. They are only written to.
        let guard = unsafe { Guard::new(start..end) };
        self.map[self.before..].copy_from_slice(&bytes);
        !guard.hit()
    }
}

/// What the clock shows by which the kernel stamps files, in nanoseconds since 1970. It goes in ticks: what is stamped after
/// this has the same time or a later one.
pub(super) fn stamp_clock_ns() -> i64 {
    let exact_ns = exact_clock_ns();
    match clock_ns(libc::CLOCK_REALTIME_COARSE) {
        Some(ns) if (exact_ns - ABSURD_NS..=exact_ns).contains(&ns) => ns,
        // An emulator that does not know it, or a time that 32 bits do not hold.
        _ => exact_ns - TICK_NS,
    }
}

/// What the clocks of the machine show.
pub fn wall() -> Wall {
    Wall { now_ns: stamp_clock_ns(), boot_ns: boot_ns().unwrap_or(0), kept: is_kept() }
}

/// True if the file system stamps files by the kernel's clock: so was the file that was changed, between `before_ns` by
/// [`stamp_clock_ns`] and this moment, at `changed_ns`. A server may have a clock of its own.
pub(super) fn is_stamped_by_kernel(before_ns: i64, changed_ns: i64) -> bool {
    changed_ns > before_ns - grain_ns(changed_ns) && changed_ns <= exact_clock_ns()
}

/// What the clock on the wall shows, in nanoseconds since 1970.
pub(super) fn exact_clock_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The time at which the machine was started, by the clock on the wall; `None` if the kernel does not tell.
fn boot_ns() -> Option<i64> {
    let mut boot_ns = None;
    for _ in 0..TRIES {
        let before = clock_ns(libc::CLOCK_BOOTTIME)?;
        boot_ns = Some(exact_clock_ns() - before);
        if clock_ns(libc::CLOCK_BOOTTIME)? - before < PROMPT_NS {
            break;
        }
    }
    boot_ns
}

/// True if the clock goes on while the machine is off: every PC has such a one, and elsewhere the kernel says whether it has
/// set its clock by one at the start.
fn is_kept() -> bool {
    let says_so = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("hctosys")).ok();
    let clocks = std::fs::read_dir("/sys/class/rtc").into_iter().flatten().flatten();
    cfg!(any(target_arch = "x86", target_arch = "x86_64"))
        || clocks.filter_map(says_so).any(|answer| answer.starts_with(b"1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rim::storage::survey::stamp_of;
    use std::os::unix::fs::FileExt;

    /// A file of so many bytes that nobody else can reach.
    fn file(name: &str, length: u64) -> File {
        let path = std::env::temp_dir().join(format!("swarmlet-pulse-{name}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        file.set_len(length).expect("room");
        file
    }

    fn pulse(file: &File, length: u64) -> Option<Pulse> {
        let mut bytes = [0; PULSE_BYTES];
        file.read_exact_at(&mut bytes, length - PULSE_BYTES as u64).expect("there");
        Pulse::of(&bytes)
    }

    #[test]
    fn a_beat_is_in_the_file_at_once_wherever_its_pages_end() {
        let page = page_bytes() as u64;
        for length in [16, 17, 500, page - 1, page, page + 1, page + 15, page + 16, 3 * page + 8] {
            let file = file(&format!("beat-{length}"), length);
            let mut heart = Heart::new(&file, length, 5).expect("mapped");
            assert_eq!(pulse(&file, length), Some(Pulse(5)), "{length}");
            assert!(heart.beat(6) && heart.beat(6));
            assert_eq!((pulse(&file, length), file.metadata().unwrap().len()), (Some(Pulse(6)), length));
            heart.stop();
            assert_eq!(pulse(&file, length), None);
        }
        assert!(Heart::new(&file("short", 15), 15, 5).is_err());
    }

    #[test]
    fn a_state_cut_short_ends_the_beats_and_nothing_else() {
        let length = 3 * page_bytes() as u64;
        let file = file("cut", length);
        let mut heart = Heart::new(&file, length, 5).expect("mapped");
        file.set_len(7).expect("shorter");
        assert!(!heart.beat(6));
        drop(heart);
        assert!(Heart::new(&file, length, 5).is_err());
    }

    #[test]
    fn what_is_changed_later_is_not_stamped_earlier() {
        let file = file("clock", 0);
        for nth in 0..200 {
            let before = stamp_clock_ns();
            file.write_all_at(&[1], nth).expect("room");
            let stamp = stamp_of(&file.metadata().expect("open")).changed_ns;
            assert!(is_stamped_by_kernel(before, stamp), "{before} {stamp}");
            assert!(stamp >= before - (grain_ns(stamp) - 1));
            assert!(!is_stamped_by_kernel(before, before - 10 * ABSURD_NS));
            assert!(!is_stamped_by_kernel(before, stamp + 10 * ABSURD_NS));
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
    }

    #[test]
    fn the_start_of_the_machine_does_not_move() {
        let (one, two) = (wall(), wall());
        assert!(one.boot_ns > 0 && one.boot_ns < one.now_ns, "{one:?}");
        assert!((one.boot_ns - two.boot_ns).abs() < TICK_NS && two.now_ns >= one.now_ns, "{one:?} {two:?}");
        assert!(exact_clock_ns() - one.now_ns < 60 * ABSURD_NS, "{one:?}");
    }
}
