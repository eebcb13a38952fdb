//! Connections that others open to us: bounded until they have shaken hands, and each peer connected once.

use super::peers::{Farewell, our_handshake};
use super::streams::{Arrival, Connection, Outgoing, Role, Stage};
use super::{Action, Session};
use crate::base::limits::{
    ARRIVALS_MAX, ARRIVALS_PER_ADDRESS_MAX, HANDSHAKE_TIMEOUT, INCOMING_PER_ADDRESS_MAX, TWIN_AGE_MAX,
};
use crate::base::{Instant, PeerId, StreamId, TorrentId};
use crate::candidates::Source;
use crate::wire::{Handshake, HandshakeReader, Misbehaved};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};

impl Session {
    /// Somebody has connected to us from `address`. Answers the name of the stream; `None` if it is to be closed at
    /// once, without a word.
    pub fn accept(&mut self, now: Instant, address: SocketAddr) -> Option<StreamId> {
        self.on_sign_of_life(now);
        if self.ending.quitting.is_some() || self.has_too_many_of(address) {
            return None;
        }
        if self.crowd.arrivals >= ARRIVALS_MAX {
            self.drop_worst_arrival();
        }
        let deadline = now + HANDSHAKE_TIMEOUT;
        let (reader, answer) = (HandshakeReader::new(), Outgoing::default());
        let arrival = Arrival { address, deadline, reader, answer };
        self.crowd.arrivals += 1;
        self.walk_by(deadline);
        Some(self.streams.insert(Role::Arrival(Box::new(arrival))))
    }

    /// True if the address of `address` has had its share of connections. Looks at all streams.
    fn has_too_many_of(&self, address: SocketAddr) -> bool {
        let (mut arrivals, mut open) = (0, 0);
        for (_, role) in self.streams.iter() {
            match role {
                Role::Arrival(other) => arrivals += usize::from(other.address.ip() == address.ip()),
                Role::Peer(other) if other.incoming => {
                    open += usize::from(other.address.ip() == address.ip());
                }
                Role::Peer(_) | Role::Tracker { .. } | Role::Relay => {}
            }
        }
        arrivals >= ARRIVALS_PER_ADDRESS_MAX || open >= INCOMING_PER_ADDRESS_MAX
    }

    /// Bytes of somebody whose torrent is not known yet.
    ///
    /// # Errors
    /// What is wrong with its handshake, if the torrent is known by then; else it is dropped without a word.
    pub(super) fn on_arrival_bytes(
        &mut self,
        now: Instant,
        stream: StreamId,
        mut bytes: &[u8],
    ) -> Result<(), Misbehaved> {
        let Some(Role::Arrival(arrival)) = self.streams.get_mut(stream) else { return Ok(()) };
        if !arrival.answer.rest().is_empty() {
            return Ok(());
        }
        let theirs = match arrival.reader.next(&mut bytes) {
            Ok(None) => return Ok(()),
            Ok(Some(theirs)) => theirs,
            Err(_) => {
                self.drop_arrival(stream);
                return Ok(());
            }
        };
        if theirs.peer_id == self.our_id {
            self.meet_ourselves(stream, &theirs);
            return Ok(());
        }
        if self.let_in(now, stream, &theirs) {
            self.open_up(now, stream, &theirs);
            return self.feed(now, stream, bytes);
        }
        Ok(())
    }

    /// We have dialled ourselves. Where a router turns the call round it seems to come from somewhere else: only our other
    /// end knows which address it has dialled. It is answered, and finds our id.
    fn meet_ourselves(&mut self, stream: StreamId, theirs: &Handshake) {
        let is_ours = self.torrents.iter().any(|torrent| torrent.metainfo.info_hash == theirs.info_hash);
        match self.streams.get_mut(stream) {
            Some(Role::Arrival(arrival)) if is_ours => {
                arrival.answer = our_handshake(theirs.info_hash, self.our_id);
                self.actions.push_back(Action::Flush { stream });
            }
            _ => self.drop_arrival(stream),
        }
    }

    /// `count` bytes of the answer to ourselves were sent: that was all that there is to say.
    pub(super) fn answered_ourselves(&mut self, stream: StreamId, count: usize) {
        let Some(Role::Arrival(arrival)) = self.streams.get_mut(stream) else { return };
        arrival.answer.consume(count);
        if arrival.answer.rest().is_empty() {
            self.drop_arrival(stream);
        }
    }

