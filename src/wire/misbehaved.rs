//! All ways in which a peer can break the protocol. Whoever does is dropped; nothing here is our fault or the network's.

use crate::base::{Block, limits};
use crate::wire::message;
use core::fmt;

/// What a peer did that no sound client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaved {
    /// Its first bytes are not BitTorrent's handshake.
    WrongProtocol,
    /// It shook hands for another torrent.
    WrongInfoHash,
    /// Its peer id is ours: we have dialled ourselves.
    SelfConnection,
    /// A message that is not as long as its id demands.
    BadLength {
        /// The message's id.
        id: u8,
        /// The length prefix that it had, in bytes.
        length: u32,
    },
    /// A message of variable or unknown length that goes beyond our bound.
    TooLong {
        /// The message's id.
        id: u8,
        /// The length prefix that it had, in bytes.
        length: u32,
    },
    /// It named a piece that the torrent does not have.
    NoSuchPiece {
        /// The index.
        piece: u32,
    },
    /// It sent or asked for a block that is empty, leaves its piece, or is longer than anybody asks for.
    BlockBounds(Block),
    /// A `bitfield` with bits beyond the last piece.
    SpareBits,
    /// A message of the fast extension (BEP 6), which its handshake did not offer.
    NotFast {
        /// The message's id.
        id: u8,
    },
    /// A message of the extension protocol (BEP 10), which its handshake did not offer.
    NotExtended,
    /// An extended handshake (BEP 10) that is not a bencoded dictionary.
    BadExtendedHandshake,
    /// More messages without use than [`limits::FLOOD_MESSAGES_MAX`] within [`limits::FLOOD_WINDOW`].
    Flood,
}

impl fmt::Display for Misbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongProtocol => f.write_str("its first bytes are not a BitTorrent handshake"),
            Self::WrongInfoHash => f.write_str("its handshake is for another torrent"),
            Self::SelfConnection => f.write_str("its peer id is ours: we have dialled ourselves"),
            Self::BadLength { id, length } => {
                write!(f, "wrong length {length} of message {}", message::name(id))
            }
            Self::TooLong { id, length } => {
                write!(f, "message {} of {length} bytes is too long", message::name(id))
            }
            Self::NoSuchPiece { piece } => write!(f, "piece {piece} does not exist"),
            Self::BlockBounds(Block { piece, begin, length }) => {
                write!(f, "no block of {length} bytes can be at byte {begin} of piece {piece}")
            }
            Self::SpareBits => f.write_str("bitfield with bits beyond the last piece"),
            Self::NotFast { id } => {
                write!(f, "message {} without having offered the fast extension", message::name(id))
            }
            Self::NotExtended => {
                f.write_str("extended message without having offered the extension protocol")
            }
            Self::BadExtendedHandshake => f.write_str("extended handshake is not a bencoded dictionary"),
            Self::Flood => write!(
                f,
                "more than {} messages without use in {} s",
                limits::FLOOD_MESSAGES_MAX,
                limits::FLOOD_WINDOW.as_secs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_one_line() {
        let block = Block { piece: 3, begin: 16384, length: 99 };
        let cases = [
            (Misbehaved::BadLength { id: 4, length: 6 }, "wrong length 6 of message have"),
            (Misbehaved::TooLong { id: 99, length: 7 }, "message of an unknown id of 7 bytes is too long"),
            (Misbehaved::BlockBounds(block), "no block of 99 bytes can be at byte 16384 of piece 3"),
            (Misbehaved::Flood, "more than 20000 messages without use in 10 s"),
        ];
        for (fault, text) in cases {
            assert_eq!(fault.to_string(), text);
        }
    }
}
