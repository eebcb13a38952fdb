//! What is under the files: a device that keeps for certain only what was synced. Of the rest a power cut takes some
//! sectors and leaves others, in no order. The resume state's file is replaced in one step, early or late.

use crate::torrent::Torrent;
use std::ops::Range;
use swarmlet::base::Rng;
use swarmlet::resume::{Era, PULSE_BYTES, Pulse, Stamp, Wall};

const SECTOR: usize = 512;
/// A tick of the clock by which files are stamped.
const TICK_NS: i64 = 4_000_000;
/// The clock on the wall at the start, in nanoseconds since 1970.
const START_NS: i64 = 1_700_000_000_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

#[derive(Debug)]
pub struct Device {
    /// First and last byte of each file within the torrent.
    files: Vec<Range<u64>>,
    /// How each file is, was when it was last synced, and was when the device last had all of it.
    stamps: Vec<Stamp>,
    synced: Vec<Stamp>,
    certain: Vec<Stamp>,
    /// The bytes on the device.
    platter: Vec<u8>,
    unsynced: Vec<Range<u64>>,
    syncing: Vec<Range<u64>>,
    state: Vec<u8>,
    next_state: Option<Vec<u8>>,
    /// When the program was last seen alive, by the clock on the wall.
    alive_ns: i64,
    /// When the machine was started, by the clock on the wall.
    boot_ns: i64,
    /// Times that the power was cut.
    cuts: u8,
    /// Virtual time before this run, in microseconds.
    before_us: u64,
    /// Longest sync, in microseconds.
    pub slow_us: u32,
    /// When the sync under way will be done, in microseconds.
    pub syncing_until: u64,
}

impl Device {
    pub fn new(torrent: &Torrent, bytes: &[u8]) -> Self {
        let files: Vec<_> =
            torrent.metainfo.layout.files().map(|file| file.offset..file.offset + file.length).collect();
        let none = vec![Stamp::default(); files.len()];
        Self {
            files,
            stamps: none.clone(),
            synced: none.clone(),
            certain: none,
            platter: bytes.to_vec(),
            unsynced: Vec::new(),
            syncing: Vec::new(),
            state: Vec::new(),
            next_state: None,
            alive_ns: 0,
            boot_ns: START_NS - 60_000_000_000,
            cuts: 0,
            before_us: 0,
            slow_us: 50_000,
            syncing_until: 0,
        }
    }

    /// The clock on the wall, as the kernel stamps files.
    fn clock_ns(&self, now: u64) -> i64 {
        START_NS + (self.before_us + now) as i64 * 1000 / TICK_NS * TICK_NS + 1
    }

    pub fn wall(&self, now: u64) -> Wall {
        Wall { now_ns: self.clock_ns(now), boot_ns: self.boot_ns, kept: true }
    }

    /// The program is alive.
    pub fn beat(&mut self, now: u64) {
        self.alive_ns = self.clock_ns(now);
    }

    pub fn busy_us(&self, rng: &mut Rng) -> u64 {
        1_000 + u64::from(rng.below(self.slow_us))
    }

    pub fn stored(&mut self, now: u64, range: Range<u64>) {
        let changed_ns = self.clock_ns(now);
        for (file, stamp) in self.files.iter().zip(&mut self.stamps) {
            let (start, end) = (range.start.max(file.start), range.end.min(file.end));
            if start < end {
                *stamp = Stamp { length: stamp.length.max(end - file.start), changed_ns };
            }
        }
        self.unsynced.push(range);
    }

    pub fn begin_sync(&mut self) {
        self.syncing.append(&mut self.unsynced);
        self.synced.clone_from(&self.stamps);
    }

    pub fn end_sync(&mut self, bytes: &[u8]) {
        for range in self.syncing.drain(..) {
            let range = range.start as usize..range.end as usize;
            if let Some(bytes) = bytes.get(range.clone()) {
                self.platter[range].copy_from_slice(bytes);
            }
        }
        self.certain.clone_from(&self.synced);
    }

