//! Floor 3: the resume state of a torrent, as bytes: what an earlier run knew to be in the files, and what of it may be
//! believed. Reads no file and no clock.
//!
//! # Format, version 3
//!
//! Numbers are big-endian, but for the pulse.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `swarmlet` |
//! | 2 | version |
//! | 20 | info-hash |
//! | 24 | [`Era`] in which it was written |
//! | 8, 8 | [`Wall`] when it was written: nanoseconds since 1970, and those at which the machine was started |
//! | 8, 8, 8 | [`Past`]: bytes downloaded, bytes uploaded, seconds given, over all runs |
//! | 1 | 1 if it is *final*: the run that has written it has stored nothing afterwards; else 0 |
//! | 4, 4 | files, pieces |
//! | 16 each | for each file its [`Stamp`]: length, and time of change in nanoseconds since 1970; both 0: not there |
//! | ⌈pieces / 8⌉ | *durable* pieces, the high bit of the first byte is piece 0 (BEP 3): verified, and on the device |
//! | ⌈pieces / 8⌉ | *stored* pieces: verified, and in their files; a power cut may have taken them |
//! | 20 | SHA-1 of all before |
//! | 16 | [`Pulse`]: when the program was alive last, not covered by the checksum |
//!
//! The first three of them alone stand for a state before anything is durable: what is in the files may be ours.
//!
//! It lies beside the output as `.NAME.swarmlet`. Whoever writes it has synced the durable pieces before, and puts it in
//! the place of the last one in one step, so that there is always one that is whole.
//!
//! # What is believed
//!
//! Nothing of a state that is damaged, of another version or of another torrent. Else it is decided file by file: see
//! [`Belief`]. Pieces in doubtful files are not believed; of the others, the durable ones are.
//!
//! What is not believed is read and hashed, which costs time and no data. That goes for pieces that are only stored, too,
//! of which there are never many. After a power cut they may be gone. In the same era a kill of the program does not touch
//! them; but a write to the device may have failed just before, and the kernel remembers the bytes as if it had not. So
//! then the kernel is made to forget what it has written, which it does as far as nobody else holds it, and what is right is
//! written again: a sync proves nothing of bytes that the kernel has for written.

mod belief;
mod pulse;
mod trust;

pub use belief::{Belief, Present};
pub use pulse::{PULSE_BYTES, Pulse};
pub use trust::grain_ns;

use crate::base::{Bitfield, InfoHash};
use crate::wire::Cursor;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use sha1::{Digest, Sha1};

/// What a state begins with.
pub const MAGIC: &[u8; 8] = b"swarmlet";
/// The version that is written, and the only one that is read.
pub const VERSION: u16 = 3;
const DIGEST_BYTES: usize = 20;
/// Bytes before the era: what a state begins with, its version, and whose it is.
pub const HEAD_BYTES: usize = 30;
/// Bytes of an [`Era`] that name the start of the machine.
const BOOT_BYTES: usize = 16;

/// A file as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub length: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub changed_ns: i64,
}

/// From one start of the machine to the next (the first 16 bytes), and from one mounting of the disk to the next (the other
/// 8): while it lasts, what was given to the kernel is not lost, whatever becomes of the program. All zeros in a part: not
/// known, and like no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Era(pub [u8; 24]);

/// What the clock on the wall, by which files are stamped, shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    /// In nanoseconds since 1970, as the kernel stamps files: it may be a few ms behind, and is never ahead.
    pub now_ns: i64,
    /// The same less the time since the machine was started, sleep included: it changes only if somebody sets the clock.
    /// 0: not known.
    pub boot_ns: i64,
    /// The clock goes on while the machine is off, so that what it shows is later than all that earlier boots have seen.
    pub kept: bool,
}

/// What all earlier runs have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Block bytes received from peers.
    pub downloaded_bytes: u64,
    /// Block bytes sent to peers.
    pub uploaded_bytes: u64,
    /// Time for which it was given to others when it was complete.
    pub seeded: Duration,
}

