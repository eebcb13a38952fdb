//! What peers ask of us: queued, then sent from the files, one block after the other.

use super::peers::Farewell;
use super::streams::{Open, Role, Stage};
use super::{Note, Session, StorageFault};
use crate::base::limits::{ALLOWED_FAST_GRANTED, REQUEST_BYTES_MAX, SEND_PATIENCE};
use crate::base::{Block, Instant, StreamId, TorrentId};
use crate::upload::{Queue, Sending, Share, Standing, allowed_fast};
use crate::wire::Message;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::Range;

/// Bytes of a torrent's files that are to be sent next on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBytes {
    /// Whose files.
    pub torrent: TorrentId,
    /// First byte within the torrent.
    pub offset: u64,
    /// How many may be sent, at least 1.
    pub length: usize,
}

/// What a connection gives.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub queue: Queue,
    /// The block on its way.
    pub sending: Option<Sending>,
    /// When the peer took something of it last, or it was begun.
    pub progress: Instant,
    /// Since when messages have waited of which the peer took none, as far as anybody looked.
    pub waits_since: Option<Instant>,
    pub standing: Standing,
    /// It is not read, because it has asked for as much as is queued for it.
    pub unheard: bool,
    /// It has asked for more than can be rejected at once.
    pub asks_too_much: bool,
    /// The run of pieces that were suggested to it last.
    pub dealt: Range<u32>,
    /// Parts of the limits, up and down.
    pub up: Share,
    pub down: Share,
}

impl Open {
    /// True if something is to be sent that does not wait for the limit.
    pub(super) fn has_output(&self) -> bool {
        let service = &self.service;
        let speaks = service.sending.is_none_or(|sending| sending.lead() > 0);
        let gives = service.sending.is_some() || !service.queue.is_empty();
        (speaks && !self.peer.outbox.is_empty()) || (gives && !service.up.is_waiting())
    }

    /// The messages that are to be sent before anything else.
    pub(super) fn messages(&self) -> &[u8] {
        let all = self.peer.outbox.as_slice();
        self.service.sending.map_or(all, |sending| all.get(..sending.lead()).unwrap_or(all))
    }
}

