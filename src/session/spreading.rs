//! How a seed gets its pieces into the swarm: it suggests other pieces to each peer (BEP 6), or tells each of other
//! pieces only (BEP 16).

use super::streams::Open;
use super::telling::Told;
use super::torrents::Torrent;
use super::{Session, peers::Farewell};
use crate::base::limits::{SUPER_SEED_INTERVAL, SUPER_SEED_RUNS};
use crate::base::{Block, Instant, Rng, StreamId, TorrentId};
use crate::upload::{Passed, Spread, SuperSeed};
use crate::wire::Message;
use alloc::vec::Vec;
use core::ops::Range;

/// What a torrent that is complete has dealt out.
#[derive(Debug)]
pub(super) struct Spreading {
    spread: Spread,
    /// Peers are told of pieces one run at a time, and not of everything.
    hidden: Option<SuperSeed>,
}

impl Spreading {
    fn new(torrent: &Torrent, hidden: bool, rng: &mut Rng) -> Self {
        let download = &torrent.download;
        let belong = |piece: u32| download.belongs_to_last(piece);
        let spread = Spread::new(download.geometry().pieces, rng, belong);
        Self { spread, hidden: hidden.then(SuperSeed::default) }
    }
}

impl Torrent {
    /// True if a newcomer is not to know what we have (BEP 16).
    pub(super) fn is_hiding(&self) -> bool {
        self.spreading.as_ref().is_some_and(|spreading| spreading.hidden.is_some())
    }

    /// Peers that lack something.
    fn leechers(&self) -> u32 {
        self.peers.saturating_sub(self.seeds)
    }

    /// The next run for somebody to whom pieces are new of which `is_new` says so.
    fn next_run(&mut self, now: Instant, is_new: impl Fn(u32) -> bool) -> Option<Range<u32>> {
        let download = &self.download;
        let lacks = |piece: u32| download.availability(piece) == 0 && is_new(piece);
        let spreading = self.spreading.as_mut()?;
        let returned = match &mut spreading.hidden {
            Some(hidden) => hidden.take_returned(&is_new).map(|piece| piece..piece + 1),
            None => {
                spreading.spread.repeat(now);
                None
            }
        };
        returned.or_else(|| spreading.spread.deal(lacks, |piece| download.belongs_to_last(piece)))
    }
}

impl Session {
    /// A torrent is complete and is given to others.
    pub(super) fn begin_spreading(&mut self, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let spreading = Spreading::new(torrent, self.giving.super_seed, &mut self.rng);
        torrent.spreading = Some(spreading);
    }