/// Everything that a state says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose.
    pub info_hash: InfoHash,
    /// In which it was written.
    pub era: Era,
    /// When it was written, in nanoseconds since 1970.
    pub written_ns: i64,
    /// [`Wall::boot_ns`] at that time.
    pub boot_ns: i64,
    /// What was done.
    pub past: Past,
    /// Nothing is stored after it was written: a file that is not as it says was changed by somebody else.
    pub is_final: bool,
    /// The files, in the order of the torrent.
    pub stamps: Box<[Stamp]>,
    /// Pieces that are verified and on the device.
    pub durable: Bitfield,
    /// Pieces that are verified and in their files.
    pub stored: Bitfield,
}

/// Why bytes are no state of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// It does not begin as a state does.
    NotOurs,
    /// Another version of this program wrote it.
    Version(u16),
    /// Its checksum is wrong.
    Damaged,
    /// It is another torrent's.
    OtherTorrent,
    /// Its parts do not fit each other or the torrent.
    Misfit,
}

impl State {
    /// Reads the state of the torrent `info_hash` with so many files and pieces.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(bytes: &[u8], info_hash: InfoHash, files: u32, pieces: u32) -> Result<Self, StateFault> {
        if !bytes.starts_with(MAGIC) {
            return Err(StateFault::NotOurs);
        }
        let mut cursor = Cursor::new(&bytes[MAGIC.len()..]);
        match cursor.u16() {
            Some(VERSION) => {}
            Some(other) => return Err(StateFault::Version(other)),
            None => return Err(StateFault::Damaged),
        }
        let (body, end) =
            bytes.split_last_chunk::<{ DIGEST_BYTES + PULSE_BYTES }>().ok_or(StateFault::Damaged)?;
        let digest = &end[..DIGEST_BYTES];
        let right: [u8; DIGEST_BYTES] = Sha1::digest(body).into();
        if digest != right {
            return Err(StateFault::Damaged);
        }
        let state = Self::decode_fields(&mut cursor, files, pieces).ok_or(StateFault::Misfit)?;
        if state.info_hash != info_hash {
            return Err(StateFault::OtherTorrent);
        }
        // The checksum and the pulse are all that is left.
        (cursor.rest().len() == DIGEST_BYTES + PULSE_BYTES).then_some(state).ok_or(StateFault::Misfit)
    }

    fn decode_fields(cursor: &mut Cursor<'_>, files: u32, pieces: u32) -> Option<Self> {
        let info_hash = InfoHash(cursor.array()?);
        let era = Era(cursor.array()?);
        let written_ns = i64::from_be_bytes(cursor.array()?);
        let boot_ns = i64::from_be_bytes(cursor.array()?);
        let past = Past {
            downloaded_bytes: u64::from_be_bytes(cursor.array()?),
            uploaded_bytes: u64::from_be_bytes(cursor.array()?),
            seeded: Duration::from_secs(u64::from_be_bytes(cursor.array()?)),
        };
        let is_final = match cursor.array()? {
            [0] => false,
            [1] => true,
            [_] => return None,
        };
        if (cursor.u32()?, cursor.u32()?) != (files, pieces) {
            return None;
        }
        let stamps = cursor.bytes(16 * files as usize)?.chunks_exact(16).map(Stamp::decode);
        let stamps = stamps.collect::<Option<Box<[Stamp]>>>()?;
        let mut bitfield = || Bitfield::from_wire(cursor.bytes(pieces.div_ceil(8) as usize)?, pieces);
        let (durable, stored) = (bitfield()?, bitfield()?);
        Some(Self { info_hash, era, written_ns, boot_ns, past, is_final, stamps, durable, stored })
    }

    /// What stands for a state as long as there is none: only that a run works on the files of this torrent.
    pub fn head(info_hash: InfoHash) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()..][..2].copy_from_slice(&VERSION.to_be_bytes());
        head[MAGIC.len() + 2..].copy_from_slice(&info_hash.0);
        head
    }

    /// True if bytes begin as a state of this torrent does, of whatever version.
    pub fn is_of(bytes: &[u8], info_hash: InfoHash) -> bool {
        bytes.starts_with(MAGIC) && bytes.get(MAGIC.len() + 2..HEAD_BYTES) == Some(&info_hash.0[..])
    }

    /// The era of a state, whatever else is in it; unknown if it is too short.
    pub fn era_of(bytes: &[u8]) -> Era {
        let mut cursor = Cursor::new(bytes);
        let era = cursor.bytes(HEAD_BYTES).and_then(|_| cursor.array()).map(Era);
        era.unwrap_or_default()
    }

    /// The state as bytes, with room for the pulse at the end.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256 + 16 * self.stamps.len() + 2 * self.durable.as_wire().len());
        bytes.extend_from_slice(&Self::head(self.info_hash));
        bytes.extend_from_slice(&self.era.0);
        bytes.extend_from_slice(&self.written_ns.to_be_bytes());
        bytes.extend_from_slice(&self.boot_ns.to_be_bytes());
        for number in [self.past.downloaded_bytes, self.past.uploaded_bytes, self.past.seeded.as_secs()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.push(u8::from(self.is_final));
        bytes.extend_from_slice(&(self.stamps.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&self.durable.len().to_be_bytes());
        for stamp in &self.stamps {
            bytes.extend_from_slice(&stamp.length.to_be_bytes());
            bytes.extend_from_slice(&stamp.changed_ns.to_be_bytes());
        }
        bytes.extend_from_slice(self.durable.as_wire());
        bytes.extend_from_slice(self.stored.as_wire());
        let digest = Sha1::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes.extend_from_slice(&[0; PULSE_BYTES]);
        bytes
    }
}

