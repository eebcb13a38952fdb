//! One torrent of the run: its rooms side by side, and what it is doing.

use super::durable::Durability;
use super::lanes::Lanes;
use super::spreading::Spreading;
use super::telling::Untold;
use crate::base::{Bitfield, Instant, Rate, Rng, TorrentId};
use crate::candidates::{Added, Candidates, Source};
use crate::download::{Check, Download};
use crate::meta::{FileKind, Metainfo};
use crate::proxy::Routes;
use crate::session::{Phase, StorageFault};
use crate::tracker::{Identity, Trackers};
use alloc::sync::Arc;
use core::net::SocketAddr;

/// A torrent and everything that belongs to it alone.
#[derive(Debug)]
pub struct Torrent {
    pub id: TorrentId,
    pub metainfo: Arc<Metainfo>,
    pub download: Download,
    /// Who of its peers is slow.
    pub lanes: Lanes,
    /// For a moment, the pieces that a peer answers requests for while choking us; else empty.
    pub allowed: Bitfield,
    pub durability: Durability,
    pub candidates: Candidates,
    pub trackers: Trackers,
    /// The check of what is on disk, while it goes on.
    pub checking: Option<Check>,
    /// The files were changed by somebody else: they are checked again when storing works.
    pub recheck: bool,
    /// What is on disk may be somebody's own: nothing is stored over it before a piece of it is right.
    pub foreign: bool,
    /// The same, and what is in them has not been read since: none of it is given to anybody.
    pub changed: bool,
    /// Files that may not be written to, and why, until it is known whether all in them is right.
    pub read_only: Option<(Bitfield, i32)>,
    /// What was in doubt is being read, or was not read to its end.
    pub unread: bool,
    pub paused: bool,
    pub stall: Option<Stall>,
    /// Reads that failed, since the start or since the last check began.
    pub read_faults: u32,
    /// What the last check could not read.
    pub unreadable: Unreadable,
    /// Everything is in its file.
    pub complete: bool,
    /// What peers are to be told of.
    pub untold: Untold,
    /// What is dealt out to peers, once it is complete.
    pub spreading: Option<Spreading>,
    /// When it was complete.
    pub completed: Option<Instant>,
    /// It is complete and is not given to others (any more).
    pub ended: bool,
    /// Peers were told that we download nothing (BEP 21).
    pub says_upload_only: bool,
    /// It was given for as long as was wished: its peers leave by then.
    pub parting: Option<Instant>,
    /// Everything is on the disk, and has been said so.
    pub durable: bool,
    pub started: Instant,
    pub down: Rate,
    pub up: Rate,
    pub duplicate_bytes: u64,
    pub corrupt_bytes: u64,
    /// Bytes of stored pieces without pad files.
    pub done_bytes: u64,
    /// Open connections, and how many of them have everything.
    pub peers: u32,
    pub seeds: u32,
    /// Connections being opened or shaking hands.
    pub connecting: u32,
}

/// A storage fault that keeps a torrent from going on.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    pub fault: StorageFault,
    /// When it began.
    pub since: Instant,
    /// When storing is tried again.
    pub retry: Instant,
    /// How often it was tried again for nothing.
    pub tries: u32,
    /// A sync has failed for want of room: nothing goes on before one of everything succeeds.
    pub is_unsynced: bool,
}

/// What a check could not read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unreadable {
    pub pieces: u32,
    /// Files that were the reason, and the last of them.
    pub files: u32,
    last: Option<u32>,
}

impl Unreadable {
    /// A piece could not be read because of `file`. True if that is another file than before.
    pub fn add(&mut self, file: u32) -> bool {
        let is_another = self.last.replace(file) != Some(file);
        self.pieces += 1;
        self.files += u32::from(is_another);
        is_another
    }
}

