//! What `--memory` leaves for blocks when everything else has its part.

use crate::base::Geometry;
use crate::base::limits::{BUSY_PEER_BYTES, PIECE_STATE_BYTES, PROGRAM_BYTES, RECEIVE_BYTES};
use crate::base::units::MIB;

/// Bytes that may hold blocks, of `memory_mib` for all, with up to `max_peers` connected to these torrents. At least half
/// of the whole: with less nothing could be fetched.
pub fn block_bytes(memory_mib: u32, max_peers: u32, torrents: impl Iterator<Item = Geometry>) -> u64 {
    let whole = u64::from(memory_mib) * u64::from(MIB);
    let (mut bitfield, mut pieces) = (0, 0);
    for geometry in torrents {
        bitfield = u64::from(geometry.bitfield_bytes()).max(bitfield);
        pieces += u64::from(geometry.pieces);
    }
    let peers = u64::from(max_peers) * (BUSY_PEER_BYTES as u64 + bitfield);
    let others = (PROGRAM_BYTES + RECEIVE_BYTES) as u64 + peers + pieces * PIECE_STATE_BYTES as u64;
    whole.saturating_sub(others).max(whole / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_comes_out_of_the_same_number() {
        let left_kib = |memory_mib, max_peers, pieces: u64| {
            let torrent = Geometry::new(pieces * 16_384, 16_384).unwrap();
            block_bytes(memory_mib, max_peers, [torrent].into_iter()) >> 10
        };
        let cases = [
            ((10, 200, 1_000), 8_296),
            ((16, 200, 1_000), 14_440),
            ((4, 200, 1_000), 2_152),
            ((2, 200, 1_000), 1_024),
            ((10, 500, 100_000), 5_120),
        ];
        for ((memory_mib, max_peers, pieces), kib) in cases {
            assert_eq!(left_kib(memory_mib, max_peers, pieces), kib, "{memory_mib} {max_peers} {pieces}");
        }
    }
}
