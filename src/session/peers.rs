//! A connection from dialling to farewell.

use super::streams::{Connection, Open, Outgoing, Role, Stage};
use super::telling::Told;
use super::uploads::Service;
use super::weighing::Held;
use super::{Action, CloseCause, Note, Session};
use crate::base::limits::{CONNECT_TIMEOUT, DEPARTED_MAX, HANDSHAKE_TIMEOUT, KEEP_ALIVE_INTERVAL};
use crate::base::{Bitfield, InfoHash, Instant, PeerId, StreamId, TorrentId};
use crate::download::Pipeline;
use crate::peer::Peer;
use crate::wire::{Framer, Handshake, HandshakeReader, Misbehaved};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

/// Connections to peers, over all torrents.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Those past their handshakes.
    pub open: u32,
    /// Of these, those that do not choke us.
    pub willing: u32,
    /// What the open ones hold.
    pub held: Held,
    /// Being opened or shaking hands.
    pub half_open: usize,
    /// Those that came to us and have not said for which torrent.
    pub arrivals: usize,
    /// Addresses of peers that are gone, for the case that they prove guilty later.
    pub departed: VecDeque<(StreamId, SocketAddr)>,
}

impl Crowd {
    /// Nobody; as many may come.
    pub fn new(max_peers: u32) -> Self {
        let held = Held::new(max_peers);
        Self { open: 0, willing: 0, held, half_open: 0, arrivals: 0, departed: VecDeque::new() }
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The stream is gone.
    Closed(CloseCause),
    /// It could not be opened in time.
    ConnectTimeout,
    /// Its handshake did not come in time.
    HandshakeTimeout,
    /// It was silent for too long.
    Idle,
    /// It does not read what we send.
    NeverReads,
    /// It broke the protocol.
    Guilty(Misbehaved),
    /// It sent a bad block.
    Banned,
    /// We are connected to it another time already.
    Twin,
    /// A file of ours cannot be read.
    OurFault,
    /// There is no room for it.
    Full,
    /// It holds more memory than others, and there is not enough for all.
    Greedy,
    /// It has sent nothing for long, and others wait for its place.
    Useless,
    /// The torrent is complete, so is the peer; or the run ends.
    Finished,
}

impl Farewell {
    /// True if nobody has answered.
    fn is_silence(self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout | Self::Closed(CloseCause::Unreachable) | Self::Closed(CloseCause::TimedOut)
        )
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(cause) => cause.fmt(f),
            Self::ConnectTimeout => CloseCause::TimedOut.fmt(f),
            Self::HandshakeTimeout => f.write_str("no handshake in time"),
            Self::Idle => f.write_str("silent for too long"),
            Self::NeverReads => f.write_str("it does not read what we send"),
            Self::Guilty(fault) => write!(f, "{fault}"),
            Self::Banned => f.write_str("it sent a bad block"),
            Self::OurFault => f.write_str("what it was being sent is lost on our disk"),
            Self::Twin => f.write_str("connected twice"),
            Self::Full => f.write_str("no room for more peers"),
            Self::Greedy => f.write_str("it takes more memory than there is for all peers"),
            Self::Useless => f.write_str("it gives us nothing, and others wait for its place"),
            Self::Finished => f.write_str("nothing left to exchange"),
        }
    }
}

impl Session {
    /// Opens a stream to a peer.
    pub(super) fn dial(&mut self, now: Instant, torrent: TorrentId, address: SocketAddr) {
        let stage = Stage::Connecting(now + CONNECT_TIMEOUT);
        let handshake = Outgoing::default();
        let (incoming, listens_at) = (false, None);
        let connection = Connection { torrent, address, incoming, listens_at, handshake, stage };
        let stream = self.streams.insert(Role::Peer(Box::new(connection)));
        self.torrents[torrent.0 as usize].connecting += 1;
        self.crowd.half_open += 1;
        self.walk_by(now + CONNECT_TIMEOUT);
        self.actions.push_back(Action::Connect { stream, address });
    }

    /// TCP is there: we speak first.
    pub(super) fn on_peer_connected(&mut self, now: Instant, stream: StreamId) {
        let our_id = self.our_id;
        let Some(connection) = self.streams.connection(stream) else { return };
        let torrent = &self.torrents[connection.torrent.0 as usize];
        connection.handshake = our_handshake(torrent.metainfo.info_hash, our_id);
        connection.stage =
            Stage::Shaking { deadline: now + HANDSHAKE_TIMEOUT, reader: HandshakeReader::new() };
        self.walk_by(now + HANDSHAKE_TIMEOUT);
        self.actions.push_back(Action::Flush { stream });
    }

