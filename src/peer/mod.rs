//! Floor 3: one connection in the words of the BEPs: who chokes whom, who has what, what is to be sent. Knows neither
//! sockets nor the bytes of pieces, and decides nothing about requests: it keeps the rules, the session plays.

mod client_name;
mod flood;
mod news;
mod outbox;

pub use client_name::client_name;
pub use news::News;
pub use outbox::Outbox;

use crate::base::limits::{IDLE_TIMEOUT, KEEP_ALIVE_EARLY, KEEP_ALIVE_INTERVAL, REQQ_DEFAULT};
use crate::base::{Bitfield, Geometry, Instant, PeerId, Rate};
use crate::wire::{ExtendedHandshake, Handshake, Message, Misbehaved, extended};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use flood::Flood;

/// A peer that has shaken hands.
#[derive(Clone, Debug)]
pub struct Peer {
    /// How it names itself.
    pub id: PeerId,
    /// Where it is.
    pub address: SocketAddr,
    /// The pieces it has.
    pub has: Bitfield,
    /// What a late `bitfield` or `have all` has added to that; the session takes it at once.
    pub added: Option<Bitfield>,
    /// We answer none of its requests.
    pub am_choking: bool,
    /// We have told it that we want something it has; change it with [`Peer::set_interested`].
    pub am_interested: bool,
    /// It answers none of our requests.
    pub choking: bool,
    /// It wants something we have.
    pub interested: bool,
    /// Both sides speak the fast extension (BEP 6).
    pub fast: bool,
    /// Both sides speak the extension protocol (BEP 10).
    pub extended: bool,
    /// It downloads nothing any more (BEP 21).
    pub upload_only: bool,
    /// Requests it queues (`reqq` of BEP 10); at least 1.
    pub reqq: u32,
    /// The port it says it listens on (`p` of BEP 10).
    pub listen_port: Option<u16>,
    /// Our address as it sees it (`yourip` of BEP 10); the session takes it at once.
    pub your_ip: Option<IpAddr>,
    /// Client name in its own words (`v` of BEP 10); empty if it has not said. See [`Peer::client`].
    pub client: Vec<u8>,
    /// Pieces we may ask for while it chokes us (BEP 6); at most `ALLOWED_FAST_MAX`, without doubles.
    pub allowed_fast: Vec<u32>,
    /// Pieces that we answer requests for while choking it (BEP 6).
    pub granted: Vec<u32>,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// When its last message or bytes of a block came.
    pub last_received: Instant,
    /// When bytes were last sent.
    pub last_sent: Instant,
    /// Block bytes from it.
    pub down: Rate,
    /// Block bytes to it.
    pub up: Rate,
    geometry: Geometry,
    /// It has sent an extended handshake.
    introduced: bool,
    /// It may still tell what it has.
    opening: bool,
    flood: Flood,
}

/// What the clock brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerNews {
    /// Nothing.
    Nothing,
    /// A keep-alive is in the outbox, or other bytes that serve as one.
    KeepAlive,
    /// It was silent for too long: drop it.
    Idle,
}

impl Peer {
    /// A connection on which both handshakes have just been exchanged; `theirs` has been checked, and ours offered both
    /// extensions.
    pub fn new(now: Instant, address: SocketAddr, theirs: &Handshake, geometry: Geometry) -> Self {
        Self {
            id: theirs.peer_id,
            address,
            has: Bitfield::new(geometry.pieces),
            added: None,
            am_choking: true,
            am_interested: false,
            choking: true,
            interested: false,
            fast: theirs.fast,
            extended: theirs.extended,
            upload_only: false,
            reqq: REQQ_DEFAULT,
            listen_port: None,
            your_ip: None,
            introduced: false,
            client: Vec::new(),
            allowed_fast: Vec::new(),
            granted: Vec::new(),
            outbox: Outbox::default(),
            last_received: now,
            last_sent: now,
            down: Rate::default(),
            up: Rate::default(),
            geometry,
            opening: true,
            flood: Flood::default(),
        }
    }

