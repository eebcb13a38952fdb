//! Open pieces: who is asked for which block, and what becomes of it.

use super::*;
use crate::base::Bitfield;
use crate::download::pool::Pool;

const PEER: [StreamId; 3] = [peer(0), peer(1), peer(2)];
const NOW: Instant = Instant::from_micros(1_000_000);

const fn peer(slot: u32) -> StreamId {
    StreamId { slot, generation: slot }
}

fn two_open_pieces() -> (Assembly, Bitfield, Pool) {
    let geometry = Geometry::new(5 * 40_000, 40_000).unwrap();
    let mut assembly = Assembly::new(geometry);
    assembly.open(NOW, 3, None);
    assembly.open(NOW, 1, None);
    (assembly, Bitfield::full(5), Pool::new(0))
}

#[test]
fn blocks_are_asked_for_in_the_order_of_opening() {
    let (mut assembly, all, _) = two_open_pieces();
    let blocks: Vec<_> = core::iter::from_fn(|| assembly.request(PEER[0], &all, NOW, Lane::Any)).collect();
    let order: Vec<_> = blocks.iter().map(|block| (block.piece, block.begin)).collect();
    assert_eq!(order, [(3, 0), (3, 16_384), (3, 32_768), (1, 0), (1, 16_384), (1, 32_768)]);
    assembly.check();
    assembly.unrequest(PEER[0], blocks[1]);
    assembly.unrequest(PEER[1], blocks[2]);
    assembly.check();
    assert_eq!(assembly.request(PEER[2], &all, NOW, Lane::Any), Some(blocks[1]));
    assert_eq!(assembly.request(PEER[2], &all, NOW, Lane::Any), None);
}

#[test]
fn a_piece_is_whole_when_its_last_block_arrives_in_any_order() {
    let (mut assembly, all, mut pool) = two_open_pieces();
    for nth in [2, 0, 1] {
        let block = assembly.geometry.block(3, nth);
        assert!(assembly.take_whole(3).is_none());
        let placed = assembly.place(PEER[0], block, pool.take().unwrap());
        assert!(matches!(placed, Placed::Kept { cancel: [None, None], whole } if whole == (nth == 1)));
        let again = assembly.place(PEER[1], block, pool.take().unwrap());
        assert!(matches!(again, Placed::Unwanted(_)));
        assembly.check();
    }
    assert_eq!(assembly.arrived_from(3, 1).map(<[u8]>::len).collect::<Vec<_>>(), [16_384, 7_232]);
    assert_eq!(assembly.take_whole(3).unwrap().len(), 3);
    assert_eq!(assembly.request(PEER[0], &all, NOW, Lane::Any).unwrap().piece, 1);
}

#[test]
fn the_endgame_asks_a_second_peer_and_cancels_the_slower_one() {
    let (mut assembly, all, mut pool) = two_open_pieces();
    while assembly.request(PEER[0], &all, NOW, Lane::Any).is_some() {}
    let later = NOW + Duration::from_secs(3);
    let patience = Duration::from_secs(2);
    assert_eq!(assembly.double(PEER[1], &all, NOW, patience, Lane::Any), None, "not late yet");
    assert_eq!(assembly.double(PEER[0], &all, later, patience, Lane::Any), None, "the same peer");
    let block = assembly.double(PEER[1], &all, later, patience, Lane::Any).unwrap();
    assert_eq!(
        assembly.double(PEER[2], &all, later, patience, Lane::Any).map(|other| other == block),
        Some(false)
    );
    let placed = assembly.place(PEER[1], block, pool.take().unwrap());
    assert!(matches!(placed, Placed::Kept { cancel, .. } if cancel == [Some(PEER[0]), None]));
    assembly.check();
}

#[test]
fn a_late_block_cancels_everybody_who_was_asked_instead() {
    let (mut assembly, all, mut pool) = two_open_pieces();
    let later = NOW + Duration::from_secs(3);
    let block = assembly.request(PEER[0], &all, NOW, Lane::Any).unwrap();
    assembly.unrequest(PEER[0], block);
    assert_eq!(assembly.request(PEER[1], &all, NOW, Lane::Any), Some(block));
    assert_eq!(assembly.double(PEER[2], &all, later, Duration::ZERO, Lane::Any), Some(block));
    let placed = assembly.place(PEER[0], block, pool.take().unwrap());
    assert!(matches!(placed, Placed::Kept { cancel, .. } if cancel == [Some(PEER[1]), Some(PEER[2])]));
    assembly.check();
}

