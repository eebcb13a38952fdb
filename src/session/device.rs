//! The device under the files: how many bytes wait for it, and who waits for whom.
//!
//! All torrents of a run have one output directory, so that what they store goes to one device. What waits for it is
//! bounded for all of them together, and syncs come in rounds: when one torrent has to sync, all that have stored something
//! do. So whoever waits waits for bytes that are on their way, and how long a round takes tells what the device can do.

use super::Session;
use super::bound::Bound;
use crate::base::{Instant, TorrentId};
use alloc::collections::VecDeque;

/// What waits for the device.
#[derive(Debug)]
pub(super) struct Device {
    bound: Bound,
    /// Bytes that a power cut may take: of stores that are wished for, stored, or being synced.
    unsynced_bytes: u64,
    /// Of these, stored and in no sync.
    dirty_bytes: u64,
    /// Torrents whose stores wait, in their turn; each once.
    waiting: VecDeque<TorrentId>,
    round: Round,
}

/// Syncs that began together.
#[derive(Debug, Default)]
struct Round {
    since: Instant,
    bytes: u64,
    /// How many are not answered.
    left: u32,
    has_failed: bool,
}

impl Device {
    /// Nothing waits for it, and nothing is known of it. `memory_bytes` bounds how much may wait.
    pub fn new(memory_bytes: u64) -> Self {
        Self {
            bound: Bound::new(memory_bytes),
            unsynced_bytes: 0,
            dirty_bytes: 0,
            waiting: VecDeque::new(),
            round: Round::default(),
        }
    }

    /// True if there is room for a store of so many bytes. One is always let through, however large.
    pub fn admits(&self, bytes: u64) -> bool {
        self.unsynced_bytes == 0 || self.unsynced_bytes.saturating_add(bytes) <= self.bound.bytes
    }

    /// True if stores wait.
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The stores of a torrent wait from now on, behind all others.
    pub fn wait(&mut self, id: TorrentId) {
        self.waiting.push_back(id);
    }

    /// Whose turn it is.
    pub fn first_waiting(&self) -> Option<TorrentId> {
        self.waiting.front().copied()
    }

    /// Who is first has had its turn.
    pub fn end_first_wait(&mut self) {
        self.waiting.pop_front();
    }

    /// A store of so many bytes is wished for.
    pub fn wished(&mut self, bytes: u64) {
        self.unsynced_bytes += bytes;
    }

    /// So many bytes that were wished for are stored.
    pub fn stored(&mut self, bytes: u64) {
        self.dirty_bytes += bytes;
    }

    /// So many bytes that were stored are being synced.
    pub fn begun_to_sync(&mut self, bytes: u64) {
        self.dirty_bytes -= bytes;
    }

    /// So many bytes that were wished for, or being synced, are so no more: there is room again.
    pub fn released(&mut self, bytes: u64) {
        self.unsynced_bytes -= bytes;
    }

    /// True if what is stored is to be synced at once: stores wait for it, or would soon.
    pub fn is_pressing(&self) -> bool {
        self.dirty_bytes >= self.bound.bytes / 2 || self.is_waited_for()
    }

    /// True while a round of syncs is under way.
    pub fn is_in_round(&self) -> bool {
        self.round.left > 0
    }

    /// A sync of so many bytes begins, as one of a round.
    pub fn join_round(&mut self, now: Instant, bytes: u64) {
        if !self.is_in_round() {
            self.round = Round { since: now, ..Round::default() };
        }
        self.round.left += 1;
        self.round.bytes += bytes;
    }

    /// A sync of the round is answered.
    pub fn leave_round(&mut self, now: Instant, good: bool) {
        let round = &mut self.round;
        round.left -= 1;
        round.has_failed |= !good;
        if round.left == 0 && !round.has_failed {
            self.bound.learn(round.bytes, now.since(round.since));
        }
    }
}

