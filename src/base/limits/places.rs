//! Who gives way where all places are taken, and how often.

use core::time::Duration;

/// A peer with which nothing was exchanged gives way to a new one when it is older than this, if all places are taken.
pub const USELESS_AGE_MIN: Duration = Duration::from_secs(120);
/// A peer is not judged by what it might become before it is this old.
pub const CULL_AGE_MIN: Duration = Duration::from_secs(20);
/// Where all places are taken, one peer at most gives way in this time.
pub const CULL_INTERVAL: Duration = Duration::from_secs(1);
/// Where nobody can give way, those that wait are thought of again after this.
pub const CULL_LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Pieces looked at to find out who alone has some that are missing, each time; whoever it is not found out of stays.
pub const CULL_STEPS_MAX: u32 = 64 << 10;
/// A slow peer gives way to one of whom nothing is known this often at most.
pub const TURNOVER_INTERVAL: Duration = Duration::from_secs(60);
/// When all places are taken and other addresses wait, a peer that has sent no block for longer gives way.
pub const USELESS_MAX: Duration = Duration::from_secs(60);
