//! Peers that are not read because they have asked for as much as is queued for them.
//!
//! BEP 3 has no word for a request that is not taken: whoever does not speak BEP 6 would wait for its block for ever. And
//! some ask for more than the `reqq` that we tell (rtorrent: for what it gets in three seconds). So what they ask for
//! beyond that stays with the kernel, where TCP bounds it, and nothing is refused. A peer whose blocks we wait for is read
//! on, if there is a word for it.

use super::streams::Open;
use super::{Action, Session};
use crate::base::limits::{REQUEST_MESSAGE_BYTES, REQUESTS_HEARD_MIN};
use crate::base::{Instant, StreamId};

impl Open {
    /// Bytes that may be read without a request being among them for which there is no place.
    fn hearing_bytes(&self) -> usize {
        let can_be_refused = self.peer.fast && self.pipeline.outstanding() > 0;
        if self.peer.am_choking || can_be_refused {
            return usize::MAX;
        }
        let places = self.service.queue.places() as usize;
        let least = if self.service.unheard { REQUESTS_HEARD_MIN as usize } else { 1 };
        if places < least { 0 } else { places * REQUEST_MESSAGE_BYTES }
    }
}

impl Session {
    /// Bytes that may be read from `stream`, as far as its requests go; with 0, [`Action::Resume`] follows.
    pub(super) fn hear(&mut self, stream: StreamId) -> usize {
        let Some((_, open)) = self.streams.open(stream) else { return usize::MAX };
        let bytes = open.hearing_bytes();
        open.service.unheard = bytes == 0;
        bytes
    }

    /// Has `stream` read again if it was not, and there is room for what it asks.
    pub(super) fn hear_again(&mut self, now: Instant, stream: StreamId) {
        if let Some((_, open)) = self.streams.open(stream)
            && open.service.unheard
            && open.hearing_bytes() > 0
        {
            open.service.unheard = false;
            open.pipeline.was_not_read(now);
            self.actions.push_back(Action::Resume { stream });
        }
    }
}
