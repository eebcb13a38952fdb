//! What can be wrong with a model peer.

use crate::frames;
use swarmlet::base::Rng;

/// How a peer misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Sends no more after so many blocks, but stays.
    SilentAfter(u32),
    /// Chokes and unchokes in turn; without the fast extension requests are dropped, with it rejected.
    Chokes {
        every_us: u64,
    },
    /// The same, and answers nothing.
    Teases {
        every_us: u64,
    },
    /// Never unchokes, but lets us ask for a few pieces all the same (BEP 6).
    AllowsFew,
    /// Chokes once while requests wait and never lets go.
    ChokesForEver,
    /// Rejects every request.
    Rejects,
    /// The same after so many blocks.
    RejectsAfter(u32),
    /// Spoils so many blocks of a hundred; `byte` spoils a single byte of each.
    Corrupt {
        percent: u32,
        byte: bool,
    },
    /// Sends so many good blocks, and spoiled ones when the end is near and others are asked for the same.
    SpoilsEnd {
        after_blocks: u32,
    },
    /// Withholds every block for so long that others are asked too, then sends a spoiled one.
    SpoilsLate {
        after_us: u64,
    },
    /// Takes its time for each block, as much as it may without being taken for silent; the first one is spoiled.
    SpoilsThenDrips,
    /// Sends one spoiled block and hangs up, each time that it is dialled.
    HitsAndRuns,
    Garbage,
    WrongHash,
    BadLength,
    OutOfRange,
    BitfieldTwice,
    SpareBits,
    /// Sends blocks that nobody asked for.
    Unasked,
    /// Sends messages without use, so many a second.
    Floods {
        per_second: u32,
    },
    /// Sends one byte a second.
    Drips,
    NeverReads,
    NeverShakes,
    /// Breaks off in the middle of this block.
    CutsIn(u32),
    /// Sends each block twice.
    Twice,
    /// Sends our own bytes back: we have dialled ourselves.
    Mirror,
    Refuses,
    NeverConnects,
    Unreachable,
}

impl Fault {
    /// True if it sends spoiled blocks.
    pub fn spoils(self) -> bool {
        use Fault::*;
        matches!(self, Corrupt { .. } | SpoilsEnd { .. } | SpoilsLate { .. } | SpoilsThenDrips | HitsAndRuns)
    }

    /// Whether the block after `sent` others is spoiled: `Some(true)` if in a single byte.
    pub fn spoils_next(self, sent: u32, rng: &mut Rng) -> Option<bool> {
        match self {
            Self::Corrupt { percent, byte } => (rng.below(100) < percent).then_some(byte),
            Self::SpoilsEnd { after_blocks } => (sent >= after_blocks).then_some(false),
            Self::SpoilsLate { .. } | Self::HitsAndRuns => Some(false),
            Self::SpoilsThenDrips => (sent == 0).then_some(false),
            _ => None,
        }
    }
}

/// Changes the block in a `piece` message; `byte` changes one byte of it.
pub fn spoil(message: &mut [u8], byte: bool, rng: &mut Rng) {
    let block = &mut message[frames::PIECE_HEAD_BYTES..];
    let end = if byte { 1 } else { block.len() };
    let at = rng.below(block.len() as u32 - end as u32 + 1) as usize;
    block[at..at + end].iter_mut().for_each(|byte| *byte ^= 0x55);
}