    /// A peer is about to be served, or asks for `asked`: it is told which pieces nobody else has been told of.
    pub(super) fn suggest(&mut self, now: Instant, stream: StreamId, asked: Option<u32>) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let torrent = &mut self.torrents[id.0 as usize];
        // Where there is one peer, it may choose by itself.
        let is_of_use = torrent.is_seeding() && torrent.leechers() > 1 && !torrent.is_hiding();
        if !is_of_use || !open.peer.fast || !open.needs_suggestions(asked) {
            return;
        }
        let Some(run) = torrent.next_run(now, |piece| !open.peer.has.has(piece)) else { return };
        open.service.dealt = run.clone();
        // What does not fit is no loss: it was only a suggestion.
        let _ = run.into_iter().all(|piece| open.peer.outbox.push(Message::Suggest(piece)));
    }

    /// BEP 6: a seed suggests what it has given to nobody; nobody else can judge that.
    pub(super) fn on_suggest(&mut self, now: Instant, stream: StreamId, piece: u32) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        if open.peer.has.is_full() && self.torrents[id.0 as usize].download.wants(piece) {
            open.pipeline.suggest(now, piece);
        }
    }

    /// BEP 16: tells a peer of pieces as long as it has not too many that nobody else has got from it.
    pub(super) fn reveal(&mut self, now: Instant, stream: StreamId) {
        loop {
            let allowance = self.crowd.held.allowance();
            let Some((id, open)) = self.streams.open(stream) else { return };
            let torrent = &mut self.torrents[id.0 as usize];
            let Some(hidden) = torrent.spreading.as_ref().and_then(|spreading| spreading.hidden.as_ref())
            else {
                return;
            };
            let most = SUPER_SEED_RUNS * torrent.download.run_pieces();
            if !open.told.is_partly_hidden() || hidden.count_of(stream) > most - torrent.download.run_pieces()
            {
                return;
            }
            if !open.has_room_for_haves(allowance) {
                // It has not read what it was told of before.
                return self.spread_by(now + SUPER_SEED_INTERVAL);
            }
            let is_new = |piece: u32| !open.peer.has.has(piece) && !open.knows_of(piece);
            let Some(run) = torrent.next_run(now, is_new) else {
                return self.end_hiding_if_over(now, id);
            };
            for piece in run {
                if !self.tell_of(now, stream, piece) {
                    return self.drop_peer(now, stream, Farewell::NeverReads);
                }
            }
            self.spread_by(now + SUPER_SEED_INTERVAL);
            self.flush(stream);
        }
    }

    fn tell_of(&mut self, now: Instant, stream: StreamId, piece: u32) -> bool {
        let Some((id, open)) = self.streams.open(stream) else { return true };
        let Told::Only(told) = &mut open.told else { return true };
        if let Some(Spreading { hidden: Some(hidden), .. }) = &mut self.torrents[id.0 as usize].spreading {
            hidden.deal(now, piece, stream);
        }
        !told.insert(piece) || open.peer.outbox.push(Message::Have(piece))
    }

    /// A peer has a piece, or with `None` perhaps many more than before: somebody may be told of others.
    pub(super) fn on_spread(&mut self, now: Instant, stream: StreamId, piece: Option<u32>) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let torrent = &mut self.torrents[id.0 as usize];
        let alone = torrent.leechers() <= 1;
        let Some(Spreading { hidden: Some(hidden), .. }) = &mut torrent.spreading else { return };
        if open.peer.has.is_full() {
            // There is another seed: there is nothing left to be gained.
            return self.end_hiding(now, id);
        }
        let many: Vec<u32> = match piece {
            None => hidden.pieces().filter(|&piece| open.peer.has.has(piece)).collect(),
            Some(_) => Vec::new(),
        };
        let mut passed: Vec<StreamId> = Vec::new();
        for piece in piece.into_iter().chain(many) {
            if let Passed::By(other) = hidden.on_have(now, piece, stream, alone)
                && !passed.contains(&other)
            {
                passed.push(other);
            }
        }
        passed.into_iter().for_each(|other| self.reveal(now, other));
        if piece.is_none() {
            self.reveal(now, stream);
        }
        self.end_hiding_if_over(now, id);
    }

    /// A whole block is sent. Most peers do not tell us of a piece that we have told them of: with the last block of it
    /// they are taken to have it.
    pub(super) fn on_block_sent(&mut self, now: Instant, stream: StreamId, block: Block) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let length = self.torrents[id.0 as usize].download.geometry().piece_length(block.piece);
        if open.told.is_partly_hidden() && block.begin + block.length == length {
            self.on_spread(now, stream, Some(block.piece));
        }
    }

    /// A connection is gone: what it was told of is told to another, at once, as others may lack nothing else.
    pub(super) fn unspread(&mut self, now: Instant, id: TorrentId, stream: StreamId) {
        if let Some(Spreading { hidden: Some(hidden), .. }) = &mut self.torrents[id.0 as usize].spreading
            && hidden.forget(stream)
        {
            self.spread_by(now);
        }
    }

    /// Looks after peers that are late.
    pub(super) fn spread_in_time(&mut self, now: Instant) {
        self.telling.spread_deadline = None;
        for nth in 0..self.torrents.len() {
            let spreading = self.torrents[nth].spreading.as_mut();
            if let Some(hidden) = spreading.and_then(|spreading| spreading.hidden.as_mut()) {
                hidden.on_time(now);
            }
        }
        let told = self.streams.iter_open().filter(|(.., open)| !matches!(open.told, Told::All));
        let told = told
            .map(|(stream, id, _, open)| (stream, id, open.told.is_partly_hidden(), open.peer.interested));
        let told: Vec<(StreamId, TorrentId, bool, bool)> = told.collect();
        for (stream, id, is_partly_hidden, is_interested) in told {
            let spreading = self.torrents[id.0 as usize].spreading.as_mut();
            let hidden = spreading.and_then(|spreading| spreading.hidden.as_mut());
            if let Some(hidden) = hidden.filter(|_| is_partly_hidden) {
                if !is_interested {
                    hidden.needs_nothing(now, stream, SUPER_SEED_INTERVAL / 2);
                }
                self.spread_by(now + SUPER_SEED_INTERVAL);
                self.reveal(now, stream);
                self.end_hiding_if_over(now, id);
            } else {
                self.tell_rest(now, stream);
            }
        }
    }

    fn end_hiding_if_over(&mut self, now: Instant, id: TorrentId) {
        let spreading = self.torrents[id.0 as usize].spreading.as_ref();
        let is_over = spreading.is_some_and(|spreading| {
            let hidden = spreading.hidden.as_ref();
            spreading.spread.is_over() && hidden.is_some_and(SuperSeed::is_over)
        });
        if is_over {
            self.end_hiding(now, id);
        }
    }

    /// Everything is in the swarm: from here on we are a seed like others.
    fn end_hiding(&mut self, now: Instant, id: TorrentId) {
        if let Some(spreading) = &mut self.torrents[id.0 as usize].spreading {
            spreading.hidden = None;
        }
        self.spread_by(now);
    }

    pub(super) fn spread_by(&mut self, due: Instant) {
        self.telling.spread_deadline =
            Some(self.telling.spread_deadline.map_or(due, |planned| planned.min(due)));
    }
}

impl Open {
    /// True if what was suggested is half used up: that it asks for it shows that it listens.
    fn needs_suggestions(&self, asked: Option<u32>) -> bool {
        let dealt = &self.service.dealt;
        dealt.is_empty()
            || asked
                .is_some_and(|piece| dealt.contains(&piece) && piece - dealt.start >= dealt.len() as u32 / 2)
    }

    /// True if it may ask for `piece`: what it was not told of, it cannot know.
    pub(super) fn knows_of(&self, piece: u32) -> bool {
        self.told.has(piece)
    }
}
