//! Memory that a torrent keeps and cannot use while another one needs it: for pieces of which nobody is asked for the rest,
//! because its peers are gone, or it is paused, or storing fails; and for verified pieces that cannot be stored.

use super::Session;
use crate::base::limits::{ORPHAN_HUNT_INTERVAL, ORPHANS_MAX};
use crate::base::{Instant, TorrentId};

impl Session {
    /// There is no memory for what a peer of `id` could be asked for: takes it from other torrents, if they keep some for
    /// nothing. Seldom, and no more than a piece needs.
    pub(super) fn hunt_orphans(&mut self, now: Instant, id: TorrentId) {
        if now < self.demand.next_orphan_hunt {
            return;
        }
        self.demand.next_orphan_hunt = now + ORPHAN_HUNT_INTERVAL;
        let blocks = self.torrents[id.0 as usize].download.geometry().blocks(0);
        let mut left = ORPHANS_MAX;
        for other in self.ids().filter(|&other| other != id) {
            while left > 0 && !self.pool.has_room_for(blocks) && self.give_up_idle(now, other) {
                left -= 1;
                self.demand.returned = true;
            }
        }
    }

    fn give_up_idle(&mut self, now: Instant, id: TorrentId) -> bool {
        let orphan = self.torrents[id.0 as usize].download.give_up_idle(now, &mut self.pool);
        orphan.is_some() || self.give_up_held(id)
    }
}
