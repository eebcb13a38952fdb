//! What peers are asked for, and when they are asked no more.

use super::streams::Open;
use super::{Action, Session};
use crate::base::limits::{BLOCK_BYTES, LIMITED_QUEUE, REJECT_REST, REQUEST_MESSAGE_BYTES, STARVED_INTERVAL};
use crate::base::{Block, Instant, StreamId, TorrentId};
use crate::download::Pick;
use crate::wire::{Framer, Message};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Who lacks blocks to be asked for, and when that may have changed.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// Peers whose search for a piece goes on in the next turn.
    searching: VecDeque<StreamId>,
    /// Memory or blocks came back: peers that could not be given anything are asked again.
    pub returned: bool,
    /// Room for a list of them, for a moment.
    pub starved: Vec<StreamId>,
    /// Who of them is asked first: counts up.
    first_asked: usize,
    /// When memory is looked for that other torrents keep for nothing, if there is none then.
    pub next_orphan_hunt: Instant,
}

impl Session {
    /// Fills a peer's request window.
    pub(super) fn ask(&mut self, now: Instant, stream: StreamId) {
        let (share, most) = (self.share_blocks(), self.limit_blocks());
        let lane = self.slow_lane(now, stream);
        let Some((id, open)) = self.streams.open(stream) else { return };
        open.pipeline.set_most(most);
        open.pipeline.set_slow_lane(lane);
        let torrent = &mut self.torrents[id.0 as usize];
        open.starved = false;
        let may_be_asked = open.wanted > 0 && !(open.answers_few() && open.allowed.is_empty());
        if !may_be_asked || !torrent.is_downloading() {
            return self.flush(stream);
        }
        open.pipeline.set_choking(open.answers_few());
        let is_low = open.pipeline.is_low(share);
        if now < open.rests_until {
            open.starved = true;
            let due = open.rests_until;
            self.walk_by(due);
            return self.flush(stream);
        }
        torrent.download.held_up(self.down_pacer.short(now));
        open.pipeline.forget_unanswered(now);
        open.starved = open.pipeline.outstanding() == 0 && open.pipeline.is_held_up_by_cancelled();
        let is_full = is_low && self.fill_window(now, stream, share);
        let Some((_, open)) = self.streams.open(stream) else { return };
        let silence = open.pipeline.snub_deadline();
        let hungry = open.starved.then_some((now + STARVED_INTERVAL).max(open.rests_until));
        silence.into_iter().chain(hungry).for_each(|due| self.walk_by(due));
        self.wish_stores(id);
        if is_full {
            self.hunt_orphans(now, id);
        }
        self.flush(stream);
    }

    /// True if there is no memory for what the peer could be asked for.
    fn fill_window(&mut self, now: Instant, stream: StreamId, share: u32) -> bool {
        let Some((id, open)) = self.streams.open(stream) else { return false };
        let torrent = &mut self.torrents[id.0 as usize];
        let allowed: &[u32] = if open.answers_few() { &open.allowed } else { &[] };
        torrent.note_allowed(allowed, true);
        let has = if open.answers_few() { &torrent.allowed } else { &open.peer.has };
        let mut is_full = false;
        while open.pipeline.has_room(share) {
            if open.peer.outbox.free_bytes() < REQUEST_MESSAGE_BYTES {
                // It is asked when it has read what waits for it.
                open.starved = true;
                break;
            }
            let pick =
                torrent.download.pick(now, &mut self.rng, stream, has, &mut open.pipeline, &mut self.pool);
            let Pick::Block(block) = pick else {
                open.starved = true;
                is_full = pick == Pick::Full;
                if pick == Pick::Nothing && open.pipeline.refuses_some() {
                    // What is left it refuses: nothing changes that soon.
                    open.rests_until = now + REJECT_REST;
                }
                if pick == Pick::Later && !open.searching {
                    open.searching = true;
                    self.demand.searching.push_back(stream);
                }
                break;
            };
            if !open.pipeline.adopt(now, block) {
                open.pipeline.sent(now, block);
                let fits = open.peer.outbox.push(Message::Request(block));
                debug_assert!(fits, "there was room");
            }
        }
        torrent.note_allowed(allowed, false);
        is_full
    }