    /// Bytes before the end of the peer's handshake.
    pub(super) fn on_handshake_bytes(
        &mut self,
        now: Instant,
        stream: StreamId,
        mut bytes: &[u8],
    ) -> Result<(), Misbehaved> {
        let our_id = self.our_id;
        let Some(connection) = self.streams.connection(stream) else { return Ok(()) };
        let Stage::Shaking { reader, .. } = &mut connection.stage else { return Ok(()) };
        let Some(theirs) = reader.next(&mut bytes)? else { return Ok(()) };
        let (torrent, address) = (&self.torrents[connection.torrent.0 as usize], connection.address);
        theirs.check(&torrent.metainfo.info_hash, &our_id)?;
        // Others may have come while it was dialled.
        if self.settle_twins(now, stream, theirs.peer_id) && self.finds_place(now, stream, address) {
            self.open_up(now, stream, &theirs);
            return self.feed(now, stream, bytes);
        }
        Ok(())
    }

    /// Both handshakes are exchanged: messages flow from here on.
    pub(super) fn open_up(&mut self, now: Instant, stream: StreamId, theirs: &Handshake) {
        let Some(id) = self.streams.connection(stream).map(|connection| connection.torrent) else { return };
        // What it is greeted with is no news to it afterwards.
        self.tell_all(now, id);
        let Some(connection) = self.streams.connection(stream) else { return };
        let address = connection.address;
        let torrent = &mut self.torrents[id.0 as usize];
        let geometry = torrent.download.geometry();
        let mut peer = Peer::new(now, address, theirs, geometry);
        let hides = torrent.is_hiding();
        let told = if hides { Told::Only(Bitfield::new(geometry.pieces)) } else { Told::All };
        let have = if let Told::Only(none) = &told { none } else { torrent.download.have() };
        peer.greet(have, self.settings.port);
        connection.stage = Stage::Open(Box::new(Open {
            peer,
            opened: now,
            framer: Some(Framer::new(geometry)),
            pipeline: Pipeline::new(theirs.fast),
            allowed: Vec::new(),
            landing: None,
            wanted: 0,
            counted: false,
            starved: false,
            useful_at: now,
            unchoked_at: Instant::ZERO,
            rests_until: Instant::ZERO,
            searching: false,
            waits_for_room: false,
            service: Service::default(),
            flushing: true,
            told,
            unasked_bytes: 0,
            weight: 0,
        }));
        torrent.connecting -= 1;
        torrent.peers += 1;
        self.crowd.open += 1;
        torrent.candidates.connected(now, address);
        self.crowd.half_open -= 1;
        self.looking.reached = true;
        self.actions.push_back(Action::Flush { stream });
        self.walk_by(now + KEEP_ALIVE_INTERVAL);
        self.note(Note::PeerConnected { torrent: id, address });
        self.weigh(stream);
        self.settle_hunger(id);
        self.reveal(now, stream);
    }

    /// The peer broke the protocol.
    pub(super) fn punish(&mut self, now: Instant, stream: StreamId, fault: Misbehaved) {
        self.drop_peer(now, stream, Farewell::Guilty(fault));
    }

    /// Ends a connection from our side.
    pub(super) fn drop_peer(&mut self, now: Instant, stream: StreamId, why: Farewell) {
        if self.forget_peer(now, stream, why) {
            self.actions.push_back(Action::Close { stream });
        }
    }

    /// The stream of a peer is gone: gives back everything that it held. False if the name is stale.
    pub(super) fn forget_peer(&mut self, now: Instant, stream: StreamId, why: Farewell) -> bool {
        let Some(Role::Peer(connection)) = self.streams.remove(stream) else { return false };
        let Connection { torrent: id, address, incoming, listens_at, stage, .. } = *connection;
        let torrent = &mut self.torrents[id.0 as usize];
        let useful = match stage {
            Stage::Open(open) => {
                torrent.peers -= 1;
                self.crowd.open -= 1;
                self.crowd.held.change(open.weight as usize, 0);
                self.crowd.willing -= u32::from(!open.peer.choking);
                self.give_slot_back(now, &open);
                let useful = open.peer.down.total_bytes() > 0;
                // Who has sent nothing cannot have spoiled anything: a crowd that comes and goes does not make us forget
                // those who have.
                if useful {
                    if self.crowd.departed.len() == DEPARTED_MAX {
                        self.crowd.departed.pop_front();
                    }
                    self.crowd.departed.push_back((stream, address));
                }
                self.give_back(now, id, stream, *open);
                Some(useful)
            }
            Stage::Connecting(_) | Stage::Shaking { .. } => {
                torrent.connecting -= 1;
                self.crowd.half_open -= 1;
                None
            }
        };
        // The port from which somebody came says nothing about where it can be reached.
        if let Some(address) = listens_at.or(Some(address).filter(|_| !incoming)) {
            self.settle_candidate(now, id, address, useful, why);
        }
        let guilty = match why {
            // We have dialled ourselves: nobody is to blame.
            Farewell::Guilty(fault) => fault != Misbehaved::SelfConnection,
            _ => matches!(why, Farewell::Banned | Farewell::NeverReads),
        };
        let why = why.to_string();
        if !incoming {
            self.note_peer_fault(address, &why);
        }
        self.note(Note::PeerGone { torrent: id, address, why, guilty });
        self.settle_hunger(id);
        true
    }

