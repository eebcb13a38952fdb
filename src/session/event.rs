//! Facts that the rim tells the session. They are I/O's words, not BitTorrent's.

use crate::base::{StreamId, TorrentId};
use crate::proxy;
use crate::session::{Command, SecureFault};
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// Something that has happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A stream that the session wished for ([`Action::Connect`](crate::session::Action::Connect),
    /// [`Action::Reach`](crate::session::Action::Reach)) is open, or the proxy carries datagrams
    /// ([`Action::Associate`](crate::session::Action::Associate)).
    Connected {
        /// Which.
        stream: StreamId,
    },
    /// A stream is gone: never opened, closed by the other side, or broken. The session forgets it; the rim
    /// has already done so.
    Closed {
        /// Which.
        stream: StreamId,
        /// Why.
        cause: CloseCause,
    },
    /// A datagram came to the sockets from which ours are sent. Anybody may have sent it.
    Datagram {
        /// From whom, as the system says.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The proxy has brought a datagram ([`Action::Associate`](crate::session::Action::Associate)).
    Relayed {
        /// From whom, as it says; a name, or nothing, is `None`.
        from: Option<SocketAddr>,
        /// All that was sent.
        bytes: &'a [u8],
    },
    /// A datagram of ours cannot be delivered.
    Undeliverable {
        /// Where to.
        address: SocketAddr,
        /// Why.
        cause: CloseCause,
    },
    /// A wish to store has been carried out: the bytes are in the file.
    Stored {
        /// Whose.
        torrent: TorrentId,
        /// The wish, as [`Action::Store`](crate::session::Action::Store) named it.
        store: StoreId,
    },
    /// A wish to store has failed; the bytes are still in memory.
    StoreFailed {
        /// Whose.
        torrent: TorrentId,
        /// The wish.
        store: StoreId,
        /// What went wrong.
        fault: StorageFault,
    },
    /// What had been stored when a sync was wished for ([`Action::Sync`](crate::session::Action::Sync)) is durable.
    Synced {
        /// Whose.
        torrent: TorrentId,
    },
    /// A sync has failed: what was stored since the last one may be lost. What is read from now on comes from the device.
    SyncFailed {
        /// Whose.
        torrent: TorrentId,
        /// What went wrong.
        fault: StorageFault,
    },
    /// The resume state was saved ([`Action::Save`](crate::session::Action::Save)), or could not be: then the last one
    /// still holds.
    Saved {
        /// Whose.
        torrent: TorrentId,
        /// It is durable, or why not.
        result: Result<(), StorageFault>,
    },
    /// A torrent's files are durable.
    Completed {
        /// Whose.
        torrent: TorrentId,
    },
    /// A torrent's files could not be made durable: what was written since the last time may be lost.
    CompleteFailed {
        /// Whose.
        torrent: TorrentId,
        /// What went wrong.
        fault: StorageFault,
    },
    /// Bytes that the session wished to read ([`Action::Load`](crate::session::Action::Load)). Holes and missing
    /// files read as zeros. `bytes` may be fewer than were asked for, where more would take long to hash.
    Loaded {
        /// Whose.
        torrent: TorrentId,
        /// First byte within the torrent.
        offset: u64,
        /// What is there.
        bytes: &'a [u8],
    },
    /// A wish to read has failed.
    LoadFailed {
        /// Whose.
        torrent: TorrentId,
        /// First byte that was asked for.
        offset: u64,
        /// What went wrong.
        fault: StorageFault,
    },
    /// The addresses of a name ([`Action::Resolve`](crate::session::Action::Resolve)); empty if there are none. Where one
    /// family takes longer it is told again, with all addresses.
    Resolved {
        /// The number of the wish.
        query: u32,
        /// The addresses, best first.
        addresses: &'a [IpAddr],
    },
    /// The user typed a command.
    Command(Command),
    /// A signal or the user asks to end: say goodbye to the trackers and finish.
    Quit,
}

/// The number of a wish to store, unique within its torrent until answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreId(pub u32);

/// Why a stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The other side closed it in good order.
    Ended,
    /// Nobody listens there.
    Refused,
    /// No route, no such host, network down.
    Unreachable,
    /// The other side broke it off.
    Reset,
    /// The operating system gave up waiting.
    TimedOut,
    /// We have no more file descriptors, memory or ports for it: nobody's fault but ours.
    NoResources,
    /// The proxy on the way.
    Proxy(proxy::Fault),
    /// TLS found something wrong.
    Secure(SecureFault),
    /// Anything else; the operating system's error number.
    Other(i32),
}

impl CloseCause {
    /// True if whoever was to be reached is not to blame for it.
    pub fn is_on_our_side(self) -> bool {
        match self {
            Self::NoResources => true,
            Self::Proxy(fault) => !fault.is_the_targets(),
            _ => false,
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("it closed the connection"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Reset => f.write_str("connection reset"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::NoResources => f.write_str("we are out of sockets or memory"),
            Self::Proxy(fault) => fault.fmt(f),
            Self::Secure(fault) => fault.fmt(f),
            Self::Other(number) => write!(f, "connection failed, system error {number}"),
        }
    }
}

/// What went wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageFault {
    /// What kind of trouble, which decides what happens next.
    pub kind: StorageFaultKind,
    /// The file, by index in the torrent.
    pub file: u32,
    /// The operating system's error number; 0 where it gave none.
    pub os_error: i32,
    /// Bytes that the device lacks for what is still to come; 0 where that is not known or not the trouble.
    pub missing_bytes: u64,
}

impl StorageFault {
    /// True if it passes when somebody makes room, or raises a limit.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self.kind, StorageFaultKind::NoSpace | StorageFaultKind::TooLong)
    }
}

/// Kinds of storage trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFaultKind {
    /// No space or quota: passes when the user makes room.
    NoSpace,
    /// The file system, or a limit of the process, has no files so long: passes when somebody raises the limit.
    TooLong,
    /// The file is not what it was: shorter, replaced, a directory, a symlink.
    Changed,
    /// No permission, or a file system that became read-only.
    Denied,
    /// The device failed, or anything else.
    Io,
}
