//! The messages of BEP 3 and BEP 6, `port` of BEP 5, and the envelope of BEP 10, between bytes and values.
//! On the wire each is a length (4 bytes, not counting itself), an id (1 byte) and a body.

use crate::base::Block;
use crate::base::limits::PIECE_HEADER_BYTES;
use crate::wire::{Cursor, Misbehaved};
use alloc::vec::Vec;

/// Message ids.
#[expect(missing_docs, reason = "the names are the BEPs'")]
pub mod id {
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const PORT: u8 = 9;
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    pub const EXTENDED: u8 = 20;
}

/// A keep-alive: a length of zero and nothing else (BEP 3).
pub const KEEP_ALIVE: [u8; 4] = [0; 4];

/// A message that is handled as a whole. `piece` is none: its block is streamed, see [`Framer`](crate::wire::Framer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The sender answers no requests from here on.
    Choke,
    /// The sender answers requests from here on.
    Unchoke,
    /// The sender wants something that the receiver has.
    Interested,
    /// The sender wants nothing that the receiver has.
    NotInterested,
    /// The sender has this piece.
    Have(u32),
    /// The sender has these pieces: a bit each, the high bit of the first byte for piece 0.
    Bitfield(&'a [u8]),
    /// The sender wants this block.
    Request(Block),
    /// The sender does not want this block any more.
    Cancel(Block),
    /// The sender's DHT node listens on this UDP port (BEP 5).
    Port(u16),
    /// The sender would like to be asked for this piece (BEP 6).
    Suggest(u32),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// The sender will not send this block, which was asked for (BEP 6).
    Reject(Block),
    /// The sender answers requests for this piece also while choking (BEP 6).
    AllowedFast(u32),
    /// A message of an extension (BEP 10).
    Extended {
        /// 0: the extended handshake; others as the receiver's extended handshake has named them.
        id: u8,
        /// What the extension makes of it.
        payload: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Reads the body that follows `id`. `None` for ids that are not known, and for `piece`.
    ///
    /// # Errors
    /// [`Misbehaved::BadLength`] unless the body is exactly as long as its id demands.
    pub fn parse(id: u8, body: &'a [u8]) -> Result<Option<Self>, Misbehaved> {
        let mut cursor = Cursor::new(body);
        let message = match id {
            id::CHOKE => Some(Self::Choke),
            id::UNCHOKE => Some(Self::Unchoke),
            id::INTERESTED => Some(Self::Interested),
            id::NOT_INTERESTED => Some(Self::NotInterested),
            id::HAVE => cursor.u32().map(Self::Have),
            id::BITFIELD => Some(Self::Bitfield(cursor.rest())),
            id::REQUEST => read_block(&mut cursor).map(Self::Request),
            id::CANCEL => read_block(&mut cursor).map(Self::Cancel),
            id::PORT => cursor.u16().map(Self::Port),
            id::SUGGEST => cursor.u32().map(Self::Suggest),
            id::HAVE_ALL => Some(Self::HaveAll),
            id::HAVE_NONE => Some(Self::HaveNone),
            id::REJECT => read_block(&mut cursor).map(Self::Reject),
            id::ALLOWED_FAST => cursor.u32().map(Self::AllowedFast),
            id::EXTENDED => cursor.u8().map(|id| Self::Extended { id, payload: cursor.rest() }),
            _ => return Ok(None),
        };
        match message.zip(cursor.finish()) {
            Some((message, ())) => Ok(Some(message)),
            // A body of 4 GiB cannot be in memory; saturating only keeps the cast honest.
            None => Err(Misbehaved::BadLength {
                id,
                length: u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(1),
            }),
        }
    }

    /// Its id on the wire.
    pub const fn id(&self) -> u8 {
        match self {
            Self::Choke => id::CHOKE,
            Self::Unchoke => id::UNCHOKE,
            Self::Interested => id::INTERESTED,
            Self::NotInterested => id::NOT_INTERESTED,
            Self::Have(_) => id::HAVE,
            Self::Bitfield(_) => id::BITFIELD,
            Self::Request(_) => id::REQUEST,
            Self::Cancel(_) => id::CANCEL,
            Self::Port(_) => id::PORT,
            Self::Suggest(_) => id::SUGGEST,
            Self::HaveAll => id::HAVE_ALL,
            Self::HaveNone => id::HAVE_NONE,
            Self::Reject(_) => id::REJECT,
            Self::AllowedFast(_) => id::ALLOWED_FAST,
            Self::Extended { .. } => id::EXTENDED,
        }
    }

    /// Bytes on the wire, the length prefix included.
    pub const fn wire_bytes(&self) -> usize {
        5 + match self {
            Self::Bitfield(bits) => bits.len(),
            Self::Extended { payload, .. } => 1 + payload.len(),
            fixed => match body_bytes(fixed.id()) {
                Some(bytes) => bytes as usize,
                None => 0,
            },
        }
    }

    /// Appends the whole message, its length prefix included.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        // Ours are far shorter than 4 GiB: bitfields and payloads are bounded in `limits`.
        let length = (self.wire_bytes() - 4) as u32;
        out.extend_from_slice(&length.to_be_bytes());
        out.push(self.id());
        match *self {
            Self::Have(piece) | Self::Suggest(piece) | Self::AllowedFast(piece) => {
                out.extend_from_slice(&piece.to_be_bytes());
            }
            Self::Request(block) | Self::Cancel(block) | Self::Reject(block) => write_block(block, out),
            Self::Bitfield(bits) => out.extend_from_slice(bits),
            Self::Port(port) => out.extend_from_slice(&port.to_be_bytes()),
            Self::Extended { id, payload } => {
                out.push(id);
                out.extend_from_slice(payload);
            }
            Self::Choke
            | Self::Unchoke
            | Self::Interested
            | Self::NotInterested
            | Self::HaveAll
            | Self::HaveNone => {}
        }
    }
}

