//! What of a state may be believed, given the files as they are.

use super::trust::Trust;
use super::{Era, Past, Stamp, State, StateFault, Wall};
use crate::base::Bitfield;
use crate::meta::Metainfo;

/// How things are when a state is read.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// How each file is, in the order of the torrent.
    pub stamps: &'a [Stamp],
    /// In which era the files are.
    pub era: Era,
    /// What the clock shows.
    pub wall: Wall,
}

/// What an earlier run knew and may be believed.
///
/// A file that is as it was noted is believed, if its time of change was over when that run was last alive: whatever is
/// changed later has a later time. A finished file has to be exactly that. Into others we have stored after the state was
/// written, so a file of them may be longer and changed later, but only while nobody else can have done it:
///
/// - In the same boot, before the last [`Pulse`](super::Pulse). What we stored in the very tick of the kernel's clock
///   (1 ms to 10 ms) in which we were killed looks like what somebody else did right after, and is in doubt.
/// - In another boot, before this one began, and within
///   [`STATE_AGE_MAX`](crate::base::limits::STATE_AGE_MAX) of the state. A clock that stands still while the machine is off
///   tells nothing.
/// - After the state of a clean end, which says that nothing was stored later: never.
/// - Where the clock was set, the disk mounted anew, the boot is not known, or there is no pulse: never.
///
/// All doubt costs a check of the file. What cannot be seen is what somebody changes while we run, or changes and gives the
/// old time again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// Pieces that are in their files and on the device.
    pub pieces: Bitfield,
    /// Pieces that were in their files and may not have reached the device: they are to be read.
    pub unsynced: u32,
    /// Pieces that the device may have refused: as long as the kernel lives it may have them for written, so that reading
    /// them proves nothing, and they are to be written again.
    pub refused: Bitfield,
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
            refused: Bitfield::new(pieces),
            doubtful_files: 0,
            fault: None,
            past: Past::default(),
        }
    }

    /// What may be believed of `state`, which may be empty, at `present`.
    pub fn new(metainfo: &Metainfo, state: &[u8], present: &Present<'_>) -> Self {
        let geometry = metainfo.geometry();
        let mut belief = Self::nothing(geometry.pieces);
        if state.is_empty() || state == State::head(metainfo.info_hash) {
            return belief;
        }
        match State::decode(state, metainfo.info_hash, metainfo.layout.count(), geometry.pieces) {
            Ok(known) => {
                belief.take(metainfo, &known, present.stamps, Trust::new(&known, state, present));
                if present.era.is_same(&known.era) {
                    belief.refused = Bitfield::full(geometry.pieces);
                    known.durable.iter().for_each(|piece| assert!(belief.refused.remove(piece)));
                }
            }
            Err(fault) => belief.fault = Some(fault),
        }
        belief
    }

    fn take(&mut self, metainfo: &Metainfo, state: &State, stamps: &[Stamp], trust: Trust) {
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
            if !trust.is_ours(then, now, is_finished) {
                self.doubtful_files += 1;
                for piece in pieces {
                    self.pieces.remove(piece);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::{PULSE_BYTES, Pulse};
    use alloc::vec::Vec;

    const SECOND: i64 = 1_000_000_000;
    const WRITTEN: i64 = 1_000 * SECOND;
    const ERA: Era = Era([1; 24]);
    const WALL: Wall = Wall { now_ns: 2_000 * SECOND, boot_ns: 10 * SECOND, kept: true };
    /// When the run that has written the state was last alive.
    const PULSE: i64 = 1_010 * SECOND;

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

    const A: Stamp = Stamp { length: 15, changed_ns: 900 * SECOND + 1 };
    const B: Stamp = Stamp { length: 20, changed_ns: 950 * SECOND + 1 };

    /// Pieces 0 and 1 were durable, 2 was stored.
    fn state() -> State {
        State {
            info_hash: metainfo().info_hash,
            era: ERA,
            written_ns: WRITTEN,
            boot_ns: WALL.boot_ns,
            past: Past { uploaded_bytes: 3, ..Past::default() },
            is_final: false,
            stamps: [A, B].into(),
            durable: set(&[0, 1]),
            stored: set(&[0, 1, 2]),
        }
    }

    /// The state, with its pulse.
    fn bytes(state: &State) -> Vec<u8> {
        let mut bytes = state.encode();
        let at = bytes.len() - PULSE_BYTES;
        bytes[at..].copy_from_slice(&Pulse(PULSE).bytes());
        bytes
    }

    fn belief(bytes: &[u8], stamps: &[Stamp]) -> Belief {
        Belief::new(&metainfo(), bytes, &Present { stamps, era: ERA, wall: WALL })
    }

    fn believed(stamps: [Stamp; 2]) -> Vec<u32> {
        let belief = belief(&bytes(&state()), &stamps);
        assert_eq!((belief.past.uploaded_bytes, belief.unsynced), (3, 1));
        belief.pieces.iter().collect()
    }

    #[test]
    fn pieces_that_were_synced_are_believed_and_no_others() {
        assert_eq!(believed([A, B]), [0, 1]);
    }

    #[test]
    fn a_file_that_others_may_have_changed_is_not_believed() {
        let at = |stamp: Stamp, seconds: i64| Stamp { changed_ns: seconds * SECOND + 1, ..stamp };
        let long = |stamp: Stamp, length| Stamp { length, ..stamp };
        let cases: [([Stamp; 2], &[u32]); 9] = [
            ([at(A, 901), B], &[]),
            ([at(A, 899), B], &[]),
            ([long(A, 14), B], &[]),
            ([A, at(B, 1_009)], &[0, 1]),
            ([A, at(B, 1_010)], &[0]),
            ([A, at(B, 1_029)], &[0]),
            ([A, at(B, 947)], &[0]),
            ([A, long(B, 25)], &[0, 1]),
            ([Stamp::default(), long(B, 19)], &[]),
        ];
        for (stamps, expected) in cases {
            assert_eq!(believed(stamps), expected, "{stamps:?}");
        }
    }

    #[test]
    fn in_the_same_era_the_device_may_have_refused_what_was_not_durable() {
        let remounted = Era([[1; 16].as_slice(), &[2; 8]].concat().try_into().unwrap());
        for (era, refused) in
            [(ERA, &[2, 3][..]), (remounted, &[]), (Era([2; 24]), &[]), (Era::default(), &[])]
        {
            let present = Present { stamps: &[at_no_time(A), B], era, wall: WALL };
            let belief = Belief::new(&metainfo(), &bytes(&state()), &present);
            assert_eq!(belief.refused, set(refused), "{era:?}");
        }
    }

    /// The same, but changed by somebody else.
    fn at_no_time(stamp: Stamp) -> Stamp {
        Stamp { changed_ns: 0, ..stamp }
    }

    #[test]
    fn a_file_in_which_nothing_was_found_is_not_asked() {
        let state = State { durable: set(&[0]), ..state() };
        let belief = belief(&bytes(&state), &[A, Stamp::default()]);
        assert_eq!((belief.pieces, belief.doubtful_files), (set(&[0]), 0));
    }

    #[test]
    fn what_is_no_state_is_a_fault_and_no_state_is_none() {
        assert_eq!(belief(&[], &[A, B]), Belief::nothing(4));
        assert_eq!(belief(&State::head(metainfo().info_hash), &[A, B]), Belief::nothing(4));
        let mut damaged = bytes(&state());
        damaged[40] ^= 1;
        let fault = Some(StateFault::Damaged);
        assert_eq!(belief(&damaged, &[A, B]), Belief { fault, ..Belief::nothing(4) });
    }

    #[test]
    fn stamps_beyond_all_bounds_do_no_harm() {
        for changed_ns in [i64::MIN, i64::MAX] {
            let wild = Stamp { length: u64::MAX, changed_ns };
            assert_eq!(believed([wild, wild]), []);
        }
        let stamps = [Stamp { length: 0, changed_ns: i64::MIN }, Stamp { length: 0, changed_ns: i64::MAX }];
        let state = State { stamps: stamps.into(), written_ns: i64::MAX, ..state() };
        let _ = belief(&bytes(&state), &stamps);
    }
}
