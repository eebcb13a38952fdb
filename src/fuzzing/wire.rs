//! Fuzz bodies for what peers send: handshake, stream, single messages, and the state of a peer.

use crate::base::limits::{
    ALLOWED_FAST_MAX, CLIENT_NAME_BYTES_MAX, EXTENDED_BYTES_MAX, OUTBOX_BYTES_MAX, PIECE_HEADER_BYTES,
};
use crate::base::{Bitfield, Geometry, InfoHash, Instant, PeerId, Rng};
use crate::peer::{News, Peer, TimerNews, client_name};
use crate::wire::handshake::HANDSHAKE_BYTES;
use crate::wire::message::{self, KEEP_ALIVE};
use crate::wire::{ExtendedHandshake, Framer, Handshake, HandshakeReader, Item, Message, Misbehaved};
use alloc::vec::Vec;
use core::time::Duration;

/// A handshake, cut where the first byte says, is read as if it came whole, and what was read is what was written.
pub fn handshake(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = HandshakeReader::new().next(&mut &stream[..]);
    let (mut front, mut back) = stream.split_at(usize::from(cut).min(stream.len()));
    let mut reader = HandshakeReader::new();
    let in_parts = match reader.next(&mut front) {
        Ok(None) => reader.next(&mut back),
        early => early,
    };
    assert_eq!(in_parts, whole);
    let Ok(Some(handshake)) = whole else { return };
    assert_eq!(front.len() + back.len(), stream.len() - HANDSHAKE_BYTES);
    assert_eq!(Handshake::parse(&handshake.encode()), Ok(handshake));
    assert!(client_name(&handshake.peer_id).is_ascii());
}

/// The stream behind the first four bytes gives the same items however it is cut and wherever its bytes land: the
/// first three bytes choose the geometry, the fourth the cuts.
pub fn framer(data: &[u8]) {
    let Some((&[pieces, size, last, seed], stream)) = data.split_first_chunk() else { return };
    let geometry = geometry(pieces, size, last);
    let whole = reencode(geometry, stream);
    assert_eq!(reencode_in_parts(geometry, stream, &mut Rng::new(seed.into())), whole);
    assert_eq!(reencode_in_parts(geometry, stream, &mut Rng::new(!u64::from(seed))), whole);
}

/// A message that is understood is written back as the same bytes. The first byte is the id.
pub fn message_roundtrip(data: &[u8]) {
    let Some((&id, body)) = data.split_first() else { return };
    let Ok(Some(message)) = Message::parse(id, body) else { return };
    let mut bytes = Vec::new();
    message.encode_into(&mut bytes);
    assert_eq!((&bytes[..4], &bytes[4..]), (&(data.len() as u32).to_be_bytes()[..], data));
    assert_eq!(bytes.len(), message.wire_bytes());
}

/// An extended handshake is read within its bounds.
pub fn extended_handshake(data: &[u8]) {
    let Ok(said) = ExtendedHandshake::parse(data) else { return };
    assert!(said.client.len() <= CLIENT_NAME_BYTES_MAX);
    assert!(said.reqq != Some(0) && said.port != Some(0) && said.metadata_bytes != Some(0));
    assert!(said.id_of(b"ut_metadata") != Some(0));
}

/// A peer takes in the stream behind the first byte, which chooses the extensions that it speaks; after each item all
/// that is known of it is consistent and within its bounds.
pub fn peer(data: &[u8]) {
    let Some((&choice, mut input)) = data.split_first() else { return };
    let geometry = geometry(choice, 40, choice);
    let (fast, extended) = (choice & 1 == 0, choice & 2 == 0);
    let theirs = Handshake { info_hash: InfoHash([0; 20]), peer_id: PeerId([choice; 20]), fast, extended };
    let mut now = Instant::from_micros(1);
    let mut peer = Peer::new(now, ([127, 0, 0, 1], 1).into(), &theirs, geometry);
    peer.am_choking = choice & 4 == 0;
    let mut framer = Framer::new(geometry);
    let mut announced = 0;
    while let Ok(Some(item)) = framer.next(&mut input) {
        now = now + Duration::from_millis(u64::from(choice));
        let Ok(news) = take_in(&mut peer, now, item) else { return };
        announced += match news {
            News::Has(_) => 1,
            News::HasMany => peer.has.count(),
            News::HasMore => peer.added.as_ref().map_or(0, Bitfield::count),
            _ => 0,
        };
        assert_eq!(announced, peer.has.count(), "every piece is news exactly once");
        check_peer(&mut peer, now, geometry);
    }
}

