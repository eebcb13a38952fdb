//! The memory that connections take, which `--memory` bounds like everything else.
//!
//! Most peers take little, but each may come to hold much more: requests that wait for their turn, answers that are not
//! read, pieces that it was not told of yet, half a message. All that is counted, and together it stays below what was set
//! aside for as many peers as there may be. Where little of that is left, everybody is heard and told less at a time; where
//! nothing is, whoever holds most has to go.

use super::Session;
use super::peers::Farewell;
use super::streams::{Connection, Open};
use super::telling::Told;
use crate::base::limits::{
    BUSY_PEER_BYTES, OUTBOX_BYTES_MAX, OUTBOX_HAVES_BYTES, OUTBOX_HAVES_TIGHT_BYTES, OUTBOX_REST_BYTES, REQQ,
    REQUEST_MESSAGE_BYTES, REQUESTS_HEARD_MIN, STREAM_BYTES, peers_bytes,
};
use crate::base::{Geometry, Instant, StreamId};

/// What every connection takes, beside its bitfield.
const CONNECTION_BYTES: usize = size_of::<Connection>() + size_of::<Open>() + STREAM_BYTES;
const _: () = assert!(2 * CONNECTION_BYTES <= BUSY_PEER_BYTES);

/// What all connections past their handshakes hold.
#[derive(Debug)]
pub(super) struct Held {
    max_peers: u32,
    /// The longest bitfield of any torrent.
    bitfield_bytes: usize,
    bytes: usize,
}

impl Held {
    /// Nobody is connected; as many may be.
    pub(super) fn new(max_peers: u32) -> Self {
        Self { max_peers, bitfield_bytes: 0, bytes: 0 }
    }

    /// Peers of a torrent of this geometry may come.
    pub(super) fn expect(&mut self, geometry: Geometry) {
        self.bitfield_bytes = self.bitfield_bytes.max(geometry.bitfield_bytes() as usize);
    }

    /// A connection held `before` and holds `after`.
    pub(super) fn change(&mut self, before: usize, after: usize) {
        self.bytes = (self.bytes + after).saturating_sub(before);
    }

    fn limit_bytes(&self) -> usize {
        usize::try_from(peers_bytes(self.max_peers, self.bitfield_bytes as u64)).unwrap_or(usize::MAX)
    }

    /// How much a peer may hold: less of each thing where little memory is left.
    pub(super) fn allowance(&self) -> Allowance {
        let every = self.max_peers as usize * (CONNECTION_BYTES + self.bitfield_bytes);
        let more = self.limit_bytes().saturating_sub(every);
        let is_tight = self.bytes > self.limit_bytes() - more / 4;
        if is_tight { Allowance::TIGHT } else { Allowance::FULL }
    }

    fn is_over(&self) -> bool {
        self.bytes > self.limit_bytes()
    }
}

/// What one peer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Requests that are queued for it.
    pub requests: u32,
    /// Bytes that wait to be sent to it from which on no request is read that could only be rejected.
    pub answers_bytes: usize,
    /// Bytes that wait to be sent to it from which on it is not told of further pieces.
    pub haves_bytes: usize,
}

impl Allowance {
    pub(super) const FULL: Self = Self {
        requests: REQQ,
        answers_bytes: OUTBOX_BYTES_MAX - OUTBOX_REST_BYTES,
        haves_bytes: OUTBOX_HAVES_BYTES,
    };
    const TIGHT: Self = Self {
        requests: REQUESTS_HEARD_MIN,
        answers_bytes: REQUESTS_HEARD_MIN as usize * REQUEST_MESSAGE_BYTES,
        haves_bytes: OUTBOX_HAVES_TIGHT_BYTES,
    };
}

impl Open {
    /// Bytes that the connection takes by now.
    fn held_bytes(&self) -> usize {
        let framer = self.framer.as_ref().map_or(0, |framer| framer.held_bytes());
        let untold = match &self.told {
            Told::All => 0,
            Told::Only(told) => told.held_bytes(),
            Told::AllBut(untold) => untold.held_bytes(),
        };
        let own = self.peer.has.held_bytes() + self.peer.held_bytes() + framer + untold;
        let asked = self.pipeline.held_bytes() + self.service.queue.held_bytes();
        CONNECTION_BYTES + own + asked + self.allowed.capacity() * size_of::<u32>()
    }

    /// The same, beside what everybody takes.
    fn extra_bytes(&self) -> usize {
        (self.weight as usize).saturating_sub(self.peer.has.held_bytes())
    }
}

impl Session {
    /// Counts what a connection holds by now.
    pub(super) fn weigh(&mut self, stream: StreamId) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        open.weigh(&mut self.crowd.held);
    }

    /// Drops whoever holds most, as long as all hold too much.
    pub(super) fn shed(&mut self, now: Instant) {
        while self.crowd.held.is_over()
            && let Some((stream, ..)) = self.streams.iter_open().max_by_key(|(.., open)| open.extra_bytes())
        {
            self.drop_peer(now, stream, Farewell::Greedy);
        }
    }

    /// Panics unless what is counted is what is held, as nearly as it has to be. For simulation and fuzzing.
    pub(super) fn check_weights(&self) {
        let sum: usize = self.streams.iter_open().map(|(.., open)| open.weight as usize).sum();
        assert_eq!(sum, self.crowd.held.bytes, "bytes held by peers");
        assert!(!self.crowd.held.is_over(), "{sum} bytes are held by peers");
        for (stream, .., open) in self.streams.iter_open() {
            // A short word may have been said since, for which the outbox has grown.
            let (weight, bytes) = (open.weight as usize, open.held_bytes());
            assert!(bytes <= weight + (1 << 10), "{stream:?} holds {bytes} bytes, not {weight}");
        }
    }
}

impl Open {
    /// Counts what it holds by now.
    pub(super) fn weigh(&mut self, held: &mut Held) {
        let bytes = self.held_bytes();
        held.change(self.weight as usize, bytes);
        self.weight = bytes as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::rig::{NOW, session, settings};
    use crate::session::{Command, Event};

    /// A peer that has come and shaken hands; its id begins with `nth`.
    fn greeted(session: &mut Session, nth: u8) -> StreamId {
        let stream = session.accept(NOW, ([10, 0, 0, nth], 40_000).into()).expect("there is a place");
        let info_hash = session.torrents[0].metainfo.info_hash.0;
        let greeting = [&b"\x13BitTorrent protocol"[..], &[0; 8], &info_hash, &[nth; 20]].concat();
        session.received(NOW, stream, &greeting);
        assert!(session.streams.open(stream).is_some());
        stream
    }

    #[test]
    fn who_holds_most_is_dropped_as_long_as_all_hold_too_much() {
        let mut session = session(settings(), true);
        let streams = [1, 2, 3].map(|nth| greeted(&mut session, nth));
        let half = session.crowd.held.limit_bytes() / 2;
        for (stream, bytes) in streams.into_iter().zip([half, half + half / 2, 0]) {
            let (_, open) = session.streams.open(stream).expect("it is there");
            session.crowd.held.change(open.weight as usize, open.weight as usize + bytes);
            open.weight += bytes as u32;
        }
        assert!(session.crowd.held.is_over());
        session.handle(NOW, Event::Command(Command::Help));
        let stays = streams.map(|stream| session.streams.open(stream).is_some());
        assert_eq!((stays, session.crowd.held.is_over()), ([true, false, true], false));
    }
}
