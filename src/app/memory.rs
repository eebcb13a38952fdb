//! How `--memory` is shared out between tables, peers and blocks.

use crate::base::limits::{
    BLOCKS_MIN_BYTES, BUSY_PEER_BYTES, FILE_STATE_BYTES, MEMORY_MAX_MIB, PEERS_DEFAULT, PEERS_MIN,
    PEERS_PART, PEERS_PART_ASKED, PIECE_STATE_BYTES, PROGRAM_BYTES, RECEIVE_BYTES, peers_bytes,
};
use crate::base::units::MIB;
use crate::meta::Metainfo;

/// What each has of `--memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Bytes that may hold blocks.
    pub block_bytes: u64,
    /// Connections at a time: no more than were asked for, and no more than fit.
    pub max_peers: u32,
    /// What is to be said of it.
    pub remark: Option<Remark>,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The user asked for more peers, in these words.
    AskedTooMuch(String),
    /// The default number of peers is lowered, in these words.
    FewerThanUsual(String),
    /// Tables alone fill it, so that more is used, in these words.
    TooLittle(String),
}

/// What is kept of a torrent as long as it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Pieces.
    pub pieces: u64,
    /// Files.
    pub files: u64,
    /// Letters of their paths.
    pub path_bytes: u64,
}

impl Tables {
    /// Those of a torrent.
    pub fn of(metainfo: &Metainfo) -> Self {
        let (pieces, layout) = (u64::from(metainfo.pieces()), &metainfo.layout);
        Self { pieces, files: u64::from(layout.count()), path_bytes: layout.path_bytes() }
    }

    fn bytes(self) -> u64 {
        self.pieces * PIECE_STATE_BYTES as u64 + self.files * FILE_STATE_BYTES as u64 + self.path_bytes
    }
}

/// Shares out `memory_mib`, which these torrents have to do with. `asked` is the number of peers that the user named.
pub fn share(memory_mib: u32, asked: Option<u32>, torrents: impl Iterator<Item = Tables>) -> Shares {
    let whole = u64::from(memory_mib) * u64::from(MIB);
    let (mut bitfield, mut tables) = (0, (PROGRAM_BYTES + RECEIVE_BYTES) as u64);
    for torrent in torrents {
        bitfield = torrent.pieces.div_ceil(8).max(bitfield);
        tables += torrent.bytes();
    }
    let peer = BUSY_PEER_BYTES as u64 + bitfield;
    let wanted = asked.unwrap_or(PEERS_DEFAULT);
    let (part, of) = if asked.is_some() { PEERS_PART_ASKED } else { PEERS_PART };
    let rest = whole.saturating_sub(tables);
    let fitting = (rest * part / of).min(rest.saturating_sub(BLOCKS_MIN_BYTES)) / peer;
    let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
    let max_peers = wanted.min(fitting.max(PEERS_MIN));
    let peers = peers_bytes(max_peers, bitfield);
    let block_bytes = rest.saturating_sub(peers).max(BLOCKS_MIN_BYTES);
    let used = tables + peers + block_bytes;
    let all = peers_bytes(wanted, bitfield);
    let roomy = mib(tables + (all * of).div_ceil(part).max(all + BLOCKS_MIN_BYTES));
    let remark = if used > whole {
        Some(Remark::TooLittle(format!(
            "--memory {memory_mib} is too little for so many pieces and files: about {} MiB may be used",
            mib(used)
        )))
    } else if max_peers < wanted {
        Some(fewer(memory_mib, asked, max_peers, roomy))
    } else {
        None
    };
    Shares { block_bytes, max_peers, remark }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(u64::from(MIB))
}