/// Bytes of the body that follows `id`, where the id alone says it.
pub const fn body_bytes(id: u8) -> Option<u32> {
    match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            Some(0)
        }
        id::PORT => Some(2),
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => Some(4),
        id::REQUEST | id::CANCEL | id::REJECT => Some(12),
        _ => None,
    }
}

/// What the BEPs call the message with this id.
pub const fn name(id: u8) -> &'static str {
    match id {
        id::CHOKE => "choke",
        id::UNCHOKE => "unchoke",
        id::INTERESTED => "interested",
        id::NOT_INTERESTED => "not interested",
        id::HAVE => "have",
        id::BITFIELD => "bitfield",
        id::REQUEST => "request",
        id::PIECE => "piece",
        id::CANCEL => "cancel",
        id::PORT => "port",
        id::SUGGEST => "suggest piece",
        id::HAVE_ALL => "have all",
        id::HAVE_NONE => "have none",
        id::REJECT => "reject request",
        id::ALLOWED_FAST => "allowed fast",
        id::EXTENDED => "extended",
        _ => "of an unknown id",
    }
}

/// What goes before the bytes of `block` in a `piece` message: length, id, index, begin.
pub fn piece_header(block: Block) -> [u8; PIECE_HEADER_BYTES] {
    let mut header = [0; PIECE_HEADER_BYTES];
    // Blocks are far shorter than 4 GiB, see `limits::REQUEST_BYTES_MAX`.
    header[..4].copy_from_slice(&block.length.saturating_add(9).to_be_bytes());
    header[4] = id::PIECE;
    header[5..9].copy_from_slice(&block.piece.to_be_bytes());
    header[9..].copy_from_slice(&block.begin.to_be_bytes());
    header
}

/// The block that a `piece` message's header announces; `None` if these bytes begin something else. Nothing else
/// is checked: the block may be empty or nowhere.
pub fn parse_piece_header(header: &[u8; PIECE_HEADER_BYTES]) -> Option<Block> {
    let mut cursor = Cursor::new(header);
    let length = cursor.u32()?.checked_sub(9)?;
    let id = cursor.u8()?;
    let (piece, begin) = (cursor.u32()?, cursor.u32()?);
    (id == id::PIECE).then_some(Block { piece, begin, length })
}

