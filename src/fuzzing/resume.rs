//! Fuzz body: the resume state, and what of it is believed.

use crate::meta::Metainfo;
use crate::resume::{Belief, Era, MAGIC, PULSE_BYTES, Present, Pulse, Stamp, State, VERSION, Wall};
use alloc::vec::Vec;
use sha1::{Digest, Sha1};

/// Eleven pieces of 1,000 bytes in three files, the second of which is empty.
const TORRENT: &[u8] = b"d4:infod5:filesld6:lengthi4500e4:pathl1:aeed6:lengthi0e4:pathl1:beed6:lengthi5600e\
    4:pathl1:ceee4:name1:n12:piece lengthi1000e6:pieces220:";
const PIECES: usize = 11;
const SECOND_NS: i64 = 1_000_000_000;

/// Any bytes: as a state; and, with what stands before and behind them made right, as the fields of one. The first byte
/// tells how the files, the clock and the pulse are.
pub fn state(data: &[u8]) {
    let torrent = [TORRENT, &[b'x'; 20 * PIECES], b"ee"].concat();
    let metainfo = Metainfo::parse(&torrent).expect("ours: the torrent above is sound");
    let (choice, fields) = data.split_first().map_or((0, data), |(&choice, rest)| (choice, rest));
    judge(&metainfo, data, choice);
    let mut signed: Vec<u8> = [&MAGIC[..], &VERSION.to_be_bytes(), &metainfo.info_hash.0, fields].concat();
    let digest = Sha1::digest(&signed);
    signed.extend_from_slice(&digest);
    signed.extend_from_slice(&[0; PULSE_BYTES]);
    judge(&metainfo, &signed, choice);
}

fn judge(metainfo: &Metainfo, bytes: &[u8], choice: u8) {
    let (files, pieces) = (metainfo.layout.count(), metainfo.geometry().pieces);
    let known = State::decode(bytes, metainfo.info_hash, files, pieces);
    let (stamps, era, wall) = match &known {
        Ok(state) => present(state, choice),
        Err(_) => (Vec::new(), Era::default(), Wall::default()),
    };
    let mut bytes = bytes.to_vec();
    if let Ok(state) = &known {
        assert_eq!(
            state.encode()[..bytes.len() - PULSE_BYTES],
            bytes[..bytes.len() - PULSE_BYTES],
            "one form"
        );
        assert_eq!(State::era_of(&bytes), state.era);
        let alive = Pulse(state.written_ns.saturating_add(SECOND_NS));
        bytes.truncate(bytes.len() - PULSE_BYTES);
        bytes.extend_from_slice(&if choice & 4 == 0 { [0; PULSE_BYTES] } else { alive.bytes() });
    }
    let belief = Belief::new(metainfo, &bytes, &Present { stamps: &stamps, era, wall });
    let is_none = bytes.is_empty() || bytes == State::head(metainfo.info_hash);
    assert_eq!(belief.fault, known.as_ref().err().copied().filter(|_| !is_none));
    match known {
        Ok(state) => {
            assert!(belief.pieces.iter().all(|piece| state.durable.has(piece)));
            let theirs = |(_, (then, now)): &(usize, (&Stamp, &Stamp))| !may_be_ours(&state, then, now, era);
            for (index, _) in state.stamps.iter().zip(&stamps).enumerate().filter(theirs) {
                let file = metainfo.layout.file(index as u32).expect("ours: as many stamps as files");
                let mut pieces = metainfo.geometry().pieces_of(file.offset..file.offset + file.length);
                assert!(pieces.all(|piece| !belief.pieces.has(piece)), "file {index}");
            }
        }
        Err(fault) => assert!(belief.pieces.count() == 0 && !alloc::format!("{fault}").is_empty()),
    }
}

/// True unless the file was changed when we were gone for certain: the pulse is a second after the state at the latest, and
/// another boot does not trust us beyond half a minute. After a clean end we have changed nothing.
fn may_be_ours(state: &State, then: &Stamp, now: &Stamp, era: Era) -> bool {
    if state.is_final && now.changed_ns != then.changed_ns {
        return false;
    }
    let latest_ns =
        state.written_ns.saturating_add(if era == state.era { SECOND_NS } else { 30 * SECOND_NS });
    now.changed_ns <= latest_ns
}

/// How things are after the state was written: the files a while later, in the same boot or another.
fn present(state: &State, choice: u8) -> (Vec<Stamp>, Era, Wall) {
    let stamps = state.stamps.iter().map(|stamp| moved(*stamp, choice)).collect();
    let later = |seconds: i64| state.written_ns.saturating_add(seconds * SECOND_NS);
    let (now_ns, same) = (later(3600), state.era);
    match choice >> 3 & 3 {
        0 => (stamps, same, Wall { now_ns, boot_ns: state.boot_ns, kept: true }),
        1 => (stamps, same, Wall { now_ns, boot_ns: later(20), kept: true }),
        2 => (stamps, Era([choice; 24]), Wall { now_ns, boot_ns: later(20), kept: true }),
        _ => (stamps, Era::default(), Wall { now_ns, boot_ns: later(20), kept: false }),
    }
}

/// How a file is that was as `stamp`.
fn moved(stamp: Stamp, choice: u8) -> Stamp {
    let seconds = i64::from(choice >> 5) * 8 - 8;
    Stamp {
        length: stamp.length.saturating_add(u64::from(choice & 1)).saturating_sub(u64::from(choice >> 1 & 1)),
        changed_ns: stamp.changed_ns.saturating_add(seconds * SECOND_NS),
    }
}
