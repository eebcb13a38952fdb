//! The files of one torrent in memory, with a plan of what goes wrong. Only right bytes may arrive here.

use crate::device::Device;
use crate::torrent::Torrent;
use std::sync::Arc;
use swarmlet::base::{Bitfield, Rng};
use swarmlet::session::{StorageFault, StorageFaultKind};

/// A larger torrent is not kept in memory.
const LARGE_BYTES: u64 = 64 << 20;

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The disk is full when so many bytes are stored.
    pub space_bytes: Option<u64>,
    /// Of so many stores one fails, up to this many in all.
    pub fails: Option<(u32, u32)>,
    /// Of so many loads one fails.
    pub load_fails: Option<u32>,
    /// Of so many syncs one fails and loses bytes; by the fault of the device, if nothing else is said.
    pub sync_fails: Option<u32>,
    pub sync_fault: Option<StorageFaultKind>,
    /// What a sync loses can still be read, and no later one tries again: memory has it for written.
    pub sync_hides: bool,
    /// Of so many saves of the resume state one fails: the last state stays.
    pub save_fails: Option<u32>,
}

#[derive(Debug)]
pub struct Disk {
    torrent: Arc<Torrent>,
    /// Empty for a large torrent, of which only the amount is kept.
    pub bytes: Vec<u8>,
    /// What is under the bytes.
    pub device: Device,
    /// Bytes stored of each piece.
    amounts: Vec<u32>,
    /// Pieces known to be right.
    good: Vec<bool>,
    pub plan: Plan,
    pub stored_bytes: u64,
    stores: u32,
    pub loads: u32,
    syncs: u32,
    saves: u32,
    pub faults: u32,
    pub completed: bool,
}

impl Disk {
    pub fn new(torrent: Arc<Torrent>) -> Self {
        let good = vec![false; torrent.pieces as usize];
        let kept_bytes = if torrent.total_bytes > LARGE_BYTES { 0 } else { torrent.total_bytes };
        let (bytes, amounts) = (vec![0; kept_bytes as usize], vec![0; torrent.pieces as usize]);
        Self {
            device: Device::new(&torrent, &bytes),
            torrent,
            bytes,
            amounts,
            good,
            plan: Plan::default(),
            stored_bytes: 0,
            stores: 0,
            loads: 0,
            syncs: 0,
            saves: 0,
            faults: 0,
            completed: false,
        }
    }

    /// What an earlier run left: right or wrong bytes at `offset`.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        self.bytes[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Carries out a store, and checks that only right bytes are stored.
    pub fn store(&mut self, now: u64, offset: u64, parts: &[&[u8]]) -> Result<(), StorageFault> {
        let bytes = parts.concat();
        assert!(!bytes.is_empty() && parts.iter().all(|part| !part.is_empty()), "an empty store");
        assert!(self.torrent.is_right(offset, &bytes), "bytes that are not verified would be stored");
        self.stores += 1;
        let fault = |kind| Err(StorageFault { kind, file: 0, os_error: 28, missing_bytes: 0 });
        if let Some((one_in, at_most)) = self.plan.fails
            && self.stores.is_multiple_of(one_in)
            && self.faults < at_most
        {
            self.faults += 1;
            return fault(StorageFaultKind::Io);
        }
        if self.plan.space_bytes.is_some_and(|space| self.stored_bytes + bytes.len() as u64 > space) {
            self.faults += 1;
            return fault(StorageFaultKind::NoSpace);
        }
        self.stored_bytes += bytes.len() as u64;
        if !self.bytes.is_empty() {
            self.put(offset, &bytes);
            self.device.stored(now, offset..offset + bytes.len() as u64);
        }
        let mut at = offset;
        let end = offset + bytes.len() as u64;
        while at < end {
            let piece = (at / u64::from(self.torrent.piece_bytes)) as u32;
            let here = self.torrent.piece_range(piece).end.min(end) - at;
            self.amounts[piece as usize] += here as u32;
            at += here;
        }
        Ok(())
    }

    /// A sync is over; the fault, if it has failed. Then some of its bytes are what they were before.
    pub fn end_sync(&mut self, rng: &mut Rng) -> Option<StorageFault> {
        self.syncs += 1;
        let fails = self.plan.sync_fails.is_some_and(|one_in| self.syncs.is_multiple_of(one_in));
        if !fails {
            self.device.end_sync(&self.bytes);
            return None;
        }
        self.faults += 1;
        let kind = self.plan.sync_fault.unwrap_or(StorageFaultKind::Io);
        self.device.lose_sync(&mut self.bytes, self.plan.sync_hides, rng);
        if kind == StorageFaultKind::Changed {
            // Somebody has put something else in the place of the files.
            let piece = rng.below(self.torrent.pieces);
            let range = self.torrent.piece_range(piece);
            self.device.meddle(range, &mut self.bytes);
        }
        self.good.fill(false);
        self.completed = false;
        Some(StorageFault { kind, file: 0, os_error: 5, missing_bytes: 0 })
    }

    /// A save is over.
    pub fn end_save(&mut self) -> Result<(), StorageFault> {
        self.saves += 1;
        let fails = self.plan.save_fails.is_some_and(|one_in| self.saves.is_multiple_of(one_in));
        self.device.end_save(!fails);
        let fault = StorageFault { kind: StorageFaultKind::Io, file: 0, os_error: 5, missing_bytes: 0 };
        if fails { Err(fault) } else { Ok(()) }
    }

    /// The program is gone; with `cut`, so is the power.
    pub fn end_of_run(&mut self, now: u64, cut: bool, rng: &mut Rng) {
        self.device.end_of_run(now, cut, &mut self.bytes, rng);
        self.good.fill(false);
        self.completed = false;
    }

    /// Pieces of zeros.
    pub fn holes(&self) -> Bitfield {
        let mut holes = Bitfield::new(self.torrent.pieces);
        for piece in 0..self.torrent.pieces {
            let range = self.torrent.piece_range(piece);
            if self.bytes[range.start as usize..range.end as usize].iter().all(|&byte| byte == 0) {
                holes.insert(piece);
            }
        }
        holes
    }

    /// Reads; `renew`: and writes it again.
    pub fn load(
        &mut self,
        now: u64,
        offset: u64,
        length: usize,
        renew: bool,
    ) -> Result<Vec<u8>, StorageFault> {
        self.loads += 1;
        if self.plan.load_fails.is_some_and(|one_in| self.loads.is_multiple_of(one_in)) {
            let kind = StorageFaultKind::Io;
            return Err(StorageFault { kind, file: 0, os_error: 5, missing_bytes: 0 });
        }
        if renew {
            self.device.stored(now, offset..offset + length as u64);
        }
        Ok(self.bytes[offset as usize..][..length].to_vec())
    }

    /// True if the piece is there and right.
    pub fn has(&mut self, piece: u32) -> bool {
        if !self.good[piece as usize] {
            let range = self.torrent.piece_range(piece);
            self.good[piece as usize] = match self.bytes.get(range.start as usize..range.end as usize) {
                Some(bytes) => self.torrent.is_right(range.start, bytes),
                None => u64::from(self.amounts[piece as usize]) == range.end - range.start,
            };
        }
        self.good[piece as usize]
    }

    pub fn is_complete(&mut self) -> bool {
        (0..self.torrent.pieces).all(|piece| self.has(piece))
    }

    /// True if the device has all that can be read.
    pub fn is_durable(&self) -> bool {
        self.device.has(&self.bytes)
    }
}