/// A geometry of at most 256 pieces, from three arbitrary bytes.
fn geometry(pieces: u8, size: u8, last: u8) -> Geometry {
    let piece_bytes = (u32::from(size) + 1) * 512;
    let last_piece_bytes = 1 + u32::from(last) % piece_bytes;
    let total_bytes = u64::from(pieces) * u64::from(piece_bytes) + u64::from(last_piece_bytes);
    Geometry { total_bytes, piece_bytes, pieces: u32::from(pieces) + 1 }
}

fn take_in(peer: &mut Peer, now: Instant, item: Item<'_>) -> Result<News, Misbehaved> {
    match item {
        Item::Message(message) => return peer.on_message(now, message),
        Item::BlockBytes { bytes, .. } => peer.on_block_bytes(now, bytes.len()),
        Item::KeepAlive | Item::Skipped => peer.on_useless(now)?,
    }
    Ok(News::Nothing)
}

fn check_peer(peer: &mut Peer, now: Instant, geometry: Geometry) {
    assert_eq!(peer.has.iter().count() as u32, peer.has.count());
    assert!(peer.outbox.as_slice().len() <= OUTBOX_BYTES_MAX);
    assert!(peer.reqq > 0 && peer.client.len() <= CLIENT_NAME_BYTES_MAX);
    assert!(peer.allowed_fast.len() <= ALLOWED_FAST_MAX);
    assert!(peer.allowed_fast.iter().all(|&piece| piece < geometry.pieces));
    assert_ne!(peer.on_time(now), TimerNews::Idle, "it has just spoken");
    assert!(peer.next_deadline() > now, "nothing that is due may be due for ever");
    if peer.outbox.as_slice().len() > OUTBOX_BYTES_MAX / 2 {
        peer.on_sent(now, OUTBOX_BYTES_MAX / 3);
    }
}

/// The items written back as a stream, up to the end or a fault. A skipped message is written as an empty one.
type Reencoded = (Vec<u8>, Option<Misbehaved>);

fn reencode(geometry: Geometry, stream: &[u8]) -> Reencoded {
    let (mut framer, mut out) = (Framer::new(geometry), Vec::new());
    let fault = feed(&mut framer, stream, &mut out).err();
    (out, fault)
}

fn reencode_in_parts(geometry: Geometry, mut stream: &[u8], rng: &mut Rng) -> Reencoded {
    let (mut framer, mut out) = (Framer::new(geometry), Vec::new());
    while !stream.is_empty() {
        let count = 1 + rng.below(stream.len().min(100) as u32) as usize;
        let (part, rest) = stream.split_at(count);
        stream = rest;
        let fed =
            if rng.one_in(2) { feed(&mut framer, part, &mut out) } else { land(&mut framer, part, &mut out) };
        if let Err(fault) = fed {
            return (out, Some(fault));
        }
        let longest = 5 + EXTENDED_BYTES_MAX.max(geometry.bitfield_bytes() as usize);
        assert!(framer.held_bytes() <= 1 + longest);
    }
    (out, None)
}