    /// Blocks of memory that each peer may fill with its queue.
    pub(super) fn share_blocks(&self) -> u32 {
        self.pool.capacity() / 2 / self.crowd.open.max(1)
    }

    /// Blocks that each peer may be asked for at a time: what the limit lets through in the next seconds is asked for, in
    /// equal parts. More would fill all pieces at the same pace, and memory with them before one of them is whole.
    fn limit_blocks(&self) -> u32 {
        let Some(rate) = self.down_pacer.rate() else { return u32::MAX };
        let blocks = rate.saturating_mul(LIMITED_QUEUE.as_secs()) / u64::from(BLOCK_BYTES);
        u32::try_from(blocks / u64::from(self.crowd.willing.max(1))).unwrap_or(u32::MAX)
    }

    /// Asks those again who could not be given anything.
    pub(super) fn ask_starved(&mut self, now: Instant) {
        self.ask_starved_if(now, |_, _| true);
    }

    /// Asks them because something has been given back, as long as there is something to be given. The first one is asked
    /// in any case: that sends out what holds the memory. Whether blocks of others are late is looked at now and then.
    pub(super) fn give_returned(&mut self, now: Instant) {
        let mut is_first = true;
        self.ask_starved_if(now, |session, stream| {
            core::mem::take(&mut is_first) || session.has_work_for(stream)
        });
    }

    fn ask_starved_if(&mut self, now: Instant, mut is_asked: impl FnMut(&mut Self, StreamId) -> bool) {
        let mut line = core::mem::take(&mut self.demand.starved);
        let open = self.streams.iter_open();
        line.extend(open.filter(|(_, _, _, open)| open.starved).map(|(stream, ..)| stream));
        // Memory that comes back is for each in turn.
        self.demand.first_asked = self.demand.first_asked.wrapping_add(1);
        let first = self.demand.first_asked.checked_rem(line.len()).unwrap_or(0);
        line.rotate_left(first);
        for stream in line.drain(..) {
            if is_asked(self, stream) {
                self.ask(now, stream);
            }
        }
        self.demand.starved = line;
    }

    fn has_work_for(&mut self, stream: StreamId) -> bool {
        let torrent = self.streams.open(stream).map(|(id, _)| &self.torrents[id.0 as usize]);
        torrent.is_some_and(|torrent| torrent.download.has_work_for_peers(&self.pool))
    }

    /// Asks everybody, after a time in which nobody was asked: whoever could not be useful is not blamed for it.
    pub(super) fn ask_all(&mut self, now: Instant) {
        for (.., open) in self.streams.iter_open_mut() {
            open.starved = true;
            open.useful_at = now;
        }
        self.ask_starved(now);
    }

    /// Goes on with searches for pieces that were cut short. True if there are more.
    pub(super) fn go_on_searching(&mut self, now: Instant) -> bool {
        for _ in 0..self.demand.searching.len().min(16) {
            let Some(stream) = self.demand.searching.pop_front() else { break };
            if let Some((_, open)) = self.streams.open(stream) {
                open.searching = false;
                self.ask(now, stream);
            }
        }
        !self.demand.searching.is_empty()
    }

