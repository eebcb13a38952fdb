//! The framer against every cut of a stream, wrong lengths, and reads that land elsewhere.

use super::*;
use crate::base::Rng;

const GEOMETRY: Geometry = Geometry { total_bytes: 1930, piece_bytes: 100, pieces: 20 };

/// Items in a form that does not depend on the cuts: blocks are whole.
#[derive(Debug, PartialEq)]
enum Whole {
    KeepAlive,
    Message(Vec<u8>),
    Block(Block, Vec<u8>),
    Skipped,
}

fn add(wholes: &mut Vec<Whole>, item: Item<'_>) {
    match item {
        Item::KeepAlive => wholes.push(Whole::KeepAlive),
        Item::Skipped => wholes.push(Whole::Skipped),
        Item::Message(message) => {
            let mut bytes = Vec::new();
            message.encode_into(&mut bytes);
            wholes.push(Whole::Message(bytes));
        }
        Item::BlockBytes { block, offset, bytes } => add_bytes(wholes, block, offset, bytes),
    }
}

fn add_bytes(wholes: &mut Vec<Whole>, block: Block, offset: u32, bytes: &[u8]) {
    if offset == 0 {
        wholes.push(Whole::Block(block, Vec::new()));
    }
    let Some(Whole::Block(same, so_far)) = wholes.last_mut() else { panic!("no block begun") };
    assert_eq!((*same, so_far.len() as u32), (block, offset));
    assert!(!bytes.is_empty());
    so_far.extend_from_slice(bytes);
}

fn feed(framer: &mut Framer, mut input: &[u8], wholes: &mut Vec<Whole>) -> Result<(), Misbehaved> {
    while let Some(item) = framer.next(&mut input)? {
        add(wholes, item);
    }
    assert!(input.is_empty());
    Ok(())
}

fn block(piece: u32, begin: u32, length: u32) -> Block {
    Block { piece, begin, length }
}

fn piece_message(block: Block) -> Vec<u8> {
    let bytes = (0..block.length).map(|at| (at * 7 + block.begin + block.piece) as u8);
    message::piece_header(block).into_iter().chain(bytes).collect()
}

/// One of each kind of message.
fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    Message::Extended { id: 0, payload: b"d1:v5:swarme" }.encode_into(&mut out);
    Message::Bitfield(&[0xff, 0, 0xf0]).encode_into(&mut out);
    out.extend(message::KEEP_ALIVE);
    Message::Unchoke.encode_into(&mut out);
    out.extend([0, 0, 0, 6, 99, 1, 2, 3, 4, 5]);
    out.extend(piece_message(block(19, 0, 30)));
    Message::Have(7).encode_into(&mut out);
    out.extend([0, 0, 0, 1, 99]);
    out.extend(piece_message(block(3, 50, 1)));
    Message::Request(block(3, 50, 1)).encode_into(&mut out);
    Message::Port(6881).encode_into(&mut out);
    Message::AllowedFast(1).encode_into(&mut out);
    out
}

fn uncut(stream: &[u8]) -> Vec<Whole> {
    let mut wholes = Vec::new();
    feed(&mut Framer::new(GEOMETRY), stream, &mut wholes).unwrap();
    wholes
}

fn judge(bytes: &[u8]) -> Result<Vec<Whole>, Misbehaved> {
    let mut wholes = Vec::new();
    feed(&mut Framer::new(GEOMETRY), bytes, &mut wholes).map(|()| wholes)
}

#[test]
fn any_two_cuts_give_the_same_items() {
    let stream = stream();
    let whole = uncut(&stream);
    assert_eq!(whole.len(), 12);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let (mut framer, mut wholes) = (Framer::new(GEOMETRY), Vec::new());
            for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                feed(&mut framer, part, &mut wholes).unwrap();
            }
            assert_eq!(wholes, whole, "{first} {second}");
            assert!(framer.at_boundary() && framer.held_bytes() <= CARRY_KEPT_BYTES);
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same_items() {
    let stream = stream();
    let (mut framer, mut wholes) = (Framer::new(GEOMETRY), Vec::new());
    for byte in stream.chunks(1) {
        feed(&mut framer, byte, &mut wholes).unwrap();
    }
    assert_eq!(wholes, uncut(&stream));
}

