//! The memory of all downloads: buffers of one block each, lent out, taken back, and never more than promised.
//!
//! A buffer is a token: whoever holds it owns the bytes, so two peers can never write into the same block. The last
//! buffer given back is the first lent out again, which keeps the bytes that are ever touched few and warm.

use crate::base::limits::BLOCK_BYTES;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Room for one block.
pub struct Buffer(Memory);

enum Memory {
    /// From the allocator.
    Heap(Box<[u8]>),
    /// Cut from an arena that the rim lent for good, such as a map of a temporary file.
    Lent(&'static mut [u8]),
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Lent(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Lent(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffer")
    }
}

/// Lends buffers and keeps the promise of `--memory`.
///
/// A piece reserves room for all its blocks when it is opened. On a fast line most of what is reserved is still on its way
/// through the network and fills no memory, so more than the limit is promised, by as much as the line brings in a second, up
/// to twice the limit. (Many slow peers bring all pieces forward at the same pace: memory would be full of parts before
/// anything is whole.) When a block finds no buffer, the promise shrinks: half of
/// what it has beyond what can be kept in any case, which is the limit less a spare part for blocks that arrive twice or after
/// their piece was given up. The caller then gives up pieces until [`Pool::is_overdrawn`] is false: no more is reserved then
/// than can be kept. The promise grows back, more slowly each time.
#[derive(Debug)]
pub struct Pool {
    free: Vec<Buffer>,
    /// Buffers from the allocator in existence, free or lent out.
    made: u32,
    /// Most buffers from the allocator.
    limit: u32,
    /// Free buffers of arenas, which are slower and wear out a disk: taken when there are no others.
    arena_free: Vec<Buffer>,
    /// Buffers of arenas, free or lent out.
    arena: u32,
    /// No more buffers are made for blocks that may come.
    is_tight: bool,
    /// Blocks that the line brings in a second.
    line_blocks: u32,
    reserved: u32,
    /// A block has found no buffer, and more than can be kept is still reserved.
    is_strained: bool,
    /// What is promised, in eighths of what can be kept.
    promise: u32,
    /// Blocks given back since the promise changed.
    calm_blocks: u32,
    /// So many have to be before it grows.
    patience_blocks: u32,
}

/// Of what can be kept, so many eighths are promised at most, and at least.
const PROMISE: (u32, u32) = (16, 8);
/// One in this many buffers is spare.
const SPARE_PART: u32 = 8;

impl Pool {
    /// A pool of at most `bytes`, but at least 16 blocks. Allocates nothing yet.
    pub fn new(bytes: u64) -> Self {
        let limit = u32::try_from(bytes / u64::from(BLOCK_BYTES)).unwrap_or(u32::MAX).max(16);
        Self {
            free: Vec::new(),
            made: 0,
            limit,
            arena_free: Vec::new(),
            arena: 0,
            is_tight: false,
            line_blocks: 0,
            reserved: 0,
            is_strained: false,
            promise: PROMISE.0,
            calm_blocks: 0,
            patience_blocks: limit,
        }
    }

    /// Takes over `arena`, memory that the limit does not count because the system can take it back, such as the map of
    /// a temporary file.
    pub fn lend(&mut self, arena: &'static mut [u8]) {
        let buffers = arena.chunks_exact_mut(BLOCK_BYTES as usize);
        self.arena += buffers.len() as u32;
        self.arena_free.extend(buffers.map(|bytes| Buffer(Memory::Lent(bytes))));
    }

    /// Bytes of arena that are missing for a piece of `blocks`, and another one beside it, to be opened.
    pub fn missing_bytes(&self, blocks: u32) -> u64 {
        let wanted = u64::from(blocks) * 2;
        if wanted <= u64::from(self.safe_capacity()) {
            return 0;
        }
        let spare = wanted.div_ceil(u64::from(SPARE_PART - 1)) + 1;
        (wanted + spare).saturating_sub(u64::from(self.buffers())) * u64::from(BLOCK_BYTES)
    }

    /// Buffers that there can be in all.
    fn buffers(&self) -> u32 {
        self.limit + self.arena
    }

    /// Blocks that can be reserved in all, as long as few buffers are lent.
    pub fn capacity(&self) -> u32 {
        let safe = self.safe_capacity();
        let promised = (u64::from(safe) * u64::from(self.promise) / 8) as u32;
        promised.min(safe.saturating_add(self.line_blocks))
    }

    /// So many bytes come in a second.
    pub fn set_line(&mut self, bytes_per_s: u64) {
        self.line_blocks = u32::try_from(bytes_per_s / u64::from(BLOCK_BYTES)).unwrap_or(u32::MAX);
    }

    /// True if so many buffers are lent that nothing beyond what can be kept should be begun.
    pub fn is_filling(&self) -> bool {
        self.lent() > self.buffers() / 4 * 3
    }

    /// Blocks that can be reserved whatever happens: the longest piece must not have more.
    pub fn safe_capacity(&self) -> u32 {
        self.buffers() - self.buffers() / SPARE_PART
    }

    /// Sets `blocks` aside, or none of them.
    #[must_use]
    pub fn reserve(&mut self, blocks: u32) -> bool {
        let fits = self.has_room_for(blocks);
        if fits {
            self.reserved += blocks;
        }
        fits
    }

    /// True if `blocks` can be set aside.
    pub fn has_room_for(&self, blocks: u32) -> bool {
        let most = if self.is_filling() { self.safe_capacity() } else { self.capacity() };
        self.reserved.checked_add(blocks).is_some_and(|sum| sum <= most)
    }

    /// Gives a reservation of `blocks` back.
    pub fn release(&mut self, blocks: u32) {
        debug_assert!(blocks <= self.reserved, "released more than was reserved");
        self.reserved = self.reserved.saturating_sub(blocks);
        self.is_strained &= self.reserved > self.safe_capacity();
        self.calm_blocks = self.calm_blocks.saturating_add(blocks);
        if self.calm_blocks >= self.patience_blocks && self.promise < PROMISE.0 {
            self.promise += 1;
            self.calm_blocks = 0;
        }
    }

    /// Blocks that can be reserved now.
    #[cfg(test)]
    pub fn unreserved(&self) -> u32 {
        self.capacity().saturating_sub(self.reserved)
    }

    /// A buffer for a block that is here. `None` if the limit is reached: less is promised from now on.
    pub fn take(&mut self) -> Option<Buffer> {
        let buffer = self.free.pop().or_else(|| self.take_new());
        if buffer.is_none() {
            self.strain();
        }
        buffer
    }

    fn strain(&mut self) {
        self.is_strained = self.reserved > self.safe_capacity();
        self.promise = PROMISE.1 + (self.promise - PROMISE.1) / 2;
        self.calm_blocks = 0;
        self.patience_blocks = self.patience_blocks.saturating_mul(2);
    }

    /// True if more is promised than can be kept, after a block has found no buffer.
    pub fn is_overdrawn(&self) -> bool {
        self.is_strained
    }

    /// A buffer for a block that may come, with whatever bytes its last user left. `None` if the limit is reached, or if
    /// there is no free one while no more are to be made.
    pub fn take_ahead(&mut self) -> Option<Buffer> {
        self.free.pop().or_else(|| if self.is_tight { None } else { self.take_new() })
    }

    /// Settles whether no more buffers are made for blocks that may come.
    pub fn set_tight(&mut self, is_tight: bool) {
        self.is_tight = is_tight;
    }

    /// Blocks that may come: so many times [`Pool::take_ahead`] answers with a buffer.
    pub fn room(&self) -> u32 {
        let new = self.limit - self.made + self.arena_free.len() as u32;
        self.free.len() as u32 + if self.is_tight { 0 } else { new }
    }

    /// A buffer that has not been used of late.
    fn take_new(&mut self) -> Option<Buffer> {
        if self.made == self.limit {
            return self.arena_free.pop();
        }
        self.made += 1;
        Some(Buffer(Memory::Heap(vec![0; BLOCK_BYTES as usize].into_boxed_slice())))
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: Buffer) {
        match buffer.0 {
            Memory::Heap(_) => self.free.push(buffer),
            Memory::Lent(_) => self.arena_free.push(buffer),
        }
    }

    /// Frees what is not lent out to the allocator, when nothing is being downloaded.
    pub fn shrink(&mut self) {
        self.made -= self.free.len() as u32;
        self.free = Vec::new();
    }

    /// Bytes from the allocator in buffers that hold, or held, blocks.
    pub fn made_bytes(&self) -> u64 {
        u64::from(self.made) * u64::from(BLOCK_BYTES)
    }

    /// Most bytes that buffers may take from the allocator.
    pub fn limit_bytes(&self) -> u64 {
        u64::from(self.limit) * u64::from(BLOCK_BYTES)
    }

    /// Buffers lent out now.
    pub fn lent(&self) -> u32 {
        self.made + self.arena - (self.free.len() + self.arena_free.len()) as u32
    }

    /// Blocks reserved now.
    pub fn reserved(&self) -> u32 {
        self.reserved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for 16 blocks.
    fn on_fast_line() -> Pool {
        let mut pool = Pool::new(0);
        pool.set_line(u64::MAX);
        pool
    }

    #[test]
    fn on_a_slow_line_no_more_is_promised_than_can_be_kept_and_what_comes_in_a_second() {
        let mut pool = Pool::new(0);
        let block = u64::from(BLOCK_BYTES);
        for (bytes_per_s, capacity) in
            [(0, 14), (5 * block, 19), (14 * block, 28), (99 * block, 28), (block - 1, 14)]
        {
            pool.set_line(bytes_per_s);
            assert_eq!(pool.capacity(), capacity, "{bytes_per_s}");
        }
    }

    #[test]
    fn reservations_leave_a_spare_part() {
        let mut pool = on_fast_line();
        assert_eq!((pool.capacity(), pool.safe_capacity()), (28, 14));
        assert!(pool.reserve(20) && !pool.reserve(9) && pool.reserve(8) && !pool.reserve(1));
        pool.release(14);
        assert_eq!(pool.unreserved(), 14);
        assert!(!pool.reserve(u32::MAX));
    }

    #[test]
    fn the_promise_shrinks_when_it_cannot_be_kept_and_grows_back_more_slowly_each_time() {
        let mut pool = on_fast_line();
        for patience in [32, 64] {
            assert!(pool.reserve(20));
            let lent: Vec<Buffer> = (0..16).map(|_| pool.take().unwrap()).collect();
            assert!(pool.take().is_none() && pool.is_overdrawn());
            assert_eq!(pool.capacity(), 21, "half of what was promised beyond what can be kept");
            assert!(!pool.reserve(1), "nothing is begun while buffers are few");
            pool.release(7);
            assert!(!pool.is_overdrawn() && pool.reserve(1) && !pool.reserve(1));
            lent.into_iter().for_each(|buffer| pool.give(buffer));
            pool.release(14);
            let mut calm = 21;
            while pool.capacity() == 21 {
                assert!(pool.reserve(1));
                pool.release(1);
                calm += 1;
            }
            assert_eq!(calm, patience);
            while pool.capacity() < 28 {
                assert!(pool.reserve(14));
                pool.release(14);
            }
        }
    }

    #[test]
    fn what_is_promised_comes_down_to_what_can_be_kept() {
        let mut pool = on_fast_line();
        let lent: Vec<Buffer> = (0..16).map(|_| pool.take().unwrap()).collect();
        let promised: Vec<u32> = (0..5).map(|_| (pool.take().is_none(), pool.capacity()).1).collect();
        assert_eq!(promised, [21, 17, 15, 14, 14]);
        lent.into_iter().for_each(|buffer| pool.give(buffer));
    }

    #[test]
    fn no_more_than_can_be_kept_is_promised_while_buffers_are_few() {
        let mut pool = on_fast_line();
        let mut lent: Vec<Buffer> = (0..13).map(|_| pool.take().unwrap()).collect();
        assert!(pool.is_filling() && pool.reserve(14) && !pool.reserve(1));
        pool.give(lent.pop().unwrap());
        assert!(!pool.is_filling() && pool.reserve(14) && !pool.reserve(1));
    }

    #[test]
    fn lends_no_more_than_the_limit_and_the_last_one_first() {
        let mut pool = Pool::new(0);
        let mut lent: Vec<Buffer> = (0..16).map(|_| pool.take().unwrap()).collect();
        assert!(pool.take().is_none());
        let mut last = lent.pop().unwrap();
        last[0] = 77;
        pool.give(last);
        assert_eq!(pool.take().unwrap()[0], 77);
        assert_eq!((pool.made_bytes(), pool.limit_bytes()), (262_144, 262_144));
    }

    #[test]
    fn a_tight_pool_lends_ahead_only_what_it_has_made() {
        let mut pool = Pool::new(0);
        let first = pool.take().unwrap();
        pool.set_tight(true);
        assert!(pool.room() == 0 && pool.take_ahead().is_none() && !pool.is_overdrawn());
        let second = pool.take();
        assert!(second.is_some(), "a block that is here finds its place");
        pool.give(first);
        assert!(pool.room() == 1 && pool.take_ahead().is_some());
        pool.set_tight(false);
        assert_eq!(pool.room(), 14);
    }

    #[test]
    fn an_arena_is_used_last_and_survives_shrinking() {
        let mut pool = Pool::new(0);
        assert_eq!(pool.missing_bytes(7), 0);
        let missing = pool.missing_bytes(100) as usize;
        pool.lend(Box::leak(vec![7; missing].into_boxed_slice()));
        assert!(pool.safe_capacity() >= 200 && pool.missing_bytes(100) == 0);
        let lent: Vec<Buffer> = (0..17).map(|_| pool.take().unwrap()).collect();
        assert_eq!((pool.lent(), lent[15][0], lent[16][0]), (17, 0, 7));
        lent.into_iter().for_each(|buffer| pool.give(buffer));
        pool.shrink();
        assert_eq!((pool.lent(), pool.made_bytes()), (0, 0));
        let all = core::iter::from_fn(|| pool.take()).count() as u32;
        assert_eq!(all, pool.buffers());
    }
}
