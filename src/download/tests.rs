//! The download as a whole: from picking to storing, without peers or files.

use super::*;
use crate::base::limits::{BLOCK_BYTES, EXTENT_BYTES, HELD_MAX};
use core::time::Duration;
use sha1::{Digest as _, Sha1};

const NOW: Instant = Instant::from_micros(1_000_000);

fn peer(slot: u32) -> StreamId {
    StreamId { slot, generation: slot + 1 }
}

/// The bytes of a torrent: each its position, folded.
fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn metainfo(data: &[u8], piece_bytes: usize) -> Arc<Metainfo> {
    let mut torrent = format!("d4:infod6:lengthi{}e4:name1:x12:piece lengthi{piece_bytes}e", data.len());
    torrent += &format!("6:pieces{}:", data.len().div_ceil(piece_bytes) * 20);
    let mut torrent = torrent.into_bytes();
    data.chunks(piece_bytes).for_each(|piece| torrent.extend_from_slice(&Sha1::digest(piece)));
    torrent.extend_from_slice(b"ee");
    Arc::new(Metainfo::parse(&torrent).unwrap())
}

/// A download, what it downloads, and a disk.
struct Rig {
    data: Vec<u8>,
    disk: Vec<u8>,
    download: Download,
    pool: Pool,
    rng: Rng,
    verdicts: Vec<Verdict>,
    /// Offset and length of each store.
    stores: Vec<(u64, usize)>,
}

impl Rig {
    fn new(bytes: usize, piece_bytes: usize, memory_bytes: u64) -> Self {
        let (data, mut rng) = (data(bytes), Rng::new(3));
        Self {
            disk: vec![0; bytes],
            download: Download::new(metainfo(&data, piece_bytes), &mut rng),
            pool: Pool::new(memory_bytes),
            data,
            rng,
            verdicts: Vec::new(),
            stores: Vec::new(),
        }
    }

    fn pick(&mut self, now: Instant, source: StreamId, pipeline: &mut Pipeline) -> Pick {
        let all = Bitfield::full(self.download.geometry().pieces);
        self.download.pick(now, &mut self.rng, source, &all, pipeline, &mut self.pool)
    }

    /// `source` sends `block`, with its first byte changed by `flaw`.
    fn send(&mut self, source: StreamId, block: Block, flaw: u8) -> Arrival {
        let Some(mut buffer) = self.pool.take() else {
            while self.pool.is_overdrawn() {
                self.download.give_up_youngest(&mut self.pool).unwrap();
            }
            self.download.unrequest(source, block);
            self.download.check();
            return Arrival::Duplicate;
        };
        let start = (self.download.geometry().piece_start(block.piece) + u64::from(block.begin)) as usize;
        let length = block.length as usize;
        buffer[..length].copy_from_slice(&self.data[start..start + length]);
        buffer[0] ^= flaw;
        self.download.arrived(source, block, buffer, &mut self.pool)
    }

    fn hash(&mut self, now: Instant) {
        while let Some(verdict) = self.download.hash(now, &mut usize::MAX.clone(), false, &mut self.pool) {
            self.verdicts.push(verdict);
        }
    }

