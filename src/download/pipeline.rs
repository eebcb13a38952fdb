//! The requests outstanding to one peer: how many may wait, and when its silence is too long.
//!
//! The window starts small and grows by a block with each block that arrives (slow start) until it covers what the peer
//! delivers in the time that a request takes. From then on it follows rate × time. Both are measured on the requests
//! themselves: the rate is what arrived between a request and its answer, the time is the shortest answer of late. So
//! that this is the way's time and not the queue's, the queue runs empty now and then ([`Probe`]).

use crate::base::limits::{
    BLOCK_BYTES, REQQ_DEFAULT, REQUESTS_EAGER, REQUESTS_MAX, REQUESTS_MIN, REQUESTS_START, SUGGESTED_MAX,
    SUGGESTED_REST,
};
use crate::base::{Block, Instant};
use crate::download::cancelled::Cancelled;
use crate::download::estimate::{Extreme, Probe, Rhythm};
use crate::download::picker::Search;
use alloc::collections::VecDeque;
use core::time::Duration;

/// The queue that a peer is given beyond the round trip, if memory allows: it rides out a peer's slow disk and our
/// own pauses.
const QUEUE_TIME: Duration = Duration::from_millis(250);

/// A request that the peer has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was asked for.
    pub block: Block,
    /// When.
    pub sent: Instant,
    /// Bytes that the peer had delivered by then.
    delivered: u64,
    /// The block was given to others too; if it arrives all the same it is welcome, but it fills no window.
    pub released: bool,
}

/// The requests outstanding to one peer.
#[derive(Debug)]
pub struct Pipeline {
    requests: VecDeque<Request>,
    /// Requests that are not released.
    live: u32,
    cancelled: Cancelled,
    window: u32,
    slow_start: bool,
    /// Most requests that the peer queues (`reqq`, BEP 10).
    reqq: u32,
    delivered: u64,
    rate: Extreme,
    /// Shortest time from a request to its block, in µs.
    latency: Extreme,
    probe: Probe,
    rhythm: Rhythm,
    snubbed: bool,
    /// Where this peer's search for pieces stands.
    pub search: Search,
    /// Pieces that it would like to be asked for, in its order.
    suggested: VecDeque<u32>,
    /// When it has suggested something last.
    suggested_at: Option<Instant>,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            requests: VecDeque::new(),
            live: 0,
            cancelled: Cancelled::default(),
            window: REQUESTS_START,
            slow_start: true,
            reqq: REQQ_DEFAULT,
            delivered: 0,
            rate: Extreme::default(),
            latency: Extreme::default(),
            probe: Probe::default(),
            rhythm: Rhythm::default(),
            snubbed: false,
            search: Search::default(),
            suggested: VecDeque::new(),
            suggested_at: None,
        }
    }
}

impl Pipeline {
    /// The peer queues no more than `reqq` requests (BEP 10).
    pub fn set_reqq(&mut self, reqq: u32) {
        self.reqq = reqq.max(1);
    }

    /// The peer would like to be asked for `piece` (BEP 6).
    pub fn suggest(&mut self, now: Instant, piece: u32) {
        self.suggested_at = Some(now);
        if self.suggested.len() < SUGGESTED_MAX && !self.suggested.contains(&piece) {
            self.suggested.push_back(piece);
        }
    }

    /// True if its next suggestions are to be waited for.
    pub(super) fn awaits_suggestions(&self, now: Instant) -> bool {
        let is_new = self.suggested_at.is_some_and(|at| now.since(at) < SUGGESTED_REST);
        is_new && self.suggested.is_empty() && self.live >= REQUESTS_START
    }

    /// The piece that it would like to be asked for first.
    pub(super) fn suggested(&self) -> Option<u32> {
        self.suggested.front().copied()
    }

    /// The piece is asked for, or not wanted. Empty, the list holds no memory.
    pub(super) fn drop_suggested(&mut self) {
        self.suggested.pop_front();
        if self.suggested.is_empty() {
            self.suggested = VecDeque::new();
        }
    }

