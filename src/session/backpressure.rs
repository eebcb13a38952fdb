//! Streams that are not read because there is no room for what they bring.
//!
//! When the disk is slower than the peers, verified pieces wait for it and hold the buffers. A block that finds none
//! would have to be thrown away and fetched again, so its stream waits instead: the kernel's buffers fill, and the peer
//! slows down. Only where memory comes back by itself, though: if all of it is held by pieces that still lack blocks,
//! reading on is the only way forward, and the pool gives the youngest up.

use super::{Action, Session};
use crate::base::{Instant, StreamId, TorrentId};
use alloc::collections::VecDeque;

/// Streams that are not read until there is memory for what they bring.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub streams: VecDeque<StreamId>,
    /// There were some when that was last looked at.
    some_wait: bool,
}

impl Session {
    /// True if `stream`, of which a block comes next, is not to be read; [`Action::Resume`] follows.
    pub(super) fn must_wait(&mut self, stream: StreamId) -> bool {
        if self.room() > 0 || !self.room_comes() {
            return false;
        }
        if let Some((id, open)) = self.streams.open(stream)
            && !open.waits_for_room
        {
            open.waits_for_room = true;
            self.waits.streams.push_back(stream);
            self.waits.some_wait = true;
            self.torrents[id.0 as usize].download.hears(None);
        }
        true
    }

    /// Has the streams read again for which there is room, or for which waiting has no sense any more.
    pub(super) fn end_waits(&mut self, now: Instant) {
        if !self.waits.some_wait {
            return;
        }
        let room = if self.room_comes() { self.room() } else { usize::MAX };
        for _ in 0..room.min(self.waits.streams.len()) {
            let Some(stream) = self.waits.streams.pop_front() else { break };
            if let Some((_, open)) = self.streams.open(stream) {
                open.waits_for_room = false;
                open.pipeline.was_not_read(now);
                self.actions.push_back(Action::Resume { stream });
            }
        }
        if self.waits.streams.is_empty() {
            self.waits.some_wait = false;
            self.torrents.iter_mut().for_each(|torrent| torrent.download.hears(Some(now)));
        }
    }

    /// Buffers for blocks that may come. While stores wait for the disk no more of them are made: they could only wait, too.
    fn room(&mut self) -> usize {
        let stores_wait = self.torrents.iter().any(|torrent| torrent.stores_wait());
        self.pool.set_tight(stores_wait);
        self.pool.room() as usize
    }

    /// True if buffers return without another block: pieces are being hashed or stored. What waits for the rest of its
    /// extent is sent out for it.
    fn room_comes(&mut self) -> bool {
        if self.ending.quitting.is_some() {
            return false;
        }
        let mut comes = false;
        for nth in 0..self.torrents.len() {
            let torrent = &mut self.torrents[nth];
            if torrent.stall.is_none() && torrent.download.gives_back() {
                comes = true;
                self.wish_stores(TorrentId(nth as u32));
            }
        }
        comes
    }
}
