//! What the session tells the user: plain data, rendered as text or JSON by the app.
//! Names that strangers wrote are raw bytes here; the app escapes them before a terminal sees them.

use crate::base::{InfoHash, TorrentId};
use crate::resume::StateFault;
use crate::session::StorageFault;
pub use crate::tracker::Counts;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// An answer to a command, or news that nobody asked for.
#[derive(Clone, Debug)]
pub enum Report {
    /// Answer to `status`.
    Status(Status),
    /// Answer to `info`: the app renders the metainfo of these torrents.
    Info(Vec<TorrentId>),
    /// Answer to `peers`.
    Peers(Vec<PeerStatus>),
    /// Answer to `files`: for each torrent, the bytes that are there of each of its files.
    Files(Vec<(TorrentId, Vec<u64>)>),
    /// Answer to `trackers`.
    Trackers(Vec<TrackerStatus>),
    /// Answer to `help`.
    Help,
    /// Answer to a command that only does something: what was done.
    Done(String),
    /// News.
    Note(Note),
}

/// The state of the whole run.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Each torrent, in the order in which they were given.
    pub torrents: Vec<TorrentStatus>,
    /// Bytes of blocks in memory now.
    pub buffered_bytes: u64,
    /// Bytes of blocks that may be in memory at most.
    pub buffer_limit_bytes: u64,
    /// Bytes per second that may come, protocol included, over all torrents; 0: no limit.
    pub down_limit: u64,
    /// Bytes per second that may go, protocol included, over all torrents; 0: no limit.
    pub up_limit: u64,
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Verifying what is on disk.
    Checking,
    /// Fetching.
    Downloading,
    /// The user said `pause`.
    Paused,
    /// A disk is full or failed; it is tried again by itself.
    Stalled,
    /// Everything is there and is given to others.
    Seeding,
    /// Everything is there.
    Complete,
}

impl Phase {
    /// True if everything is there.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Seeding | Self::Complete)
    }
}

/// The state of one torrent.
#[derive(Clone, Debug)]
pub struct TorrentStatus {
    /// Which.
    pub torrent: TorrentId,
    /// Its info-hash.
    pub info_hash: InfoHash,
    /// What it is doing.
    pub phase: Phase,
    /// Bytes that are to be on disk in the end, pad files not counted.
    pub size_bytes: u64,
    /// Bytes of verified pieces on disk, pad files not counted.
    pub done_bytes: u64,
    /// Bytes beside those that are verified and wait in memory for the rest of their extent.
    pub held_bytes: u64,
    /// Pieces in all.
    pub pieces: u32,
    /// Pieces verified and on disk.
    pub pieces_have: u32,
    /// Pieces being downloaded or waiting to be stored.
    pub pieces_open: u32,
    /// Pieces read so far while checking.
    pub pieces_checked: u32,
    /// Block bytes received from peers in this run.
    pub downloaded_bytes: u64,
    /// Block bytes sent to peers in this run.
    pub uploaded_bytes: u64,
    /// The same by all runs, as far as their state was kept: what the ratio is made of.
    pub given_bytes: u64,
    /// Block bytes received twice or for nothing.
    pub duplicate_bytes: u64,
    /// Bytes of pieces whose hash was wrong.
    pub corrupt_bytes: u64,
    /// Block bytes per second arriving now.
    pub down_rate: u64,
    /// Block bytes per second leaving now.
    pub up_rate: u64,
    /// Time until it is complete at the present rate.
    pub time_left: Option<Duration>,
    /// Peers past their handshake.
    pub peers: u32,
    /// Of these, peers that have everything.
    pub seeds: u32,
    /// Of these, peers that have something we lack.
    pub useful: u32,
    /// Of the useful, peers that let us ask for it.
    pub willing: u32,
    /// Connections being opened or shaking hands.
    pub connecting: u32,
    /// Addresses known.
    pub known: u32,
    /// Wait until the next announce; `None` while one is under way, or without trackers.
    pub next_announce: Option<Duration>,
    /// Trackers that can be asked, and of these those whose last announce worked.
    pub trackers: (u32, u32),
    /// The whole swarm, as far as a tracker has told.
    pub swarm: Counts,
    /// The storage fault that stalls it.
    pub fault: Option<StorageFault>,
    /// Pieces that the last check could not read.
    pub pieces_unreadable: u32,
}

/// One connected peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The torrent it is connected for.
    pub torrent: TorrentId,
    /// Its address.
    pub address: SocketAddr,
    /// What it calls itself (BEP 10 `v`), or what its peer id says (BEP 20); written by a stranger.
    pub client: Vec<u8>,
    /// What is between us.
    pub flags: PeerFlags,
    /// Block bytes per second from it.
    pub down_rate: u64,
    /// Block bytes per second to it.
    pub up_rate: u64,
    /// Block bytes from it in all.
    pub downloaded_bytes: u64,
    /// Block bytes to it in all.
    pub uploaded_bytes: u64,
    /// Pieces it has, in tenths of a percent.
    pub has_permille: u32,
    /// Requests it has not answered yet, and the most that we would let wait.
    pub requests: (u32, u32),
}

/// The yes-and-no of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFlags {
    /// We want something it has.
    pub interested: bool,
    /// It lets us ask.
    pub unchoked: bool,
    /// It wants something we have.
    pub peer_interested: bool,
    /// We let it ask.
    pub peer_unchoked: bool,
    /// It fell silent with requests outstanding.
    pub snubbed: bool,
    /// It speaks the fast extension (BEP 6).
    pub fast: bool,
    /// It speaks the extension protocol (BEP 10).
    pub extended: bool,
    /// It came to us.
    pub incoming: bool,
}

