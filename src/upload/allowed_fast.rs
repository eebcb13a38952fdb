//! Pieces that a peer may have while it is choked (BEP 6), so that a newcomer soon has something to give.

use crate::base::InfoHash;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use sha1::{Digest, Sha1};

/// The first `count` pieces of the allowed-fast set of the peer at `ip`: the same for all of its network, so that a
/// peer gains nothing by coming again with another address.
pub fn allowed_fast(ip: Ipv4Addr, info_hash: &InfoHash, pieces: u32, count: usize) -> Vec<u32> {
    let [a, b, c, _] = ip.octets();
    let count = count.min(pieces as usize);
    let mut set = Vec::with_capacity(count);
    let mut digest: [u8; 20] =
        Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize().into();
    // Every digest names five pieces. Doubles are passed over, so the number of digests is bounded by chance only:
    // for the few pieces of a tiny torrent a hundred are enough, or it gets fewer.
    for _ in 0..100 {
        for word in digest.as_chunks::<4>().0 {
            let piece = u32::from_be_bytes(*word) % pieces.max(1);
            if set.len() < count && !set.contains(&piece) {
                set.push(piece);
            }
        }
        if set.len() == count {
            break;
        }
        digest = Sha1::digest(digest).into();
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_bep_6() {
        let set = |count| allowed_fast(Ipv4Addr::new(80, 4, 4, 200), &InfoHash([0xaa; 20]), 1313, count);
        assert_eq!(set(7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(set(9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn small_torrents_have_small_sets() {
        let set = |pieces| allowed_fast(Ipv4Addr::LOCALHOST, &InfoHash([1; 20]), pieces, 10);
        assert_eq!((set(0), set(1)), (alloc::vec![], alloc::vec![0]));
        let mut all = set(4);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }
}
