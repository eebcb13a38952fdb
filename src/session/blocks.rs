//! Bytes from peers: where they land, and what they are.

use super::scatter::{Rest, Scatter};
use super::streams::{Role, Stage};
use super::{Landing, Session};
use crate::base::limits::UNASKED_BYTES_MAX;
use crate::base::{Block, Instant, StreamId, TorrentId};
use crate::download::{Arrival, Buffer};
use crate::wire::{Framer, Item, Misbehaved};
use alloc::vec::Vec;
use core::mem;

/// The read that is planned.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub scatter: Scatter,
    /// Whom it is for.
    planned_for: Option<StreamId>,
    /// Blocks have arrived since the last hashing.
    pub blocks_came: bool,
    /// Bytes that landed by plan and were something else, for a moment.
    line: Vec<u8>,
    /// When it is looked at how much comes.
    pub next_measure: Instant,
}

impl Session {
    /// Where the next bytes of `stream` may land.
    pub fn landing(&mut self, stream: StreamId) -> Landing<'_> {
        self.unplan();
        let Some((_, open)) = self.streams.open(stream) else { return Landing::Anywhere };
        let Some(framer) = &open.framer else { return Landing::Anywhere };
        self.reading.planned_for = Some(stream);
        if let Some((block, received)) = framer.block_in_progress() {
            let Some(buffer) = open.landing.take() else { return Landing::Anywhere };
            let rest = Rest { buffer, from: received as usize, to: block.length as usize };
            let later = open.pipeline.expected().filter(|&other| other != block);
            self.reading.scatter.plan(Some(rest), 0, later, &mut self.pool);
        } else if framer.carried_header().is_some() && open.pipeline.expected().next().is_some() {
            if self.must_wait(stream) {
                return Landing::Wait;
            }
            self.plan_blocks(stream);
        }
        if self.reading.scatter.is_empty() {
            Landing::Anywhere
        } else {
            Landing::Scatter(&mut self.reading.scatter)
        }
    }

    /// Between two messages, or in the header of a block.
    fn plan_blocks(&mut self, stream: StreamId) {
        if let Some((_, open)) = self.streams.open(stream)
            && let Some(header) = open.framer.as_ref().and_then(Framer::carried_header)
        {
            self.reading.scatter.plan(None, header.len(), open.pipeline.expected(), &mut self.pool);
        }
    }

    /// Takes back the plan of a read that found nothing: the block in progress keeps its buffer.
    pub(super) fn unplan(&mut self) {
        if let Some(rest) = self.reading.scatter.take_rest() {
            let owner = self.reading.planned_for.and_then(|stream| self.streams.open(stream));
            match owner {
                Some((_, open)) => open.landing = Some(rest.buffer),
                None => self.pool.give(rest.buffer),
            }
        }
        self.reading.scatter.clear(&mut self.pool);
    }

    /// `count` bytes landed in the areas of the last [`Landing::Scatter`], which was for `stream`.
    pub fn landed(&mut self, now: Instant, stream: StreamId, count: usize) {
        self.count_received(now, stream, count);
        let mut scatter = mem::take(&mut self.reading.scatter);
        let mut line = mem::take(&mut self.reading.line);
        let mut outcome = self.take_landed(now, stream, &mut scatter, count, &mut line);
        scatter.clear(&mut self.pool);
        if outcome.is_ok() && !line.is_empty() {
            outcome = self.feed(now, stream, &line);
        }
        line.clear();
        (self.reading.scatter, self.reading.line) = (scatter, line);
        self.after_bytes(now, stream, outcome);
    }

    /// `bytes` came from `stream`, read after [`Landing::Anywhere`].
    pub fn received(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        self.count_received(now, stream, bytes.len());
        let outcome = match self.streams.get(stream) {
            Some(Role::Tracker { .. }) => return self.on_tracker_bytes(now, stream, bytes),
            Some(Role::Arrival(_)) => self.on_arrival_bytes(now, stream, bytes),
            Some(Role::Peer(connection)) => match connection.stage {
                Stage::Shaking { .. } => self.on_handshake_bytes(now, stream, bytes),
                Stage::Open(_) => self.feed(now, stream, bytes),
                Stage::Connecting(_) => Ok(()),
            },
            Some(Role::Relay) | None => return,
        };
        self.after_bytes(now, stream, outcome);
    }

    /// Drops the guilty, asks the innocent for more.
    fn after_bytes(&mut self, now: Instant, stream: StreamId, outcome: Result<(), Misbehaved>) {
        match outcome {
            Ok(()) => self.ask(now, stream),
            Err(fault) => self.punish(now, stream, fault),
        }
        self.shed(now);
    }

    /// Settles what landed by plan. What turns out to be something else is put into `line`, in the order of the stream.
    fn take_landed(
        &mut self,
        now: Instant,
        stream: StreamId,
        scatter: &mut Scatter,
        mut count: usize,
        line: &mut alloc::vec::Vec<u8>,
    ) -> Result<(), Misbehaved> {
        if let Some(Rest { buffer, from, to }) = scatter.take_rest() {
            let here = count.min(to - from);
            count -= here;
            self.land(now, stream, buffer, here);
        }
        while count > 0 {
            let Some(pair) = scatter.take_pair() else { break };
            let header = pair.header();
            let entered = match self.streams.open(stream).and_then(|(_, open)| open.framer.as_mut()) {
                Some(framer) if count >= header.len() => framer.take_header(header),
                _ => Ok(None),
            };
            if entered == Ok(Some(pair.block)) {
                count -= header.len();
                let here = count.min(pair.block.length as usize);
                count -= here;
                self.land(now, stream, pair.buffer, here);
                continue;
            }
            // Not the block that was expected: all that is left goes the ordinary way. A header that the framer has
            // taken must not be given to it again.
            let header_here = header.len().min(count);
            if entered == Ok(None) {
                line.extend_from_slice(&header[..header_here]);
            }
            count -= header_here;
            let block_here = count.min(pair.block.length as usize);
            line.extend_from_slice(&pair.buffer[..block_here]);
            scatter.linearise(count - block_here, line);
            self.pool.give(pair.buffer);
            return entered.map(|_| ());
        }
        Ok(())
    }

    /// `count` bytes of the block in progress landed in `buffer`.
    fn land(&mut self, now: Instant, stream: StreamId, buffer: Buffer, count: usize) {
        let Some((id, open)) = self.streams.open(stream) else { return self.pool.give(buffer) };
        let in_progress = open.framer.as_ref().and_then(Framer::block_in_progress);
        let Some((block, before)) = in_progress else { return self.pool.give(buffer) };
        open.on_block_bytes(now, block, count);
        if open.framer.as_mut().is_some_and(|framer| framer.advance_block(count as u32)) {
            self.on_block(now, stream, block, Some(buffer));
        } else {
            open.landing = Some(buffer);
            if before == 0 && count > 0 {
                self.on_begun(now, id, stream, block);
            }
        }
    }

    /// Cuts `bytes` into items and handles them.
    pub(super) fn feed(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) -> Result<(), Misbehaved> {
        let framer = self.streams.open(stream).and_then(|(_, open)| open.framer.take());
        let Some(mut framer) = framer else { return Ok(()) };
        let outcome = self.feed_items(now, stream, &mut framer, bytes);
        if let Some((_, open)) = self.streams.open(stream) {
            open.framer = Some(framer);
        }
        outcome
    }

    fn feed_items(
        &mut self,
        now: Instant,
        stream: StreamId,
        framer: &mut Framer,
        mut bytes: &[u8],
    ) -> Result<(), Misbehaved> {
        while let Some(item) = framer.next(&mut bytes)? {
            match item {
                Item::Message(message) => self.on_message(now, stream, message)?,
                Item::BlockBytes { block, offset, bytes } => {
                    self.on_block_bytes(now, stream, block, offset as usize, bytes)?;
                }
                Item::KeepAlive | Item::Skipped => self.on_noise(now, stream)?,
            }
            if self.streams.get(stream).is_none() {
                break;
            }
        }
        Ok(())
    }

    /// A part of a block arrived among other things: copies it to where it belongs.
    fn on_block_bytes(
        &mut self,
        now: Instant,
        stream: StreamId,
        block: Block,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Misbehaved> {
        let Some((torrent, open)) = self.streams.open(stream) else { return Ok(()) };
        if offset == 0 {
            let asked = open.pipeline.awaits(block);
            let lacks = self.torrents[torrent.0 as usize].download.lacks(block);
            open.landing = if asked && lacks { self.pool.take() } else { None };
            if self.pool.is_overdrawn() {
                self.give_up_pieces(now, (stream, block));
            }
        }
        let Some((_, open)) = self.streams.open(stream) else { return Ok(()) };
        open.on_block_bytes(now, block, bytes.len());
        if let Some(buffer) = &mut open.landing {
            buffer[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        if offset + bytes.len() == block.length as usize {
            let buffer = open.landing.take();
            self.on_block(now, stream, block, buffer);
        } else if offset == 0 {
            self.on_begun(now, torrent, stream, block);
        }
        let unasked_bytes = self.streams.open(stream).map_or(0, |(_, open)| open.unasked_bytes);
        if unasked_bytes > UNASKED_BYTES_MAX { Err(Misbehaved::Flood) } else { Ok(()) }
    }

    /// The first bytes of a block are here, and the rest follows.
    fn on_begun(&mut self, now: Instant, id: TorrentId, stream: StreamId, block: Block) {
        if let Some(other) = self.torrents[id.0 as usize].download.begins(now, stream, block) {
            self.cancel(now, other, block);
        }
    }

    /// A block is here; `None` if there was no place or no use for its bytes.
    fn on_block(&mut self, now: Instant, stream: StreamId, block: Block, buffer: Option<Buffer>) {
        let Some((torrent, open)) = self.streams.open(stream) else {
            return buffer.into_iter().for_each(|buffer| self.pool.give(buffer));
        };
        let torrent = &mut self.torrents[torrent.0 as usize];
        let bytes = u64::from(block.length);
        torrent.down.add(now, bytes);
        let asked = open.pipeline.arrived(now, block).is_some() || open.pipeline.settle_cancelled(now, block);
        self.reading.blocks_came = true;
        let arrival = match buffer {
            Some(buffer) if asked => torrent.download.arrived(stream, block, buffer, &mut self.pool),
            Some(buffer) => {
                self.pool.give(buffer);
                Arrival::Duplicate
            }
            None => Arrival::Duplicate,
        };
        match arrival {
            Arrival::Kept { cancel } => {
                (open.useful_at, open.unchoked_at) = (now, Instant::ZERO);
                // Blocks that crossed our cancels are no flood of somebody who sends what is wanted as well.
                open.unasked_bytes = open.unasked_bytes.saturating_sub(bytes);
                cancel.into_iter().flatten().for_each(|other| self.cancel(now, other, block));
            }
            Arrival::Duplicate => {
                torrent.duplicate_bytes += bytes;
                // Where there was no place for it, somebody has to be asked again.
                torrent.download.unrequest(stream, block);
                open.unasked_bytes += if asked { 0 } else { bytes };
            }
        }
    }
}