/// One tracker.
#[derive(Clone, Debug)]
pub struct TrackerStatus {
    /// The torrent it is asked for.
    pub torrent: TorrentId,
    /// Its tier (BEP 12), from 0.
    pub tier: u32,
    /// Its URL, without a password.
    pub url: String,
    /// What became of it.
    pub state: TrackerState,
    /// Peers in its last reply.
    pub peers: u32,
    /// The swarm, as far as it has told.
    pub counts: Counts,
    /// Wait until it is asked again, where that is settled.
    pub next: Option<Duration>,
}

/// What became of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// Not asked yet.
    Untried,
    /// Being asked.
    Asking,
    /// Its last reply was good.
    Good,
    /// Its last reply was a fault, in words.
    Failed(String),
    /// Its URL has a scheme that this build does not speak.
    Unsupported(String),
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is lost or cannot go on.
    Error,
    /// Something is wrong that the user may want to mend.
    Warn,
    /// Worth a line always.
    Info,
    /// Worth a line at `-v`.
    Debug,
    /// Worth a line at `-vv`.
    Trace,
}

/// News.
#[derive(Clone, Debug)]
pub enum Note {
    /// The check of what is on disk has ended.
    Checked {
        /// Whose.
        torrent: TorrentId,
        /// Good pieces.
        good: u32,
        /// Pieces in all.
        pieces: u32,
        /// Pieces that could not be read.
        unreadable: u32,
    },
    /// Everything is there.
    Complete {
        /// Whose.
        torrent: TorrentId,
        /// Block bytes received in this run.
        downloaded_bytes: u64,
        /// Time from start to completion.
        took: Duration,
        /// It is given to others from then on; else the torrent ends with it.
        stays: bool,
    },
    /// A torrent is given to nobody any more, as the user wishes.
    GivenEnough {
        /// Whose.
        torrent: TorrentId,
        /// The ratio is reached; else the time is over.
        by_ratio: bool,
    },
    /// A peer has shaken hands.
    PeerConnected {
        /// The torrent.
        torrent: TorrentId,
        /// Its address.
        address: SocketAddr,
    },
    /// A peer is gone.
    PeerGone {
        /// The torrent.
        torrent: TorrentId,
        /// Its address.
        address: SocketAddr,
        /// In words.
        why: String,
        /// True if it broke the protocol.
        guilty: bool,
    },
    /// A peer sent a bad block and is not spoken to again.
    PeerBanned {
        /// The torrent.
        torrent: TorrentId,
        /// Its address.
        address: SocketAddr,
        /// The piece that it spoiled.
        piece: u32,
    },
    /// The hash of a piece was wrong.
    PieceFailed {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: u32,
    },
    /// Pieces are verified and in their files.
    PieceStored {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: u32,
    },
    /// A tracker answered.
    TrackerAnswered {
        /// Whose.
        torrent: TorrentId,
        /// Its URL.
        url: String,
        /// Peers in the reply.
        peers: u32,
        /// Wait until the next announce.
        next: Duration,
    },
    /// A tracker failed.
    TrackerFailed {
        /// Whose.
        torrent: TorrentId,
        /// Its URL.
        url: String,
        /// In words; may hold what a stranger wrote.
        why: String,
        /// Wait until it is tried again.
        next: Duration,
        /// The last time it failed for the same reason.
        again: bool,
    },
    /// A tracker is never asked; said once.
    TrackerSkipped {
        /// Whose.
        torrent: TorrentId,
        /// Its URL.
        url: String,
        /// In words; may hold what a stranger wrote.
        why: String,
    },
    /// A tracker warns (`warning message`).
    TrackerWarning {
        /// Whose.
        torrent: TorrentId,
        /// Its URL.
        url: String,
        /// What a stranger wrote.
        text: String,
    },
    /// A file could not be written or read.
    StorageFault {
        /// Whose.
        torrent: TorrentId,
        /// What.
        fault: StorageFault,
        /// Storing stops and is tried again every
        /// [`STORE_RETRY_INTERVAL`](crate::base::limits::STORE_RETRY_INTERVAL) until it works.
        retried: bool,
    },
    /// An earlier run has left a resume state.
    Resumed {
        /// Whose.
        torrent: TorrentId,
        /// Pieces that are believed to be there without being read.
        believed: u32,
        /// Pieces in all.
        pieces: u32,
        /// Files that somebody else may have changed.
        doubtful_files: u32,
        /// Why nothing is believed.
        fault: Option<StateFault>,
    },
    /// The resume state could not be saved: after a power cut more than usual has to be read again.
    StateNotSaved {
        /// Whose.
        torrent: TorrentId,
        /// Why. It names no file of the torrent.
        fault: StorageFault,
    },
    /// Storing works again.
    StorageRecovered {
        /// Whose.
        torrent: TorrentId,
    },
}

impl Note {
    /// How loud it is.
    pub fn level(&self) -> Level {
        match self {
            Self::StorageFault { .. } => Level::Error,
            // Most trackers that a `.torrent` lists are dead and stay so.
            Self::TrackerFailed { again: true, .. } => Level::Debug,
            Self::PeerBanned { .. } | Self::TrackerFailed { .. } | Self::TrackerWarning { .. } => Level::Warn,
            Self::StateNotSaved { .. } => Level::Warn,
            Self::Resumed { .. } | Self::TrackerSkipped { .. } => Level::Info,
            Self::GivenEnough { .. } => Level::Info,
            Self::Checked { .. } | Self::Complete { .. } | Self::StorageRecovered { .. } => Level::Info,
            Self::PieceFailed { .. } | Self::TrackerAnswered { .. } => Level::Debug,
            Self::PeerGone { guilty: true, .. } => Level::Debug,
            Self::PeerConnected { .. } | Self::PeerGone { .. } => Level::Debug,
            Self::PieceStored { .. } => Level::Trace,
        }
    }
}
