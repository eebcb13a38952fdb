//! The words between the trackers of a torrent and the session.

use crate::base::Instant;
use crate::tracker::{Counts, Fault, State};
use crate::wire::Server;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// A name query or a stream of an announce. A stale handle names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// Index of the tracker within its torrent.
    pub tracker: u32,
    /// Which part of it is busy.
    pub part: Part,
    /// Counts the queries and streams of this tracker.
    pub generation: u32,
}

/// What of a tracker is busy: each address family goes its own way (BEP 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The search for its addresses.
    Name,
    /// Its IPv4 side.
    V4,
    /// Its IPv6 side.
    V6,
}

/// What the trackers wish of the world. Wishes are to be carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Find the addresses of a name; answer [`Trackers::on_resolved`](crate::tracker::Trackers::on_resolved).
    Resolve {
        /// Whose.
        handle: Handle,
        /// Never a literal address.
        host: String,
    },
    /// Open a stream; answer [`Trackers::on_connected`](crate::tracker::Trackers::on_connected) or [`Trackers::on_closed`](crate::tracker::Trackers::on_closed).
    Connect {
        /// The stream's name in this room.
        handle: Handle,
        /// Where to.
        address: SocketAddr,
    },
    /// Open a stream with TLS or through a proxy; answers as for [`Wish::Connect`].
    Reach {
        /// The stream's name in this room.
        handle: Handle,
        /// Where to.
        server: Server,
    },
    /// Send bytes on an open stream.
    Send {
        /// Which.
        handle: Handle,
        /// A whole request.
        bytes: Vec<u8>,
    },
    /// Send a datagram; answer [`Trackers::on_datagram`](crate::tracker::Trackers::on_datagram), or
    /// [`Trackers::on_undeliverable`](crate::tracker::Trackers::on_undeliverable) where that is known. Through a proxy, which
    /// finds the address: [`Trackers::on_relayed`](crate::tracker::Trackers::on_relayed), and where it carries nothing
    /// [`Trackers::on_relay_lost`](crate::tracker::Trackers::on_relay_lost).
    Post {
        /// Where to.
        server: Server,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// Close a stream, open or being opened; no answer is expected.
    Close {
        /// Which.
        handle: Handle,
    },
}

/// What the session and the user may want to know. `tracker` is an index for [`Trackers::view`](crate::tracker::Trackers::view).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A tracker answered.
    Answered {
        /// Which.
        tracker: usize,
        /// Peers with a port, bounded; anything else about them is unchecked.
        peers: Vec<SocketAddr>,
        /// `warning message`, a stranger's words.
        warning: Option<String>,
        /// Wait until it is asked again.
        next: Duration,
        /// Where it answered from: peers on this machine are believed of a tracker on this machine only.
        from: Option<SocketAddr>,
    },
    /// A tracker failed.
    Failed {
        /// Which.
        tracker: usize,
        /// Why; may show what a stranger wrote.
        fault: Fault,
        /// Wait until it is asked again.
        next: Duration,
        /// The last time it failed for the same reason.
        again: bool,
    },
    /// A tracker is never asked; said once, at the start.
    Unsupported {
        /// Which.
        tracker: usize,
        /// In words.
        why: String,
    },
}

/// One tracker as the user sees it.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Its tier, from 0.
    pub tier: usize,
    /// Its URL, without a password.
    pub url: &'a str,
    /// True while an announce is under way.
    pub asking: bool,
    /// What became of the last one.
    pub state: &'a State,
    /// Peers in its last reply.
    pub peers: u32,
    /// Numbers of the swarm, as far as it has told them.
    pub counts: Counts,
    /// When it is asked again, where that is settled.
    pub next: Option<Instant>,
}
