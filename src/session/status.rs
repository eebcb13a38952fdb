//! What the user is told of the state of things.

use super::streams::{Connection, Open};
use super::{PeerFlags, PeerStatus, Phase, Session, Status, TorrentStatus, TrackerState, TrackerStatus};
use crate::base::{Instant, TorrentId};
use crate::tracker::State;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

impl Session {
    /// The state of everything, as `status` tells it; cheap enough for a progress line twice a second.
    pub fn status(&self, now: Instant) -> Status {
        let mut torrents: Vec<TorrentStatus> = self.ids().map(|id| self.torrent_status(now, id)).collect();
        for (_, id, _, open) in self.streams.iter_open().filter(|(.., open)| open.peer.am_interested) {
            if let Some(torrent) = torrents.get_mut(id.0 as usize) {
                torrent.useful += 1;
                torrent.willing += u32::from(!open.peer.choking);
            }
        }
        Status {
            torrents,
            buffered_bytes: self.pool.made_bytes(),
            buffer_limit_bytes: self.pool.limit_bytes(),
            down_limit: self.giving.down_limit,
            up_limit: self.giving.up_limit,
        }
    }

    /// Without what is counted over all peers at once: `useful` and `willing` are 0.
    fn torrent_status(&self, now: Instant, id: TorrentId) -> TorrentStatus {
        let torrent = &self.torrents[id.0 as usize];
        let (have, geometry) = (torrent.download.have(), torrent.download.geometry());
        let size_bytes = torrent.metainfo.layout.wanted_bytes();
        let down_rate = torrent.down.per_second(now);
        let left = size_bytes.saturating_sub(torrent.done_bytes);
        let is_flowing = torrent.phase() == Phase::Downloading && down_rate > 0;
        TorrentStatus {
            torrent: id,
            info_hash: torrent.metainfo.info_hash,
            phase: torrent.phase(),
            size_bytes,
            done_bytes: torrent.done_bytes,
            held_bytes: torrent.download.held().map(|piece| torrent.wanted_bytes(piece)).sum(),
            pieces: geometry.pieces,
            pieces_have: have.count(),
            pieces_open: torrent.download.open_pieces(),
            pieces_checked: torrent.checking.as_ref().map_or(geometry.pieces, |check| check.piece()),
            downloaded_bytes: torrent.down.total_bytes(),
            uploaded_bytes: torrent.up.total_bytes(),
            given_bytes: self.past(now, id).uploaded_bytes,
            duplicate_bytes: torrent.duplicate_bytes,
            corrupt_bytes: torrent.corrupt_bytes,
            down_rate,
            up_rate: torrent.up.per_second(now),
            time_left: is_flowing.then(|| Duration::from_secs(left / down_rate)),
            peers: torrent.peers,
            seeds: torrent.seeds,
            useful: 0,
            willing: 0,
            connecting: torrent.connecting,
            known: torrent.candidates.len() as u32,
            next_announce: torrent.trackers.next_announce().map(|due| now.until(due)),
            trackers: torrent.trackers.counts(),
            swarm: torrent.trackers.swarm(),
            fault: torrent.stall.map(|stall| stall.fault),
            pieces_unreadable: torrent.unreadable.pieces,
        }
    }

    /// Everybody who is connected, torrent by torrent.
    pub(super) fn peer_statuses(&self, now: Instant) -> Vec<PeerStatus> {
        let share = self.share_blocks();
        let status = |(_, torrent, connection, open): (_, TorrentId, &Connection, &Open)| {
            let peer = &open.peer;
            let flags = PeerFlags {
                interested: peer.am_interested,
                unchoked: !peer.choking,
                peer_interested: peer.interested,
                peer_unchoked: !peer.am_choking,
                snubbed: open.pipeline.is_snubbed(),
                fast: peer.fast,
                extended: peer.extended,
                incoming: connection.incoming,
            };
            PeerStatus {
                torrent,
                address: connection.address,
                client: peer.client(),
                flags,
                down_rate: peer.down.per_second(now),
                up_rate: peer.up.per_second(now),
                downloaded_bytes: peer.down.total_bytes(),
                uploaded_bytes: peer.up.total_bytes(),
                has_permille: (u64::from(peer.has.count()) * 1000 / u64::from(peer.has.len().max(1))) as u32,
                requests: (open.pipeline.outstanding(), open.pipeline.window(share)),
            }
        };
        let mut all: Vec<PeerStatus> = self.streams.iter_open().map(status).collect();
        all.sort_by_key(|peer| peer.torrent);
        all
    }

