//! Memory that a torrent cannot use while another one needs it.

use crate::seeding;
use crate::stage::Stage;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use swarmlet::base::limits::{ORPHAN_AGE, ORPHAN_HUNT_INTERVAL};
use swarmlet::base::{Block, StreamId, TorrentId};
use swarmlet::meta::Metainfo;
use swarmlet::session::{CloseCause, Event, StorageFault, StorageFaultKind};
use swarmlet::wire::Message;

/// Two torrents of 32 MiB and the memory for 8, of which the first one has taken all for pieces that it has begun.
struct Two {
    stage: Stage,
    first: Arc<Metainfo>,
    second: Arc<Metainfo>,
    peers: Vec<StreamId>,
    owed: Vec<VecDeque<Block>>,
}

impl Two {
    fn new(piece_bytes: usize) -> Self {
        let mut stage = Stage::cut(piece_bytes, (32 << 20) / piece_bytes, seeding(), false, 200);
        let (first, second) = (stage.metainfo.clone(), stage.add_twin());
        let peers: Vec<StreamId> = (0..4).map(|nth| stage.peer(&format!("1.2.{nth}.4:5"), true)).collect();
        peers.iter().for_each(|&peer| stage.say(peer, &[Message::HaveAll, Message::Unchoke]));
        Self { stage, first, second, owed: vec![VecDeque::new(); peers.len()], peers }
    }

    /// Each peer of the first torrent sends so many blocks, in turn.
    fn send(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for (&peer, owed) in self.peers.iter().zip(&mut self.owed) {
                owed.extend(self.stage.asked(peer));
                if let Some(block) = owed.pop_front() {
                    self.stage.send_blocks(peer, &[block]);
                }
            }
            self.stage.wait(Duration::from_millis(2));
        }
    }

    /// A good seed of the second torrent comes. Pieces that it has given after so long.
    fn given_by_seed(&mut self, time: Duration) -> u32 {
        self.stage.metainfo = self.second.clone();
        let seed = self.stage.peer("7.7.7.7:7", true);
        self.stage.say(seed, &[Message::HaveAll, Message::Unchoke]);
        let end = self.stage.now + time;
        while self.stage.now < end {
            for block in self.stage.asked(seed) {
                self.stage.send_blocks(seed, &[block]);
            }
            self.stage.wait(Duration::from_millis(100));
        }
        self.stage.session.status(self.stage.now).torrents[1].pieces_have
    }
}

#[test]
fn what_a_torrent_without_peers_has_begun_gives_way() {
    let mut two = Two::new(4 << 20);
    // Three fit into what is promised, and the second torrent finds no place.
    while two.stage.session.status(two.stage.now).torrents[0].pieces_open < 3 {
        two.send(1);
    }
    for &peer in &two.peers {
        two.stage.session.handle(two.stage.now, Event::Closed { stream: peer, cause: CloseCause::Reset });
    }
    two.stage.act();
    assert!(two.given_by_seed(ORPHAN_AGE + 4 * ORPHAN_HUNT_INTERVAL + Duration::from_secs(30)) > 4);
}

#[test]
fn what_cannot_be_stored_gives_way_and_is_fetched_again() {
    let mut two = Two::new(1 << 20);
    let fault = StorageFault { kind: StorageFaultKind::NoSpace, file: 0, os_error: 28, missing_bytes: 1 };
    two.stage.fault = Some((TorrentId(0), fault));
    two.send(600);
    let status = two.stage.session.status(two.stage.now);
    let reserved = u64::from(status.torrents[0].pieces_open) << 20;
    assert!(reserved * 8 >= status.buffer_limit_bytes * 7, "{reserved} of {}", status.buffer_limit_bytes);
    assert!(two.given_by_seed(Duration::from_secs(60)) > 4);
    two.stage.fault = None;
    two.stage.metainfo = two.first.clone();
    two.send(2000);
    let status = two.stage.session.status(two.stage.now);
    assert!(status.torrents[0].pieces_have == 32, "{status:?}");
}
