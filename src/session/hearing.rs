//! Peers that are not read because they have asked for as much as is queued for them.
//!
//! BEP 3 has no word for a request that is not taken: whoever does not speak BEP 6 would wait for its block for ever. And
//! some ask for more than the `reqq` that we tell (rtorrent: for what it gets in three seconds). So what they ask for
//! beyond that stays with the kernel, where TCP bounds it, and nothing is refused. A peer whose blocks we wait for is read
//! on, if there is a word for it.
//!
//! BEP 6 has that word, `reject`, which is as long as a request and has to find room in the outbox. So a peer that is
//! answered so is read as far as there is room for the answers, and goes on being read when it has read those. Whoever
//! has once gone so far is read no faster from then on, even if we wait for its blocks.

use super::streams::Open;
use super::weighing::Allowance;
use super::{Action, Session};
use crate::base::limits::{REQUEST_MESSAGE_BYTES, REQUESTS_HEARD_MIN};
use crate::base::{Instant, StreamId};

impl Open {
    /// Bytes that may be read without a request being among them for which there is no place.
    fn hearing_bytes(&self, allowance: Allowance) -> usize {
        // Without BEP 6 a choked peer's requests are void: nothing is said to them.
        let is_void = self.peer.am_choking && !self.peer.fast;
        let can_be_refused = self.peer.fast && self.pipeline.outstanding() > 0 && !self.service.asks_too_much;
        if is_void || can_be_refused {
            return usize::MAX;
        }
        let most = allowance.requests;
        let places = if self.peer.am_choking { usize::MAX } else { self.service.queue.places(most) as usize };
        let refusals = self.refusals(allowance);
        let places = if self.peer.fast { places.min(refusals) } else { places };
        let least = if self.service.unheard { REQUESTS_HEARD_MIN.min(most / 2) as usize } else { 1 };
        if places < least { 0 } else { places * REQUEST_MESSAGE_BYTES }
    }

    /// How many requests may be rejected at once.
    fn refusals(&self, allowance: Allowance) -> usize {
        allowance.answers_bytes.saturating_sub(self.peer.outbox.as_slice().len()) / REQUEST_MESSAGE_BYTES
    }

    /// True if it is not read because it does not read: it has not read what we have said to it.
    pub(super) fn is_deaf(&self) -> bool {
        self.service.unheard && self.refusals(Allowance::FULL) < REQUESTS_HEARD_MIN as usize
    }
}

impl Session {
    /// Bytes that may be read from `stream`, as far as its requests go; with 0, [`Action::Resume`] follows.
    pub(super) fn hear(&mut self, stream: StreamId) -> usize {
        let allowance = self.crowd.held.allowance();
        let Some((_, open)) = self.streams.open(stream) else { return usize::MAX };
        let bytes = open.hearing_bytes(allowance);
        open.service.unheard = bytes == 0;
        // What goes beyond the bound is our own bitfield, of which it has read little yet; rejects never do.
        let has_read_greeting = open.peer.outbox.free_bytes() > 0;
        open.service.asks_too_much |= has_read_greeting && open.is_deaf();
        bytes
    }

    /// Has `stream` read again if it was not, and there is room for what it asks.
    pub(super) fn hear_again(&mut self, now: Instant, stream: StreamId) {
        let allowance = self.crowd.held.allowance();
        if let Some((_, open)) = self.streams.open(stream)
            && open.service.unheard
            && open.hearing_bytes(allowance) > 0
        {
            open.service.unheard = false;
            open.pipeline.was_not_read(now);
            self.actions.push_back(Action::Resume { stream });
        }
    }
}