impl Session {
    /// A peer asks for a block, and may.
    pub(super) fn on_request(&mut self, now: Instant, stream: StreamId, block: Block) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let torrent = &mut self.torrents[id.0 as usize];
        let is_there = torrent.download.have().has(block.piece) && open.knows_of(block.piece);
        let is_there = is_there && torrent.gives();
        let fits = block.length <= REQUEST_BYTES_MAX && is_there;
        if !fits || !open.service.queue.push(block) {
            return self.refuse(now, stream, block);
        }
        self.suggest(now, stream, Some(block.piece));
        self.flush(stream);
    }

    /// BEP 6: every request that is not answered is rejected. BEP 3 knows no such word.
    fn refuse(&mut self, now: Instant, stream: StreamId, block: Block) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        if open.peer.fast && !open.peer.outbox.push(Message::Reject(block)) {
            return self.drop_peer(now, stream, Farewell::NeverReads);
        }
        self.flush(stream);
    }

    /// A peer does not want a block any more. BEP 6 wants this answered, too, unless the block is on its way.
    pub(super) fn on_cancel(&mut self, now: Instant, stream: StreamId, block: Block) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        if open.service.queue.cancel(block) {
            self.refuse(now, stream, block);
        }
    }

    /// Tells a newcomer which pieces it may have while it is choked, as far as we have them and it does not.
    pub(super) fn grant_fast(&mut self, stream: StreamId) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let IpAddr::V4(ip) = open.peer.address.ip() else { return };
        let download = &self.torrents[id.0 as usize].download;
        if !open.peer.is_starting() || open.told.is_partly_hidden() || download.have().count() == 0 {
            return;
        }
        let (hash, pieces) = (&self.torrents[id.0 as usize].metainfo.info_hash, download.geometry().pieces);
        let mut set = allowed_fast(ip, hash, pieces, ALLOWED_FAST_GRANTED);
        let is_of_use = |piece: u32| download.have().has(piece) && !open.peer.has.has(piece);
        set.retain(|&piece| is_of_use(piece) && open.peer.outbox.push(Message::AllowedFast(piece)));
        open.peer.granted = set;
        self.flush(stream);
    }

    /// `piece` is not what it was: whoever is in the middle of a block of it is not sent the rest.
    pub(super) fn break_off(&mut self, now: Instant, id: TorrentId, piece: u32) {
        let is_sent = |open: &Open| open.service.sending.is_some_and(|sending| sending.block.piece == piece);
        let those = self.streams.iter_open().filter(|(_, of, _, open)| *of == id && is_sent(open));
        let those: Vec<StreamId> = those.map(|(stream, ..)| stream).collect();
        those.into_iter().for_each(|stream| self.drop_peer(now, stream, Farewell::OurFault));
    }

    /// Refuses what was asked for and has been lost since, as far as its turn has come.
    fn refuse_lost(&mut self, now: Instant, stream: StreamId) {
        while let Some((id, open)) = self.streams.open(stream)
            && open.service.sending.is_none()
            && let Some(block) = open.service.queue.first()
        {
            let torrent = &self.torrents[id.0 as usize];
            if torrent.gives() && torrent.download.have().has(block.piece) {
                return;
            }
            open.service.queue.pop();
            self.refuse(now, stream, block);
            self.hear_again(now, stream);
        }
    }

    /// The bytes of files that follow [`Session::outgoing`] on `stream`, if there are any and the limit lets them go;
    /// tell with [`Session::sent_file`] how many were sent.
    pub fn file_bytes(&mut self, now: Instant, stream: StreamId) -> Option<FileBytes> {
        self.refuse_lost(now, stream);
        let Some(Role::Peer(connection)) = self.streams.get_mut(stream) else { return None };
        let torrent = connection.torrent;
        let Stage::Open(open) = &mut connection.stage else { return None };
        if !connection.handshake.rest().is_empty() {
            return None;
        }
        if open.service.sending.is_none() && open.service.queue.is_empty() {
            open.flushing = open.has_output();
            return None;
        }
        let allowed = self.up_pacer.allowed(now, stream, &mut open.service.up);
        if allowed == 0 {
            open.flushing = open.has_output();
            return None;
        }
        if open.service.sending.is_none() {
            open.begin_block(now);
        }
        let (begin, length) = open.service.sending?.rest();
        let geometry = self.torrents[torrent.0 as usize].download.geometry();
        let block = open.service.sending?.block;
        let length = usize::try_from(allowed).unwrap_or(usize::MAX).min(length as usize);
        Some(FileBytes { torrent, offset: geometry.piece_start(block.piece) + u64::from(begin), length })
    }

    /// `count` bytes of the last [`Session::file_bytes`] of `stream` were sent.
    pub fn sent_file(&mut self, now: Instant, stream: StreamId, count: usize) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let Some(sending) = &mut open.service.sending else { return };
        let sent = sending.on_sent(count as u32).then_some(sending.block);
        if sent.is_some() {
            open.service.sending = None;
        }
        open.service.progress = now;
        open.peer.last_sent = now;
        open.peer.up.add(now, count as u64);
        self.up_pacer.took(now, &mut open.service.up, count as u64);
        open.flushing = open.has_output();
        self.torrents[id.0 as usize].up.add(now, count as u64);
        if let Some(block) = sent {
            self.weigh(stream);
            self.hear_again(now, stream);
            self.on_block_sent(now, stream, block);
        }
        self.end_seeding_if_given_enough(now, id);
    }

    /// `count` bytes of messages were sent: they count for the limit as well.
    pub(super) fn count_sent(&mut self, now: Instant, stream: StreamId, count: usize) {
        let Some((_, open)) = self.streams.open(stream) else { return };
        if let Some(sending) = &mut open.service.sending {
            sending.on_messages(count);
        }
        open.service.waits_since = None;
        open.flushing = open.has_output();
        self.up_pacer.took(now, &mut open.service.up, count as u64);
        self.hear_again(now, stream);
    }

    /// The bytes of the last [`Session::file_bytes`] of `stream` are on their way from the disk: that they do not go out is
    /// not the peer's fault.
    pub fn file_waits(&mut self, now: Instant, stream: StreamId) {
        if let Some((_, open)) = self.streams.open(stream) {
            open.service.progress = now;
        }
    }

    /// The bytes of the last [`Session::file_bytes`] of `stream` cannot be read: that is our fault. The connection
    /// cannot go on in the middle of a block, and the piece is not ours any more: it is fetched again.
    pub fn file_failed(&mut self, now: Instant, stream: StreamId, fault: StorageFault) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let Some(sending) = open.service.sending else { return };
        self.note(Note::StorageFault { torrent: id, fault, retried: false });
        self.drop_peer(now, stream, Farewell::OurFault);
        self.fetch_again(now, id, sending.block.piece);
        self.doubt_disk(now, id, fault);
        self.settle(now);
    }

    /// A piece that we had is not there any more.
    fn fetch_again(&mut self, now: Instant, id: TorrentId, piece: u32) {
        if !self.lose_piece(now, id, piece) {
            return;
        }
        let torrent = &mut self.torrents[id.0 as usize];
        (torrent.complete, torrent.durable, torrent.spreading) = (false, false, None);
        let of_this =
            self.streams.iter_open().filter(|(_, of, _, open)| *of == id && open.peer.has.has(piece));
        self.demand.starved.extend(of_this.map(|(stream, ..)| stream));
        // Whoever has it is asked at once.
        self.ask_starved(now);
        self.dial_candidates(now);
    }
}

impl Open {
    /// True if it has taken nothing of its block, or of the messages for it, for too long.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        let service = &self.service;
        let gives = service.sending.is_some() && !service.up.is_waiting();
        gives && now.since(service.progress) >= SEND_PATIENCE
            || self.deaf_deadline().is_some_and(|due| due <= now)
    }

    /// Notes since when the messages for it have waited. What waits behind a block is not late for that.
    pub(super) fn note_deafness(&mut self, now: Instant) {
        let waits = !self.messages().is_empty();
        self.service.waits_since = if waits { self.service.waits_since.or(Some(now)) } else { None };
    }

    /// When it will have left its messages unread for too long.
    pub(super) fn deaf_deadline(&self) -> Option<Instant> {
        self.service.waits_since.map(|since| since + SEND_PATIENCE)
    }

    /// Puts the head of the next block behind the messages that wait; the block itself comes from its file.
    fn begin_block(&mut self, now: Instant) {
        let Some(block) = self.service.queue.pop() else { return };
        self.peer.outbox.push_block_head(block);
        self.service.sending = Some(Sending::new(block, self.peer.outbox.as_slice().len()));
        self.service.progress = now;
    }
}