    /// Gives an arrival the place of a peer that we have just dialled, if its handshake allows.
    fn let_in(&mut self, now: Instant, stream: StreamId, theirs: &Handshake) -> bool {
        let Some(Role::Arrival(arrival)) = self.streams.get(stream) else { return false };
        let (address, deadline) = (arrival.address, arrival.deadline);
        let Some(id) = self.torrent_for(theirs, address) else {
            self.drop_arrival(stream);
            return false;
        };
        self.one_arrival_less();
        let info_hash = theirs.info_hash;
        let connection = Connection {
            torrent: id,
            address,
            incoming: true,
            listens_at: None,
            handshake: our_handshake(info_hash, self.our_id),
            stage: Stage::Shaking { deadline, reader: HandshakeReader::new() },
        };
        self.streams.replace(stream, Role::Peer(Box::new(connection)));
        self.torrents[id.0 as usize].connecting += 1;
        self.crowd.half_open += 1;
        self.settle_twins(now, stream, theirs.peer_id) && self.finds_place(now, stream, address)
    }

    /// The torrent that a handshake asks for, if we are ready to talk about it with this one.
    fn torrent_for(&self, theirs: &Handshake, address: SocketAddr) -> Option<TorrentId> {
        let is_it = |torrent: &super::torrents::Torrent| torrent.metainfo.info_hash == theirs.info_hash;
        let nth = self.torrents.iter().position(is_it)?;
        let torrent = &self.torrents[nth];
        let welcome = torrent.welcomes_peers() && !torrent.candidates.is_banned(address);
        welcome.then_some(TorrentId(nth as u32))
    }

    /// If the peer `id` is connected already from the same host, ends one of the two connections: from another one it may
    /// be somebody who only says its id. True if this one stays.
    pub(super) fn settle_twins(&mut self, now: Instant, stream: StreamId, id: PeerId) -> bool {
        let Some(connection) = self.streams.connection(stream) else { return false };
        let (torrent, incoming, address) = (connection.torrent, connection.incoming, connection.address);
        let host = |address: SocketAddr| address.ip().to_canonical();
        let twin = self.streams.iter_open().find(|(other, of, connection, open)| {
            let is_same = open.peer.id == id && host(connection.address) == host(address);
            *other != stream && *of == torrent && is_same
        });
        let Some((twin, _, other, open)) = twin else { return true };
        // Both sides see the same two connections and have to keep the same one: the one that was opened by the side
        // with the lower id.
        let opened_by_us = self.our_id.0 < id.0;
        let in_doubt = other.incoming != incoming && now.since(open.opened) < TWIN_AGE_MAX;
        let newer_stays = in_doubt && incoming != opened_by_us;
        let (stays, goes) = if newer_stays { (stream, twin) } else { (twin, stream) };
        self.drop_twin(now, stays, goes);
        newer_stays
    }

    /// Ends the connection `goes`. If we have dialled its address, the one that stays is known by it, so that it is dialled
    /// again when that is gone; or else it is dialled again later.
    fn drop_twin(&mut self, now: Instant, stays: StreamId, goes: StreamId) {
        let gone = self.streams.connection(goes).filter(|gone| !gone.incoming);
        if let Some((id, address)) = gone.map(|gone| (gone.torrent, gone.address)) {
            let heir =
                self.streams.connection(stays).filter(|heir| heir.incoming && heir.listens_at.is_none());
            match heir {
                Some(heir) => heir.listens_at = Some(address),
                None => self.torrents[id.0 as usize].candidates.closed(now, address, false, &mut self.rng),
            }
        }
        self.drop_peer(now, goes, Farewell::Twin);
    }

    /// A peer that came to us has said where it listens: it can be dialled there later, and not now.
    pub(super) fn learn_address(&mut self, now: Instant, stream: StreamId) {
        let Some(connection) = self.streams.connection(stream) else { return };
        let Stage::Open(open) = &connection.stage else { return };
        let Some(port) = open.peer.listen_port.filter(|_| connection.incoming) else { return };
        let address = SocketAddr::new(connection.address.ip(), port);
        if connection.listens_at.is_none() {
            connection.listens_at = Some(address);
            let candidates = &mut self.torrents[connection.torrent.0 as usize].candidates;
            candidates.add(now, address, Source::Incoming);
            candidates.connected(now, address);
        }
    }