impl Stamp {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, changed) = bytes.split_first_chunk()?;
        let changed_ns = i64::from_be_bytes(*changed.first_chunk()?);
        Some(Self { length: u64::from_be_bytes(*length), changed_ns })
    }
}

impl Era {
    fn boot(&self) -> &[u8] {
        &self.0[..BOOT_BYTES]
    }

    fn mounting(&self) -> &[u8] {
        &self.0[BOOT_BYTES..]
    }

    /// True if nothing that was given to the kernel in `other` can have been lost in this one.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_same_boot(other) && self.mounting() == other.mounting() && is_known(self.mounting())
    }

    /// True if the machine has certainly not been started anew.
    pub fn is_same_boot(&self, other: &Self) -> bool {
        self.boot() == other.boot() && is_known(self.boot())
    }

    /// True if the machine has certainly been started anew.
    pub fn is_another_boot(&self, other: &Self) -> bool {
        self.boot() != other.boot() && is_known(self.boot()) && is_known(other.boot())
    }

    /// True if the disk has certainly been mounted anew: it may have been elsewhere meanwhile.
    pub fn is_another_mounting(&self, other: &Self) -> bool {
        self.mounting() != other.mounting() && is_known(self.mounting()) && is_known(other.mounting())
    }
}

fn is_known(part: &[u8]) -> bool {
    part.iter().any(|&byte| byte != 0)
}

