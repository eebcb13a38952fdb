//! The first 68 bytes of each side (BEP 3), and the bits in it that offer extensions.

use crate::base::{InfoHash, PeerId};
use crate::wire::{Cursor, Misbehaved};

/// Bytes of a handshake.
pub const HANDSHAKE_BYTES: usize = 68;
/// A length of 19 and the protocol's name.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";
/// Byte and bit of the reserved bytes that offer the extension protocol (BEP 10).
const EXTENDED: (usize, u8) = (5, 0x10);
/// Byte and bit of the reserved bytes that offer the fast extension (BEP 6).
const FAST: (usize, u8) = (7, 0x04);

/// What one side says of itself before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The torrent that the connection is for.
    pub info_hash: InfoHash,
    /// Who speaks.
    pub peer_id: PeerId,
    /// It speaks the fast extension (BEP 6).
    pub fast: bool,
    /// It speaks the extension protocol (BEP 10).
    pub extended: bool,
}

impl Handshake {
    /// The bytes that are sent.
    pub fn encode(&self) -> [u8; HANDSHAKE_BYTES] {
        let mut reserved = [0; 8];
        for ((byte, bit), offered) in [(EXTENDED, self.extended), (FAST, self.fast)] {
            reserved[byte] |= if offered { bit } else { 0 };
        }
        let mut bytes = [0; HANDSHAKE_BYTES];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// Reads a whole handshake. Reserved bits that we do not know mean nothing to us.
    ///
    /// # Errors
    /// [`Misbehaved::WrongProtocol`].
    pub fn parse(bytes: &[u8; HANDSHAKE_BYTES]) -> Result<Self, Misbehaved> {
        Self::read(&mut Cursor::new(bytes)).ok_or(Misbehaved::WrongProtocol)
    }

    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        cursor.array().filter(|protocol| protocol == PROTOCOL)?;
        let reserved: [u8; 8] = cursor.array()?;
        Some(Self {
            info_hash: InfoHash(cursor.array()?),
            peer_id: PeerId(cursor.array()?),
            fast: reserved[FAST.0] & FAST.1 != 0,
            extended: reserved[EXTENDED.0] & EXTENDED.1 != 0,
        })
    }

    /// Whether a peer's handshake is one that we can go on with, for the torrent `info_hash`, as `our_id`.
    ///
    /// # Errors
    /// [`Misbehaved::WrongInfoHash`], [`Misbehaved::SelfConnection`].
    pub fn check(&self, info_hash: &InfoHash, our_id: &PeerId) -> Result<(), Misbehaved> {
        if self.info_hash != *info_hash {
            Err(Misbehaved::WrongInfoHash)
        } else if self.peer_id == *our_id {
            Err(Misbehaved::SelfConnection)
        } else {
            Ok(())
        }
    }
}

/// A handshake that arrives in parts.
#[derive(Clone, Debug)]
pub struct HandshakeReader {
    bytes: [u8; HANDSHAKE_BYTES],
    filled: usize,
}

impl HandshakeReader {
    /// Nothing has arrived yet.
    pub const fn new() -> Self {
        Self { bytes: [0; HANDSHAKE_BYTES], filled: 0 }
    }

    /// Takes the handshake's bytes off the front of `input`; `None` if they are not all there yet. What follows the
    /// handshake stays in `input`.
    ///
    /// # Errors
    /// [`Misbehaved::WrongProtocol`] at the first byte that is wrong, however few have arrived.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Handshake>, Misbehaved> {
        let free = &mut self.bytes[self.filled..];
        let (taken, rest) = input.split_at(free.len().min(input.len()));
        free[..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        *input = rest;
        let protocol = &PROTOCOL[..self.filled.min(PROTOCOL.len())];
        if !self.bytes.starts_with(protocol) {
            return Err(Misbehaved::WrongProtocol);
        }
        if self.filled < HANDSHAKE_BYTES { Ok(None) } else { Handshake::parse(&self.bytes).map(Some) }
    }
}

impl Default for HandshakeReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Handshake {
        let peer_id = PeerId(*b"-TR4000-abcdefghijkl");
        Handshake { info_hash: InfoHash([7; 20]), peer_id, fast: true, extended: true }
    }

    #[test]
    fn the_bytes_are_those_of_the_beps() {
        let bytes = sample().encode();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(bytes[20..28], [0, 0, 0, 0, 0, 0x10, 0, 0x04]);
        assert_eq!((&bytes[28..48], &bytes[48..]), (&[7; 20][..], &b"-TR4000-abcdefghijkl"[..]));
    }

    #[test]
    fn each_offer_has_its_own_bit_and_others_are_ignored() {
        for (fast, extended) in [(false, false), (true, false), (false, true)] {
            let handshake = Handshake { fast, extended, ..sample() };
            let mut bytes = handshake.encode();
            bytes[20..25].fill(0xff);
            bytes[27] |= 0x01;
            assert_eq!(Handshake::parse(&bytes), Ok(handshake));
        }
    }

    #[test]
    fn any_two_cuts_give_the_same_handshake_and_leave_what_follows() {
        let stream = [&sample().encode()[..], b"next"].concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut reader = HandshakeReader::new();
                let mut left = Vec::new();
                let mut read = None;
                for mut part in [&stream[..first], &stream[first..second], &stream[second..]] {
                    if read.is_none() {
                        read = reader.next(&mut part).unwrap();
                    }
                    left.extend_from_slice(part);
                }
                assert_eq!((read, &left[..]), (Some(sample()), &b"next"[..]), "{first} {second}");
            }
        }
    }

    #[test]
    fn the_first_wrong_byte_is_noticed_at_once() {
        for wrong in 0..20 {
            let mut bytes = sample().encode();
            bytes[wrong] ^= 0x20;
            let mut reader = HandshakeReader::new();
            for (at, byte) in bytes.iter().enumerate().take(wrong + 1) {
                let read = reader.next(&mut core::slice::from_ref(byte));
                let expected = if at == wrong { Err(Misbehaved::WrongProtocol) } else { Ok(None) };
                assert_eq!(read, expected, "byte {at}");
            }
            assert_eq!(Handshake::parse(&bytes), Err(Misbehaved::WrongProtocol));
        }
    }

    #[test]
    fn strangers_and_ourselves_are_told_apart() {
        let (hash, id) = (sample().info_hash, sample().peer_id);
        assert_eq!(sample().check(&hash, &PeerId([0; 20])), Ok(()));
        assert_eq!(sample().check(&InfoHash([8; 20]), &id), Err(Misbehaved::WrongInfoHash));
        assert_eq!(sample().check(&hash, &id), Err(Misbehaved::SelfConnection));
    }
}
