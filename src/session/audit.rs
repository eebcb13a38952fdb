//! Whether everything that the session knows agrees, for simulation and fuzzing: looks at everything.

use super::Session;
use super::streams::{Open, Role};
use crate::base::limits::{DEPARTED_MAX, HALF_OPEN_MAX};
use crate::base::{StreamId, TorrentId};

impl Session {
    /// Panics unless the rooms agree with each other and with their bounds. For simulation and fuzzing.
    #[doc(hidden)]
    pub fn check(&self) {
        self.check_counts();
        self.torrents.iter().for_each(|torrent| torrent.download.check());
        let reserved: u32 = self.torrents.iter().map(|torrent| torrent.download.reserved_blocks()).sum();
        assert_eq!(reserved, self.pool.reserved(), "reserved blocks");
        // Pieces that are whole cannot be given up, but they need no more memory either.
        let unfinished = self.torrents.iter().any(|torrent| torrent.download.is_unfinished());
        assert!(!self.pool.is_overdrawn() || !unfinished, "more is promised than can be kept");
        assert!(self.pool.made_bytes() <= self.pool.limit_bytes());
        self.check_buffers();
        self.check_device();
        self.check_weights();
        self.check_availability();
        self.streams.iter_open().for_each(|(stream, id, _, open)| self.check_open(stream, id, open));
        assert!(self.crowd.departed.len() <= DEPARTED_MAX && self.crowd.half_open <= HALF_OPEN_MAX);
    }

    fn check_buffers(&self) {
        let kept: u32 = self.torrents.iter().map(|torrent| torrent.download.kept_buffers()).sum();
        let landing = self.streams.iter_open().filter(|(.., open)| open.landing.is_some()).count() as u32;
        assert_eq!(self.lent_buffers(), kept + landing, "buffers: {kept} kept, {landing} in progress");
    }

    /// The picker knows of every counted piece of every peer, and of no other.
    fn check_availability(&self) {
        for (nth, torrent) in self.torrents.iter().enumerate() {
            let own = self.streams.iter_open().filter(|(_, id, ..)| id.0 as usize == nth);
            let counted =
                |open: &Open| if open.counted { open.peer.has.count() } else { open.allowed.len() as u32 };
            let told: u64 = own.map(|(.., open)| u64::from(counted(open))).sum();
            let pieces = 0..torrent.metainfo.geometry().pieces;
            let known: u64 = pieces.map(|piece| u64::from(torrent.download.availability(piece))).sum();
            assert_eq!(told, known, "availability");
        }
    }

    /// A connection agrees with its torrent: what is wanted of it, what it is asked for, what it is told.
    fn check_open(&self, stream: StreamId, id: TorrentId, open: &Open) {
        let download = &self.torrents[id.0 as usize].download;
        assert_eq!(open.wanted, download.wanted_of(&open.peer.has), "pieces wanted of {stream:?}");
        let told = open.peer.am_interested == (open.wanted > 0);
        assert!(told || open.peer.outbox.free_bytes() < 17, "interest of {stream:?}");
        let live = open.pipeline.live();
        assert_eq!(live.clone().count() as u32, open.pipeline.outstanding());
        live.for_each(|block| assert!(download.is_asked(stream, block), "{block:?} of {stream:?}"));
        assert!(open.framer.is_some());
    }

    fn check_counts(&self) {
        let roles = || self.streams.iter().map(|(_, role)| role);
        let served = self.streams.iter_open().filter(|(.., open)| !open.peer.am_choking).count();
        assert_eq!(self.serving.served, served as u32);
        assert_eq!(self.crowd.arrivals, roles().filter(|role| matches!(role, Role::Arrival(_))).count());
        assert_eq!(self.crowd.open, self.streams.iter_open().count() as u32);
        let willing = self.streams.iter_open().filter(|(.., open)| !open.peer.choking).count();
        assert_eq!(self.crowd.willing, willing as u32);
        assert!(self.crowd.open <= self.settings.max_peers, "more peers than there are places");
        for (nth, torrent) in self.torrents.iter().enumerate() {
            let own = |role: &&Role| matches!(role, Role::Peer(peer) if peer.torrent.0 as usize == nth);
            let open = self.streams.iter_open().filter(|(_, id, ..)| id.0 as usize == nth);
            let seeds = open.filter(|(_, _, _, open)| open.peer.has.is_full()).count();
            assert_eq!(torrent.seeds, seeds as u32);
            assert_eq!(torrent.peers + torrent.connecting, roles().filter(own).count() as u32);
        }
    }
}
