//! The memory that connections take together.

use super::BUSY_PEER_BYTES;

/// What a stream costs in the tables of streams and sockets, in bytes: they grow to twice of what they hold.
pub const STREAM_BYTES: usize = 512;
/// What is set aside for connections in any case, in bytes: what one takes that gives and takes as fast as it can.
pub const CONNECTIONS_BYTES_MIN: u64 = 128 << 10;
/// Where little memory is left for connections: bytes waiting to be sent to one peer from which on `have` messages wait.
pub const OUTBOX_HAVES_TIGHT_BYTES: usize = 1 << 10;

/// Memory for so many connections to peers with bitfields of so many bytes. Each may hold several times its part: as much
/// as others hold less.
pub fn peers_bytes(peers: u32, bitfield_bytes: u64) -> u64 {
    (u64::from(peers) * (BUSY_PEER_BYTES as u64 + bitfield_bytes)).max(CONNECTIONS_BYTES_MIN)
}
