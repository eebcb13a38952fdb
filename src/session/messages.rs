//! One handler per message of a peer, in the BEPs' words.

use super::Session;
use crate::base::{Block, Instant, StreamId};
use crate::peer::News;
use crate::wire::{Message, Misbehaved};

impl Session {
    /// A whole message: the peer's own state first, then what follows from it for everybody else.
    pub(super) fn on_message(
        &mut self,
        now: Instant,
        stream: StreamId,
        message: Message<'_>,
    ) -> Result<(), Misbehaved> {
        let Some((_, open)) = self.streams.open(stream) else { return Ok(()) };
        let is_opening = open.peer.is_opening();
        let news = open.peer.on_message(now, message)?;
        if is_opening {
            self.grant_fast(stream);
        }
        match news {
            News::Nothing => {}
            News::Choked => self.on_choke(stream),
            News::Unchoked => self.on_unchoke(now, stream),
            News::Has(piece) => self.on_have(now, stream, piece),
            News::HasMore => self.on_late_bitfield(now, stream),
            News::Interest => self.on_interest(now, stream),
            News::Asks(block) => self.on_request(now, stream, block),
            News::Cancels(block) => self.on_cancel(now, stream, block),
            News::HasMany => self.on_bitfield(now, stream),
            News::Rejected(block) => self.on_reject(now, stream, block),
            News::Introduced => self.on_introduced(now, stream),
            News::AllowedFast(piece) => self.on_allowed_fast(stream, piece),
            News::Suggested(piece) => self.on_suggest(now, stream, piece),
        }
        Ok(())
    }

    /// Keep-alives and messages that we do not know.
    pub(super) fn on_noise(&mut self, now: Instant, stream: StreamId) -> Result<(), Misbehaved> {
        self.streams.open(stream).map_or(Ok(()), |(_, open)| open.peer.on_useless(now))
    }

    /// BEP 3: requests outstanding to a choking peer are void. BEP 6: they are answered by `reject`, each. In either case
    /// no piece may wait for a peer that does not answer.
    fn on_choke(&mut self, stream: StreamId) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        self.crowd.willing -= 1;
        let download = &mut self.torrents[id.0 as usize].download;
        // Where nothing was asked for, nothing comes back.
        self.demand.returned |= open.pipeline.expected().next().is_some();
        if !open.peer.fast {
            // A block that was on its way already is still welcome.
            open.pipeline.release(|block| download.unrequest(stream, block));
        }
        download.forget(stream);
        // It may have rejected what it was asked for before it said why.
        open.pipeline.forget_refused();
    }

    /// BEP 3: what was outstanding when the peer choked us is void. BEP 6: it is owed until it is answered or rejected.
    fn on_unchoke(&mut self, now: Instant, stream: StreamId) {
        if let Some((_, open)) = self.streams.open(stream) {
            self.crowd.willing += 1;
            if !open.peer.fast {
                open.pipeline.forget_released();
            }
            if open.unchoked_at == Instant::ZERO {
                open.unchoked_at = now;
            }
        }
    }

    fn on_have(&mut self, now: Instant, stream: StreamId, piece: u32) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.download.add_availability(piece);
        open.counted = true;
        torrent.seeds += u32::from(open.peer.has.is_full());
        if torrent.download.wants(piece) {
            open.wanted += 1;
            torrent.download.offer(piece, false, &mut open.pipeline);
            self.update_interest(stream);
        }
        self.on_spread(now, stream, Some(piece));
        self.drop_if_useless(now, stream);
    }

    /// The peer said what it has: `bitfield`, `have all` or `have none`.
    fn on_bitfield(&mut self, now: Instant, stream: StreamId) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let torrent = &mut self.torrents[id.0 as usize];
        if open.peer.has.is_full() {
            torrent.seeds += 1;
        } else {
            open.counted = true;
            open.peer.has.iter().for_each(|piece| torrent.download.add_availability(piece));
        }
        open.wanted = torrent.download.wanted_of(&open.peer.has);
        open.pipeline.search_anew();
        self.update_interest(stream);
        self.on_spread(now, stream, None);
        self.drop_if_useless(now, stream);
    }

    /// The peer named many pieces more at once, perhaps all that there are.
    fn on_late_bitfield(&mut self, now: Instant, stream: StreamId) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        let Some(added) = open.peer.added.take() else { return };
        let torrent = &mut self.torrents[id.0 as usize];
        open.counted = true;
        for piece in added.iter() {
            torrent.download.add_availability(piece);
            open.wanted += u32::from(torrent.download.wants(piece));
        }
        torrent.seeds += u32::from(open.peer.has.is_full());
        open.pipeline.search_anew();
        self.update_interest(stream);
        self.on_spread(now, stream, None);
        self.drop_if_useless(now, stream);
    }

    /// BEP 6: this piece may be asked for while the peer chokes us.
    fn on_allowed_fast(&mut self, stream: StreamId, piece: u32) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        if open.peer.has.has(piece) && !open.allowed.contains(&piece) {
            let download = &mut self.torrents[id.0 as usize].download;
            if !open.counted {
                // The picker offers uncounted pieces only to those who may be asked for everything.
                download.add_availability(piece);
            }
            open.allowed.push(piece);
            download.offer(piece, true, &mut open.pipeline);
        }
    }

    /// BEP 6: a peer that chokes us rejects what we had asked for, and what it had allowed it does not allow any more. One
    /// that rejects without choking would be asked for the same block again and again, before anybody else is.
    fn on_reject(&mut self, now: Instant, stream: StreamId, block: Block) {
        let Some((id, open)) = self.streams.open(stream) else { return };
        // We have taken it back ourselves: this is how it says that it has heard that.
        if open.pipeline.settle_cancelled(now, block) {
            return;
        }
        if let Some(request) = open.pipeline.remove(block) {
            let download = &mut self.torrents[id.0 as usize].download;
            if !request.released {
                download.unrequest(stream, block);
                if !open.peer.choking {
                    open.refuse(now, block.piece);
                } else if open.disallow(block.piece) && !open.counted {
                    download.remove_availability(block.piece);
                }
            }
            download.forget(stream);
            self.demand.returned = true;
        }
    }

    fn on_introduced(&mut self, now: Instant, stream: StreamId) {
        if let Some((_, open)) = self.streams.open(stream) {
            open.pipeline.set_reqq(open.peer.reqq);
            if let Some(address) = open.peer.your_ip.take() {
                self.learn_own_address(address);
            }
        }
        self.learn_address(now, stream);
        self.drop_if_useless(now, stream);
    }
}
