//! What follows when that which was stored may not be there: a device that does not take it, or somebody who has been at
//! the files. Nothing is believed that was not read again, and no peer is to blame.

use super::torrents::{Stall, Torrent};
use super::{Action, Note, Outcome, Session, StorageFault, StorageFaultKind};
use crate::base::limits::{STORE_RETRY_INTERVAL, UNSYNCED_BYTES_MAX};
use crate::base::{Bitfield, Instant, TorrentId};
use crate::download::Check;

impl Torrent {
    /// Somebody has been at the files: nothing that was stored before is believed unseen.
    pub fn distrust(&mut self) {
        (self.recheck, self.changed) = (true, true);
        self.durability.forget();
        self.durability.suspect(self.download.partly_stored().collect());
    }

    /// True if something that was stored has to be read before it is believed: others may have been at the files, or the
    /// device may not have it. It stays so until all of that is read, also if the run ends before.
    pub fn is_doubted(&self) -> bool {
        self.recheck || self.unread || self.durability.is_in_doubt()
    }

    /// True if nothing goes on before a sync of everything succeeds.
    pub fn is_unsynced(&self) -> bool {
        self.stall.is_some_and(|stall| stall.is_unsynced)
    }

    /// Has `piece`, which was read and is right, read a second time and written again, if the device may have refused it:
    /// memory keeps what was refused as if it were written, so that reading it proves nothing, and no sync tries again.
    /// False if that need not be.
    pub fn renew(&mut self, piece: u32) -> bool {
        let is_refused = self.durability.is_refused(piece);
        if let Some(check) = self.checking.as_mut().filter(|_| is_refused) {
            check.renew(piece);
        }
        is_refused
    }

    fn undurable_bytes(&self) -> u64 {
        self.undurable().count() as u64 * u64::from(self.download.geometry().piece_bytes)
    }

    /// A sync of `bytes` has failed for want of room.
    fn stall_unsynced(&mut self, now: Instant, mut fault: StorageFault, bytes: u64) {
        let before = self.stall.map_or(bytes, |stall| stall.fault.missing_bytes);
        if fault.missing_bytes == 0 {
            // Files that have their whole length need nothing more, as far as the file system tells.
            fault.missing_bytes = before;
        }
        let (since, retry) = (self.durability.full_since(now), now + STORE_RETRY_INTERVAL);
        self.stall = Some(Stall { fault, since, retry, tries: 0, is_unsynced: true });
    }
}

