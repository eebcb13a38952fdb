//! What the download answers: whom to ask for what, what became of a block, what a hash said.

use crate::base::limits::REQUESTERS_MAX;
use crate::base::{Block, StreamId};
use alloc::vec::Vec;

/// What a peer may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This block; it is noted as asked.
    Block(Block),
    /// The search is not finished: ask again in the next turn.
    Later,
    /// Memory is full: ask again when something was stored.
    Full,
    /// Nothing, unless the peer gets more or others fail.
    Nothing,
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is kept. Requests of other peers for it are to be cancelled.
    Kept {
        /// The other peers.
        cancel: [Option<StreamId>; REQUESTERS_MAX],
    },
    /// It had arrived before, or was not asked for.
    Duplicate,
}

/// What a hash said.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The piece is right and will be stored; these peers spoiled an earlier copy of it.
    Verified {
        /// Which.
        piece: u32,
        /// Whom to ban.
        guilty: Vec<StreamId>,
    },
    /// The piece is wrong and will be fetched again.
    Corrupt {
        /// Which.
        piece: u32,
        /// The peer that sent all of it, if one did.
        guilty: Option<StreamId>,
    },
}