    /// The sync under way fails: some sectors of it are lost, also for those who read, unless that is `hidden`.
    pub fn lose_sync(&mut self, bytes: &mut [u8], hidden: bool, rng: &mut Rng) {
        let lost = core::mem::take(&mut self.syncing);
        self.tear(&lost, bytes, rng);
        if hidden {
            return;
        }
        for range in lost {
            let range = range.start as usize..range.end as usize;
            bytes[range.clone()].copy_from_slice(&self.platter[range]);
        }
    }

    /// True if these are the bytes on the device.
    pub fn has(&self, bytes: &[u8]) -> bool {
        self.platter == bytes
    }

    /// Somebody else puts zeros there, which the time of change tells.
    pub fn meddle(&mut self, range: Range<u64>, bytes: &mut [u8]) {
        let its = |file: &Range<u64>| file.start < range.end && range.start < file.end;
        for nth in (0..self.files.len()).filter(|nth| its(&self.files[*nth])) {
            self.stamps[nth].changed_ns += HOUR_NS;
            self.certain[nth] = self.stamps[nth];
        }
        let range = range.start as usize..range.end as usize;
        self.platter[range.clone()].fill(0);
        bytes[range].fill(0);
        // As the storage does with the state when it finds that.
        self.forget_state();
    }

    /// Each sector reaches the device, or does not.
    fn tear(&mut self, ranges: &[Range<u64>], bytes: &[u8], rng: &mut Rng) {
        for range in ranges {
            for start in (range.start as usize..range.end as usize).step_by(SECTOR) {
                let end = (start + SECTOR).min(range.end as usize);
                if rng.one_in(2) {
                    self.platter[start..end].copy_from_slice(&bytes[start..end]);
                }
            }
        }
    }

    pub fn begin_save(&mut self, state: Vec<u8>) {
        self.next_state = Some(state);
    }

    /// The state under way takes the place of the last one, or is lost.
    pub fn end_save(&mut self, good: bool) {
        if let Some(next) = self.next_state.take().filter(|_| good) {
            self.state = next;
        }
    }

    pub fn forget_state(&mut self) {
        (self.state, self.next_state) = (Vec::new(), None);
    }

    /// The state, with its pulse.
    pub fn state(&self) -> Vec<u8> {
        let mut state = self.state.clone();
        if let Some(end) = state.last_chunk_mut::<PULSE_BYTES>() {
            *end = Pulse(self.alive_ns).bytes();
        }
        state
    }

    /// How each file is.
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// How each file was when it was last synced.
    pub fn synced(&self) -> &[Stamp] {
        &self.synced
    }

    pub fn era(&self) -> Era {
        Era([self.cuts + 1; 24])
    }

    /// Bytes that a power cut may take.
    pub fn unsynced_bytes(&self) -> u64 {
        let ranges = self.unsynced.iter().chain(&self.syncing);
        ranges.map(|range| range.end - range.start).sum()
    }

    /// The program is gone. What was on its way to the device goes on, unless the power is cut.
    pub fn end_of_run(&mut self, now: u64, cut: bool, bytes: &mut Vec<u8>, rng: &mut Rng) {
        if let Some(next) = self.next_state.take().filter(|_| rng.one_in(2)) {
            self.state = next;
        }
        if cut {
            let waiting: Vec<_> = self.unsynced.drain(..).chain(self.syncing.drain(..)).collect();
            self.tear(&waiting, bytes, rng);
            bytes.clone_from(&self.platter);
            for (stamp, certain) in self.stamps.iter_mut().zip(&self.certain) {
                if rng.one_in(2) {
                    *stamp = *certain;
                }
            }
            self.cuts += 1;
        } else {
            self.unsynced.append(&mut self.syncing);
        }
        self.synced.clone_from(&self.stamps);
        self.before_us += now + u64::from(rng.below(100_000_000));
        if cut {
            self.boot_ns = self.clock_ns(0);
        }
    }
}
