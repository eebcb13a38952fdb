//! A peer against every message at the right and the wrong moment, floods, and the clock.

use super::*;
use crate::base::limits::{ALLOWED_FAST_MAX, FLOOD_MESSAGES_MAX, IDLE_PEER_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::base::{Block, InfoHash};
use crate::wire::Framer;
use core::time::Duration;

const GEOMETRY: Geometry = Geometry { total_bytes: (9 << 20) + 5, piece_bytes: 1 << 20, pieces: 10 };
const NOW: Instant = Instant::from_micros(1_000_000_000);
const BLOCK: Block = Block { piece: 3, begin: 1 << 14, length: 1 << 14 };

fn peer(fast: bool, extended: bool) -> Peer {
    let peer_id = PeerId(*b"-TR4060-abcdefghijkl");
    let theirs = Handshake { info_hash: InfoHash([0; 20]), peer_id, fast, extended };
    Peer::new(NOW, ([127, 0, 0, 1], 6881).into(), &theirs, GEOMETRY)
}

fn tell(peer: &mut Peer, messages: &[Message<'_>]) -> Result<Vec<News>, Misbehaved> {
    messages.iter().map(|&message| peer.on_message(NOW, message)).collect()
}

fn sent(peer: &mut Peer) -> Vec<u8> {
    let bytes = peer.outbox.as_slice().to_vec();
    peer.on_sent(NOW, bytes.len());
    bytes
}

fn wire(messages: &[Message<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.encode_into(&mut bytes));
    bytes
}

#[test]
fn each_message_is_answered_with_what_it_changes() {
    let mut peer = peer(true, true);
    let cases = [
        (Message::Port(6881), News::Nothing),
        (Message::Bitfield(&[0b1000_0001, 0]), News::HasMany),
        (Message::Unchoke, News::Unchoked),
        (Message::Unchoke, News::Nothing),
        (Message::Have(0), News::Nothing),
        (Message::Have(9), News::Has(9)),
        (Message::Have(9), News::Nothing),
        (Message::Interested, News::Interest),
        (Message::AllowedFast(4), News::AllowedFast(4)),
        (Message::AllowedFast(4), News::Nothing),
        (Message::Suggest(2), News::Suggested(2)),
        (Message::Reject(BLOCK), News::Rejected(BLOCK)),
        (Message::Choke, News::Choked),
        (Message::Choke, News::Nothing),
        (Message::Cancel(BLOCK), News::Nothing),
        (Message::Extended { id: 0, payload: b"d4:reqqi7e1:v4:teste" }, News::Introduced),
        (Message::Extended { id: 9, payload: b"?" }, News::Nothing),
    ];
    for (message, news) in cases {
        assert_eq!(peer.on_message(NOW, message), Ok(news), "{message:?}");
    }
    assert_eq!((peer.has.count(), peer.interested, peer.choking, peer.reqq), (3, true, true, 7));
    assert_eq!(peer.client(), b"test");
}

#[test]
fn indices_and_blocks_that_cannot_be_are_faults() {
    for piece in [10, u32::MAX] {
        for message in [Message::Have(piece), Message::Suggest(piece), Message::AllowedFast(piece)] {
            assert_eq!(tell(&mut peer(true, true), &[message]), Err(Misbehaved::NoSuchPiece { piece }));
        }
    }
    let blocks = [
        Block { piece: 9, begin: 0, length: 6 },
        Block { begin: u32::MAX, ..BLOCK },
        Block { length: u32::MAX, ..BLOCK },
        Block { length: 0, ..BLOCK },
    ];
    for block in blocks {
        for message in [Message::Request(block), Message::Cancel(block), Message::Reject(block)] {
            assert_eq!(tell(&mut peer(true, true), &[message]), Err(Misbehaved::BlockBounds(block)));
        }
    }
}

#[test]
fn what_it_has_is_told_once_and_first() {
    let (extended, bits) = (Message::Extended { id: 0, payload: b"de" }, Message::Bitfield(&[0xff, 0x40]));
    for first in [bits, Message::HaveAll, Message::HaveNone] {
        let opening = [extended, Message::Port(1), extended, first];
        assert!(tell(&mut peer(true, true), &opening).is_ok(), "{first:?}");
    }
    let mut late = peer(false, true);
    let said = [Message::Have(1), bits, bits, Message::Bitfield(&[0x40, 0])];
    let news = vec![News::Has(1), News::HasMore, News::Nothing, News::Nothing];
    assert_eq!((tell(&mut late, &said), late.has.count()), (Ok(news), 9), "what it had is not taken back");
    let mut done = peer(true, true);
    let said = [Message::Have(1), Message::HaveAll, Message::HaveAll, Message::HaveNone];
    let news = vec![News::Has(1), News::HasMore, News::Nothing, News::Nothing];
    assert_eq!((tell(&mut done, &said), done.added.map(|added| added.count())), (Ok(news), Some(9)));
    assert!(done.has.is_full(), "what it had is not taken back");
    let faults: [(&[u8], _); 4] = [
        (&[0xff, 0x41], Misbehaved::SpareBits),
        (&[0xff, 0x20], Misbehaved::SpareBits),
        (&[0xff], Misbehaved::BadLength { id: 5, length: 2 }),
        (&[0, 0, 0], Misbehaved::BadLength { id: 5, length: 4 }),
    ];
    for (bits, fault) in faults {
        assert_eq!(tell(&mut peer(true, true), &[Message::Bitfield(bits)]), Err(fault));
    }
}

#[test]
fn a_piece_is_news_only_once() {
    let mut seed = peer(true, true);
    assert_eq!(
        tell(&mut seed, &[Message::HaveAll, Message::Have(3)]),
        Ok(vec![News::HasMany, News::Nothing])
    );
    assert!(seed.has.is_full());
    let none = tell(&mut peer(true, true), &[Message::HaveNone, Message::Have(3), Message::Have(3)]);
    assert_eq!(none, Ok(vec![News::Nothing, News::Has(3), News::Nothing]));
    let empty = tell(&mut peer(false, false), &[Message::Bitfield(&[0, 0]), Message::Have(1)]);
    assert_eq!(empty, Ok(vec![News::Nothing, News::Has(1)]));
}

#[test]
fn extensions_that_were_not_offered_are_faults() {
    let fast = [
        Message::HaveAll,
        Message::HaveNone,
        Message::Suggest(0),
        Message::AllowedFast(0),
        Message::Reject(BLOCK),
    ];
    for message in fast {
        let fault = Misbehaved::NotFast { id: message.id() };
        assert_eq!(tell(&mut peer(false, true), &[message]), Err(fault));
    }
    let extended = Message::Extended { id: 0, payload: b"de" };
    assert_eq!(tell(&mut peer(true, false), &[extended]), Err(Misbehaved::NotExtended));
    let not_bencode = Message::Extended { id: 0, payload: b"hello" };
    assert_eq!(tell(&mut peer(true, true), &[not_bencode]), Err(Misbehaved::BadExtendedHandshake));
}

#[test]
fn requests_of_a_choked_peer_are_rejected_where_that_can_be_said() {
    let mut fast = peer(true, true);
    assert_eq!(tell(&mut fast, &[Message::Request(BLOCK)]), Ok(vec![News::Nothing]));
    assert_eq!(sent(&mut fast), wire(&[Message::Reject(BLOCK)]));
    let mut plain = peer(false, true);
    assert_eq!(tell(&mut plain, &[Message::Request(BLOCK)]), Ok(vec![News::Nothing]));
    assert!(plain.outbox.is_empty());
}

#[test]
fn requests_of_an_unchoked_peer_are_passed_on_unless_too_long() {
    let mut peer = peer(true, true);
    peer.am_choking = false;
    let long = Block { length: REQUEST_BYTES_MAX + 1, ..BLOCK };
    let asked = tell(&mut peer, &[Message::Request(BLOCK), Message::Cancel(BLOCK), Message::Request(long)]);
    assert_eq!(asked, Ok(vec![News::Asks(BLOCK), News::Cancels(BLOCK), News::Nothing]));
    assert_eq!(sent(&mut peer), wire(&[Message::Reject(long)]));
}

#[test]
fn a_peer_that_asks_and_never_reads_fills_a_bounded_outbox_and_is_dropped() {
    let mut peer = peer(true, true);
    let fault = (0..=FLOOD_MESSAGES_MAX).find_map(|_| peer.on_message(NOW, Message::Request(BLOCK)).err());
    assert_eq!(fault, Some(Misbehaved::Flood));
    assert!(peer.outbox.as_slice().len() <= crate::base::limits::OUTBOX_BYTES_MAX);
}

#[test]
fn messages_without_use_are_a_flood_and_messages_with_use_are_not() {
    let useless = [
        Message::Choke,
        Message::Interested,
        Message::Have(0),
        Message::Port(1),
        Message::Suggest(1),
        Message::Reject(BLOCK),
        Message::Extended { id: 0, payload: b"de" },
        Message::Extended { id: 1, payload: b"" },
    ];
    for message in useless {
        let mut peer = peer(true, true);
        tell(&mut peer, &[Message::HaveAll]).unwrap();
        let fault = (0..=FLOOD_MESSAGES_MAX).find_map(|_| peer.on_message(NOW, message).err());
        assert_eq!(fault, Some(Misbehaved::Flood), "{message:?}");
    }
    let mut toggling = peer(true, true);
    let toggle = |at: u32| if at.is_multiple_of(2) { Message::Unchoke } else { Message::Choke };
    let fault = (0..=FLOOD_MESSAGES_MAX).find_map(|at| toggling.on_message(NOW, toggle(at)).err());
    assert_eq!(fault, Some(Misbehaved::Flood));

    let mut alive = peer(true, true);
    assert!((0..FLOOD_MESSAGES_MAX).all(|_| alive.on_useless(NOW).is_ok()));
    assert_eq!(alive.on_useless(NOW), Err(Misbehaved::Flood));

    let mut busy = peer(true, true);
    busy.am_choking = false;
    assert!((0..=FLOOD_MESSAGES_MAX).all(|_| busy.on_message(NOW, Message::Request(BLOCK)).is_ok()));
}

#[test]
fn allowed_fast_is_bounded_and_opens_pieces_that_it_has() {
    let mut wide = peer(true, true);
    wide.geometry.pieces = 1000;
    let news =
        (0..1000).filter(|&piece| wide.on_message(NOW, Message::AllowedFast(piece)) != Ok(News::Nothing));
    assert_eq!((news.count(), wide.allowed_fast.len()), (ALLOWED_FAST_MAX, ALLOWED_FAST_MAX));

    let mut peer = peer(true, true);
    tell(
        &mut peer,
        &[Message::Bitfield(&[0b1100_0000, 0]), Message::AllowedFast(1), Message::AllowedFast(2)],
    )
    .unwrap();
    assert_eq!([0, 1, 2, 99].map(|piece| peer.answers(piece)), [false, true, false, false]);
    tell(&mut peer, &[Message::Unchoke]).unwrap();
    assert_eq!([0, 1, 2, 99].map(|piece| peer.answers(piece)), [true, true, false, false]);
}

#[test]
fn the_greeting_says_what_we_have_in_the_shortest_words_the_peer_knows() {
    let (none, all) = (Bitfield::new(10), Bitfield::full(10));
    let some = Bitfield::from_wire(&[1, 0], 10).unwrap();
    let bits = Message::Bitfield;
    let cases: [(bool, &Bitfield, &[Message<'_>]); 6] = [
        (true, &none, &[Message::HaveNone]),
        (true, &all, &[Message::HaveAll]),
        (true, &some, &[bits(&[1, 0])]),
        (false, &none, &[]),
        (false, &all, &[bits(&[0xff, 0xc0])]),
        (false, &some, &[bits(&[1, 0])]),
    ];
    for (fast, have, expected) in cases {
        let mut plain = peer(fast, false);
        plain.greet(have, 6881);
        assert_eq!(sent(&mut plain), wire(expected));

        let (mut extended, mut payload) = (peer(fast, true), Vec::new());
        extended.greet(have, 6881);
        ExtendedHandshake::encode_ours(6881, have.is_full(), [127, 0, 0, 1].into(), &mut payload);
        let introduction = wire(&[Message::Extended { id: 0, payload: &payload }]);
        assert_eq!(sent(&mut extended), [wire(expected), introduction].concat());
    }
}

#[test]
fn a_bitfield_longer_than_the_outbox_is_still_sent() {
    let mut peer = peer(false, false);
    let have = Bitfield::full(crate::base::limits::PIECES_MAX);
    peer.greet(&have, 0);
    assert_eq!(peer.outbox.as_slice().len(), 5 + have.as_wire().len());
    assert!(!peer.outbox.push(Message::Interested), "and then the bound holds again");
}

#[test]
fn interest_is_told_only_when_it_changes() {
    let mut peer = peer(true, true);
    let told = [false, true, true, false, false].map(|interested| peer.set_interested(interested));
    assert_eq!(told, [false, true, false, true, false]);
    assert_eq!(sent(&mut peer), wire(&[Message::Interested, Message::NotInterested]));
    while peer.outbox.push(Message::Choke) {}
    assert!(!peer.set_interested(true) && !peer.am_interested, "not told, so not so");
}

#[test]
fn a_quiet_connection_is_kept_alive_and_a_silent_peer_dropped() {
    let mut peer = peer(true, true);
    let at = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!((peer.next_deadline(), peer.on_time(at(69))), (at(110), TimerNews::Nothing));
    assert_eq!(peer.on_time(at(110)), TimerNews::KeepAlive);
    assert_eq!(peer.outbox.as_slice(), [0; 4]);
    assert_eq!((peer.next_deadline(), peer.on_time(at(179))), (at(180), TimerNews::Nothing));
    assert_eq!(peer.on_time(at(180)), TimerNews::Idle);
    peer.on_useless(at(179)).unwrap();
    assert_eq!((peer.next_deadline(), peer.on_time(at(179))), (at(220), TimerNews::Nothing));
    peer.on_block_bytes(at(215), 1);
    assert_eq!(peer.on_time(at(220)), TimerNews::KeepAlive);
    assert_eq!(peer.outbox.as_slice(), [0; 4], "one that waits is enough");
    assert_eq!(peer.next_deadline(), at(330));
    assert_eq!(peer.on_time(at(290)), TimerNews::KeepAlive, "earlier, because others are due");
    assert_eq!(peer.next_deadline(), at(395), "when it will have been silent for too long");
}

#[test]
fn what_it_says_of_itself_stays_until_it_says_otherwise() {
    let mut peer = peer(true, true);
    assert_eq!((peer.client(), peer.reqq), (b"Transmission 4.0.6".to_vec(), REQQ_DEFAULT));
    let full = b"d1:pi99e4:reqqi5e11:upload_onlyi1e1:v3:onee";
    for payload in [&full[..], b"de", b"d1:v3:twoe"] {
        tell(&mut peer, &[Message::Extended { id: 0, payload }]).unwrap();
        assert_eq!((peer.reqq, peer.listen_port, peer.upload_only), (5, Some(99), true));
    }
    assert_eq!(peer.client(), b"two");
}

#[test]
fn an_idle_peer_costs_less_than_promised() {
    let mut peer = peer(true, true);
    let name = [&b"d1:v64:"[..], &[b'x'; 64], b"e"].concat();
    tell(&mut peer, &[Message::HaveAll, Message::Extended { id: 0, payload: &name }]).unwrap();
    peer.geometry.pieces = 1000;
    for piece in 0..1000 {
        let _ = tell(&mut peer, &[Message::AllowedFast(piece), Message::Request(BLOCK)]);
    }
    sent(&mut peer);
    while peer.outbox.as_slice().len() < 1000 && peer.outbox.push(Message::Have(0)) {}
    sent(&mut peer);
    // The last number: what a framer may carry of a cut message.
    let bytes = size_of::<Peer>() + peer.held_bytes() + size_of::<Framer>() + 64;
    assert!(peer.outbox.held_bytes() > 500 && bytes < IDLE_PEER_BYTES_MAX, "{bytes}");
    assert_eq!(peer.on_time(NOW + KEEP_ALIVE_INTERVAL), TimerNews::KeepAlive);
    assert!(peer.outbox.held_bytes() < 20, "long quiet, it keeps nothing but the keep-alive");
}
