//! What a peer's messages mean: one handler each, which keeps the rules of the BEPs and answers with a plain value.

use crate::base::limits::{ALLOWED_FAST_GRANTED, ALLOWED_FAST_MAX, REQUEST_BYTES_MAX};
use crate::base::{Bitfield, Block, Instant};
use crate::peer::Peer;
use crate::wire::message::id;
use crate::wire::{ExtendedHandshake, Message, Misbehaved, extended};

/// What a message changes for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing beyond the peer's own fields.
    Nothing,
    /// It does not answer requests any more. Unless the peer is [`fast`](Peer::fast), those outstanding are void (BEP 3);
    /// if it is, each will be answered or rejected (BEP 6).
    Choked,
    /// It answers requests from here on.
    Unchoked,
    /// It has this piece, which it did not have before.
    Has(u32),
    /// It has all pieces in [`Peer::has`], and had none before.
    HasMany,
    /// Whether it wants something we have has changed: [`Peer::interested`].
    Interest,
    /// It has the pieces in [`Peer::added`], which it did not have before.
    HasMore,
    /// It asks for this block and may: it is not choked, or the piece was allowed (BEP 6), and the block exists and is not
    /// too long.
    Asks(Block),
    /// It does not want this block any more.
    Cancels(Block),
    /// It will not send this block.
    Rejected(Block),
    /// It answers requests for this piece also while choking; it need not have the piece.
    AllowedFast(u32),
    /// It would like to be asked for this piece.
    Suggested(u32),
    /// It has told more of itself: [`Peer::reqq`], [`Peer::client`], [`Peer::listen_port`], [`Peer::upload_only`].
    Introduced,
}

impl Peer {
    /// Takes in a message of it.
    ///
    /// # Errors
    /// What it did wrong; drop it.
    pub fn on_message(&mut self, now: Instant, message: Message<'_>) -> Result<News, Misbehaved> {
        self.last_received = now;
        self.check_offered(&message)?;
        // Real clients send these before their bitfield; whatever else comes is an end to the opening.
        let opening = self.opening;
        self.opening &= matches!(message, Message::Extended { .. } | Message::Port(_));
        let news = match message {
            Message::Choke => self.on_choke(),
            Message::Unchoke => self.on_unchoke(),
            Message::Interested => self.on_interest(true),
            Message::NotInterested => self.on_interest(false),
            Message::Have(piece) => self.on_have(piece)?,
            Message::Bitfield(bits) => self.on_bitfield(opening, bits)?,
            Message::HaveAll => self.on_have_all(opening),
            // BEP 6: stands for a `bitfield` without any bit set. Said late, it takes nothing back.
            Message::HaveNone => News::Nothing,
            Message::Request(block) => self.on_request(block)?,
            Message::Cancel(block) => self.on_cancel(block)?,
            Message::Reject(block) => News::Rejected(self.geometry.check_block(block)?),
            Message::AllowedFast(piece) => self.on_allowed_fast(piece)?,
            Message::Suggest(piece) => News::Suggested(self.geometry.check_piece(piece)?),
            // There is no DHT node here that would want to know.
            Message::Port(_) => News::Nothing,
            Message::Extended { id: extended::HANDSHAKE_ID, payload } => {
                self.on_extended_handshake(payload)?
            }
            // We have named no extension, so this was sent by mistake; it does no harm.
            Message::Extended { .. } => News::Nothing,
        };
        if !news.brings_forward() {
            self.flood.count(now)?;
        }
        Ok(news)
    }

    /// BEP 6, BEP 10: messages of an extension need both sides to have offered it.
    fn check_offered(&self, message: &Message<'_>) -> Result<(), Misbehaved> {
        match message.id() {
            id @ (id::SUGGEST | id::HAVE_ALL | id::HAVE_NONE | id::REJECT | id::ALLOWED_FAST)
                if !self.fast =>
            {
                Err(Misbehaved::NotFast { id })
            }
            id::EXTENDED if !self.extended => Err(Misbehaved::NotExtended),
            _ => Ok(()),
        }
    }

    fn on_choke(&mut self) -> News {
        if core::mem::replace(&mut self.choking, true) { News::Nothing } else { News::Choked }
    }

    fn on_unchoke(&mut self) -> News {
        if core::mem::replace(&mut self.choking, false) { News::Unchoked } else { News::Nothing }
    }

    fn on_interest(&mut self, interested: bool) -> News {
        let changed = interested != core::mem::replace(&mut self.interested, interested);
        if changed { News::Interest } else { News::Nothing }
    }

    fn on_have(&mut self, piece: u32) -> Result<News, Misbehaved> {
        let piece = self.geometry.check_piece(piece)?;
        Ok(if self.has.insert(piece) { News::Has(piece) } else { News::Nothing })
    }

