//! What of a state may be believed, given the files as they are.

use super::{Past, Stamp, State, StateFault};
use crate::base::Bitfield;
use crate::base::limits::{STAMP_GRAIN, STATE_AGE_MAX};
use crate::meta::Metainfo;

/// What an earlier run knew and may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// Pieces that are in their files and on the device.
    pub pieces: Bitfield,
    /// Pieces that were in their files and may not have reached the device: they are to be read.
    pub unsynced: u32,
    /// Files that are not what the state says.
    pub doubtful_files: u32,
    /// Why there is nothing to be believed; `None` also if there was no state.
    pub fault: Option<StateFault>,
    /// What earlier runs have done, as far as it is known.
    pub past: Past,
}

impl Belief {
    /// Nothing is known.
    pub fn nothing(pieces: u32) -> Self {
        Self {
            pieces: Bitfield::new(pieces),
            unsynced: 0,
            doubtful_files: 0,
            fault: None,
            past: Past::default(),
        }
    }

    /// What may be believed of `state`, which may be empty, when the files are now as in `stamps`.
    pub fn new(metainfo: &Metainfo, state: &[u8], stamps: &[Stamp]) -> Self {
        let geometry = metainfo.geometry();
        let mut belief = Self::nothing(geometry.pieces);
        if state.is_empty() {
            return belief;
        }
        match State::decode(state, metainfo.info_hash, metainfo.layout.count(), geometry.pieces) {
            Ok(state) => belief.take(metainfo, &state, stamps),
            Err(fault) => belief.fault = Some(fault),
        }
        belief
    }

    fn take(&mut self, metainfo: &Metainfo, state: &State, stamps: &[Stamp]) {
        let geometry = metainfo.geometry();
        self.past = state.past;
        self.pieces = state.durable.clone();
        self.unsynced = state.stored.iter().filter(|&piece| !state.durable.has(piece)).count() as u32;
        for (index, file) in (0_u32..).zip(metainfo.layout.files()).filter(|(_, file)| !file.is_pad()) {
            let pieces = geometry.pieces_of(file.offset..file.offset + file.length);
            // Of files in which nothing was found, nothing is asked.
            if !pieces.clone().any(|piece| self.pieces.has(piece)) {
                continue;
            }
            let then = state.stamps.get(index as usize).copied().unwrap_or_default();
            let now = stamps.get(index as usize).copied().unwrap_or_default();
            let is_finished = pieces.clone().all(|piece| state.durable.has(piece));
            if !is_the_same(then, now, state.written_ns, is_finished) {
                self.doubtful_files += 1;
                for piece in pieces {
                    self.pieces.remove(piece);
                }
            }
        }
    }
}

/// True if a file that was as `then`, and is as `now`, was changed by nobody but us. Of a file that was finished nobody had
/// any more to write.
fn is_the_same(then: Stamp, now: Stamp, written_ns: i64, is_finished: bool) -> bool {
    let nanos = |span: core::time::Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    let grain = nanos(STAMP_GRAIN);
    let latest = if is_finished {
        then.changed_ns.saturating_add(grain)
    } else {
        written_ns.saturating_add(nanos(STATE_AGE_MAX))
    };
    let length_fits = if is_finished { now.length == then.length } else { now.length >= then.length };
    length_fits && now.changed_ns >= then.changed_ns.saturating_sub(grain) && now.changed_ns <= latest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::Era;
    use alloc::vec::Vec;

    const SECOND: i64 = 1_000_000_000;
    const WRITTEN: i64 = 1_000 * SECOND;
    const ERA: Era = Era([1; 24]);

    /// Four pieces of 10 bytes: `a` has 15, `b` 25. So piece 1 is in both.
    fn metainfo() -> Metainfo {
        let head = b"d4:infod5:filesld6:lengthi15e4:pathl1:aeed6:lengthi25e4:pathl1:beee4:name1:n\
            12:piece lengthi10e6:pieces80:";
        let bytes: Vec<u8> = [&head[..], &[b'x'; 80], b"ee"].concat();
        Metainfo::parse(&bytes).unwrap()
    }

    fn set(pieces: &[u32]) -> Bitfield {
        let mut set = Bitfield::new(4);
        pieces.iter().for_each(|&piece| assert!(set.insert(piece)));
        set
    }

    const A: Stamp = Stamp { length: 15, changed_ns: 900 * SECOND };
    const B: Stamp = Stamp { length: 20, changed_ns: 950 * SECOND };

    /// Pieces 0 and 1 were durable, 2 was stored.
    fn state() -> State {
        State {
            info_hash: metainfo().info_hash,
            era: ERA,
            written_ns: WRITTEN,
            past: Past { uploaded_bytes: 3, ..Past::default() },
            stamps: [A, B].into(),
            durable: set(&[0, 1]),
            stored: set(&[0, 1, 2]),
        }
    }

    fn believed(stamps: [Stamp; 2]) -> Vec<u32> {
        let belief = Belief::new(&metainfo(), &state().encode(), &stamps);
        assert_eq!((belief.past.uploaded_bytes, belief.unsynced), (3, 1));
        belief.pieces.iter().collect()
    }

    #[test]
    fn pieces_that_were_synced_are_believed_and_no_others() {
        assert_eq!(believed([A, B]), [0, 1]);
    }

    #[test]
    fn a_file_that_others_may_have_changed_is_not_believed() {
        let at = |stamp: Stamp, seconds: i64| Stamp { changed_ns: seconds * SECOND, ..stamp };
        let long = |stamp: Stamp, length| Stamp { length, ..stamp };
        let cases: [([Stamp; 2], &[u32]); 9] = [
            ([at(A, 901), B], &[0, 1]),
            ([at(A, 903), B], &[]),
            ([at(A, 897), B], &[]),
            ([long(A, 14), B], &[]),
            ([A, at(B, 1_030)], &[0, 1]),
            ([A, at(B, 1_031)], &[0]),
            ([A, at(B, 947)], &[0]),
            ([A, long(B, 25)], &[0, 1]),
            ([Stamp::default(), long(B, 19)], &[]),
        ];
        for (stamps, expected) in cases {
            assert_eq!(believed(stamps), expected, "{stamps:?}");
        }
    }

    #[test]
    fn what_is_no_state_is_a_fault_and_no_state_is_none() {
        let metainfo = metainfo();
        let belief = |bytes: &[u8]| Belief::new(&metainfo, bytes, &[A, B]);
        assert_eq!(belief(&[]), Belief::nothing(4));
        let mut damaged = state().encode();
        damaged[40] ^= 1;
        assert_eq!(belief(&damaged), Belief { fault: Some(StateFault::Damaged), ..Belief::nothing(4) });
    }

    #[test]
    fn stamps_beyond_all_bounds_do_no_harm() {
        for changed_ns in [i64::MIN, i64::MAX] {
            let wild = Stamp { length: u64::MAX, changed_ns };
            assert_eq!(believed([wild, wild]), []);
        }
        let stamps = [Stamp { length: 0, changed_ns: i64::MIN }, Stamp { length: 0, changed_ns: i64::MAX }];
        let state = State { stamps: stamps.into(), written_ns: i64::MAX, ..state() };
        let _ = Belief::new(&metainfo(), &state.encode(), &stamps);
    }
}