fn read_block(cursor: &mut Cursor<'_>) -> Option<Block> {
    Some(Block { piece: cursor.u32()?, begin: cursor.u32()?, length: cursor.u32()? })
}

fn write_block(block: Block, out: &mut Vec<u8>) {
    for number in [block.piece, block.begin, block.length] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block { piece: 1, begin: 0x4000, length: u32::MAX };

    /// Every message, with the bytes that the BEPs give it.
    fn all() -> Vec<(Message<'static>, Vec<u8>)> {
        let block = [0, 0, 0, 1, 0, 0, 0x40, 0, 255, 255, 255, 255];
        let with_block = |id| [&[0, 0, 0, 13, id][..], &block].concat();
        vec![
            (Message::Choke, vec![0, 0, 0, 1, 0]),
            (Message::Unchoke, vec![0, 0, 0, 1, 1]),
            (Message::Interested, vec![0, 0, 0, 1, 2]),
            (Message::NotInterested, vec![0, 0, 0, 1, 3]),
            (Message::Have(258), vec![0, 0, 0, 5, 4, 0, 0, 1, 2]),
            (Message::Bitfield(&[0xff, 0x80]), vec![0, 0, 0, 3, 5, 0xff, 0x80]),
            (Message::Request(BLOCK), with_block(6)),
            (Message::Cancel(BLOCK), with_block(8)),
            (Message::Port(6881), vec![0, 0, 0, 3, 9, 0x1a, 0xe1]),
            (Message::Suggest(7), vec![0, 0, 0, 5, 13, 0, 0, 0, 7]),
            (Message::HaveAll, vec![0, 0, 0, 1, 14]),
            (Message::HaveNone, vec![0, 0, 0, 1, 15]),
            (Message::Reject(BLOCK), with_block(16)),
            (Message::AllowedFast(7), vec![0, 0, 0, 5, 17, 0, 0, 0, 7]),
            (Message::Extended { id: 0, payload: b"de" }, vec![0, 0, 0, 4, 20, 0, b'd', b'e']),
        ]
    }

    #[test]
    fn every_message_is_written_and_read_as_the_beps_say() {
        for (message, bytes) in all() {
            let mut out = Vec::new();
            message.encode_into(&mut out);
            assert_eq!(out, bytes, "{message:?}");
            assert_eq!(message.wire_bytes(), bytes.len(), "{message:?}");
            assert_eq!(Message::parse(bytes[4], &bytes[5..]), Ok(Some(message)));
            assert_ne!(name(message.id()), name(255));
        }
    }

    #[test]
    fn a_body_of_another_length_is_a_fault() {
        for (message, bytes) in all() {
            let Some(exact) = body_bytes(message.id()) else { continue };
            for length in (0..20).filter(|&length| length != exact) {
                let parsed = Message::parse(bytes[4], &[0; 20][..length as usize]);
                let fault = Misbehaved::BadLength { id: message.id(), length: length + 1 };
                assert_eq!(parsed, Err(fault), "{message:?}");
            }
        }
        let no_extended_id = Message::parse(id::EXTENDED, &[]);
        assert_eq!(no_extended_id, Err(Misbehaved::BadLength { id: 20, length: 1 }));
    }

    #[test]
    fn unknown_ids_are_no_fault() {
        for id in (10..13).chain(18..20).chain(21..=255).chain([id::PIECE]) {
            assert_eq!(Message::parse(id, &[1, 2, 3]), Ok(None), "{id}");
        }
    }

    #[test]
    fn piece_headers_go_both_ways() {
        let block = Block { piece: 5, begin: 1 << 14, length: 1 << 14 };
        let header = piece_header(block);
        assert_eq!(header, [0, 0, 0x40, 9, 7, 0, 0, 0, 5, 0, 0, 0x40, 0]);
        assert_eq!(parse_piece_header(&header), Some(block));
        assert_eq!(parse_piece_header(&[0; 13]), None);
        let too_short = [&[0, 0, 0, 8, 7][..], &[0; 8]].concat();
        assert_eq!(parse_piece_header(too_short[..].try_into().unwrap()), None);
    }
}