    /// Carries out all stores; returns the pieces that became complete.
    fn store(&mut self) -> Vec<u32> {
        let mut done = Vec::new();
        while let Some(store) = self.download.next_store() {
            let (offset, parts) = self.download.store(store).unwrap();
            let bytes = parts.concat();
            self.disk[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            self.stores.push((offset, bytes.len()));
            self.download.stored(store, &mut self.pool, |piece| done.push(piece));
        }
        self.download.check();
        done
    }

    /// Asks and sends until there is nothing more to ask for.
    fn run(&mut self, source: StreamId) {
        let mut pipeline = Pipeline::default();
        loop {
            match self.pick(NOW, source, &mut pipeline) {
                Pick::Block(block) => drop(self.send(source, block, 0)),
                Pick::Later => {}
                Pick::Nothing | Pick::Full => break,
            }
            self.hash(NOW);
            self.store();
        }
    }
}

#[test]
fn everything_arrives_is_verified_and_stored_in_whole_extents() {
    let mut rig = Rig::new(3 * EXTENT_BYTES as usize + 100_000, 256 << 10, 16 << 20);
    rig.run(peer(0));
    assert!(rig.download.is_complete() && rig.download.is_flushed());
    assert!(rig.disk == rig.data, "what is on disk is what was sent");
    rig.stores.sort_unstable();
    let whole = EXTENT_BYTES as usize;
    let expected =
        [(0, whole), (EXTENT_BYTES, whole), (2 * EXTENT_BYTES, whole), (3 * EXTENT_BYTES, 100_000)];
    assert_eq!(rig.stores, expected);
    assert_eq!((rig.pool.lent(), rig.pool.reserved()), (0, 0));
}

#[test]
fn pieces_that_do_not_divide_an_extent_are_stored_byte_for_byte() {
    for piece_bytes in [100_000, 700_001, 3 << 20, 16 << 10] {
        let mut rig = Rig::new(2 * EXTENT_BYTES as usize + 54_321, piece_bytes, 32 << 20);
        rig.run(peer(0));
        rig.download.flush();
        rig.store();
        assert!(rig.download.is_complete() && rig.disk == rig.data, "pieces of {piece_bytes}");
        assert_eq!((rig.pool.lent(), rig.pool.reserved()), (0, 0));
    }
}

#[test]
fn what_is_fetched_in_order_is_stored_in_order() {
    let mut rig = Rig::new(6 * EXTENT_BYTES as usize, 256 << 10, 16 << 20);
    rig.download.fetch_in_order();
    let mut pipeline = Pipeline::default();
    pipeline.suggest(NOW, 40);
    let mut blocks = Vec::new();
    while let Pick::Block(block) = rig.pick(NOW, peer(0), &mut pipeline) {
        blocks.push(block);
    }
    assert!(blocks.is_sorted_by_key(|block| (block.piece, block.begin)));
    // The last arrives first, and the disk takes nothing meanwhile.
    for block in blocks.into_iter().rev() {
        rig.send(peer(0), block, 0);
    }
    rig.hash(NOW);
    rig.store();
    assert!(rig.download.is_complete() && rig.stores.is_sorted(), "{:?}", rig.stores);
}

#[test]
fn memory_that_does_not_hold_an_extent_is_enough() {
    let mut rig = Rig::new(2 * EXTENT_BYTES as usize, 256 << 10, 600 << 10);
    while !rig.download.is_complete() {
        rig.run(peer(0));
        rig.store();
    }
    assert!(rig.disk == rig.data);
    assert!(rig.stores.iter().all(|&(_, bytes)| bytes <= 512 << 10), "at most two pieces fit into memory");
}

#[test]
fn a_piece_whose_extent_does_not_fill_goes_out_alone_in_time() {
    let mut rig = Rig::new(EXTENT_BYTES as usize, 512 << 10, 16 << 20);
    let mut pipeline = Pipeline::default();
    for _ in 0..(512 << 10) / BLOCK_BYTES {
        let Pick::Block(block) = rig.pick(NOW, peer(0), &mut pipeline) else { panic!("nothing to ask for") };
        rig.send(peer(0), block, 0);
    }
    rig.hash(NOW);
    assert!(rig.store().is_empty(), "its neighbours may still come");
    let due = rig.download.next_deadline().unwrap();
    assert_eq!(due, NOW + HELD_MAX);
    rig.download.on_time(due);
    assert_eq!(rig.store().len(), 1);
    assert_eq!(rig.download.next_deadline(), None);
}

#[test]
fn a_spoiled_piece_is_fetched_again_from_one_peer_and_the_liar_is_found() {
    let mut rig = Rig::new(512 << 10, 64 << 10, 16 << 20);
    let mut pipeline = Pipeline::default();
    let mut spoiled = None;
    for nth in 0..4 {
        let Pick::Block(block) = rig.pick(NOW, peer(nth % 2), &mut pipeline) else { panic!() };
        spoiled = Some(block.piece);
        rig.send(peer(nth % 2), block, u8::from(nth == 3));
    }
    rig.hash(NOW);
    let piece = spoiled.unwrap();
    assert_eq!(rig.verdicts.pop(), Some(Verdict::Corrupt { piece, guilty: None }));
    assert_eq!(rig.pool.reserved(), 0);
    rig.download.check();
    while !rig.download.is_complete() {
        rig.run(peer(2));
    }
    let guilty: Vec<_> = rig
        .verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Verified { piece: which, guilty } if *which == piece => Some(guilty.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(guilty, [vec![peer(1)]]);
    assert!(rig.disk == rig.data);
}

#[test]
fn a_whole_bad_piece_names_its_only_sender() {
    let mut rig = Rig::new(64 << 10, 64 << 10, 16 << 20);
    let mut pipeline = Pipeline::default();
    while let Pick::Block(block) = rig.pick(NOW, peer(5), &mut pipeline) {
        rig.send(peer(5), block, 1);
    }
    rig.hash(NOW);
    assert_eq!(rig.verdicts, [Verdict::Corrupt { piece: 0, guilty: Some(peer(5)) }]);
}

#[test]
fn late_blocks_are_asked_for_twice_only_when_they_are_late() {
    let mut rig = Rig::new(64 << 10, 64 << 10, 16 << 20);
    let (mut slow, mut fast) = (Pipeline::default(), Pipeline::default());
    let mut asked = Vec::new();
    while let Pick::Block(block) = rig.pick(NOW, peer(0), &mut slow) {
        asked.push(block);
    }
    assert!(rig.download.picker.is_empty(), "every missing piece has been opened");
    assert_eq!(rig.pick(NOW, peer(1), &mut fast), Pick::Nothing);
    let later = NOW + Duration::from_secs(5);
    let Pick::Block(block) = rig.pick(later, peer(1), &mut fast) else { panic!("nothing though it is late") };
    assert!(asked.contains(&block));
    assert_eq!(rig.send(peer(1), block, 0), Arrival::Kept { cancel: [Some(peer(0)), None] });
    assert_eq!(rig.send(peer(0), block, 0), Arrival::Duplicate);
}

#[test]
fn hashing_stops_at_its_budget_and_goes_on() {
    let mut rig = Rig::new(256 << 10, 256 << 10, 16 << 20);
    let mut pipeline = Pipeline::default();
    while let Pick::Block(block) = rig.pick(NOW, peer(0), &mut pipeline) {
        rig.send(peer(0), block, 0);
    }
    let mut slices = 1;
    loop {
        let mut budget = 40_000;
        match rig.download.hash(NOW, &mut budget, false, &mut rig.pool) {
            None => assert_eq!(budget, 0),
            Some(verdict) => break assert!(matches!(verdict, Verdict::Verified { piece: 0, .. })),
        }
        assert!(rig.download.has_work());
        slices += 1;
    }
    assert_eq!(slices, 6, "three blocks a slice");
}

#[test]
fn pieces_on_disk_are_neither_fetched_nor_stored_and_may_be_lost_again() {
    let mut rig = Rig::new(EXTENT_BYTES as usize, 256 << 10, 16 << 20);
    rig.disk[..512 << 10].copy_from_slice(&rig.data[..512 << 10]);
    assert!(rig.download.found(0) && rig.download.found(1) && !rig.download.found(1));
    rig.run(peer(0));
    assert!(rig.download.is_complete() && rig.disk == rig.data);
    assert_eq!(
        rig.stores,
        [(512 << 10, (EXTENT_BYTES as usize) - (512 << 10))],
        "the rest of the extent in one"
    );
    assert!(rig.download.lost(1) && !rig.download.lost(1));
    rig.download.check();
    rig.run(peer(0));
    assert!(rig.download.is_complete());
}