    /// What the farewell says about dialling the address again.
    fn settle_candidate(
        &mut self,
        now: Instant,
        id: TorrentId,
        address: SocketAddr,
        useful: Option<bool>,
        why: Farewell,
    ) {
        if why == Farewell::Guilty(Misbehaved::SelfConnection) {
            // Each torrent may have got it from its tracker.
            return self.torrents.iter_mut().for_each(|torrent| torrent.candidates.add_own(address));
        }
        let is_cut_off = self.is_cut_off(now);
        let candidates = &mut self.torrents[id.0 as usize].candidates;
        match (why, useful) {
            // Our own poverty says nothing about the peer, and neither does a broken proxy.
            (Farewell::Closed(cause), _) if cause.is_on_our_side() => candidates.put_back(now, address),
            (Farewell::Full, None) => candidates.put_back(now, address),
            (farewell, None) if is_cut_off && farewell.is_silence() => {
                self.dialing.outage = true;
                candidates.cut_off(now, address, &mut self.rng);
            }
            (Farewell::Guilty(_) | Farewell::NeverReads | Farewell::Greedy, Some(_)) => {
                candidates.closed(now, address, false, &mut self.rng);
            }
            // It is connected the other way.
            (Farewell::Twin, _) => {}
            (_, Some(useful)) => candidates.closed(now, address, useful, &mut self.rng),
            (_, None) => candidates.failed(now, address, &mut self.rng),
        }
    }

    /// Requests, availability and buffers of a connection return to their owners.
    fn give_back(&mut self, now: Instant, id: TorrentId, stream: StreamId, mut open: Open) {
        let torrent = &mut self.torrents[id.0 as usize];
        for block in open.pipeline.clear() {
            torrent.download.unrequest(stream, block);
        }
        torrent.download.forget(stream);
        self.unspread(now, id, stream);
        let torrent = &mut self.torrents[id.0 as usize];
        let counted = open.counted.then_some(&open.peer.has).into_iter().flat_map(Bitfield::iter);
        let allowed = open.allowed.iter().copied().filter(|_| !open.counted);
        counted.chain(allowed).for_each(|piece| torrent.download.remove_availability(piece));
        torrent.seeds -= u32::from(open.peer.has.is_full());
        if let Some(buffer) = open.landing.take() {
            self.pool.give(buffer);
        }
        if open.waits_for_room {
            self.waits.streams.retain(|&waiting| waiting != stream);
        }
        self.demand.returned = true;
    }

    /// The address behind a stream, also of one that is gone since not long ago.
    pub(super) fn address_of(&mut self, stream: StreamId) -> Option<SocketAddr> {
        let live = self.streams.connection(stream).map(|connection| connection.address);
        live.or_else(|| {
            self.crowd.departed.iter().find(|(old, _)| *old == stream).map(|&(_, address)| address)
        })
    }

    /// A peer sent a bad block: it is not spoken to again.
    pub(super) fn ban(&mut self, now: Instant, id: TorrentId, stream: StreamId, piece: u32) {
        let Some(address) = self.address_of(stream) else { return };
        self.note(Note::PeerBanned { torrent: id, address, piece });
        self.torrents[id.0 as usize].candidates.ban(address);
        self.drop_peer(now, stream, Farewell::Banned);
    }

    /// All connections of a torrent.
    pub(super) fn connections_of(&self, id: TorrentId) -> alloc::vec::Vec<StreamId> {
        let is_of = |role: &Role| matches!(role, Role::Peer(connection) if connection.torrent == id);
        self.streams.iter().filter(|(_, role)| is_of(role)).map(|(stream, _)| stream).collect()
    }

    /// Ends all connections of a torrent.
    pub(super) fn drop_all(&mut self, now: Instant, id: TorrentId) {
        for stream in self.connections_of(id) {
            self.drop_peer(now, stream, Farewell::Finished);
        }
    }
}

/// Our side of the handshake.
pub(super) fn our_handshake(info_hash: InfoHash, peer_id: PeerId) -> Outgoing {
    let ours = Handshake { info_hash, peer_id, fast: true, extended: true };
    Outgoing::new(ours.encode().to_vec())
}