impl Torrent {
    /// A torrent of which nothing is known to be there.
    pub fn new(
        now: Instant,
        id: TorrentId,
        metainfo: Arc<Metainfo>,
        identity: Identity,
        routes: Arc<Routes>,
        rng: &mut Rng,
    ) -> Self {
        let download = Download::new(metainfo.clone(), rng);
        let mut trackers = Trackers::routed(now, identity, routes, &metainfo.tiers, rng);
        trackers.set_private(metainfo.private);
        Self {
            checking: None,
            durability: Durability::new(download.geometry().pieces),
            id,
            allowed: Bitfield::new(0),
            download,
            candidates: Candidates::default(),
            trackers,
            metainfo,
            recheck: false,
            lanes: Lanes::default(),
            changed: false,
            foreign: false,
            read_only: None,
            unread: false,
            paused: false,
            stall: None,
            read_faults: 0,
            unreadable: Unreadable::default(),
            complete: false,
            untold: Untold::default(),
            spreading: None,
            completed: None,
            ended: false,
            says_upload_only: false,
            parting: None,
            durable: false,
            started: now,
            down: Rate::default(),
            up: Rate::default(),
            duplicate_bytes: 0,
            corrupt_bytes: 0,
            done_bytes: 0,
            peers: 0,
            seeds: 0,
            connecting: 0,
        }
    }

    /// Adds a peer that the user named; what became of it.
    pub fn add_named_peer(&mut self, now: Instant, address: SocketAddr) -> Added {
        if address.ip().to_canonical().is_loopback() {
            self.candidates.allow_loopback();
        }
        self.candidates.add(now, address, Source::User)
    }

    /// A file in which something is missing and that may not be written to, and why. Answers once.
    pub fn take_denied(&mut self) -> Option<(u32, i32)> {
        let (files, os_error) = self.read_only.take()?;
        let (have, geometry) = (self.download.have(), self.download.geometry());
        let missing = (0..geometry.pieces).filter(|&piece| !have.has(piece));
        let mut segments = missing
            .map(|piece| geometry.piece_range(piece))
            .flat_map(|range| self.metainfo.layout.segments(range.start, range.end - range.start));
        let segment = segments.find(|segment| segment.length > 0 && files.has(segment.file))?;
        Some((segment.file, os_error))
    }

    /// What is on disk is read from now on.
    pub fn check(&mut self, check: Check) {
        self.checking = Some(check);
        self.unreadable = Unreadable::default();
    }

    /// Notes `pieces` in [`Torrent::allowed`], or takes them out again. So they need no set for each peer.
    pub fn note_allowed(&mut self, pieces: &[u32], are_in: bool) {
        if !pieces.is_empty() && self.allowed.is_empty() {
            self.allowed = Bitfield::new(self.download.geometry().pieces);
        }
        for &piece in pieces {
            _ = if are_in { self.allowed.insert(piece) } else { self.allowed.remove(piece) };
        }
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        if self.checking.is_some() {
            Phase::Checking
        } else if self.is_seeding() {
            Phase::Seeding
        } else if self.complete {
            Phase::Complete
        } else if self.stall.is_some() {
            Phase::Stalled
        } else if self.paused {
            Phase::Paused
        } else {
            Phase::Downloading
        }
    }

    /// True if verified pieces wait for the disk.
    pub fn stores_wait(&self) -> bool {
        self.stall.is_none() && self.durability.holds_stores() && self.download.next_store_bytes().is_some()
    }

    /// True if peers may be asked for blocks.
    pub fn is_downloading(&self) -> bool {
        self.phase() == Phase::Downloading
    }

    /// True if somebody who comes to us is welcome.
    pub fn welcomes_peers(&self) -> bool {
        !matches!(self.phase(), Phase::Checking | Phase::Complete)
    }

    /// True if more peers are welcome.
    pub fn wants_peers(&self) -> bool {
        matches!(self.phase(), Phase::Downloading | Phase::Stalled | Phase::Seeding)
    }

    /// True if what is there is given to others.
    pub fn gives(&self) -> bool {
        !self.ended && !self.changed
    }

    /// True if everything is there and is given to others.
    pub fn is_seeding(&self) -> bool {
        self.complete && !self.ended
    }

    /// `piece`, which was there, is not in its file any more. False if it was not there.
    pub fn lose(&mut self, piece: u32) -> bool {
        let was_there = self.download.lost(piece);
        if was_there {
            self.durability.lost(piece);
            self.untold.lost(piece);
            self.done_bytes -= self.wanted_bytes(piece);
        }
        was_there
    }

    /// Bytes of `piece` that are not padding.
    pub fn wanted_bytes(&self, piece: u32) -> u64 {
        let range = self.download.geometry().piece_range(piece);
        let segments = self.metainfo.layout.segments(range.start, range.end - range.start);
        segments.filter(|segment| segment.kind == FileKind::Normal).map(|segment| segment.length).sum()
    }
}
