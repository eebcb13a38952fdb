//! The requests outstanding to one peer: how many may wait, and when its silence is too long.
//!
//! The window starts small and grows by a block with each block that arrives (slow start) until it covers what the peer
//! delivers in the time that a request takes. From then on it follows rate × time. Both are measured on the requests
//! themselves: the rate is what arrived between a request and its answer, the time is the shortest answer of late. So
//! that this is the way's time and not the queue's, the queue runs empty now and then ([`Probe`]).

use crate::base::limits::{
    BLOCK_BYTES, REQQ_DEFAULT, REQUESTS_EAGER, REQUESTS_MAX, REQUESTS_MIN, REQUESTS_START, SNUB_MAX,
    SUGGESTED_MAX, SUGGESTED_REST,
};
use crate::base::{Block, Instant};
use crate::download::cancelled::Cancelled;
use crate::download::estimate::{Extreme, Probe, Rhythm};
use crate::download::offer::Refused;
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
    /// Most requests that are of use.
    most: u32,
    delivered: u64,
    rate: Extreme,
    /// Shortest time from a request to its block, in µs.
    latency: Extreme,
    probe: Probe,
    rhythm: Rhythm,
    snubbed: bool,
    /// Pieces of which it has rejected requests without choking us.
    refused: Refused,
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
            most: REQUESTS_MAX,
            delivered: 0,
            rate: Extreme::default(),
            latency: Extreme::default(),
            probe: Probe::default(),
            rhythm: Rhythm::default(),
            snubbed: false,
            refused: Refused::default(),
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

    /// More than so many requests would only wait for each other.
    pub fn set_most(&mut self, most: u32) {
        self.most = most.clamp(REQUESTS_MIN, REQUESTS_MAX);
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

    /// The peer has rejected a request for a block of `piece`: it is not asked for it for a while.
    pub fn refuse(&mut self, now: Instant, piece: u32) {
        self.refused.note(now, piece);
    }

    /// True if it has rejected requests of so many pieces that it seems to reject whatever it is asked for.
    pub fn refuses_all(&self) -> bool {
        self.refused.is_full()
    }

    /// True if it is not asked for all that it has.
    pub fn refuses_some(&self) -> bool {
        !self.refused.is_empty()
    }

    /// It may be asked for all that it has.
    pub fn forget_refused(&mut self) {
        self.refused.clear();
        self.search.restart();
    }

    /// The pieces that it refuses, to be put back after a look at them.
    pub(super) fn take_refused(&mut self, now: Instant) -> Refused {
        if self.refused.expire(now) {
            self.search.restart();
        }
        core::mem::take(&mut self.refused)
    }

    /// See [`Pipeline::take_refused`].
    pub(super) fn put_refused(&mut self, refused: Refused) {
        self.refused = refused;
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
        bounded.clamp(REQUESTS_MIN, self.most).min(self.reqq)
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

    /// Takes a request back. False if there is none, or if it was released: such a block is still owed, and if it is wanted of
    /// the same peer again, it is taken up and not asked for twice.
    pub fn take_back(&mut self, block: Block) -> bool {
        self.live().any(|live| live == block) && self.remove(block).is_some()
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

    /// Releases one request, whose block is wanted of nobody.
    pub fn release_one(&mut self, block: Block) {
        let mut live = self.requests.iter_mut().filter(|request| !request.released);
        if let Some(request) = live.find(|request| request.block == block) {
            request.released = true;
            self.live -= 1;
        }
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

    /// Forgets released requests: they are void.
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

    /// When the silence will have been too long; `None` while nothing is outstanding. What a snubbed peer still owes is
    /// waited for longer, but not for ever: it may have dropped the request.
    pub fn snub_deadline(&self) -> Option<Instant> {
        let owed = self.requests.back().filter(|_| self.snubbed).map(|request| request.sent + SNUB_MAX * 2);
        if self.live > 0 { Some(self.rhythm.deadline()) } else { owed }
    }

    /// Bytes of a block have come.
    pub fn flows(&mut self, now: Instant) {
        self.rhythm.flows(now);
    }

    /// The peer could not be heard until now: that was no silence of its own.
    pub fn was_not_read(&mut self, now: Instant) {
        self.rhythm.starts(now);
    }

    /// The peer could not be heard for so long: that does not count as silence.
    pub fn was_held_up(&mut self, time: Duration) {
        self.rhythm.pauses(time);
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
mod tests;