impl Session {
    /// What was stored since the last sync may be lost: those pieces are read again, all of them if somebody has been at
    /// the files. Where there is no room, everything waits until there is some.
    pub(super) fn on_sync_failed(&mut self, now: Instant, id: TorrentId, fault: StorageFault) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        let bytes = torrent.durability.sync_failed(&mut self.device, now);
        self.doubt_stored(now, id, fault, bytes);
    }

    /// What is not durable may be lost, that of a sync of `of_sync_bytes` included.
    fn doubt_stored(&mut self, now: Instant, id: TorrentId, fault: StorageFault, of_sync_bytes: u64) {
        let torrent = &mut self.torrents[id.0 as usize];
        let is_full = fault.is_for_want_of_room();
        let is_news = !is_full || torrent.stall.is_none_or(|stall| stall.fault.kind != fault.kind);
        torrent.checking.iter_mut().for_each(Check::spoil);
        let partly_stored = torrent.download.partly_stored().collect();
        let have = torrent.download.have();
        let bytes = of_sync_bytes + torrent.durability.doubt(&mut self.device, now, have, partly_stored);
        let is_hopeless = if is_full {
            torrent.stall_unsynced(now, fault, bytes);
            let since = torrent.durability.full_since(now);
            self.settings.give_up.is_some_and(|patience| now.since(since) >= patience)
        } else {
            torrent.durability.count_failure()
        };
        let is_over = is_hopeless || self.ending.quitting.is_some();
        if is_news {
            self.note(Note::StorageFault { torrent: id, fault, retried: is_full && !is_over });
        }
        if is_over {
            return self.fail(now, Outcome::of(fault));
        }
        let torrent = &mut self.torrents[id.0 as usize];
        (torrent.complete, torrent.durable, torrent.spreading) = (false, false, None);
        if fault.kind == StorageFaultKind::Changed {
            self.distrust(now, id);
        }
        self.wish_stores(id);
        self.check_doubtful(now, id);
    }

    /// Somebody has been at the files: what was stored is neither believed nor given before it is read.
    pub(super) fn distrust(&mut self, now: Instant, id: TorrentId) {
        self.torrents[id.0 as usize].distrust();
        self.choke_all(now, id);
    }

    /// What is in the files is known again.
    pub(super) fn end_distrust(&mut self, now: Instant, id: TorrentId) {
        if core::mem::take(&mut self.torrents[id.0 as usize].changed) {
            self.choke_by(now);
        }
    }

    /// What was written may not be on the disk, or is not what was written: nobody is told that it is complete.
    pub(super) fn on_complete_failed(&mut self, now: Instant, id: TorrentId, fault: StorageFault) {
        let Some(torrent) = self.torrents.get_mut(id.0 as usize) else { return };
        torrent.durability.end_completing();
        // A sync that has begun since is still under way.
        self.doubt_stored(now, id, fault, 0);
    }

    /// `piece` is right, as far as can be read, and there is no room to write it again: as after a sync that fails.
    pub(super) fn on_renewal_failed(&mut self, now: Instant, id: TorrentId, piece: u32, fault: StorageFault) {
        self.on_checked(now, id, piece, true);
        self.torrents[id.0 as usize].durability.refuses_renewal = true;
        self.doubt_stored(now, id, fault, 0);
        self.go_on_checking(now, id);
    }

    /// Reads what is in doubt, if nothing else is being read: all pieces, or those that are not durable.
    pub(super) fn check_doubtful(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        // While there is no room each try may lose something. To read much after each would keep the disk busy for nothing.
        let is_much = torrent.durability.refuses_renewal || torrent.undurable_bytes() > UNSYNCED_BYTES_MAX;
        let waits = torrent.is_unsynced() && is_much;
        if waits || torrent.checking.is_some() || self.ending.quitting.is_some() {
            return;
        }
        let (all, some) = (core::mem::take(&mut torrent.recheck), torrent.durability.take_doubt());
        torrent.unread |= all || some;
        if all {
            self.start_checking(now, id);
        } else if some {
            let geometry = torrent.download.geometry();
            let mut known = Bitfield::full(geometry.pieces);
            torrent.undurable().for_each(|piece| assert!(known.remove(piece), "ours: the set was full"));
            torrent.check(Check::except(geometry, known, Bitfield::new(geometry.pieces)));
            self.go_on_checking(now, id);
        }
    }

    /// Finds out whether the device takes by now what a sync could not bring to it.
    pub(super) fn try_to_sync(&mut self, id: TorrentId) {
        if self.torrents[id.0 as usize].durability.begin_trial() {
            self.actions.push_back(Action::Sync { torrent: id, everything: true });
        }
    }

    /// The device takes everything: what was in doubt is read, and what waits is stored.
    pub(super) fn end_trial(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        let Some(stall) = torrent.stall.as_mut().filter(|stall| stall.is_unsynced) else { return };
        (stall.is_unsynced, stall.retry) = (false, now);
        torrent.durability.refuses_renewal = false;
        self.check_doubtful(now, id);
        self.retry_stores(now, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::session::rig::{NOW, PIECE_BYTES as PIECE, settings, torrent};
    use crate::session::{Event, Phase, Report, Settings, StoreId};
    use alloc::vec::Vec;
    use core::time::Duration;
    use sha1::{Digest, Sha1};

    const ID: TorrentId = TorrentId(0);
    const FULL: StorageFault =
        StorageFault { kind: StorageFaultKind::NoSpace, file: 0, os_error: 28, missing_bytes: 0 };
    const CHANGED: StorageFault = StorageFault { kind: StorageFaultKind::Changed, ..FULL };

    /// A torrent of two pieces, what is on its disk, and the time.
    struct Rig {
        session: Session,
        disk: [u8; 2 * PIECE],
        now: Instant,
    }

    /// What the session wishes for, in a word.
    #[derive(Debug, PartialEq, Eq)]
    enum Wish {
        Load(u64),
        Renew(u64),
        Sync,
        Complete,
        Forget,
        Said(&'static str),
        Finish(Outcome),
    }

    impl Rig {
        /// Both pieces are there; nothing has been read.
        fn new(give_up: Option<Duration>) -> Self {
            let disk = *b"the nine and nine.";
            let hashes: Vec<[u8; 20]> = disk.chunks(PIECE).map(|piece| Sha1::digest(piece).into()).collect();
            let mut session = Session::new(NOW, Rng::new(1), Settings { give_up, ..settings() });
            session.add_torrent(NOW, torrent(&hashes), false);
            Self { session, disk, now: NOW }
        }

        fn tell(&mut self, event: Event<'_>) -> Vec<Wish> {
            self.session.handle(self.now, event);
            self.wishes()
        }

        /// As much time goes by as until a store is tried again.
        fn wait(&mut self) -> Vec<Wish> {
            self.now = self.now + STORE_RETRY_INTERVAL;
            self.session.on_time(self.now);
            self.wishes()
        }

        fn wishes(&mut self) -> Vec<Wish> {
            let wish = |action| match action {
                Action::Load { offset, renew: false, .. } => Some(Wish::Load(offset)),
                Action::Load { offset, .. } => Some(Wish::Renew(offset)),
                Action::Sync { everything, .. } => everything.then_some(Wish::Sync),
                Action::Complete { .. } => Some(Wish::Complete),
                Action::ForgetState { .. } => Some(Wish::Forget),
                Action::Say(Report::Note(Note::StorageFault { .. })) => Some(Wish::Said("fault")),
                Action::Say(Report::Note(Note::StorageRecovered { .. })) => Some(Wish::Said("recovered")),
                Action::Say(Report::Note(Note::Complete { .. })) => Some(Wish::Said("complete")),
                Action::Finish(outcome) => Some(Wish::Finish(outcome)),
                _ => None,
            };
            core::iter::from_fn(|| self.session.next_action()).filter_map(wish).collect()
        }

        /// Reads all that is wished for, as it is on the disk; what is wished for then.
        fn read(&mut self, mut wishes: Vec<Wish>) -> Vec<Wish> {
            while let [.., Wish::Load(offset) | Wish::Renew(offset)] = wishes[..] {
                let (at, disk) = (offset as usize, self.disk);
                wishes = self.tell(Event::Loaded { torrent: ID, offset, bytes: &disk[at..at + PIECE] });
            }
            wishes
        }

        /// What is on the disk was read at the start.
        fn started(give_up: Option<Duration>) -> Self {
            let mut rig = Self::new(give_up);
            let wishes = rig.wishes();
            assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
            assert_eq!(rig.tell(Event::Synced { torrent: ID }), []);
            rig
        }

        fn phase(&self) -> Phase {
            self.session.torrents[0].phase()
        }
    }

    #[test]
    fn a_device_that_is_full_at_the_end_is_waited_for_and_what_is_in_doubt_is_read() {
        let mut rig = Rig::started(None);
        let failed = Event::CompleteFailed { torrent: ID, fault: FULL };
        assert_eq!(rig.tell(failed), [Wish::Said("fault")]);
        for _ in 0..9 {
            assert_eq!((rig.phase(), rig.wait()), (Phase::Stalled, Vec::from([Wish::Sync])));
            assert_eq!(rig.wait(), [], "one sync at a time");
            assert_eq!(rig.tell(Event::SyncFailed { torrent: ID, fault: FULL }), [], "it is said once");
        }
        assert_eq!(rig.wait(), [Wish::Sync]);
        // Both pieces were durable before; nothing has to be read.
        let wishes = rig.tell(Event::Synced { torrent: ID });
        assert!(wishes.contains(&Wish::Complete) && wishes.contains(&Wish::Said("recovered")), "{wishes:?}");
        let wishes = rig.tell(Event::Completed { torrent: ID });
        assert!(wishes.contains(&Wish::Said("complete")), "{wishes:?}");
    }

    #[test]
    fn what_no_sync_has_made_durable_is_read_and_what_is_lost_waits_for_room() {
        let mut rig = Rig::new(None);
        let wishes = rig.wishes();
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        let wishes = rig.tell(Event::SyncFailed { torrent: ID, fault: FULL });
        assert_eq!(wishes, [Wish::Said("fault"), Wish::Renew(0)]);
        assert_eq!(rig.tell(Event::Completed { torrent: ID }), [], "what is in doubt is not complete");
        assert_eq!(rig.read(wishes), []);
        assert_eq!(rig.wait(), [Wish::Sync]);
        // What the device seemed to have is lost with the next try.
        let wishes = rig.tell(Event::SyncFailed { torrent: ID, fault: FULL });
        rig.disk[PIECE] ^= 1;
        assert_eq!((wishes.len(), rig.read(wishes)), (1, Vec::new()));
        assert_eq!((rig.phase(), rig.wait()), (Phase::Stalled, Vec::from([Wish::Sync])));
        let wishes = rig.tell(Event::Synced { torrent: ID });
        assert_eq!(wishes, [Wish::Said("recovered"), Wish::Sync], "a try proves nothing");
        assert_eq!((rig.phase(), rig.session.torrents[0].download.have().count()), (Phase::Downloading, 1));
    }

    #[test]
    fn what_a_device_may_have_refused_is_written_again_before_a_sync_counts() {
        let mut rig = Rig::new(None);
        let wishes = rig.wishes();
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        let io = StorageFault { kind: StorageFaultKind::Io, ..FULL };
        let wishes = rig.tell(Event::SyncFailed { torrent: ID, fault: io });
        assert_eq!(wishes, [Wish::Said("fault"), Wish::Renew(0)]);
        let (piece, disk) = (PIECE as u64, rig.disk);
        let loaded = Event::Loaded { torrent: ID, offset: 0, bytes: &disk[..PIECE] };
        assert_eq!(rig.tell(loaded), [Wish::Renew(piece)]);
        // There is no room for the second one: it is not lost, and is read when there is.
        let failed = Event::LoadFailed { torrent: ID, offset: piece, fault: FULL };
        assert_eq!(rig.tell(failed), [Wish::Said("fault")]);
        assert_eq!((rig.phase(), rig.wait()), (Phase::Stalled, Vec::from([Wish::Sync])));
        assert_eq!(
            rig.tell(Event::SyncFailed { torrent: ID, fault: FULL }),
            [],
            "nothing is read for nothing"
        );
        assert_eq!(rig.wait(), [Wish::Sync]);
        let wishes = rig.tell(Event::Synced { torrent: ID });
        assert_eq!(wishes, [Wish::Renew(0), Wish::Said("recovered")]);
        assert_eq!(rig.read(Vec::from([Wish::Renew(0)])), [Wish::Sync, Wish::Complete]);
        assert_eq!(rig.session.torrents[0].download.have().count(), 2);
    }

    #[test]
    fn what_a_device_refuses_while_it_is_being_read_is_written_again_too() {
        let mut rig = Rig::started(None);
        let changed = rig.tell(Event::CompleteFailed { torrent: ID, fault: CHANGED });
        assert_eq!(changed, [Wish::Said("fault"), Wish::Load(0)], "nothing was refused");
        let io = StorageFault { kind: StorageFaultKind::Io, ..FULL };
        assert_eq!(rig.tell(Event::SyncFailed { torrent: ID, fault: io }), [Wish::Said("fault")]);
        let disk = rig.disk;
        let loaded = Event::Loaded { torrent: ID, offset: 0, bytes: &disk[..PIECE] };
        assert_eq!(rig.tell(loaded), [Wish::Renew(0)]);
    }

    #[test]
    fn who_does_not_wait_for_room_waits_no_longer_however_often_it_seems_to_pass() {
        let mut rig = Rig::started(Some(STORE_RETRY_INTERVAL * 3));
        rig.session.looking.reached = true;
        assert_eq!(rig.tell(Event::CompleteFailed { torrent: ID, fault: FULL }), [Wish::Said("fault")]);
        assert_eq!(rig.wait(), [Wish::Sync]);
        // The kernel forgets what it could not write, and has nothing left to fail, in the sync of the end as well.
        rig.tell(Event::Synced { torrent: ID });
        rig.tell(Event::Synced { torrent: ID });
        assert_eq!(rig.tell(Event::CompleteFailed { torrent: ID, fault: FULL }), [Wish::Said("fault")]);
        assert_eq!(rig.wait(), [Wish::Sync]);
        rig.tell(Event::SyncFailed { torrent: ID, fault: FULL });
        assert_eq!(rig.wait(), [Wish::Sync]);
        let wishes = rig.tell(Event::SyncFailed { torrent: ID, fault: FULL });
        assert_eq!(wishes, [Wish::Finish(Outcome::NoSpace)]);
    }

    #[test]
    fn a_limit_of_a_files_length_is_waited_for_like_room_and_given_up_in_its_own_words() {
        let fault = StorageFault { kind: StorageFaultKind::TooLong, ..FULL };
        for (patience, end) in
            [(None, &[][..]), (Some(Duration::ZERO), &[Wish::Finish(Outcome::TooLong)][..])]
        {
            let mut rig = Rig::new(patience);
            rig.wishes();
            let wishes = rig.tell(Event::StoreFailed { torrent: ID, store: StoreId(0), fault });
            assert_eq!((&wishes[0], &wishes[1..]), (&Wish::Said("fault"), end));
        }
    }

    #[test]
    fn who_ends_giving_before_everything_is_durable_keeps_the_state() {
        use crate::resume::{Era, Past};
        use crate::session::{Command, Giving};
        let mut rig = Rig::new(None);
        rig.session.give(NOW, Giving { seed: true, ..Giving::default() });
        rig.session.torrents[0].durability.keep_state(Era([1; 24]), Past::default(), Bitfield::new(2));
        let wishes = rig.wishes();
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        assert_eq!(rig.tell(Event::Command(Command::Seed(false))), []);
        assert_eq!(rig.tell(Event::Synced { torrent: ID }), []);
        let wishes = rig.tell(Event::Completed { torrent: ID });
        assert_eq!(wishes, [Wish::Forget, Wish::Said("complete"), Wish::Finish(Outcome::Complete)]);
    }

    #[test]
    fn who_quits_while_it_is_not_durable_is_not_told_that_it_is_complete() {
        let mut rig = Rig::started(None);
        rig.tell(Event::CompleteFailed { torrent: ID, fault: FULL });
        assert_eq!(rig.tell(Event::Quit), [Wish::Finish(Outcome::Incomplete)]);
    }

    #[test]
    fn who_quits_before_what_is_in_doubt_is_read_leaves_it_in_doubt() {
        let mut rig = Rig::started(None);
        rig.tell(Event::CompleteFailed { torrent: ID, fault: CHANGED });
        rig.now = rig.now + STORE_RETRY_INTERVAL;
        assert_eq!(rig.tell(Event::Quit), [Wish::Finish(Outcome::Incomplete)], "a sync would prove nothing");
        assert_eq!(rig.session.torrents[0].undurable().count(), 2);
    }

    #[test]
    fn what_is_to_be_read_when_storing_works_is_not_durable_before() {
        let mut rig = Rig::new(None);
        rig.disk[PIECE] ^= 1;
        let wishes = rig.wishes();
        assert_eq!(rig.read(wishes), [Wish::Sync]);
        rig.tell(Event::Synced { torrent: ID });
        rig.session.torrents[0].distrust();
        assert_eq!(rig.wait(), []);
        assert_eq!(rig.session.torrents[0].undurable().count(), 1);
    }

    #[test]
    fn after_files_were_changed_durable_pieces_are_read_too() {
        let events: [fn() -> Event<'static>; 2] = [
            || Event::CompleteFailed { torrent: ID, fault: CHANGED },
            || Event::SyncFailed { torrent: ID, fault: CHANGED },
        ];
        for event in events {
            let mut rig = Rig::started(None);
            assert_eq!(rig.tell(event()), [Wish::Said("fault"), Wish::Load(0)]);
            rig.disk[0] ^= 1;
            assert_eq!(rig.read(Vec::from([Wish::Load(0)])), []);
            let torrent = &rig.session.torrents[0];
            assert_eq!(torrent.download.have().iter().collect::<Vec<_>>(), [1]);
            assert_eq!(torrent.undurable().collect::<Vec<_>>(), [1], "the state vouches for nothing");
        }
    }

    #[test]
    fn a_sync_that_is_under_way_when_completing_fails_stays_under_way() {
        const BROKEN: StorageFault = StorageFault { kind: StorageFaultKind::Io, ..FULL };
        let mut rig = Rig::new(None);
        let wishes = rig.wishes();
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        let wishes = rig.tell(Event::SyncFailed { torrent: ID, fault: BROKEN });
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        // The first wish to complete is answered.
        let wishes = rig.tell(Event::CompleteFailed { torrent: ID, fault: BROKEN });
        assert_eq!((rig.read(wishes), rig.wait()), (Vec::new(), Vec::new()), "one sync at a time");
        rig.tell(Event::Synced { torrent: ID });
        assert_eq!(rig.session.torrents[0].undurable().count(), 2, "it has begun before all was read");
    }

    #[test]
    fn files_that_change_each_time_end_the_run() {
        let mut rig = Rig::started(None);
        for _ in 0..crate::base::limits::STORE_TRIES_MAX {
            let wishes = rig.tell(Event::CompleteFailed { torrent: ID, fault: CHANGED });
            assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
            rig.tell(Event::Synced { torrent: ID });
        }
        let wishes = rig.tell(Event::CompleteFailed { torrent: ID, fault: CHANGED });
        assert_eq!(wishes, [Wish::Said("fault"), Wish::Finish(Outcome::IoError)]);
    }

    #[test]
    fn an_answer_to_an_earlier_wish_to_complete_does_not_make_it_complete() {
        let mut rig = Rig::new(None);
        let wishes = rig.wishes();
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        let wishes = rig.tell(Event::SyncFailed { torrent: ID, fault: CHANGED });
        assert_eq!(rig.read(wishes), [Wish::Sync, Wish::Complete]);
        assert_eq!(rig.tell(Event::Completed { torrent: ID }), []);
        let wishes = rig.tell(Event::Completed { torrent: ID });
        assert!(wishes.contains(&Wish::Said("complete")), "{wishes:?}");
    }

    #[test]
    fn bytes_of_a_check_that_has_begun_anew_are_not_taken_for_others() {
        let mut rig = Rig::started(None);
        rig.tell(Event::CompleteFailed { torrent: ID, fault: CHANGED });
        let bytes = &[7; PIECE];
        assert_eq!(rig.tell(Event::Loaded { torrent: ID, offset: PIECE as u64, bytes }), []);
        assert_eq!(rig.read(Vec::from([Wish::Load(0)])), [Wish::Sync, Wish::Complete]);
    }
}