#[test]
fn a_piece_kept_for_one_peer_is_not_given_to_others() {
    let (mut assembly, all, _) = two_open_pieces();
    assembly.open(NOW, 0, Some((PEER[1], Duration::from_secs(9))));
    let mut asked = core::iter::from_fn(|| assembly.request(PEER[0], &all, NOW, Lane::Any));
    assert!(asked.all(|block| block.piece != 0));
    assembly.free_sole(PEER[1]);
    assert_eq!(assembly.request(PEER[0], &all, NOW, Lane::Any).unwrap().piece, 0);
}

#[test]
fn a_piece_is_not_kept_for_one_peer_for_ever() {
    let (mut assembly, all, _) = two_open_pieces();
    assembly.open(NOW, 0, Some((PEER[1], Duration::from_secs(9))));
    let owed = assembly.request_of(0, PEER[1], NOW).unwrap();
    while assembly.request(PEER[2], &all, NOW, Lane::Any).is_some() {}
    let later = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(assembly.request(PEER[0], &all, later(8), Lane::Any), None);
    let doubled: Vec<_> =
        core::iter::from_fn(|| assembly.double(PEER[0], &all, later(8), Duration::ZERO, Lane::Any)).collect();
    assert!(doubled.len() == 6 && doubled.iter().all(|block| block.piece != 0));
    assert_eq!(assembly.request(PEER[0], &all, later(9), Lane::Any).map(|block| block.piece), Some(0));
    assert_eq!(assembly.double(PEER[0], &all, later(9), Duration::ZERO, Lane::Any), Some(owed));
    assembly.check();
}

#[test]
fn where_nothing_is_late_that_is_known_without_a_look() {
    let pieces = 100;
    let mut assembly = Assembly::new(Geometry::new(u64::from(pieces) << 18, 1 << 18).unwrap());
    let all = Bitfield::full(pieces);
    (0..pieces).for_each(|piece| assembly.open(NOW, piece, None));
    while assembly.request(PEER[0], &all, NOW, Lane::Any).is_some() {}
    let (patience, at) = (Duration::from_secs(2), |seconds| NOW + Duration::from_secs(seconds));
    let before = assembly.steps();
    for nth in 0..1000 {
        assert_eq!(assembly.double(peer(9 + nth), &all, at(2), patience, Lane::Any), None);
    }
    let look = assembly.steps() - before;
    assert!(look <= 100, "{look} steps where all is young");
    // The last piece alone is late: the others are not looked into again and again.
    let late = Block { piece: pieces - 1, begin: 15 << 14, length: 1 << 14 };
    for piece in 0..pieces - 1 {
        for nth in 0..16 {
            assembly.unrequest(PEER[0], assembly.geometry.block(piece, nth));
        }
    }
    while assembly.request(PEER[0], &all, at(9), Lane::Any).is_some() {}
    let mut own = Bitfield::full(pieces);
    own.remove(pieces - 1);
    assert_eq!(assembly.double(PEER[1], &own, at(10), patience, Lane::Any), None, "it has not got that one");
    let before = assembly.steps();
    for nth in 0..1000 {
        assert_eq!(assembly.double(peer(9 + nth), &own, at(10), patience, Lane::Any), None);
    }
    let look = assembly.steps() - before;
    assert!(
        look <= 1000 * u64::from(pieces),
        "{look} steps: a look at a piece is one, not one for each block"
    );
    assert_eq!(assembly.double(PEER[2], &all, at(10), patience, Lane::Any), Some(late));
    assembly.check();
    // Of a block that two were asked for one does not send it: it is as old as it is.
    assembly.unrequest(PEER[2], late);
    assembly.check();
    assert!(assembly.double(PEER[1], &all, at(13), patience, Lane::Any).is_some());
}

#[test]
fn a_piece_whose_owner_is_gone_gives_its_memory_back() {
    let (mut assembly, all, _) = two_open_pieces();
    let later = NOW + Duration::from_secs(20);
    let mut others = Bitfield::full(5);
    others.remove(3);
    let block = assembly.request(PEER[0], &all, NOW, Lane::Any).unwrap();
    assert!(assembly.give_up_orphan(later, &others).is_none(), "it is being asked for");
    assembly.unrequest(PEER[0], block);
    assert!(assembly.give_up_orphan(NOW, &others).is_none(), "it was asked for just now");
    assert!(assembly.give_up_orphan(later, &all).is_none(), "somebody has it");
    assert_eq!(assembly.give_up_orphan(later, &others).map(|(piece, _)| piece), Some(3));
    assembly.check();
}

#[test]
fn blocks_of_pieces_that_are_not_open_are_unwanted() {
    let (mut assembly, _, mut pool) = two_open_pieces();
    let block = assembly.geometry.block(4, 0);
    assert!(matches!(assembly.place(PEER[0], block, pool.take().unwrap()), Placed::Unwanted(_)));
    assert!(!assembly.lacks(block) && assembly.lacks(assembly.geometry.block(3, 2)));
    assembly.unrequest(PEER[0], block);
    assembly.check();
}
