//! Whom to dial next, and how many at a time.

use super::Session;
use super::torrents::Torrent;
use crate::base::limits::{DIAL_SPACING, ENOUGH_PEERS, HALF_OPEN_MAX, OUTAGE_MIN};
use crate::base::{Instant, TorrentId};

/// Whose turn it is to dial, and how the network seems to be.
#[derive(Debug)]
pub(super) struct Dialing {
    /// The torrent whose turn it is, counted on.
    next_torrent: usize,
    /// When a peer was last dialled; at first, when the run began.
    last: Instant,
    /// When somebody was last heard, and whether addresses were found to be out of reach since then.
    heard_at: Option<Instant>,
    pub outage: bool,
}

impl Dialing {
    /// Nobody was dialled or heard; the run begins.
    pub fn new(now: Instant) -> Self {
        Self { next_torrent: 0, last: now, heard_at: None, outage: false }
    }
}

impl Session {
    /// Dials candidates of all torrents in turn, as far as half-open connections and `--max-peers` allow.
    pub(super) fn dial_candidates(&mut self, now: Instant) {
        if self.ending.quitting.is_some() {
            return;
        }
        let mut idle = 0;
        while idle < self.torrents.len() && self.has_room_for_a_peer() {
            let nth = self.dialing.next_torrent % self.torrents.len();
            self.dialing.next_torrent = nth + 1;
            let may = self.torrents[nth].wants_peers() && self.dial_from(&self.torrents[nth]) <= now;
            let candidates = &mut self.torrents[nth].candidates;
            let address = if may { candidates.next(now, &mut self.rng) } else { None };
            match address {
                Some(address) => {
                    idle = 0;
                    self.dialing.last = now;
                    self.dial(now, TorrentId(nth as u32), address);
                }
                None => idle += 1,
            }
        }
    }

    /// True if nobody was heard lately: whoever cannot be reached then may be no worse than our own network.
    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        self.dialing.heard_at.is_none_or(|heard| now.since(heard) >= OUTAGE_MIN)
    }

    /// Somebody was heard.
    pub(super) fn on_sign_of_life(&mut self, now: Instant) {
        self.dialing.heard_at = Some(now);
        if core::mem::take(&mut self.dialing.outage) {
            self.torrents.iter_mut().for_each(|torrent| torrent.candidates.reconnect(now));
        }
    }

    fn has_room_for_a_peer(&self) -> bool {
        // Those who come and say nothing must not keep us from calling others.
        let arrivals = (self.crowd.arrivals as u32).min(self.settings.max_peers / 4);
        let open = self.crowd.open + arrivals;
        self.crowd.half_open < HALF_OPEN_MAX && open + (self.crowd.half_open as u32) < self.settings.max_peers
    }

    /// From when on a torrent may dial. With enough peers that is no longer urgent, and each attempt costs the router a
    /// place in its table. As long as no seed is among them, pieces may be missing that the next peer has.
    fn dial_from(&self, torrent: &Torrent) -> Instant {
        let enough = ENOUGH_PEERS.min(self.settings.max_peers / 2).max(1);
        let is_urgent = torrent.peers < enough || (torrent.is_downloading() && torrent.seeds == 0);
        if is_urgent { Instant::ZERO } else { self.dialing.last + DIAL_SPACING }
    }

    /// When a candidate may be dialled; `None` if there is none or no room.
    pub(super) fn dial_deadline(&self) -> Option<Instant> {
        if self.ending.quitting.is_some() || !self.has_room_for_a_peer() {
            return None;
        }
        let waiting = self.torrents.iter().filter(|torrent| torrent.wants_peers());
        let due = |torrent: &Torrent| Some(torrent.candidates.next_deadline()?.max(self.dial_from(torrent)));
        waiting.filter_map(due).min()
    }
}
