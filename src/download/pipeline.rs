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
use crate::download::search::Search;
use alloc::collections::VecDeque;
use core::time::Duration;

/// The queue that a peer is given beyond the round trip, if memory allows: it rides out a peer's slow disk and our
/// own pauses.
const QUEUE_TIME: Duration = Duration::from_millis(250);

/// Room for so many requests is kept when none is outstanding, because the next ones follow soon.
const REQUESTS_KEPT: usize = 16;

/// A request that the peer has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was asked for.
    pub block: Block,
    /// When.
    pub sent: Instant,
    /// Bytes that the peer had delivered by then, counted round: many more are never on their way.
    delivered: u32,
    /// Counts the requests made before, round.
    number: u32,
    /// The block was given to others too; if it arrives all the same it is welcome, but it fills no window.
    pub released: bool,
}

/// The requests outstanding to one peer.
#[derive(Debug)]
pub struct Pipeline {
    requests: VecDeque<Request>,
    /// Requests that are not released.
    live: u32,
    /// Requests that were taken back: some peers answer them all the same, and they wait in its queue until it has.
    cancelled: Cancelled,
    /// It answers each request that was taken back (BEP 6).
    answers_cancels: bool,
    window: u32,
    slow_start: bool,
    /// Most requests that the peer queues (`reqq`, BEP 10).
    reqq: u32,
    /// Most requests that are of use.
    most: u32,
    delivered: u32,
    /// Requests made so far, counted round.
    made: u32,
    rate: Extreme,
    /// Shortest time from a request to its block, in µs.
    latency: Extreme,
    probe: Probe,
    rhythm: Rhythm,
    snubbed: bool,
    /// Pieces of which it has rejected requests without choking us.
    pub(super) refused: Refused,
    /// Where this peer's search for pieces stands: for all that it has, and for what may be asked of it while it chokes.
    searches: [Search; 2],
    chokes: bool,
    /// Most blocks that open pieces of slow peers may have, if it is one of them.
    slow_lane: Option<u32>,
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
            answers_cancels: false,
            window: REQUESTS_START,
            slow_start: true,
            reqq: REQQ_DEFAULT,
            most: REQUESTS_MAX,
            delivered: 0,
            made: 0,
            rate: Extreme::default(),
            latency: Extreme::default(),
            probe: Probe::default(),
            rhythm: Rhythm::default(),
            snubbed: false,
            refused: Refused::default(),
            searches: Default::default(),
            chokes: false,
            slow_lane: None,
            suggested: VecDeque::new(),
            suggested_at: None,
        }
    }
}

impl Pipeline {
    /// To a peer that speaks the fast extension (BEP 6), or does not.
    pub fn new(fast: bool) -> Self {
        Self { answers_cancels: fast, ..Self::default() }
    }

    /// The peer queues no more than `reqq` requests (BEP 10).
    pub fn set_reqq(&mut self, reqq: u32) {
        self.reqq = reqq.max(1);
    }

    /// Bytes per second that it has given at most of late; 0 if it has given nothing for long.
    pub fn rate(&self, now: Instant) -> u64 {
        self.rate.most().filter(|_| self.rate.is_fresh(now)).unwrap_or(0)
    }

    /// It is far slower than others: it shares pieces with its like, which have so many blocks at most. `None`: it is not.
    pub fn set_slow_lane(&mut self, most_blocks: Option<u32>) {
        self.slow_lane = most_blocks;
    }

    /// What [`Pipeline::set_slow_lane`] has set.
    pub(super) fn slow_lane(&self) -> Option<u32> {
        self.slow_lane
    }

    /// More than so many requests would only wait for each other.
    pub fn set_most(&mut self, most: u32) {
        self.most = most.clamp(REQUESTS_MIN, REQUESTS_MAX);
    }

    /// Where the search for pieces stands that can be asked for.
    pub(super) fn search(&mut self) -> &mut Search {
        self.search_of(self.chokes)
    }

    /// The same for those that it has, or those that may be asked for while it chokes.
    pub(super) fn search_of(&mut self, allowed: bool) -> &mut Search {
        &mut self.searches[usize::from(allowed)]
    }