    /// Requests outstanding that have not been released.
    pub fn outstanding(&self) -> u32 {
        self.live
    }

    /// Requests that may be outstanding, if memory has room for `share` blocks for this peer.
    pub fn window(&self, share: u32) -> u32 {
        if self.snubbed {
            // While it owes us blocks it is not given another one to hold; when it owes none, one finds out.
            return u32::from(self.requests.is_empty());
        }
        let bounded = if self.slow_start {
            self.window.max(share.min(REQUESTS_EAGER))
        } else if self.probe.is_draining() {
            self.in_flight() * 3 / 4
        } else {
            self.wished().min(share).max(self.needed())
        };
        bounded.clamp(REQUESTS_MIN, REQUESTS_MAX).min(self.reqq)
    }

    /// True if a quarter of the window is free: asking in batches spares both sides messages too small for a write.
    pub fn is_low(&self, share: u32) -> bool {
        let window = self.window(share);
        self.live + window / 4 <= window
    }

    /// True if one more request may be sent, if memory has room for `share` blocks for this peer. Released requests
    /// fill no window, but they wait in the peer's queue like all others.
    pub fn has_room(&self, share: u32) -> bool {
        self.live < self.window(share) && (self.requests.len() as u64) < u64::from(self.reqq)
    }

    /// True if `block` was released and is still owed: it counts again, and need not be asked for a second time.
    pub fn adopt(&mut self, now: Instant, block: Block) -> bool {
        // None is released, as nearly always: a look at all of them for each block is a third of the work that is not SHA-1.
        if self.live as usize == self.requests.len() {
            return false;
        }
        let mut requests = self.requests.iter_mut();
        let Some(request) = requests.find(|request| request.block == block) else { return false };
        if request.released {
            request.released = false;
            if self.live == 0 {
                self.rhythm.starts(now);
            }
            self.live += 1;
        }
        true
    }

    /// True if the peer fell silent with requests outstanding.
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// The requests in the order in which they were sent, which is the order in which answers are expected.
    pub fn expected(&self) -> impl Iterator<Item = Block> {
        self.requests.iter().map(|request| request.block)
    }

    /// The requests that are not released.
    pub fn live(&self) -> impl Iterator<Item = Block> + Clone {
        self.requests.iter().filter(|request| !request.released).map(|request| request.block)
    }

    /// How long a request sent now will take, as far as is known.
    pub fn expected_time(&self) -> Duration {
        self.time_for(u64::from(self.live + 1) * u64::from(BLOCK_BYTES))
    }

    /// How long the peer takes for so many bytes, as far as is known; a second and a half where nothing is.
    pub fn time_for(&self, bytes: u64) -> Duration {
        let latency = Duration::from_micros(self.latency.least().unwrap_or(500_000));
        let rate = self.rate.most().filter(|&rate| rate > 0);
        latency + Duration::from_micros(rate.map_or(1_000_000, |rate| bytes * 1_000_000 / rate))
    }

    /// `block` is asked for.
    pub fn sent(&mut self, now: Instant, block: Block) {
        if self.live == 0 {
            self.rhythm.starts(now);
        }
        self.live += 1;
        self.probe.sent(now);
        self.requests.push_back(Request { block, sent: now, delivered: self.delivered, released: false });
    }

    /// `block` has arrived. `None` if it was never asked for, or not any more.
    pub fn arrived(&mut self, now: Instant, block: Block) -> Option<Request> {
        let request = self.remove(block)?;
        if !self.cancelled.contains(block) {
            self.cancelled.forget();
        }
        self.delivered += u64::from(block.length);
        self.snubbed = false;
        self.rhythm.beats(now);
        self.measure(now, request);
        Some(request)
    }

    /// `block` will not come: it was rejected or cancelled. `None` if it was not asked for.
    pub fn remove(&mut self, block: Block) -> Option<Request> {
        // Answers come in the order of the requests, so the first look is nearly always right.
        let nth = self.requests.iter().position(|request| request.block == block)?;
        let request = self.requests.remove(nth)?;
        self.live -= u32::from(!request.released);
        Some(request)
    }