impl fmt::Display for StateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("the resume state is something else"),
            Self::Version(version) => {
                write!(f, "the resume state has version {version} instead of {VERSION}")
            }
            Self::Damaged => f.write_str("the resume state is damaged"),
            Self::OtherTorrent => f.write_str("the resume state is another torrent's"),
            Self::Misfit => f.write_str("the resume state does not fit the torrent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> State {
        let mut durable = Bitfield::new(11);
        durable.insert(3);
        let mut stored = durable.clone();
        stored.insert(10);
        State {
            info_hash: InfoHash([7; 20]),
            era: Era([9; 24]),
            written_ns: 1_700_000_000_000_000_000,
            boot_ns: 1_600_000_000_000_000_000,
            past: Past { downloaded_bytes: 5, uploaded_bytes: 1 << 40, seeded: Duration::from_secs(77) },
            is_final: false,
            stamps: [Stamp { length: 6, changed_ns: -1 }, Stamp::default()].into(),
            durable,
            stored,
        }
    }

    fn decode(bytes: &[u8]) -> Result<State, StateFault> {
        State::decode(bytes, InfoHash([7; 20]), 2, 11)
    }

    #[test]
    fn what_is_written_is_read() {
        for is_final in [false, true] {
            let state = State { is_final, ..sample() };
            assert_eq!(decode(&state.encode()), Ok(state));
        }
        assert_eq!(State::era_of(&sample().encode()), sample().era);
        assert_eq!(State::era_of(&[1; 53]), Era::default());
    }

    #[test]
    fn whose_a_state_is_is_told_by_how_it_begins() {
        let (ours, theirs) = (InfoHash([7; 20]), InfoHash([8; 20]));
        for state in [sample().encode(), State::head(ours).to_vec()] {
            assert!(State::is_of(&state, ours) && !State::is_of(&state, theirs));
        }
        assert!(!State::is_of(&[], ours) && !State::is_of(&State::head(ours)[..29], ours));
        assert!(!State::is_of(&[7; 40], ours));
    }

    #[test]
    fn every_changed_missing_or_added_byte_is_noticed() {
        let bytes = sample().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let is_pulse = at >= bytes.len() - PULSE_BYTES;
            assert_eq!(decode(&changed).is_ok(), is_pulse, "byte {at}");
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    /// A checksum that fits whatever stands before it, and a pulse.
    fn signed(mut body: Vec<u8>) -> Vec<u8> {
        let digest = Sha1::digest(&body);
        body.extend_from_slice(&digest);
        body.extend_from_slice(&[7; PULSE_BYTES]);
        body
    }

    #[test]
    fn states_of_others_are_refused_even_with_a_right_checksum() {
        let bytes = sample().encode();
        let body = &bytes[..bytes.len() - DIGEST_BYTES - PULSE_BYTES];
        let with = |at: usize, byte: u8| {
            let mut body = body.to_vec();
            body[at] = byte;
            signed(body)
        };
        let spare_bits = body.len() - 1;
        let cases = [
            (b"d4:infode".to_vec(), StateFault::NotOurs),
            (b"swarmlet".to_vec(), StateFault::Damaged),
            (with(9, 1), StateFault::Version(1)),
            (with(10, 8), StateFault::OtherTorrent),
            (with(94, 2), StateFault::Misfit),
            (with(98, 3), StateFault::Misfit),
            (with(102, 12), StateFault::Misfit),
            (with(spare_bits, 0xff), StateFault::Misfit),
            (signed([body, &[0]].concat()), StateFault::Misfit),
            (signed(body[..60].to_vec()), StateFault::Misfit),
        ];
        for (bytes, fault) in cases {
            assert_eq!(decode(&bytes), Err(fault));
            assert!(!fault.to_string().is_empty());
        }
        assert_eq!(State::decode(&bytes, InfoHash([7; 20]), u32::MAX, 11), Err(StateFault::Misfit));
    }

    #[test]
    fn an_unknown_era_is_like_no_other() {
        let era = |boot: u8, mounting: u8| {
            let mut era = Era([boot; 24]);
            era.0[BOOT_BYTES..].fill(mounting);
            era
        };
        // Whether it is the same, the same boot, certainly another boot, certainly another mounting.
        let cases = [
            (era(1, 1), [true, true, false, false]),
            (era(2, 1), [false, false, true, false]),
            (era(1, 2), [false, true, false, true]),
            (era(1, 0), [false, true, false, false]),
            (era(0, 1), [false; 4]),
            (era(0, 0), [false; 4]),
        ];
        for (other, expected) in cases {
            let one = era(1, 1);
            let found = [
                one.is_same(&other),
                one.is_same_boot(&other),
                one.is_another_boot(&other),
                one.is_another_mounting(&other),
            ];
            assert_eq!(found, expected, "{other:?}");
        }
        assert!(!era(0, 0).is_same_boot(&era(0, 0)) && !era(1, 0).is_same(&era(1, 0)));
    }
}