    /// What is asked for next may be asked while it chokes, or has to wait until it does not.
    pub fn set_choking(&mut self, chokes: bool) {
        self.chokes = chokes;
    }

    /// It is unknown what the peer has of what may be opened.
    pub fn search_anew(&mut self) {
        self.searches.iter_mut().for_each(Search::restart);
    }

    /// Pieces looked at so far.
    pub fn search_steps(&self) -> u64 {
        self.searches.iter().map(|search| search.steps).sum()
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
        self.live < self.window(share) && !self.is_held_up()
    }

    /// True if the peer's queue may be full.
    fn is_held_up(&self) -> bool {
        (self.requests.len() + self.cancelled.len()) as u64 >= u64::from(self.reqq)
    }

    /// True if that is because of requests that were taken back.
    pub fn is_held_up_by_cancelled(&self) -> bool {
        self.cancelled.len() > 0 && self.is_held_up()
    }

    /// Requests that were taken back and fill the peer's queue wait there no more, if it has answered none of them for long.
    /// Where there is room beside them, what they bring is taken however late it comes.
    pub fn forget_unanswered(&mut self, now: Instant) {
        if self.is_held_up() {
            self.cancelled.forget_after(now, self.rhythm.patience());
        }
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
        let (delivered, number) = (self.delivered, self.made);
        self.made = self.made.wrapping_add(1);
        self.requests.push_back(Request { block, sent: now, delivered, number, released: false });
    }

    /// `block` has arrived. `None` if it was never asked for, or not any more.
    pub fn arrived(&mut self, now: Instant, block: Block) -> Option<Request> {
        let request = self.remove(block)?;
        if self.cancelled.len() > 0 {
            self.cancelled.on_other(now, self.reqq);
            if !self.answers_cancels && !self.cancelled.contains(block) {
                self.cancelled.forget_before(request.number);
            }
        }
        self.delivered = self.delivered.wrapping_add(block.length);
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
        if self.requests.is_empty() && self.requests.capacity() > REQUESTS_KEPT {
            self.requests = VecDeque::new();
        }
        Some(request)
    }

    /// Bytes of memory held beside the pipeline itself.
    pub fn held_bytes(&self) -> usize {
        self.requests.capacity() * size_of::<Request>()
            + self.cancelled.held_bytes()
            + self.refused.held_bytes()
            + self.suggested.capacity() * size_of::<u32>()
    }

    /// Takes a request back. False if there is none, or if it was released: such a block is still owed, and if it is wanted of
    /// the same peer again, it is taken up and not asked for twice.
    pub fn take_back(&mut self, now: Instant, block: Block) -> bool {
        let Some(request) = self.remove_live(block) else { return false };
        self.cancelled.note(now, block, request.number);
        true
    }

    fn remove_live(&mut self, block: Block) -> Option<Request> {
        let is_live = self.live().any(|live| live == block);
        if is_live { self.remove(block) } else { None }
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
    pub fn withdraw(&mut self, now: Instant, mut tell: impl FnMut(Block) -> bool) {
        while let Some(request) = self.requests.front().filter(|request| request.released)
            && tell(request.block)
        {
            self.cancelled.note(now, request.block, request.number);
            self.requests.pop_front();
        }
    }

    /// True if `block` has been asked for, even if the request was taken back since.
    pub fn awaits(&self, block: Block) -> bool {
        self.requests.iter().any(|request| request.block == block) || self.cancelled.contains(block)
    }

    /// The peer has answered a request for `block` that was taken back. False if there was none.
    pub fn settle_cancelled(&mut self, now: Instant, block: Block) -> bool {
        self.cancelled.settle(now, block)
    }

    /// Forgets released requests: they are void.
    pub fn forget_released(&mut self) {
        self.requests.retain(|request| !request.released);
        if !self.answers_cancels {
            self.cancelled.forget();
        }
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

    /// Bytes of `block` have come. What it owes no more is no sign that it sends what it owes.
    pub fn flows(&mut self, now: Instant, block: Block) {
        if self.live().any(|live| live == block) {
            self.rhythm.flows(now);
        }
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
        let delivered = u64::from(self.delivered.wrapping_sub(request.delivered));
        self.rate.note_most(now, delivered * 1_000_000 / took_us);
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