fn feed(framer: &mut Framer, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Misbehaved> {
    while let Some(item) = framer.next(&mut input)? {
        match item {
            Item::KeepAlive => out.extend(KEEP_ALIVE),
            Item::Message(message) => message.encode_into(out),
            Item::Skipped => out.extend([0, 0, 0, 1, u8::MAX]),
            Item::BlockBytes { block, offset, bytes } => {
                if offset == 0 {
                    out.extend(message::piece_header(block));
                }
                out.extend_from_slice(bytes);
            }
        }
    }
    assert!(input.is_empty());
    Ok(())
}

/// Like [`feed`], but as if `input` had been read straight to where a plan made beforehand wanted it: the rest of the
/// block in progress, a header, the block behind it. What does not fit the plan is fed.
fn land(framer: &mut Framer, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Misbehaved> {
    land_block(framer, &mut input, out);
    let wanted = framer.carried_header().map(|carried| PIECE_HEADER_BYTES - carried.len());
    if let Some((header, rest)) = wanted.and_then(|wanted| input.split_at_checked(wanted))
        && framer.take_header(header)?.is_some()
    {
        input = rest;
        land_block(framer, &mut input, out);
    }
    feed(framer, input, out)
}

fn land_block(framer: &mut Framer, input: &mut &[u8], out: &mut Vec<u8>) {
    let Some((block, received)) = framer.block_in_progress() else { return };
    let (bytes, rest) = input.split_at(input.len().min((block.length - received) as usize));
    *input = rest;
    if received == 0 && !bytes.is_empty() {
        out.extend(message::piece_header(block));
    }
    out.extend_from_slice(bytes);
    framer.advance_block(bytes.len() as u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Block;

    /// A sound message of each kind, for pieces of at least 512 bytes.
    fn some_message(rng: &mut Rng, geometry: Geometry) -> Vec<u8> {
        let piece = rng.below(geometry.pieces);
        let block = Block { piece, begin: 0, length: 1 + rng.below(geometry.piece_length(piece).min(90)) };
        let bits = vec![0; geometry.bitfield_bytes() as usize];
        let messages = [
            Message::Unchoke,
            Message::Choke,
            Message::Have(piece),
            Message::Request(block),
            Message::Reject(block),
            Message::AllowedFast(piece),
            Message::Bitfield(&bits),
            Message::HaveAll,
            Message::Extended { id: 0, payload: b"d4:reqqi9e1:v3:abce" },
        ];
        let mut out = Vec::new();
        match messages.get(rng.below(messages.len() as u32 + 4) as usize) {
            Some(message) => message.encode_into(&mut out),
            None if rng.one_in(4) => out.extend(KEEP_ALIVE),
            None if rng.one_in(4) => out.extend([0, 0, 0, 5, 77, 1, 2, 3, 4]),
            None => {
                out.extend(message::piece_header(block));
                out.resize(out.len() + block.length as usize, 5);
            }
        }
        out
    }

    #[test]
    fn streams_sound_and_spoiled_have_the_properties() {
        for seed in 0..3000 {
            let mut rng = Rng::new(seed);
            let head: [u8; 4] = core::array::from_fn(|_| rng.below(256) as u8);
            let cut_as = geometry(head[0], head[1], head[2]);
            let mut stream = head.to_vec();
            let mut for_peer = vec![head[0]];
            for _ in 0..rng.below(30) {
                stream.extend(some_message(&mut rng, cut_as));
                for_peer.extend(some_message(&mut rng, geometry(head[0], 40, head[0])));
            }
            if rng.one_in(2) {
                let at = rng.below(stream.len() as u32) as usize;
                stream[at] = rng.below(256) as u8;
            }
            framer(&stream);
            peer(&for_peer);
        }
    }

    #[test]
    fn noise_has_the_properties() {
        let mut rng = Rng::new(9);
        for _ in 0..3000 {
            let mut bytes = vec![0; rng.below(120) as usize];
            rng.fill(&mut bytes);
            for body in [handshake, framer, message_roundtrip, extended_handshake, peer] {
                body(&bytes);
            }
        }
    }

    #[test]
    fn sound_handshakes_and_messages_have_the_properties() {
        let (info_hash, peer_id) = (InfoHash([1; 20]), PeerId(*b"-qB4630-abcdefghijkl"));
        let bytes = Handshake { info_hash, peer_id, fast: true, extended: false }.encode();
        (0..=80).for_each(|cut| handshake(&[&[cut], &bytes[..], b"next"].concat()));
        for (id, length) in [(0, 0), (4, 4), (5, 70), (6, 12), (9, 2), (20, 5)] {
            message_roundtrip(&[&[id][..], &vec![7; length]].concat());
        }
    }
}
