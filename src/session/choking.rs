//! Who is choked and who is not, carried from the choker to the peers.

use super::Session;
use super::peers::Farewell;
use super::streams::Open;
use crate::base::limits::CHOKE_INTERVAL;
use crate::base::{Instant, StreamId, TorrentId};
use crate::upload::{Choker, Contender, slots};
use crate::wire::Message;
use alloc::vec::Vec;

/// Who is served, how many that are, and when that is settled anew.
#[derive(Debug, Default)]
pub(super) struct Serving {
    choker: Choker,
    pub served: u32,
    pub deadline: Option<Instant>,
}

impl Session {
    /// A peer has said whether it wants something. A free slot is given at once; who has one keeps it until the next
    /// round, so that going to and fro gains nothing and costs little.
    pub(super) fn on_interest(&mut self, now: Instant, stream: StreamId) {
        let slots = self.slots(now);
        let Some((id, open)) = self.streams.open(stream) else { return };
        if !open.is_contender() || !open.peer.am_choking || !self.torrents[id.0 as usize].gives() {
            return;
        }
        if self.serving.served < slots {
            self.unchoke(now, stream);
            self.flush(stream);
        } else {
            self.choke_by(now + CHOKE_INTERVAL);
        }
    }

    /// A round is due at `due`, or earlier.
    pub(super) fn choke_by(&mut self, due: Instant) {
        self.serving.deadline = Some(self.serving.deadline.map_or(due, |planned| planned.min(due)));
    }

    fn slots(&self, now: Instant) -> u32 {
        let rate = self.torrents.iter().map(|torrent| torrent.up.per_second(now)).sum();
        slots(self.giving.up_slots, self.up_pacer.rate(), rate)
    }

    /// Settles anew who is served. As long as there is a slot for everybody, there is nothing to settle, and the box
    /// may sleep.
    pub(super) fn choke_round(&mut self, now: Instant) {
        let slots = self.slots(now);
        let mut contenders: Vec<Contender> = Vec::new();
        for (stream, id, _, open) in self.streams.iter_open() {
            if open.is_contender() && self.torrents[id.0 as usize].gives() {
                let needy = self.torrents[id.0 as usize].is_downloading();
                contenders.push(contender(now, stream, open, needy));
            }
        }
        let mut served = self.serving.choker.round(now, &mut self.rng, slots, &mut contenders);
        served.sort_unstable();
        let others = self
            .streams
            .iter_open()
            .filter(|(stream, .., open)| !open.peer.am_choking && served.binary_search(stream).is_err());
        let others: Vec<StreamId> = others.map(|(stream, ..)| stream).collect();
        others.into_iter().for_each(|stream| self.choke(now, stream));
        served.into_iter().for_each(|stream| self.unchoke(now, stream));
        self.serving.deadline = (contenders.len() > slots as usize).then(|| now + CHOKE_INTERVAL);
    }

    fn unchoke(&mut self, now: Instant, stream: StreamId) {
        let is_new = self.streams.open(stream).is_some_and(|(_, open)| open.peer.am_choking);
        if is_new {
            // First, so that it is known when the first requests are made.
            self.suggest(now, stream, None);
        }
        let Some((_, open)) = self.streams.open(stream) else { return };
        if !open.peer.am_choking || !open.peer.outbox.push(Message::Unchoke) {
            return;
        }
        open.peer.am_choking = false;
        open.service.standing.served_since = Some(now);
        open.service.standing.bytes_before = open.peer.up.total_bytes();
        self.serving.served += 1;
        self.flush(stream);
    }

    /// BEP 3: what is queued is void. BEP 6: it is rejected, each, but for pieces that were allowed.
    fn choke(&mut self, now: Instant, stream: StreamId) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        let peer = &mut open.peer;
        let mut heard = peer.outbox.push(Message::Choke);
        peer.am_choking = true;
        open.service.standing.served_since = None;
        open.service.standing.served_until = now;
        let (granted, fast, outbox) = (&peer.granted, peer.fast, &mut peer.outbox);
        open.service.queue.retain(
            |block| fast && granted.contains(&block.piece),
            |block| heard &= !fast || outbox.push(Message::Reject(block)),
        );
        self.serving.served -= 1;
        if heard {
            self.hear_again(now, stream);
            self.flush(stream);
        } else {
            self.drop_peer(now, stream, Farewell::NeverReads);
        }
    }

    /// Nobody is served from this torrent any more.
    pub(super) fn choke_all(&mut self, now: Instant, id: TorrentId) {
        let served = self.streams.iter_open().filter(|(_, of, _, open)| *of == id && !open.peer.am_choking);
        let served: Vec<StreamId> = served.map(|(stream, ..)| stream).collect();
        served.into_iter().for_each(|stream| self.choke(now, stream));
    }

    /// A connection is gone: its slot is given to another soon.
    pub(super) fn give_slot_back(&mut self, now: Instant, open: &Open) {
        if !open.peer.am_choking {
            self.serving.served -= 1;
            if self.serving.deadline.is_some() {
                self.choke_by(now);
            }
        }
    }
}

impl Open {
    /// True if it wants something that we have, as far as it may: seeds want nothing.
    fn is_contender(&self) -> bool {
        self.peer.interested && !self.peer.has.is_full()
    }
}

fn contender(now: Instant, stream: StreamId, open: &Open, needy: bool) -> Contender {
    Contender {
        stream,
        opened: open.opened,
        gives: if needy { open.peer.down.per_second(now) } else { 0 },
        gets: open.peer.up.per_second(now),
        snubbed: open.pipeline.is_snubbed(),
        got_bytes: open.peer.up.total_bytes(),
        standing: open.service.standing,
    }
}