#[test]
fn what_arrives_whole_is_neither_copied_nor_held() {
    let stream = stream();
    let range = stream.as_ptr_range();
    let (mut framer, mut input) = (Framer::new(GEOMETRY), &stream[..]);
    while let Some(item) = framer.next(&mut input).unwrap() {
        if let Item::BlockBytes { bytes, .. } | Item::Message(Message::Bitfield(bytes)) = item {
            assert!(range.contains(&bytes.as_ptr()));
        }
    }
    assert_eq!(framer.held_bytes(), 0);
}

#[test]
fn a_large_message_gives_its_memory_back_and_a_cut_header_costs_little() {
    let mut framer = Framer::new(GEOMETRY);
    let mut large = Vec::new();
    Message::Extended { id: 1, payload: &[7; 2000] }.encode_into(&mut large);
    let mut wholes = Vec::new();
    feed(&mut framer, &large[..2001], &mut wholes).unwrap();
    assert!((2001..=2006).contains(&framer.held_bytes()));
    feed(&mut framer, &large[2001..], &mut wholes).unwrap();
    assert_eq!((framer.held_bytes(), wholes.len()), (0, 1));
    feed(&mut framer, &piece_message(block(0, 0, 10))[..12], &mut wholes).unwrap();
    assert!(framer.held_bytes() <= CARRY_LEAST_BYTES);
}

#[test]
fn an_extended_message_too_long_to_be_of_use_is_skipped_and_not_stored() {
    for (more, item) in [(0, "message"), (1, "skipped")] {
        let (mut framer, mut whole) = (Framer::new(GEOMETRY), Vec::new());
        let payload = vec![b'x'; EXTENDED_BYTES_MAX - 1 + more];
        Message::Extended { id: 0, payload: &payload }.encode_into(&mut whole);
        let mut input = &whole[..whole.len() - 1];
        assert_eq!(framer.next(&mut input), Ok(None));
        assert_eq!(framer.held_bytes() > CARRY_KEPT_BYTES, item == "message", "{}", framer.held_bytes());
        let last = framer.next(&mut &whole[whole.len() - 1..]).unwrap();
        assert_eq!(last == Some(Item::Skipped), item == "skipped");
    }
}

#[test]
fn wrong_lengths_are_faults_as_soon_as_the_id_is_here() {
    let too_long = |id, length| Err(Misbehaved::TooLong { id, length });
    let bad = |id, length| Err(Misbehaved::BadLength { id, length });
    let block_most = BLOCK_BYTES + 9;
    let cases = [
        (id::EXTENDED, 1, bad(20, 1)),
        (id::EXTENDED, UNKNOWN_BYTES_MAX as u32 + 2, too_long(20, UNKNOWN_BYTES_MAX as u32 + 2)),
        (id::EXTENDED, u32::MAX, too_long(20, u32::MAX)),
        (id::BITFIELD, 3, bad(5, 3)),
        (id::BITFIELD, 5, bad(5, 5)),
        (id::BITFIELD, u32::MAX, bad(5, u32::MAX)),
        (id::PIECE, 1, bad(7, 1)),
        (id::PIECE, 9, bad(7, 9)),
        (id::PIECE, block_most + 1, too_long(7, block_most + 1)),
        (id::PIECE, u32::MAX, too_long(7, u32::MAX)),
        (99, UNKNOWN_BYTES_MAX as u32 + 2, too_long(99, UNKNOWN_BYTES_MAX as u32 + 2)),
        (99, u32::MAX, too_long(99, u32::MAX)),
        (id::EXTENDED, UNKNOWN_BYTES_MAX as u32 + 1, Ok(vec![])),
        (99, UNKNOWN_BYTES_MAX as u32 + 1, Ok(vec![])),
        (id::PIECE, block_most, Ok(vec![])),
    ];
    for (id, length, expected) in cases {
        let head = [&u32::to_be_bytes(length)[..], &[id]].concat();
        assert_eq!(judge(&head), expected, "{id} {length}");
    }
    for (id, body) in (0..=255).filter_map(|id| Some((id, message::body_bytes(id)?))) {
        for length in [1, 2, 3, 5, 6, 13, 14, u32::MAX].into_iter().filter(|&length| length != body + 1) {
            let head = [&u32::to_be_bytes(length)[..], &[id]].concat();
            assert_eq!(judge(&head), bad(id, length), "{id} {length}");
        }
    }
}

