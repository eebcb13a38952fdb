//! Fuzz body: the resume state, and what of it is believed.

use crate::meta::Metainfo;
use crate::resume::{Belief, MAGIC, Stamp, State, VERSION};
use alloc::vec::Vec;
use sha1::{Digest, Sha1};

/// Eleven pieces of 1,000 bytes in three files, the second of which is empty.
const TORRENT: &[u8] = b"d4:infod5:filesld6:lengthi4500e4:pathl1:aeed6:lengthi0e4:pathl1:beed6:lengthi5600e\
    4:pathl1:ceee4:name1:n12:piece lengthi1000e6:pieces220:";
const PIECES: usize = 11;

/// Any bytes: as a state; and, with what stands before and behind them made right, as the fields of one. The first byte
/// tells how the files are.
pub fn state(data: &[u8]) {
    let torrent = [TORRENT, &[b'x'; 20 * PIECES], b"ee"].concat();
    let metainfo = Metainfo::parse(&torrent).expect("ours: the torrent above is sound");
    let (choice, fields) = data.split_first().map_or((0, data), |(&choice, rest)| (choice, rest));
    judge(&metainfo, data, choice);
    let mut signed: Vec<u8> = [&MAGIC[..], &VERSION.to_be_bytes(), &metainfo.info_hash.0, fields].concat();
    let digest = Sha1::digest(&signed);
    signed.extend_from_slice(&digest);
    judge(&metainfo, &signed, choice);
}

fn judge(metainfo: &Metainfo, bytes: &[u8], choice: u8) {
    let (files, pieces) = (metainfo.layout.count(), metainfo.geometry().pieces);
    let known = State::decode(bytes, metainfo.info_hash, files, pieces);
    let stamps: Vec<Stamp> = match &known {
        Ok(state) => state.stamps.iter().map(|stamp| moved(*stamp, choice)).collect(),
        Err(_) => Vec::new(),
    };
    let belief = Belief::new(metainfo, bytes, &stamps);
    assert_eq!(belief.fault, known.as_ref().err().copied().filter(|_| !bytes.is_empty()));
    match known {
        Ok(state) => {
            assert_eq!(state.encode(), bytes, "a state has one form");
            assert_eq!(State::era_of(bytes), state.era);
            assert!(belief.pieces.iter().all(|piece| state.durable.has(piece)));
        }
        Err(fault) => assert!(belief.pieces.count() == 0 && !alloc::format!("{fault}").is_empty()),
    }
}

/// How a file is that was as `stamp`.
fn moved(stamp: Stamp, choice: u8) -> Stamp {
    let seconds = i64::from(choice >> 2) - 8;
    Stamp {
        length: stamp.length.saturating_add(u64::from(choice & 1)).saturating_sub(u64::from(choice >> 1 & 1)),
        changed_ns: stamp.changed_ns.saturating_add(seconds * 1_000_000_000),
    }
}