    /// Pushes our first messages: what we `have`, then the extended handshake. In this order, because BEP 3 and BEP 6
    /// want the first to come first and BEP 10 does not mind. `listen_port` 0: we do not listen.
    pub fn greet(&mut self, have: &Bitfield, listen_port: u16) {
        match have.count() {
            0 if self.fast => self.outbox.push_first(Message::HaveNone),
            0 => {}
            _ if self.fast && have.is_full() => self.outbox.push_first(Message::HaveAll),
            _ => self.outbox.push_first(Message::Bitfield(have.as_wire())),
        }
        if self.extended {
            let mut payload = Vec::new();
            ExtendedHandshake::encode_ours(listen_port, have.is_full(), self.address.ip(), &mut payload);
            self.outbox.push_first(Message::Extended { id: extended::HANDSHAKE_ID, payload: &payload });
        }
    }

    /// Tells it that we download nothing any more (BEP 21), or that we do again. False if that does not fit.
    #[must_use = "a message that does not fit is lost"]
    pub fn tell_upload_only(&mut self, listen_port: u16, upload_only: bool) -> bool {
        let mut payload = Vec::new();
        ExtendedHandshake::encode_ours(listen_port, upload_only, self.address.ip(), &mut payload);
        self.outbox.push(Message::Extended { id: extended::HANDSHAKE_ID, payload: &payload })
    }

    /// True if it downloads nothing (any more).
    pub fn is_seed(&self) -> bool {
        self.has.is_full() || self.upload_only
    }

    /// Tells it that we want something it has, or nothing more, if it does not know. True if a message was pushed;
    /// when the outbox is full the state stays, so that the call can be repeated.
    pub fn set_interested(&mut self, interested: bool) -> bool {
        let message = if interested { Message::Interested } else { Message::NotInterested };
        let pushed = interested != self.am_interested && self.outbox.push(message);
        if pushed {
            self.am_interested = interested;
        }
        pushed
    }

    /// Whether it would answer a request for a block of `piece`.
    #[cfg(test)]
    fn answers(&self, piece: u32) -> bool {
        self.has.has(piece) && (!self.choking || self.allowed_fast.contains(&piece))
    }

    /// The client by its own words, or else by its peer id. May hold whatever a stranger wrote.
    pub fn client(&self) -> Vec<u8> {
        if self.client.is_empty() { client_name(&self.id).into_bytes() } else { self.client.clone() }
    }

    /// `count` bytes of a block have come from it.
    pub fn on_block_bytes(&mut self, now: Instant, count: usize) {
        self.opening = false;
        self.last_received = now;
        self.down.add(now, count as u64);
    }

    /// It sent something that brings nobody forward: a keep-alive, a message of an unknown id, a block nobody asked for.
    ///
    /// # Errors
    /// [`Misbehaved::Flood`].
    pub fn on_useless(&mut self, now: Instant) -> Result<(), Misbehaved> {
        self.last_received = now;
        self.flood.count(now)
    }

    /// The first `count` bytes of the outbox are sent.
    pub fn on_sent(&mut self, now: Instant, count: usize) {
        self.last_sent = now;
        self.outbox.consume(count);
    }

    /// When [`Peer::on_time`] has something to do.
    pub fn next_deadline(&self) -> Instant {
        (self.last_received + IDLE_TIMEOUT).min(self.last_sent + KEEP_ALIVE_INTERVAL)
    }

    /// Does what is due by `now`, or so soon that it is better done together.
    pub fn on_time(&mut self, now: Instant) -> TimerNews {
        if now >= self.last_received + IDLE_TIMEOUT {
            return TimerNews::Idle;
        }
        if now + KEEP_ALIVE_EARLY < self.last_sent + KEEP_ALIVE_INTERVAL {
            return TimerNews::Nothing;
        }
        // Counts as sent, also when the peer does not read, or else this would be due again at once.
        self.last_sent = now;
        self.outbox.release();
        self.outbox.push_keep_alive();
        TimerNews::KeepAlive
    }

    /// Bytes of memory held beside the peer itself and its bitfield.
    pub fn held_bytes(&self) -> usize {
        self.client.capacity()
            + (self.allowed_fast.capacity() + self.granted.capacity()) * size_of::<u32>()
            + self.outbox.held_bytes()
    }
}

#[cfg(test)]
mod tests;