impl Session {
    /// Panics unless what is counted for all torrents is what each has.
    pub(super) fn check_device(&self) {
        let each = self.torrents.iter().map(|torrent| torrent.durability.unsynced_bytes());
        let sums = each.fold((0, 0), |sums, own| (sums.0 + own.0, sums.1 + own.1));
        assert_eq!(
            (self.device.unsynced_bytes, self.device.dirty_bytes),
            sums,
            "bytes that wait for the device"
        );
        let waits = |id: &TorrentId| self.torrents[id.0 as usize].durability.holds_stores();
        let count = self.torrents.iter().filter(|torrent| torrent.durability.holds_stores()).count();
        assert!(self.device.waiting.iter().all(waits) && self.device.waiting.len() == count, "who waits");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Bitfield, StreamId};
    use crate::download::{Check, Pick, Pipeline};
    use crate::session::rig::{NOW, PIECE_BYTES, settings, torrent};
    use crate::session::{Action, Event, Session};
    use alloc::vec::Vec;
    use core::time::Duration;
    use sha1::{Digest, Sha1};

    const MIB: u64 = 1 << 20;

    /// A session with so many torrents of two pieces, of which nothing is there.
    fn session(torrents: u32) -> Session {
        let mut session = Session::new(NOW, crate::base::Rng::new(1), settings());
        let hash: [u8; 20] = Sha1::digest([7; PIECE_BYTES]).into();
        for _ in 0..torrents {
            session.add_torrent(NOW, torrent(&[hash; 2]), true);
        }
        while session.next_action().is_some() {}
        session
    }

    /// The next piece of a torrent comes, and is right.
    fn fetch(session: &mut Session, id: u32) {
        let (source, mut pipeline) = (StreamId { slot: 9, generation: 9 }, Pipeline::default());
        let Session { torrents, pool, rng, .. } = &mut *session;
        let download = &mut torrents[id as usize].download;
        let picked = download.pick(NOW, rng, source, &Bitfield::full(2), &mut pipeline, pool);
        let Pick::Block(block) = picked else { panic!("{picked:?}") };
        let mut buffer = pool.take().expect("room");
        buffer[..PIECE_BYTES].fill(7);
        download.arrived(source, block, buffer, pool);
        session.work(NOW, 1 << 20);
    }

    /// What the session wishes of the files: whose stores, and whose syncs, and whether of everything.
    fn wishes(session: &mut Session) -> (Vec<u32>, Vec<(u32, bool)>) {
        let (mut stores, mut syncs) = (Vec::new(), Vec::new());
        while let Some(action) = session.next_action() {
            match action {
                Action::Store { torrent, .. } => stores.push(torrent.0),
                Action::Sync { torrent, everything } => syncs.push((torrent.0, everything)),
                _ => {}
            }
        }
        (stores, syncs)
    }

    /// So many bytes of a torrent wait for the device, in a store that is number 99.
    fn wish(session: &mut Session, id: u32, bytes: u64) {
        session.torrents[id as usize].durability.wish(&mut session.device, 99, bytes);
    }

    fn answer(session: &mut Session, id: u32, stored: bool) {
        session.torrents[id as usize].durability.answered(&mut session.device, NOW, 99, stored);
        session.check();
    }

    #[test]
    fn who_waits_has_its_turn_and_waits_again_behind_the_others() {
        let mut session = session(3);
        wish(&mut session, 0, 4 * MIB);
        for id in [2, 0, 1, 1, 2, 0] {
            fetch(&mut session, id);
        }
        session.check();
        assert_eq!(wishes(&mut session), (Vec::new(), Vec::new()));
        answer(&mut session, 0, false);
        session.let_stores_in();
        assert_eq!(wishes(&mut session).0, [2, 0, 1, 2, 0, 1]);
        session.check();
    }

    #[test]
    fn who_cannot_store_for_now_keeps_nobody_waiting() {
        let mut session = session(2);
        wish(&mut session, 1, 4 * MIB);
        fetch(&mut session, 0);
        fetch(&mut session, 1);
        let fault = crate::session::StorageFault {
            kind: crate::session::StorageFaultKind::Io,
            file: 0,
            os_error: 5,
            missing_bytes: 0,
        };
        let store = crate::session::StoreId(98);
        session.handle(NOW, Event::StoreFailed { torrent: TorrentId(0), store, fault });
        session.check();
        answer(&mut session, 1, false);
        session.let_stores_in();
        assert_eq!(wishes(&mut session).0, [1]);
    }