    /// Nothing more can be expected: forgets all requests and returns those that had not been released.
    pub fn clear(&mut self) -> impl Iterator<Item = Block> {
        self.live = 0;
        core::mem::take(&mut self.requests).into_iter().filter(|request| !request.released).map(|r| r.block)
    }

    /// Calls `give_back` for every request that is not released yet, and releases it: the block is wanted from others,
    /// but welcome if it still comes.
    pub fn release(&mut self, mut give_back: impl FnMut(Block)) {
        for request in self.requests.iter_mut().filter(|request| !request.released) {
            request.released = true;
            give_back(request.block);
        }
        self.live = 0;
    }

    /// Takes the released requests back, the oldest first, as long as `tell` can tell the peer so. What it has sent by
    /// then is still welcome; but if the block is wanted of it again, it has to be asked again.
    pub fn withdraw(&mut self, mut tell: impl FnMut(Block) -> bool) {
        while let Some(request) = self.requests.front().filter(|request| request.released)
            && tell(request.block)
        {
            self.cancelled.note(request.block);
            self.requests.pop_front();
        }
    }

    /// True if `block` has been asked for, even if the request was taken back since.
    pub fn awaits(&self, block: Block) -> bool {
        self.requests.iter().any(|request| request.block == block) || self.cancelled.contains(block)
    }

    /// The peer has answered a request for `block` that was taken back. False if there was none.
    pub fn settle_cancelled(&mut self, block: Block) -> bool {
        self.cancelled.settle(block)
    }

    /// Forgets released requests: the peer would have answered them by now.
    pub fn forget_released(&mut self) {
        self.requests.retain(|request| !request.released);
    }

    /// The peer is silent for too long: it is asked for nothing until it answers, and for one block at a time where
    /// nothing is left that it could answer.
    pub fn snub(&mut self) {
        self.snubbed = true;
        self.slow_start = true;
        self.window = REQUESTS_MIN;
        self.rate = Extreme::default();
        self.probe = Probe::default();
    }

    /// When the silence will have been too long; `None` while nothing is outstanding.
    pub fn snub_deadline(&self) -> Option<Instant> {
        (self.live > 0).then(|| self.rhythm.deadline())
    }

    /// The peer could not be heard until now: that was no silence of its own.
    pub fn was_not_read(&mut self, now: Instant) {
        self.rhythm.starts(now);
    }

    fn measure(&mut self, now: Instant, request: Request) {
        let took = now.since(request.sent).max(Duration::from_micros(20));
        let took_us = took.as_micros() as u64;
        self.latency.note_least(now, took_us);
        self.rate.note_most(now, (self.delivered - request.delivered) * 1_000_000 / took_us);
        if self.slow_start {
            self.window = (self.window.max(self.live + 1) + 1).min(REQUESTS_MAX);
            // Twice what fills the round trip: more would only wait in the peer's queue.
            self.slow_start = self.window <= 2 * self.in_flight() + REQUESTS_START && self.window < self.reqq;
        } else {
            self.probe.arrived(now, request.sent);
        }
    }

    /// Blocks that fill the way to the peer and back.
    fn in_flight(&self) -> u32 {
        self.blocks_in(self.shortest())
    }

    /// Blocks that keep the peer busy, though we ask for several at a time.
    fn needed(&self) -> u32 {
        let in_flight = self.in_flight();
        in_flight + in_flight / 2 + REQUESTS_MIN
    }

    /// Blocks that keep it busy for longer.
    fn wished(&self) -> u32 {
        let shortest = self.shortest();
        self.blocks_in(shortest + shortest.max(QUEUE_TIME)) + REQUESTS_MIN
    }

    fn shortest(&self) -> Duration {
        Duration::from_micros(self.latency.least().unwrap_or(0))
    }