    /// The stream of an arrival is gone.
    pub(super) fn forget_arrival(&mut self, stream: StreamId) {
        if self.streams.remove(stream).is_some() {
            self.one_arrival_less();
        }
    }

    fn one_arrival_less(&mut self) {
        self.crowd.arrivals = self.crowd.arrivals.saturating_sub(1);
    }

    fn drop_arrival(&mut self, stream: StreamId) {
        self.forget_arrival(stream);
        self.actions.push_back(Action::Close { stream });
    }

    /// Makes room for one more, so that those who never shake hands do not keep others out: of the address that has the
    /// most arrivals, or one of those, the oldest goes. Looks at all streams.
    fn drop_worst_arrival(&mut self) {
        let all = self.streams.iter().filter_map(|(stream, role)| match role {
            Role::Arrival(arrival) => Some((arrival.address.ip(), arrival.deadline, stream)),
            Role::Peer(_) | Role::Tracker { .. } | Role::Relay => None,
        });
        let mut all: Vec<(IpAddr, Instant, StreamId)> = all.collect();
        all.sort_unstable();
        let worst = all.chunk_by(|one, other| one.0 == other.0).map(|own| (own.len(), own[0]));
        let worst = worst.min_by_key(|&(count, (_, deadline, _))| (Reverse(count), deadline));
        if let Some((_, (_, _, stream))) = worst {
            self.drop_arrival(stream);
        }
    }

    /// Drops who has not shaken hands in time.
    pub(super) fn drop_late_arrivals(&mut self, now: Instant) {
        if self.crowd.arrivals == 0 {
            return;
        }
        let is_late = |role: &Role| matches!(role, Role::Arrival(arrival) if arrival.deadline <= now);
        let late: Vec<StreamId> =
            self.streams.iter().filter(|(_, role)| is_late(role)).map(|(stream, _)| stream).collect();
        late.into_iter().for_each(|stream| self.drop_arrival(stream));
    }

    /// Drops all arrivals, because the run ends.
    pub(super) fn drop_arrivals(&mut self) {
        let is_arrival = |role: &Role| matches!(role, Role::Arrival(_));
        let all: Vec<StreamId> =
            self.streams.iter().filter(|(_, role)| is_arrival(role)).map(|(stream, _)| stream).collect();
        all.into_iter().for_each(|stream| self.drop_arrival(stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Added;
    use crate::session::rig::{NOW, said, session, settings, torrent};
    use crate::session::{Command, Event, Settings};

    /// The streams on which `address` is dialled.
    fn dialled(session: &mut Session, address: SocketAddr) -> Vec<StreamId> {
        let stream = |action| match action {
            Action::Connect { stream, address: dialled } if dialled == address => Some(stream),
            _ => None,
        };
        core::iter::from_fn(|| session.next_action()).filter_map(stream).collect()
    }

    #[test]
    fn our_own_address_is_dialled_once_for_all_torrents_also_behind_a_router() {
        let own: SocketAddr = ([9, 9, 9, 9], 6881).into();
        let mut session = session(Settings { peers: alloc::vec![own], port: 6881, ..settings() }, true);
        session.add_torrent(NOW, torrent(&[[b'y'; 20]; 2]), false);
        let streams = dialled(&mut session, own);
        let [stream] = streams[..] else { panic!("{streams:?}") };
        session.handle(NOW, Event::Connected { stream });
        let greeting = session.outgoing(stream).to_vec();
        session.sent(NOW, stream, greeting.len());
        let arrival = session.accept(NOW, ([10, 0, 0, 1], 40_000).into()).unwrap();
        session.received(NOW, arrival, &greeting);
        let answer = session.outgoing(arrival).to_vec();
        session.received(NOW, arrival, b"noise");
        session.sent(NOW, arrival, answer.len());
        assert!(session.streams.get(arrival).is_none() && session.crowd.arrivals == 0);
        session.received(NOW, stream, &answer);
        assert!(session.streams.get(stream).is_none());
        for torrent in &mut session.torrents {
            assert_eq!(torrent.candidates.add(NOW, own, Source::Tracker), Added::Own);
        }
        // The other torrent begins only now.
        let bytes = &[1; 9];
        [0, 9]
            .into_iter()
            .for_each(|offset| session.handle(NOW, Event::Loaded { torrent: TorrentId(1), offset, bytes }));
        said(&mut session, Command::Add(own));
        assert_eq!(dialled(&mut session, own), []);
        session.check();
    }
}