#[test]
fn blocks_that_cannot_be_are_faults_before_their_first_byte() {
    let good = [block(0, 0, 100), block(0, 99, 1), block(19, 0, 30)];
    for block in good {
        assert_eq!(judge(&message::piece_header(block)), Ok(vec![]));
    }
    for wrong in [block(0, 0, 101), block(0, 100, 1), block(19, 0, 31), block(0, u32::MAX, 1)] {
        assert_eq!(judge(&message::piece_header(wrong)), Err(Misbehaved::BlockBounds(wrong)));
    }
    for piece in [20, u32::MAX] {
        let fault = Err(Misbehaved::NoSuchPiece { piece });
        assert_eq!(judge(&message::piece_header(block(piece, 0, 1))), fault);
    }
}

#[test]
fn a_carried_header_is_told_only_while_a_block_can_follow() {
    let header = message::piece_header(block(1, 0, 9));
    let cases: [(&[u8], Option<&[u8]>); 9] = [
        (&[], Some(&[])),
        (&header[..3], Some(&header[..3])),
        (&header[..12], Some(&header[..12])),
        (&header, None),
        (&[0, 0, 0, 5], None),
        (&[0, 0, 0, 13, id::REQUEST, 1], None),
        (&[0, 0, 0, 9, 99, 1], None),
        (&[0, 0, 0, 1, 0], Some(&[])),
        (&message::KEEP_ALIVE, Some(&[])),
    ];
    for (bytes, expected) in cases {
        let mut framer = Framer::new(GEOMETRY);
        feed(&mut framer, bytes, &mut Vec::new()).unwrap();
        assert_eq!(framer.carried_header(), expected, "{bytes:?}");
        assert_eq!(framer.at_boundary(), expected == Some(&[]), "{bytes:?}");
    }
}

#[test]
fn a_landed_header_is_judged_like_any_other() {
    let mut framer = Framer::new(GEOMETRY);
    let header = message::piece_header(block(19, 20, 10));
    feed(&mut framer, &header[..6], &mut Vec::new()).unwrap();
    assert_eq!(framer.take_header(&header[5..]), Ok(None), "one byte too many");
    assert_eq!(framer.take_header(&header[6..]), Ok(Some(block(19, 20, 10))));
    assert_eq!(framer.block_in_progress(), Some((block(19, 20, 10), 0)));
    assert_eq!(framer.take_header(&header), Ok(None), "not within a block");
    assert!(!framer.advance_block(9) && framer.advance_block(1) && !framer.advance_block(0));
    let wrong = block(19, 20, 11);
    assert_eq!(framer.take_header(&message::piece_header(wrong)), Err(Misbehaved::BlockBounds(wrong)));
    let mut other = [0; 13];
    other[..5].copy_from_slice(&[0, 0, 0, 5, id::HAVE]);
    assert_eq!(framer.take_header(&other), Ok(None));
    assert!(framer.at_boundary());
}

/// One scatter read of a random number of bytes of `stream`: the rest of the block in progress, then a header.
fn land(framer: &mut Framer, rng: &mut Rng, stream: &mut &[u8], wholes: &mut Vec<Whole>) {
    let mut available = rng.below(stream.len() as u32 + 1);
    if let Some((block, received)) = framer.block_in_progress() {
        let count = available.min(block.length - received);
        if count > 0 {
            let (bytes, rest) = stream.split_at(count as usize);
            add_bytes(wholes, block, received, bytes);
            assert_eq!(framer.advance_block(count), received + count == block.length);
            (*stream, available) = (rest, available - count);
        }
    }
    let Some(carried) = framer.carried_header() else { return };
    let wanted = PIECE_HEADER_BYTES - carried.len();
    let (landed, rest) = stream.split_at(wanted.min(available as usize));
    *stream = rest;
    let taken = if landed.len() == wanted { framer.take_header(landed).unwrap() } else { None };
    if taken.is_none() {
        feed(framer, landed, wholes).unwrap();
    }
}

#[test]
fn landing_elsewhere_and_feeding_may_be_mixed_at_will() {
    let long = [stream(), piece_message(block(2, 0, 100)), piece_message(block(2, 1, 99)), stream()].concat();
    let whole = uncut(&long);
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let (mut framer, mut wholes, mut rest) = (Framer::new(GEOMETRY), Vec::new(), &long[..]);
        while !rest.is_empty() {
            if rng.one_in(3) {
                let (part, left) = rest.split_at(rng.below(rest.len().min(40) as u32 + 1) as usize);
                feed(&mut framer, part, &mut wholes).unwrap();
                rest = left;
            } else {
                land(&mut framer, &mut rng, &mut rest, &mut wholes);
            }
        }
        assert_eq!(wholes, whole, "seed {seed}");
        assert!(framer.at_boundary(), "seed {seed}");
    }
}