    fn blocks_in(&self, time: Duration) -> u32 {
        let bytes = u128::from(self.rate.most().unwrap_or(0)) * time.as_micros() / 1_000_000;
        (bytes / u128::from(BLOCK_BYTES)).min(REQUESTS_MAX.into()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{FIRST_BLOCK_PATIENCE, SNUB_MIN};

    fn block(nth: u32) -> Block {
        Block { piece: nth, begin: 0, length: BLOCK_BYTES }
    }

    /// A peer that answers after `latency_us` at `rate` bytes per second; returns the rate that was reached in the last
    /// half of `seconds`, and the largest window.
    fn run(latency_us: u64, rate: u64, seconds: u64, share: u32) -> (u64, u32) {
        let mut pipeline = Pipeline::default();
        pipeline.set_reqq(2000);
        let block_us = (u64::from(BLOCK_BYTES) * 1_000_000 / rate).max(1);
        let (mut wire, mut now, mut free_at, mut nth) = (VecDeque::new(), 1_000_000u64, 0u64, 0);
        let (mut late_bytes, mut widest, end) = (0u64, 0, 1_000_000 + seconds * 1_000_000);
        while now < end {
            while pipeline.outstanding() < pipeline.window(share) {
                pipeline.sent(Instant::from_micros(now), block(nth));
                free_at = free_at.max(now + latency_us) + block_us;
                wire.push_back((free_at, nth));
                nth += 1;
            }
            widest = widest.max(pipeline.outstanding());
            let (at, which) = wire.pop_front().unwrap();
            now = at;
            pipeline.arrived(Instant::from_micros(now), block(which)).unwrap();
            if now > end - seconds * 500_000 {
                late_bytes += u64::from(BLOCK_BYTES);
            }
        }
        (late_bytes * 2 / seconds, widest)
    }

    #[test]
    fn the_window_fills_the_link_whatever_its_latency() {
        for (latency_us, rate) in
            [(200, 100 << 20), (1_000, 50 << 20), (20_000, 10 << 20), (100_000, 4 << 20), (300_000, 64 << 10)]
        {
            let (reached, widest) = run(latency_us, rate, 10, 64);
            assert!(reached * 100 >= rate * 95, "{latency_us} µs, {rate} B/s: only {reached} B/s");
            assert!(widest <= 512, "{widest}");
        }
    }

    #[test]
    fn memory_narrows_the_queue_but_not_below_the_round_trip() {
        let (_, wide) = run(10_000, 10 << 20, 5, 500);
        let (reached, narrow) = run(10_000, 10 << 20, 5, 8);
        assert!(narrow < 40 && wide > 100, "{narrow} {wide}");
        assert!(reached * 100 >= (10 << 20) * 95);
    }

    #[test]
    fn silence_is_judged_by_the_peers_own_rhythm() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut pipeline = Pipeline::default();
        assert_eq!(pipeline.snub_deadline(), None);
        pipeline.sent(at(1000), block(0));
        assert_eq!(pipeline.snub_deadline(), Some(at(1000) + FIRST_BLOCK_PATIENCE));
        for nth in 0..50 {
            pipeline.sent(at(1000 + 100 * u64::from(nth)), block(nth + 1));
            pipeline.arrived(at(1100 + 100 * u64::from(nth)), block(nth)).unwrap();
        }
        assert_eq!(
            pipeline.snub_deadline(),
            Some(at(6000) + SNUB_MIN),
            "a quick peer has little patience to ask for"
        );
        pipeline.snub();
        pipeline.release(|_| {});
        assert_eq!((pipeline.window(100), pipeline.snub_deadline()), (0, None), "it owes a block");
        pipeline.arrived(at(9000), block(50)).unwrap();
        assert!(!pipeline.is_snubbed() && pipeline.window(100) > 1);
    }

    #[test]
    fn a_snubbed_peer_that_owes_nothing_is_given_one_block_for_a_while() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut pipeline = Pipeline::default();
        pipeline.sent(at(1000), block(0));
        pipeline.snub();
        pipeline.release(|_| {});
        pipeline.forget_released();
        assert_eq!((pipeline.window(100), pipeline.snub_deadline()), (1, None));
        pipeline.sent(at(9000), block(1));
        assert_eq!(pipeline.window(100), 0);
        assert_eq!(pipeline.snub_deadline(), Some(at(9000) + FIRST_BLOCK_PATIENCE));
    }

