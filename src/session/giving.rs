//! What the user chose about giving, and how fast everything may go.

use core::time::Duration;

/// What the user chose about giving; see [`Session::give`](super::Session::give).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Giving {
    /// Peers that are served at a time (`--up-slots`); from the rate if not given.
    pub up_slots: Option<u32>,
    /// Bytes per second from all peers together; 0: no limit.
    pub down_limit: u64,
    /// Bytes per second to all peers together; 0: no limit.
    pub up_limit: u64,
    /// Stay when everything is there (`--seed`).
    pub seed: bool,
    /// Tell each peer of a few pieces only, until everything is in the swarm (`--super-seed`, BEP 16).
    pub super_seed: bool,
    /// End when a torrent has been given so often, in thousandths of its size (`--seed-ratio`).
    pub seed_permille: Option<u32>,
    /// End when a torrent has been given for so long (`--seed-time`).
    pub seed_time: Option<Duration>,
}
