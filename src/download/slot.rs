//! The place of one block in an open piece: what has arrived there, or who was asked for it and when.

use crate::base::limits::REQUESTERS_MAX;
use crate::base::{Instant, StreamId};
use crate::download::pool::Buffer;
use core::time::Duration;

/// A block that has arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Its bytes, at the start of the buffer.
    pub buffer: Buffer,
    /// Who sent it.
    pub sender: StreamId,
}

/// One block of an open piece.
#[derive(Debug, Default)]
pub struct Slot {
    /// The block, once it is here.
    pub arrived: Option<Arrived>,
    /// Who was asked for it and has not answered.
    pub requesters: [Option<StreamId>; REQUESTERS_MAX],
    /// When it was asked for last, or its first bytes came.
    pub asked: Instant,
    /// Its first bytes have come from somebody who was asked for it.
    pub begun: bool,
}

impl Slot {
    /// True if nobody was asked for it, and it has not arrived.
    pub fn is_unrequested(&self) -> bool {
        self.arrived.is_none() && self.requesters.iter().all(Option::is_none)
    }

    /// The only peer that was asked for it, if it is missing and there is one.
    pub fn only_requester(&self) -> Option<StreamId> {
        let mut asked = self.requesters.iter().flatten();
        let first = asked.next().filter(|_| self.arrived.is_none())?;
        asked.next().is_none().then_some(*first)
    }

    /// True if exactly one peer was asked, not `source`, and longer ago than `patience`.
    pub fn may_be_doubled(&self, source: StreamId, now: Instant, patience: Duration) -> bool {
        self.only_requester().is_some_and(|other| other != source) && now.since(self.asked) > patience
    }

    /// `source` is asked for it.
    pub fn add_requester(&mut self, source: StreamId, now: Instant) {
        if let Some(free) = self.requesters.iter_mut().find(|requester| requester.is_none()) {
            *free = Some(source);
        }
        self.asked = now;
    }

    /// Its first bytes have come from `source`. If nobody else was that far, the other one that was asked is not any more:
    /// answers it.
    pub fn begin(&mut self, source: StreamId, now: Instant) -> Option<StreamId> {
        if !self.requesters.contains(&Some(source)) || core::mem::replace(&mut self.begun, true) {
            return None;
        }
        self.asked = now;
        self.requesters.iter_mut().filter(|other| **other != Some(source)).find_map(Option::take)
    }

    /// `source` does not send it. False if it was not asked.
    pub fn remove_requester(&mut self, source: StreamId) -> bool {
        let place = self.requesters.iter_mut().find(|requester| **requester == Some(source));
        let was_asked = place.is_some_and(|place| place.take().is_some());
        self.begun &= !self.is_unrequested();
        was_asked
    }
}