/// There is room for `max_peers` only; with `roomy` MiB there is for all.
fn fewer(memory_mib: u32, asked: Option<u32>, max_peers: u32, roomy: u64) -> Remark {
    let Some(asked) = asked else {
        return Remark::FewerThanUsual(format!(
            "at most {max_peers} peers at a time: --memory {memory_mib} has no room for more"
        ));
    };
    let instead = match roomy {
        room if room <= u64::from(MEMORY_MAX_MIB) => format!(", --memory {roomy} has"),
        _ => String::new(),
    };
    Remark::AskedTooMuch(format!(
        "--max-peers {asked} becomes {max_peers}: --memory {memory_mib} has no room for more{instead}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(memory_mib: u32, asked: Option<u32>, pieces: u64) -> Shares {
        share(memory_mib, asked, [Tables { pieces, ..Tables::default() }].into_iter())
    }

    #[test]
    fn everything_comes_out_of_the_same_number() {
        let cases = [
            ((10, None, 1_000), (200, 8_296)),
            ((16, Some(200), 1_000), (200, 14_440)),
            ((4, None, 1_000), (180, 2_234)),
            ((2, None, 1_000), (56, 697)),
            ((2, Some(500), 1_000), (101, 512)),
            ((10, None, 100_000), (92, 4_535)),
            ((16, Some(500), 100_000), (500, 4_067)),
        ];
        for ((memory_mib, asked, pieces), wanted) in cases {
            let Shares { max_peers, block_bytes, .. } = shares(memory_mib, asked, pieces);
            assert_eq!((max_peers, block_bytes >> 10), wanted, "{memory_mib} {asked:?} {pieces}");
        }
    }

    #[test]
    fn files_and_their_names_leave_less_for_blocks() {
        let of = |files| {
            let tables = Tables { pieces: 1_000, files, path_bytes: 20 * files };
            share(10, None, [tables].into_iter())
        };
        let (few, many) = (of(1), of(50_000));
        assert_eq!(few.block_bytes - many.block_bytes, 49_999 * (FILE_STATE_BYTES as u64 + 20));
        assert!(few.remark.is_none() && many.remark.is_none());
        let Some(Remark::TooLittle(text)) = of(300_000).remark else { panic!() };
        assert_eq!(text, "--memory 10 is too little for so many pieces and files: about 23 MiB may be used");
    }

    #[test]
    fn whatever_is_asked_for_fits_or_it_is_said_that_it_does_not() {
        for memory_mib in [2, 3, 4, 8, 10, 64, 1024] {
            for asked in [None, Some(1), Some(200), Some(5_000)] {
                for pieces in [1, 1_000, 30_000, 100_000, 2_000_000] {
                    let Shares { block_bytes, max_peers, remark } = shares(memory_mib, asked, pieces);
                    let tables = (PROGRAM_BYTES + RECEIVE_BYTES) as u64 + pieces * PIECE_STATE_BYTES as u64;
                    let used = tables + peers_bytes(max_peers, pieces.div_ceil(8)) + block_bytes;
                    let fits = used <= u64::from(memory_mib) * u64::from(MIB);
                    let is_said = matches!(remark, Some(Remark::TooLittle(_)));
                    assert!(fits != is_said, "{memory_mib} {asked:?} {pieces}: {used} {remark:?}");
                    assert!(block_bytes >= BLOCKS_MIN_BYTES && max_peers >= asked.unwrap_or(10).min(10));
                }
            }
        }
    }

    #[test]
    fn who_asks_for_more_than_fits_hears_what_would() {
        let Some(Remark::AskedTooMuch(text)) = shares(10, Some(5_000), 1_000).remark else { panic!() };
        assert_eq!(text, "--max-peers 5000 becomes 1475: --memory 10 has no room for more, --memory 32 has");
        assert_eq!(shares(32, Some(5_000), 1_000).remark, None, "what is promised there is true");
        assert!(shares(31, Some(5_000), 1_000).remark.is_some());
        let Some(Remark::FewerThanUsual(text)) = shares(2, None, 1_000).remark else { panic!() };
        assert_eq!(text, "at most 56 peers at a time: --memory 2 has no room for more");
        let Some(Remark::TooLittle(text)) = shares(2, None, 100_000).remark else { panic!() };
        assert_eq!(text, "--memory 2 is too little for so many pieces and files: about 5 MiB may be used");
    }
}