    #[test]
    fn bytes_of_one_torrent_are_synced_because_another_waits_for_them() {
        let mut session = session(3);
        wish(&mut session, 0, MIB);
        wish(&mut session, 2, 3 * MIB);
        fetch(&mut session, 1);
        answer(&mut session, 0, true);
        assert_eq!(session.next_deadline(), Some(Instant::ZERO));
        session.on_time(NOW);
        assert_eq!(wishes(&mut session), (Vec::new(), Vec::from([(0, false)])));
        // The other's bytes are synced in the next round.
        answer(&mut session, 2, true);
        session.on_time(NOW);
        assert_eq!(wishes(&mut session), (Vec::new(), Vec::new()));
        session.handle(NOW, Event::Synced { torrent: TorrentId(0) });
        session.on_time(NOW);
        assert_eq!(wishes(&mut session), (Vec::from([1]), Vec::from([(2, false)])));
        session.check();
    }

    #[test]
    fn a_sync_of_everything_waits_for_no_round_and_no_round_for_it() {
        let mut session = session(3);
        wish(&mut session, 0, 3 * MIB);
        answer(&mut session, 0, true);
        session.on_time(NOW);
        assert_eq!(wishes(&mut session).1, [(0, false)]);
        session.torrents[1].durability.found(0);
        session.on_time(NOW);
        assert_eq!(wishes(&mut session).1, [(1, true)]);
        wish(&mut session, 2, MIB);
        answer(&mut session, 2, true);
        fetch(&mut session, 0);
        session.handle(NOW, Event::Synced { torrent: TorrentId(0) });
        session.on_time(NOW + Duration::from_secs(5));
        assert_eq!(wishes(&mut session).1, [(2, false)]);
        session.check();
    }

    #[test]
    fn bytes_that_are_in_doubt_give_way_too_and_prove_nothing() {
        let mut session = session(1);
        wish(&mut session, 0, 3 * MIB);
        session.torrents[0].download.found(0);
        session.torrents[0].checking = Some(Check::new(session.torrents[0].download.geometry()));
        answer(&mut session, 0, true);
        session.on_time(NOW);
        assert_eq!(wishes(&mut session).1, [(0, false)]);
        session.torrents[0].durability.count_failure();
        session.handle(NOW, Event::Synced { torrent: TorrentId(0) });
        assert_eq!(session.torrents[0].undurable().count(), 1);
        let is_too_much = [(); 3].map(|()| session.torrents[0].durability.count_failure());
        assert_eq!(is_too_much, [false, false, true], "nor that failures have an end");
        session.torrents[0].checking = None;
        session.on_time(NOW);
        assert_eq!(wishes(&mut session).1, [(0, true)]);
        session.handle(NOW, Event::Synced { torrent: TorrentId(0) });
        assert_eq!(session.torrents[0].undurable().count(), 0);
        session.check();
    }

    #[test]
    fn what_waits_is_bounded_and_one_store_is_always_let_through() {
        let mut device = Device::new(u64::MAX);
        assert!(device.admits(100 * MIB));
        device.wished(3 * MIB);
        assert!(device.admits(MIB) && !device.admits(MIB + 1));
        device.stored(3 * MIB);
        device.begun_to_sync(3 * MIB);
        assert!(!device.admits(MIB + 1));
        device.released(3 * MIB);
        assert!(device.admits(100 * MIB));
    }

    #[test]
    fn syncs_side_by_side_tell_what_the_device_takes_of_all_of_them() {
        let mut device = Device::new(u64::MAX);
        let mut now = Instant::from_micros(7);
        for _ in 0..20 {
            let bytes = device.bound.bytes / 2;
            (0..4).for_each(|_| device.join_round(now, bytes / 4));
            // 20 MiB/s: each takes as long as all of them.
            now = now + Duration::from_micros(bytes / 20);
            (0..4).for_each(|_| device.leave_round(now, true));
        }
        assert!((18 * MIB..22 * MIB).contains(&device.bound.bytes), "{}", device.bound.bytes);
        device.join_round(now, 1);
        device.join_round(now, 1);
        device.leave_round(now, false);
        let before = device.bound.bytes;
        device.leave_round(now + Duration::from_secs(99), true);
        assert_eq!(device.bound.bytes, before, "what fails tells nothing of the speed");
    }
}