    #[test]
    fn a_block_that_is_still_owed_is_taken_up_again_and_not_asked_for_twice() {
        let mut pipeline = Pipeline::default();
        pipeline.set_reqq(2);
        (0..2).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
        pipeline.release(|_| {});
        assert!(!pipeline.has_room(100), "the peer's queue is full");
        assert!(pipeline.adopt(Instant::ZERO, block(1)) && !pipeline.adopt(Instant::ZERO, block(7)));
        assert_eq!(pipeline.live().collect::<Vec<_>>(), [block(1)]);
    }

    #[test]
    fn released_requests_fill_no_window_but_are_still_known() {
        let mut pipeline = Pipeline::default();
        (0..3).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
        let mut given_back = 0;
        pipeline.release(|_| given_back += 1);
        assert_eq!((given_back, pipeline.outstanding()), (3, 0));
        assert!(pipeline.arrived(Instant::ZERO, block(1)).is_some_and(|request| request.released));
        assert!(pipeline.arrived(Instant::ZERO, block(1)).is_none());
        pipeline.sent(Instant::ZERO, block(9));
        assert_eq!(pipeline.clear().collect::<Vec<_>>(), [block(9)]);
        assert_eq!(pipeline.outstanding(), 0);
    }

    #[test]
    fn what_is_withdrawn_is_welcome_and_asked_for_again() {
        let (mut pipeline, mut given_back) = (Pipeline::default(), Vec::new());
        (0..3).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
        pipeline.withdraw(|_| panic!("nothing is released"));
        pipeline.release(|block| given_back.push(block));
        let mut room = 2;
        pipeline.withdraw(|_| core::mem::replace(&mut room, 1) > 1);
        assert_eq!(
            (given_back.len(), pipeline.expected().collect::<Vec<_>>()),
            (3, vec![block(1), block(2)])
        );
        assert!(pipeline.awaits(block(0)) && !pipeline.adopt(Instant::ZERO, block(0)));
        pipeline.withdraw(|_| true);
        assert!(pipeline.has_room(16) && pipeline.expected().next().is_none());
        pipeline.sent(Instant::ZERO, block(0));
        assert!(pipeline.settle_cancelled(block(0)), "the first answer is for the first request");
        pipeline.sent(Instant::ZERO, block(1));
        assert!(pipeline.arrived(Instant::ZERO, block(1)).is_some() && pipeline.awaits(block(1)));
        assert!(pipeline.arrived(Instant::ZERO, block(1)).is_none() && pipeline.settle_cancelled(block(1)));
        assert!(pipeline.awaits(block(2)) && pipeline.arrived(Instant::ZERO, block(0)).is_some());
        assert!(!pipeline.awaits(block(2)), "it has left that out: what comes is what was asked for later");
    }

    #[test]
    fn requests_go_out_in_batches() {
        let mut pipeline = Pipeline::default();
        let window = pipeline.window(16);
        let fill = |pipeline: &mut Pipeline, count| {
            (0..count).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
        };
        fill(&mut pipeline, window);
        assert!(!pipeline.is_low(16));
        pipeline.remove(block(0)).unwrap();
        assert!(pipeline.has_room(16) && !pipeline.is_low(16), "one of {window}");
        assert!((1..window / 4).all(|nth| pipeline.remove(block(nth)).is_some()));
        assert!(pipeline.is_low(16));
        pipeline.set_reqq(1);
        assert!(!pipeline.is_low(16));
        pipeline.clear().for_each(drop);
        assert!(pipeline.is_low(16));
    }

    #[test]
    fn reqq_is_honoured() {
        let mut pipeline = Pipeline::default();
        pipeline.set_reqq(3);
        assert_eq!(pipeline.window(100), 3);
        pipeline.set_reqq(0);
        assert_eq!(pipeline.window(100), 1);
    }
}