    /// For each torrent, the bytes that are there of each of its files. Looks at every piece.
    pub(super) fn file_statuses(&self) -> Vec<(TorrentId, Vec<u64>)> {
        let of = |(nth, torrent): (usize, &super::torrents::Torrent)| {
            let layout = &torrent.metainfo.layout;
            let mut bytes = alloc::vec![0; layout.count() as usize];
            for piece in torrent.download.have().iter() {
                let range = torrent.download.geometry().piece_range(piece);
                for segment in layout.segments(range.start, range.end - range.start) {
                    bytes[segment.file as usize] += segment.length;
                }
            }
            (TorrentId(nth as u32), bytes)
        };
        self.torrents.iter().enumerate().map(of).collect()
    }

    pub(super) fn tracker_statuses(&self, now: Instant) -> Vec<TrackerStatus> {
        let of = |(nth, torrent): (usize, &super::torrents::Torrent)| {
            let status = move |view: crate::tracker::View<'_>| TrackerStatus {
                torrent: TorrentId(nth as u32),
                tier: view.tier as u32,
                url: view.url.to_string(),
                state: match view.state {
                    _ if view.asking => TrackerState::Asking,
                    State::Untried => TrackerState::Untried,
                    State::Good => TrackerState::Good,
                    State::Failed(why) => TrackerState::Failed(why.clone()),
                    State::Unsupported(why) => TrackerState::Unsupported(why.clone()),
                },
                peers: view.peers,
                counts: view.counts,
                next: view.next.map(|due| now.until(due)),
            };
            torrent.trackers.views().map(status).collect::<Vec<_>>()
        };
        self.torrents.iter().enumerate().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::rig::{NOW, session, settings};
    use crate::session::{Action, Event, Settings};

    /// A session with one torrent of one piece, and a peer past its handshake that has nothing.
    fn with_peer() -> (Session, crate::base::StreamId) {
        let peers = alloc::vec!["9.9.9.9:5".parse().unwrap()];
        let mut session = session(Settings { peers, ..settings() }, true);
        let connect = |action| if let Action::Connect { stream, .. } = action { Some(stream) } else { None };
        let stream = core::iter::from_fn(|| session.next_action()).find_map(connect).unwrap();
        session.handle(NOW, Event::Connected { stream });
        let mut theirs = session.outgoing(stream).to_vec();
        session.sent(NOW, stream, theirs.len());
        theirs[20..28].fill(0);
        theirs[48..].fill(3);
        session.received(NOW, stream, &theirs);
        (session, stream)
    }

    #[test]
    fn who_has_what_we_lack_is_useful_and_who_lets_us_ask_is_willing() {
        let (mut session, stream) = with_peer();
        let mut counts = |message: &[u8]| {
            session.received(NOW, stream, message);
            let TorrentStatus { peers, useful, willing, .. } = session.status(NOW).torrents[0];
            (peers, useful, willing)
        };
        assert_eq!(counts(&[]), (1, 0, 0));
        assert_eq!(counts(&[0, 0, 0, 1, 1]), (1, 0, 0), "unchoked by somebody who has nothing");
        assert_eq!(counts(&[0, 0, 0, 1, 0]), (1, 0, 0));
        assert_eq!(counts(&[0, 0, 0, 5, 4, 0, 0, 0, 0]), (1, 1, 0), "have");
        assert_eq!(counts(&[0, 0, 0, 1, 1]), (1, 1, 1), "unchoke");
        assert_eq!(counts(&[0, 0, 0, 1, 0]), (1, 1, 0), "choke");
    }

    #[test]
    fn limits_are_those_in_force() {
        let (mut session, _) = with_peer();
        let up = crate::session::Command::Limit { up: true, rate: 2048 };
        session.handle(NOW, Event::Command(up));
        let Status { up_limit, down_limit, .. } = session.status(NOW);
        assert_eq!((up_limit, down_limit), (2048, 0));
    }
}
