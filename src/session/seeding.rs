//! What becomes of a torrent that is complete: it is given to others for as long as the user wishes, or dropped.

use super::peers::Farewell;
use super::{Giving, Note, Session};
use crate::base::limits::PARTING_TIME;
use crate::base::{Instant, StreamId, TorrentId};
use alloc::string::String;
use alloc::vec::Vec;

impl Session {
    /// Settles what is given to others, and how fast everything may go. Without this call nothing is limited, and a
    /// run ends with its last torrent. To be called before torrents are added.
    pub fn give(&mut self, now: Instant, giving: Giving) {
        self.up_pacer.set_rate(now, giving.up_limit);
        self.down_pacer.set_rate(now, giving.down_limit);
        self.giving = giving;
    }

    /// A torrent is complete: it goes on as a seed, or ends.
    pub(super) fn keep_or_drop_peers(&mut self, now: Instant, id: TorrentId) {
        let torrent = &mut self.torrents[id.0 as usize];
        torrent.ended = !self.giving.seed;
        if torrent.ended {
            self.drop_all(now, id);
        } else {
            self.begin_spreading(id);
            self.tell_upload_only(now, id, true);
            self.drop_useless(now, id);
        }
    }

    /// BEP 21: tells everybody that we download nothing any more, or that we do again, unless they were told so before.
    pub(super) fn tell_upload_only(&mut self, now: Instant, id: TorrentId, upload_only: bool) {
        let said = &mut self.torrents[id.0 as usize].says_upload_only;
        if core::mem::replace(said, upload_only) == upload_only {
            return;
        }
        let port = self.settings.port;
        let mut told: Vec<(StreamId, bool)> = Vec::new();
        for (stream, of, open) in self.streams.iter_open_mut() {
            if of == id && open.peer.extended {
                told.push((stream, open.peer.tell_upload_only(port, upload_only)));
            }
        }
        for (stream, heard) in told {
            if heard {
                self.flush(stream);
            } else {
                self.drop_peer(now, stream, Farewell::NeverReads);
            }
        }
    }

    /// Seeds have nothing to say to each other.
    fn drop_useless(&mut self, now: Instant, id: TorrentId) {
        let seeds = self.streams.iter_open().filter(|(_, of, _, open)| *of == id && open.peer.is_seed());
        let seeds: Vec<StreamId> = seeds.map(|(stream, ..)| stream).collect();
        seeds.into_iter().for_each(|stream| self.drop_peer(now, stream, Farewell::Finished));
    }

    /// Drops a peer that turns out to be a seed like us. True if it is gone.
    pub(super) fn drop_if_useless(&mut self, now: Instant, stream: StreamId) -> bool {
        let Some((id, open)) = self.streams.open(stream) else { return true };
        let is_useless = open.peer.is_seed() && self.torrents[id.0 as usize].complete;
        if is_useless {
            self.drop_peer(now, stream, Farewell::Finished);
        }
        is_useless
    }

    /// Ends the giving of a torrent that has been given as often as the user wishes.
    pub(super) fn end_seeding_if_given_enough(&mut self, now: Instant, id: TorrentId) {
        let Some(permille) = self.giving.seed_permille else { return };
        let torrent = &self.torrents[id.0 as usize];
        let wished = u128::from(torrent.metainfo.layout.wanted_bytes()) * u128::from(permille);
        if torrent.is_seeding() && u128::from(self.past(now, id).uploaded_bytes) * 1000 >= wished {
            self.end_seeding(now, id, true);
        }
    }

    /// Ends the giving of torrents whose time is over.
    pub(super) fn end_seeding_in_time(&mut self, now: Instant) {
        for nth in 0..self.torrents.len() {
            let id = TorrentId(nth as u32);
            if self.seed_deadline_of(nth).is_some_and(|due| due <= now) {
                self.end_seeding(now, id, false);
            }
            if self.torrents[nth].parting.is_some_and(|due| due <= now || self.torrents[nth].peers == 0) {
                self.torrents[nth].parting = None;
                self.drop_all(now, id);
                self.leave_if_all_ended(now);
            }
        }
    }

    /// When the giving of some torrent ends.
    pub(super) fn seed_deadline(&self) -> Option<Instant> {
        let parting = |nth: usize| {
            let torrent = &self.torrents[nth];
            torrent.parting.map(|due| if torrent.peers == 0 { Instant::ZERO } else { due })
        };
        (0..self.torrents.len()).filter_map(|nth| self.seed_deadline_of(nth).or(parting(nth))).min()
    }

    fn seed_deadline_of(&self, nth: usize) -> Option<Instant> {
        let torrent = self.torrents.get(nth).filter(|torrent| torrent.is_seeding())?;
        let left = self.giving.seed_time?.saturating_sub(torrent.durability.past.seeded);
        Some(torrent.completed? + left)
    }

    fn end_seeding(&mut self, now: Instant, id: TorrentId, by_ratio: bool) {
        self.note(Note::GivenEnough { torrent: id, by_ratio });
        let torrent = &mut self.torrents[id.0 as usize];
        (torrent.ended, torrent.parting) = (true, Some(now + PARTING_TIME));
        self.keep_or_forget_state(id, false);
        self.choke_all(now, id);
    }

    /// The user's `seed on` or `seed off`.
    pub(super) fn set_seeding(&mut self, now: Instant, on: bool) -> String {
        self.giving.seed = on;
        for nth in 0..self.torrents.len() {
            let torrent = &mut self.torrents[nth];
            if torrent.complete && torrent.ended == on {
                torrent.ended = !on;
                if let Some(since) = torrent.completed.filter(|_| !on) {
                    let past = &mut torrent.durability.past;
                    past.seeded = past.seeded.saturating_add(now.since(since));
                }
                torrent.completed = torrent.completed.map(|_| now);
                torrent.parting = None;
                let id = TorrentId(nth as u32);
                if on {
                    self.begin_spreading(id);
                } else {
                    self.keep_or_forget_state(id, false);
                    self.drop_all(now, id);
                }
            }
        }
        if on {
            self.ending.leaving = None;
        }
        self.dial_candidates(now);
        self.leave_if_all_ended(now);
        let text = if on { "staying when everything is there" } else { "ending when everything is there" };
        String::from(text)
    }
}