    /// A block has found no memory, because more was promised than there is: gives up the pieces that were opened last,
    /// and their requests, until every promise can be kept. Seldom: after that the pool promises more only slowly. `coming`
    /// is the block, which is on its way from a peer.
    pub(super) fn give_up_pieces(&mut self, now: Instant, coming: (StreamId, Block)) {
        let mut given_up = Vec::new();
        for nth in (0..self.torrents.len()).rev() {
            while self.pool.is_overdrawn()
                && let Some(piece) = self.torrents[nth].download.give_up_youngest(&mut self.pool)
            {
                given_up.push((TorrentId(nth as u32), piece));
            }
            self.wish_stores(TorrentId(nth as u32));
        }
        let mut requests = Vec::new();
        for (stream, torrent, open) in self.streams.iter_open_mut() {
            let is_given_up = |block: &Block| given_up.contains(&(torrent, block.piece));
            requests.extend(open.pipeline.expected().filter(is_given_up).map(|block| (stream, block)));
        }
        // What is taken back may be asked for again at once, so all of it is taken back before anything is asked for.
        requests.iter().for_each(|&(stream, block)| self.give_up_request(now, stream, block, coming));
        requests.dedup_by_key(|(stream, _)| *stream);
        requests.into_iter().for_each(|(stream, _)| self.ask(now, stream));
        self.demand.returned = true;
    }

    /// Another peer was faster.
    pub(super) fn cancel(&mut self, now: Instant, stream: StreamId, block: Block) {
        if self.take_back(now, stream, block) {
            self.ask(now, stream);
        }
    }

    /// Takes a request back whose piece is given up. What has begun to come cannot be stopped: it is owed until it is here, or
    /// what follows of it would be taken for the answer if it was asked for again.
    fn give_up_request(&mut self, now: Instant, stream: StreamId, block: Block, coming: (StreamId, Block)) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        let begun = open.framer.as_ref().and_then(Framer::block_in_progress).map(|(begun, _)| begun);
        if coming == (stream, block) || begun == Some(block) {
            open.pipeline.release_one(block);
        } else {
            self.take_back(now, stream, block);
        }
    }

    /// Tells a peer that `block` is not wanted any more. False if it was not asked for it.
    fn take_back(&mut self, now: Instant, stream: StreamId, block: Block) -> bool {
        let Some((_, open)) = self.streams.open(stream) else { return false };
        let was_asked = open.pipeline.take_back(now, block);
        if was_asked {
            // What does not fit is no loss: the block comes all the same, and is left.
            let _ = open.peer.outbox.push(Message::Cancel(block));
        }
        was_asked
    }

    /// Tells the peer whether we want something of it, if that has changed.
    pub(super) fn update_interest(&mut self, stream: StreamId) {
        if let Some((_, open)) = self.streams.open(stream) {
            open.peer.set_interested(open.wanted > 0);
        }
    }

    /// The peer fell silent with requests outstanding: others are asked instead. If it was silent before and nothing else
    /// is asked of it, what it owes is taken back, and one request finds out whether it has become better.
    pub(super) fn snub(&mut self, now: Instant, stream: StreamId) {
        self.unplan();
        let Some((id, open)) = self.streams.open(stream) else { return };
        // The block that it has begun is welcome, but it may never end, and others may need the memory.
        if self.pool.is_filling() {
            open.landing.take().into_iter().for_each(|buffer| self.pool.give(buffer));
        }
        if open.pipeline.outstanding() == 0 {
            open.pipeline.withdraw(now, |block| open.peer.outbox.push(Message::Cancel(block)));
            return self.ask(now, stream);
        }
        let download = &mut self.torrents[id.0 as usize].download;
        open.pipeline.snub();
        open.pipeline.release(|block| download.unrequest(stream, block));
        download.forget(stream);
        self.demand.returned = true;
    }

    /// Wishes to send what waits, once until it is sent.
    pub(super) fn flush(&mut self, stream: StreamId) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        open.weigh(&mut self.crowd.held);
        if !open.flushing && open.has_output() {
            open.flushing = true;
            self.actions.push_back(Action::Flush { stream });
        }
    }
}

impl Open {
    /// True if it answers requests for what it has allowed only.
    fn answers_few(&self) -> bool {
        self.peer.choking
    }
}
