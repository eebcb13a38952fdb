//! The table of streams: who is behind a name, as long as the name is good.

use super::telling::Told;
use super::uploads::Service;
use crate::base::limits::REJECT_REST;
use crate::base::{Block, Instant, StreamId, TorrentId};
use crate::download::{Buffer, Pipeline};
use crate::peer::Peer;
use crate::tracker::Handle;
use crate::wire::{Framer, HandshakeReader};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use slab::Slab;

/// What a stream is for.
#[derive(Debug)]
pub enum Role {
    /// A peer, from the first attempt to reach it.
    Peer(Box<Connection>),
    /// Somebody who came to us and has not said for which torrent.
    Arrival(Box<Arrival>),
    /// A tracker's connection.
    Tracker {
        /// Whose tracker.
        torrent: TorrentId,
        /// The announce.
        handle: Handle,
        /// What is to be sent; grows empty from the front.
        request: Outgoing,
    },
    /// As long as it is open, the proxy carries datagrams.
    Relay,
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// All of `bytes` are to be sent.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    /// What is left to be sent.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// `count` more bytes are sent; at the end the memory is given back.
    pub fn consume(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// Somebody who came to us, until the handshake says for which torrent.
#[derive(Debug)]
pub struct Arrival {
    pub address: SocketAddr,
    pub deadline: Instant,
    pub reader: HandshakeReader,
    /// What is said to it if we turn out to be it ourselves.
    pub answer: Outgoing,
}

/// A connection to a peer.
#[derive(Debug)]
pub struct Connection {
    pub torrent: TorrentId,
    pub address: SocketAddr,
    /// It came to us.
    pub incoming: bool,
    /// Where it can be dialled, if that is known and is not `address`.
    pub listens_at: Option<SocketAddr>,
    /// Our handshake; what is left of it goes out before anything else.
    pub handshake: Outgoing,
    pub stage: Stage,
}

/// How far a connection is.
#[derive(Debug)]
pub enum Stage {
    /// TCP is on its way, until this deadline.
    Connecting(Instant),
    /// The peer's handshake is on its way, until the deadline.
    Shaking { deadline: Instant, reader: HandshakeReader },
    /// Messages flow.
    Open(Box<Open>),
}

/// A connection past its handshake.
#[derive(Debug)]
pub struct Open {
    pub peer: Peer,
    /// When the handshakes were exchanged.
    pub opened: Instant,
    /// Not here while its items are being handled.
    pub framer: Option<Framer>,
    pub pipeline: Pipeline,
    /// Pieces that it answers requests for while choking us (BEP 6), as far as it has them; few.
    pub allowed: Vec<u32>,
    /// Where the block in progress lands; `None` if nobody needs it.
    pub landing: Option<Buffer>,
    /// Pieces that the peer has and we have not verified.
    pub wanted: u32,
    /// The peer's pieces are counted one by one in the picker; not so for peers that had everything at once.
    pub counted: bool,
    /// It could be asked for more, but there was nothing: it is tried again when something changes.
    pub starved: bool,
    /// When it last sent a block that was kept; at first, when it came.
    pub useful_at: Instant,
    /// When it first let us ask after it had last been of use; [`Instant::ZERO`] if it has not.
    pub unchoked_at: Instant,
    /// It has rejected a request and is not asked before this.
    pub rests_until: Instant,
    /// Its search for a piece goes on in the next turn.
    pub searching: bool,
    /// It is not read until there is memory for what it brings.
    pub waits_for_room: bool,
    /// What it asks of us.
    pub service: Service,
    /// A wish to flush is under way.
    pub flushing: bool,
    /// What it was told that we have.
    pub told: Told,
    /// Bytes of blocks that nobody had asked for.
    pub unasked_bytes: u64,
    /// Bytes of memory that it held when that was counted last.
    pub weight: u32,
}

impl Open {
    /// It has rejected a request without choking us: it does not seem to have `piece`. If that is not all that is wrong with
    /// it, it rests.
    pub fn refuse(&mut self, now: Instant, piece: u32) {
        self.pipeline.refuse(now, piece);
        if self.pipeline.refuses_all() || now.since(self.useful_at) > REJECT_REST {
            self.rests_until = now + REJECT_REST;
        }
    }

    /// `piece` may not be asked for any more while it chokes us. True if it might before.
    pub fn disallow(&mut self, piece: u32) -> bool {
        let nth = self.allowed.iter().position(|&allowed| allowed == piece);
        nth.map(|nth| self.allowed.swap_remove(nth)).is_some()
    }

    /// When the peer will have been silent for too long; while it is not read, it cannot be heard.
    pub fn silence_deadline(&self) -> Option<Instant> {
        self.pipeline.snub_deadline().filter(|_| self.is_read())
    }

    /// False while what it says waits with the kernel.
    pub fn is_read(&self) -> bool {
        !self.waits_for_room && !self.service.unheard && !self.service.down.is_waiting()
    }

    /// So many bytes of `block` have come from it.
    pub fn on_block_bytes(&mut self, now: Instant, block: Block, count: usize) {
        self.peer.on_block_bytes(now, count);
        self.pipeline.flows(now, block);
    }
}

/// All streams. Slots are used again; names are not.
#[derive(Debug, Default)]
pub struct Streams {
    slab: Slab<(u32, Role)>,
    generation: u32,
}

impl Streams {
    /// Adds a stream and names it.
    pub fn insert(&mut self, role: Role) -> StreamId {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slab.insert((self.generation, role)) as u32;
        StreamId { slot, generation: self.generation }
    }

    /// Forgets a stream.
    pub fn remove(&mut self, stream: StreamId) -> Option<Role> {
        self.get(stream)?;
        Some(self.slab.remove(stream.slot as usize).1)
    }

    /// The stream, unless the name is stale.
    pub fn get(&self, stream: StreamId) -> Option<&Role> {
        let (generation, role) = self.slab.get(stream.slot as usize)?;
        (*generation == stream.generation).then_some(role)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, stream: StreamId) -> Option<&mut Role> {
        let (generation, role) = self.slab.get_mut(stream.slot as usize)?;
        (*generation == stream.generation).then_some(role)
    }

    /// The connection, if the stream is a peer's.
    pub fn connection(&mut self, stream: StreamId) -> Option<&mut Connection> {
        match self.get_mut(stream)? {
            Role::Peer(connection) => Some(connection),
            Role::Arrival(_) | Role::Tracker { .. } | Role::Relay => None,
        }
    }

    /// Gives a stream another role, under its name. False if the name is stale.
    pub fn replace(&mut self, stream: StreamId, role: Role) -> bool {
        self.get_mut(stream).map(|old| *old = role).is_some()
    }

    /// The torrent and the open connection, if the stream is a peer's past its handshake.
    pub fn open(&mut self, stream: StreamId) -> Option<(TorrentId, &mut Open)> {
        let connection = self.connection(stream)?;
        match &mut connection.stage {
            Stage::Open(open) => Some((connection.torrent, open)),
            _ => None,
        }
    }

    /// Every stream with its name.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Role)> {
        self.slab
            .iter()
            .map(|(slot, (generation, role))| (StreamId { slot: slot as u32, generation: *generation }, role))
    }

    /// Every open connection with its name and torrent.
    pub fn iter_open(&self) -> impl Iterator<Item = (StreamId, TorrentId, &Connection, &Open)> {
        self.iter().filter_map(|(stream, role)| match role {
            Role::Peer(connection) => match &connection.stage {
                Stage::Open(open) => Some((stream, connection.torrent, &**connection, &**open)),
                _ => None,
            },
            Role::Arrival(_) | Role::Tracker { .. } | Role::Relay => None,
        })
    }

    /// The same, to be changed.
    pub fn iter_open_mut(&mut self) -> impl Iterator<Item = (StreamId, TorrentId, &mut Open)> {
        self.slab.iter_mut().filter_map(|(slot, (generation, role))| {
            let stream = StreamId { slot: slot as u32, generation: *generation };
            match role {
                Role::Peer(connection) => match &mut connection.stage {
                    Stage::Open(open) => Some((stream, connection.torrent, &mut **open)),
                    _ => None,
                },
                Role::Arrival(_) | Role::Tracker { .. } | Role::Relay => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connecting(port: u16) -> Role {
        Role::Peer(Box::new(Connection {
            torrent: TorrentId(0),
            address: ([127, 0, 0, 1], port).into(),
            incoming: false,
            listens_at: None,
            handshake: Outgoing::default(),
            stage: Stage::Connecting(Instant::ZERO),
        }))
    }

    #[test]
    fn a_stale_name_names_nobody() {
        let mut streams = Streams::default();
        let first = streams.insert(connecting(1));
        assert!(streams.remove(first).is_some() && streams.remove(first).is_none());
        let second = streams.insert(connecting(2));
        assert_eq!(second.slot, first.slot);
        assert!(streams.get(first).is_none() && streams.connection(first).is_none());
        assert_eq!(streams.connection(second).unwrap().address.port(), 2);
        assert!(streams.open(second).is_none());
    }
}
