//! What peers are told that we have: `have` to everybody who lacks a piece, when it is in its file (BEP 3).
//!
//! A fast download stores hundreds of pieces a second, and each is news for hundreds of peers: they are told of several
//! pieces with one write. What comes seldom is told at once. Who reads slowly is told as many as it has read, and of the
//! others later.

use super::streams::Open;
use super::weighing::Allowance;
use super::{Action, Session};
use crate::base::limits::{TELL_INTERVAL, TELL_REST_INTERVAL, UNTOLD_MAX};
use crate::base::{Backlog, Bitfield, Instant, StreamId, TorrentId};
use crate::wire::Message;
use alloc::vec::Vec;

/// Pieces of a torrent that are stored and that peers are not told of yet.
#[derive(Debug, Default)]
pub(super) struct Untold {
    pieces: Vec<u32>,
    /// When peers may be told again.
    due: Instant,
}

impl Untold {
    /// When peers are told next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.pieces.is_empty()).then_some(self.due)
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.pieces.is_empty() && (now >= self.due || self.pieces.len() >= UNTOLD_MAX)
    }

    /// `piece` is gone again.
    pub(super) fn lost(&mut self, piece: u32) {
        self.pieces.retain(|&other| other != piece);
    }
}

/// When peers are told of what they were not told at first, and what that has cost.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When peers are looked at that were told of some pieces only.
    pub spread_deadline: Option<Instant>,
    /// Pieces looked at so far for them.
    pub steps: u64,
}

/// What a peer was told that we have.
#[derive(Debug, Default)]
pub(super) enum Told {
    /// Everything, but for what nobody was told of yet.
    #[default]
    All,
    /// These pieces; of the others it is not to know (BEP 16).
    Only(Bitfield),
    /// Everything but these: of them it is told when it has read more.
    AllBut(Backlog),
}

impl Told {
    /// True if it may know that we have `piece`, which we have.
    pub(super) fn has(&self, piece: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(told) => told.has(piece),
            Self::AllBut(untold) => !untold.has(piece),
        }
    }

    /// True if pieces are hidden from it, or were when it was told last.
    pub(super) fn is_partly_hidden(&self) -> bool {
        matches!(self, Self::Only(_))
    }
}

impl Session {
    /// `pieces` are in their files: peers are told, at once if they were not told of others just now.
    pub(super) fn tell_soon(&mut self, now: Instant, id: TorrentId, pieces: &[u32]) {
        self.torrents[id.0 as usize].untold.pieces.extend_from_slice(pieces);
        self.tell_in_time(now, id);
    }

    /// Tells peers what they are to be told by now.
    pub(super) fn tell_in_time(&mut self, now: Instant, id: TorrentId) {
        if self.torrents[id.0 as usize].untold.is_due(now) {
            self.tell_all(now, id);
        }
    }

    /// Tells everybody everything.
    pub(super) fn tell_all(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let mut pieces = core::mem::take(&mut torrent.untold.pieces);
        if pieces.is_empty() {
            return;
        }
        let have = torrent.download.have();
        let mut some_wait = false;
        for (stream, _, open) in self.streams.iter_open_mut().filter(|(_, torrent, _)| *torrent == id) {
            some_wait |= !open.tell_have(have, &pieces, self.crowd.held.allowance());
            open.weigh(&mut self.crowd.held);
            if !open.flushing && open.has_output() {
                open.flushing = true;
                self.actions.push_back(Action::Flush { stream });
            }
        }
        pieces.clear();
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.untold = Untold { pieces, due: now + TELL_INTERVAL };
        if some_wait {
            self.spread_by(now + TELL_REST_INTERVAL);
        }
    }

    /// Tells a peer of the pieces that were hidden from it, as many as it has read so far.
    pub(super) fn tell_rest(&mut self, now: Instant, stream: StreamId) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let have = self.torrents[id.0 as usize].download.have();
        if !open.tell_rest(have, self.crowd.held.allowance(), &mut self.telling.steps) {
            // What does not fit follows in the next round.
            self.spread_by(now + TELL_REST_INTERVAL);
        }
        self.flush(stream);
    }
}

impl Open {
    /// Tells it of `pieces`, which are new in `have`. False if some of that waits until it has read more.
    fn tell_have(&mut self, have: &Bitfield, pieces: &[u32], allowance: Allowance) -> bool {
        match &mut self.told {
            Told::All => {}
            Told::Only(_) => return false,
            Told::AllBut(untold) => {
                pieces.iter().for_each(|&piece| untold.add(piece));
                return false;
            }
        }
        for (nth, &piece) in pieces.iter().enumerate() {
            if !self.peer.has.has(piece) && !self.push_have(piece, allowance) {
                let mut untold = Backlog::new(have.len());
                pieces[nth..].iter().for_each(|&piece| untold.add(piece));
                self.told = Told::AllBut(untold);
                return false;
            }
        }
        true
    }

    /// Tells it of all of `have` that it was not told of. False if some of that waits until it has read more. `steps` counts
    /// the pieces that are looked at.
    fn tell_rest(&mut self, have: &Bitfield, allowance: Allowance, steps: &mut u64) -> bool {
        if let Told::Only(told) = &self.told {
            let mut untold = Backlog::new(have.len());
            have.minus(told).iter().for_each(|piece| untold.add(piece));
            *steps += u64::from(have.len());
            self.told = Told::AllBut(untold);
        }
        let Told::AllBut(mut untold) = core::mem::take(&mut self.told) else { return true };
        while let Some(piece) = untold.first() {
            *steps += 1;
            let is_news = have.has(piece) && !self.peer.has.has(piece);
            if is_news && !self.push_have(piece, allowance) {
                self.told = Told::AllBut(untold);
                return false;
            }
            untold.remove_first();
        }
        true
    }

    /// True if it may be told of a few pieces more before it has read what waits for it.
    pub(super) fn has_room_for_haves(&self, allowance: Allowance) -> bool {
        self.peer.outbox.as_slice().len() < allowance.haves_bytes
    }

    fn push_have(&mut self, piece: u32, allowance: Allowance) -> bool {
        self.has_room_for_haves(allowance) && self.peer.outbox.push(Message::Have(piece))
    }
}
