//! Wishes that the session has of the rim. The rim carries them out in order and decides nothing.

use crate::base::{StreamId, TorrentId};
use crate::session::{Report, StorageFault, StorageFaultKind, StoreId};
use crate::wire::Server;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Something to be done outside.
#[derive(Debug)]
pub enum Action {
    /// Open a stream to `address`; answer `Connected` or `Closed`.
    Connect {
        /// The name that the session gave it.
        stream: StreamId,
        /// Where to.
        address: SocketAddr,
    },
    /// Open a stream to a server that is to be verified by its name, or whose name a proxy resolves; answer as for
    /// `Connect`, once everything on the way is passed.
    Reach {
        /// The name that the session gave it.
        stream: StreamId,
        /// Where to.
        server: Server,
    },
    /// Open a stream to the proxy that shall carry datagrams as long as it is open; answer as for `Connect`.
    Associate {
        /// The name that the session gave it.
        stream: StreamId,
    },
    /// `Session::outgoing` has bytes for this stream: send when it takes them.
    Flush {
        /// Which.
        stream: StreamId,
    },
    /// Read from this stream again, after `Session::landing` had answered [`Landing::Wait`](crate::session::Landing),
    /// or `Session::allowance` 0.
    Resume {
        /// Which.
        stream: StreamId,
    },
    /// Close the stream. The session has already forgotten it; no answer.
    Close {
        /// Which.
        stream: StreamId,
    },
    /// Send a datagram, if need be from a socket that is opened for it; answers come as `Datagram`. One that is lost
    /// is no news, but where it is known that nobody can be reached: `Undeliverable`. One to a server behind a proxy goes
    /// by way of the proxy that has opened the stream of `Associate`, or not at all; answers come as `Relayed`.
    SendDatagram {
        /// Where to.
        server: Server,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Put the bytes of `Session::store` into the files; answer `Stored` or `StoreFailed`.
    Store {
        /// Whose files.
        torrent: TorrentId,
        /// Which bytes: `Session::store(torrent, store)` has them.
        store: StoreId,
    },
    /// Read from the files; answer `Loaded` or `LoadFailed`. At most one per turn is carried out, so that a long
    /// check keeps nobody waiting.
    Load {
        /// Whose files.
        torrent: TorrentId,
        /// First byte within the torrent.
        offset: u64,
        /// Bytes, at most `CHECK_SLICE_BYTES`.
        length: usize,
        /// Also write what was read again, to where it was: the device may have refused it, and then memory has it and
        /// will never bring it there by itself. Also a fault of that is answered with `LoadFailed`.
        renew: bool,
    },
    /// Make durable what has been stored so far, without keeping anybody waiting; answer `Synced` or `SyncFailed`.
    Sync {
        /// Whose files.
        torrent: TorrentId,
        /// Not only what this run has stored, but all that is there.
        everything: bool,
    },
    /// Put what [`Session::state`](crate::session::Session::state) says in the place of the resume state, and make it
    /// durable; answer `Saved`.
    Save {
        /// Whose.
        torrent: TorrentId,
    },
    /// Remove the resume state: there is nothing left to be resumed. No answer.
    ForgetState {
        /// Whose.
        torrent: TorrentId,
    },
    /// Every piece of the torrent is stored: make the files durable and close them; answer `Completed` or
    /// `CompleteFailed`.
    Complete {
        /// Whose.
        torrent: TorrentId,
    },
    /// Find the addresses of a host name; answer `Resolved`.
    Resolve {
        /// A number to be given back.
        query: u32,
        /// The name, never empty; not a literal address.
        host: String,
    },
    /// Tell the user.
    Say(Report),
    /// All is done: leave the loop. Nothing follows it.
    Finish(Outcome),
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every torrent is complete and verified.
    Complete,
    /// The user or a signal ended it before that.
    Incomplete,
    /// A disk is full, and the user does not want to wait.
    NoSpace,
    /// A file may not be as long as it has to be, and the user does not want to wait.
    TooLong,
    /// A file could not be read or written.
    IoError,
    /// What is in the place of a torrent's files holds nothing of it, and nobody knows it for ours.
    Occupied {
        /// Whose place it is.
        torrent: TorrentId,
    },
    /// Something is missing in a file that may not be written to.
    Denied {
        /// Of this torrent.
        torrent: TorrentId,
        /// The file, by index in the torrent.
        file: u32,
        /// Why: the operating system's number.
        os_error: i32,
    },
    /// `--check` found pieces that are bad or missing.
    CheckFailed,
    /// Every tracker failed and no peer answered within `--give-up`. See [`Session::efforts`](super::Session::efforts).
    GaveUp,
}

impl Outcome {
    /// How a run ends that a storage fault ends.
    pub(super) fn of(fault: StorageFault) -> Self {
        match fault.kind {
            StorageFaultKind::NoSpace => Self::NoSpace,
            StorageFaultKind::TooLong => Self::TooLong,
            _ => Self::IoError,
        }
    }
}