    /// BEP 3: `bitfield` comes first or never. But aria2 sends another one where many `have` would be longer: what it
    /// adds counts.
    fn on_bitfield(&mut self, opening: bool, bits: &[u8]) -> Result<News, Misbehaved> {
        // The framer lets only bitfields of the right length pass; here it is checked because it is cheap.
        if bits.len() != self.geometry.bitfield_bytes() as usize {
            let length = u32::try_from(bits.len()).unwrap_or(u32::MAX).saturating_add(1);
            return Err(Misbehaved::BadLength { id: id::BITFIELD, length });
        }
        let said = Bitfield::from_wire(bits, self.geometry.pieces).ok_or(Misbehaved::SpareBits)?;
        if !opening {
            return Ok(self.add_pieces(&said));
        }
        self.has = said;
        Ok(if self.has.count() > 0 { News::HasMany } else { News::Nothing })
    }

    fn add_pieces(&mut self, said: &Bitfield) -> News {
        let added = said.minus(&self.has);
        for piece in added.iter() {
            self.has.insert(piece);
        }
        let is_news = added.count() > 0;
        self.added = Some(added).filter(|_| is_news);
        if is_news { News::HasMore } else { News::Nothing }
    }

    /// BEP 6: stands for a `bitfield` with all bits set. aria2 sends it also when it has become a seed.
    fn on_have_all(&mut self, opening: bool) -> News {
        if self.has.is_full() {
            return News::Nothing;
        }
        let all = Bitfield::full(self.geometry.pieces);
        if !opening {
            return self.add_pieces(&all);
        }
        self.has = all;
        News::HasMany
    }

    /// BEP 6 wants each request answered or rejected; BEP 3 says nothing to one that is not answered.
    fn on_request(&mut self, block: Block) -> Result<News, Misbehaved> {
        let block = self.geometry.check_block(block)?;
        if self.am_answering(block.piece) && block.length <= REQUEST_BYTES_MAX {
            return Ok(News::Asks(block));
        }
        // Does not fit only if the peer asks for more than our `reqq` allows while we wait for its blocks: else it is read
        // no further than there is room for answers. None may be lost.
        if self.fast && !self.outbox.push(Message::Reject(block)) {
            return Err(Misbehaved::Flood);
        }
        Ok(News::Nothing)
    }

    /// Whether we answer requests for `piece`. What was allowed stays so until it has it: to reject what was allowed would
    /// have it asked for again and again.
    fn am_answering(&self, piece: u32) -> bool {
        !self.am_choking || (self.granted.contains(&piece) && !self.has.has(piece))
    }

    /// BEP 6: True if it has so few pieces that some are allowed to it while it is choked. Not before it has said what it
    /// has.
    pub fn is_starting(&self) -> bool {
        self.fast && !self.opening && (self.has.count() as usize) < ALLOWED_FAST_GRANTED
    }

    /// True as long as it may still tell what it has.
    pub fn is_opening(&self) -> bool {
        self.opening
    }

    fn on_cancel(&self, block: Block) -> Result<News, Misbehaved> {
        let block = self.geometry.check_block(block)?;
        // A choked peer's requests are void or rejected already.
        Ok(if self.am_choking && self.granted.is_empty() { News::Nothing } else { News::Cancels(block) })
    }

    fn on_allowed_fast(&mut self, piece: u32) -> Result<News, Misbehaved> {
        let piece = self.geometry.check_piece(piece)?;
        if self.allowed_fast.contains(&piece) || self.allowed_fast.len() >= ALLOWED_FAST_MAX {
            return Ok(News::Nothing);
        }
        self.allowed_fast.push(piece);
        Ok(News::AllowedFast(piece))
    }

    /// BEP 10: may come again, and then changes only what it names.
    fn on_extended_handshake(&mut self, payload: &[u8]) -> Result<News, Misbehaved> {
        let said = ExtendedHandshake::parse(payload)?;
        self.reqq = said.reqq.unwrap_or(self.reqq);
        self.listen_port = said.port.or(self.listen_port);
        self.upload_only = said.upload_only.unwrap_or(self.upload_only);
        // Once: who says it often does not know better.
        if !core::mem::replace(&mut self.introduced, true) {
            self.your_ip = said.your_ip;
        }
        if !said.client.is_empty() {
            self.client = said.client.into();
        }
        Ok(News::Introduced)
    }
}

impl News {
    /// False for news that a peer can repeat for ever without anything coming of it. `have` and `allowed fast` run out
    /// by themselves, and requests are bounded where they are queued. A cancel has to be looked for among all that wait.
    const fn brings_forward(self) -> bool {
        matches!(self, Self::Has(_) | Self::HasMany | Self::HasMore | Self::AllowedFast(_) | Self::Asks(_))
    }
}
