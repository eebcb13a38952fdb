//! What peers are told of us, and when: what we have, and whether we download.

use crate::stage::{Stage, words};
use crate::{block, request, seeding, served};
use core::time::Duration;
use std::collections::BTreeSet;
use swarmlet::base::limits::{HELD_MAX, OUTBOX_BYTES_MAX, SEND_PATIENCE};
use swarmlet::base::{PeerId, StreamId};
use swarmlet::session::{StorageFault, StorageFaultKind};
use swarmlet::wire::{Framer, Handshake, Item, Message};

/// More pieces than an outbox holds messages of.
const PIECES: usize = 3_700;
/// Those that are there when the peer comes that is told of the others.
const FIRST: u32 = 40;

/// Answers what it is asked for until the session has so many pieces.
fn fetch(stage: &mut Stage, seeder: StreamId, pieces: u32) {
    let end = stage.now + Duration::from_secs(60);
    while stage.session.status(stage.now).torrents[0].pieces_have < pieces {
        assert!(stage.now < end && !stage.closed.contains(&seeder));
        if answer(stage, seeder) == 0 {
            // What is verified waits for the rest of its extent.
            stage.wait(HELD_MAX);
        }
    }
}

/// Answers what it is asked for within a moment; how many blocks.
pub fn answer(stage: &mut Stage, seeder: StreamId) -> usize {
    stage.wait(Duration::from_millis(20));
    let said = stage.take(seeder, usize::MAX);
    let mut said = if said.starts_with(b"\x13BitT") { &said[68..] } else { &said[..] };
    let (mut framer, mut asked) = (Framer::new(stage.metainfo.geometry()), Vec::new());
    while let Some(item) = framer.next(&mut said).unwrap() {
        if let Item::Message(Message::Request(block)) = item {
            asked.push(block);
        }
    }
    stage.send_blocks(seeder, &asked);
    asked.len()
}

/// A session that fetches from one peer and tells another what it has.
fn between_two() -> (Stage, StreamId, StreamId) {
    let mut stage = Stage::cut(1024, PIECES, seeding(), false, 200);
    let seeder = stage.peer("1.2.3.4:5", true);
    stage.say(seeder, &[Message::HaveAll, Message::Unchoke]);
    fetch(&mut stage, seeder, FIRST);
    let leech = stage.peer("1.2.3.5:5", true);
    stage.say(leech, &[Message::HaveNone, Message::Interested]);
    (stage, seeder, leech)
}

#[test]
fn haves_that_wait_behind_a_block_are_told_later_and_each_once() {
    let (mut stage, seeder, leech) = between_two();
    let (greeting, pieces) = (stage.take(leech, usize::MAX), PIECES as u32);
    let bits = &greeting[68 + 5..];
    let known = |piece: u32| bits[piece as usize / 8] & (0x80 >> (piece % 8)) != 0;
    let first = (0..pieces).find(|&piece| known(piece)).unwrap();
    stage.say(leech, &[Message::Request(block(first, 0, 1024))]);
    let mut bytes = stage.take(leech, 113);
    fetch(&mut stage, seeder, pieces - 1);
    assert!(!stage.closed.contains(&leech), "what waits behind a block is no fault of its own");
    let mut told = BTreeSet::new();
    for _ in 0..10 {
        bytes.extend(stage.take(leech, usize::MAX));
        stage.wait(Duration::from_secs(1));
    }
    for word in words(&bytes, &stage.metainfo, &stage.content) {
        if let Some(piece) =
            word.strip_prefix("Have(").and_then(|rest| rest.trim_end_matches(')').parse().ok())
        {
            assert!(told.insert(piece) && !known(piece), "{piece} is told twice");
        }
    }
    let all = (0..pieces).filter(|&piece| known(piece) || told.contains(&piece)).count() as u32;
    assert_eq!(all, stage.session.status(stage.now).torrents[0].pieces_have);
    assert!(!stage.closed.contains(&leech));
}

#[test]
fn who_reads_slowly_costs_what_it_is_told() {
    let (mut stage, seeder, slow) = between_two();
    fetch(&mut stage, seeder, 2_000);
    // Nothing changes but what it reads.
    let steps = |stage: &mut Stage, bytes: usize| {
        let before = stage.session.steps();
        stage.take(slow, bytes);
        let wakes = stage.wait(Duration::from_secs(10));
        (stage.session.steps() - before, wakes)
    };
    let (idle, wakes) = steps(&mut stage, 0);
    assert!(idle <= u64::from(wakes), "{idle} steps in {wakes} rounds");
    let (told, wakes) = steps(&mut stage, 100 * 9);
    assert!((100..=100 + u64::from(wakes)).contains(&told), "{told} steps for 100 pieces in {wakes} rounds");
}

#[test]
fn who_reads_nothing_of_what_it_is_told_is_dropped_in_time() {
    let (mut stage, seeder, deaf) = between_two();
    fetch(&mut stage, seeder, 2_000);
    assert!(!stage.closed.contains(&deaf), "it has had a moment only");
    assert!(stage.session.outgoing(deaf).len() < OUTBOX_BYTES_MAX / 2);
    for _ in 0..6 {
        stage.wait(SEND_PATIENCE / 2);
        stage.say(deaf, &[Message::Have(0)]);
    }
    assert!(stage.closed.contains(&deaf));
}

#[test]
fn whoever_heard_that_we_download_nothing_hears_when_we_do_again() {
    let mut stage = Stage::seed(3, seeding());
    let listener = stage.arrival("1.2.3.9:5").unwrap();
    let info_hash = stage.metainfo.info_hash;
    let theirs = Handshake { info_hash, peer_id: PeerId([b'x'; 20]), fast: true, extended: true };
    stage.session.received(stage.now, listener, &theirs.encode());
    stage.act();
    let says = |stage: &mut Stage, word: &[u8]| {
        let said = stage.take(listener, usize::MAX);
        said.windows(word.len()).any(|window| window == word)
    };
    assert!(says(&mut stage, b"11:upload_onlyi1e"));
    let peer = served(&mut stage, "1.2.3.4:5", true);
    stage.say(peer, &[request(1)]);
    stage.take(peer, 13);
    assert!(stage.session.file_bytes(stage.now, peer).is_some());
    let fault = StorageFault { kind: StorageFaultKind::Io, file: 0, os_error: 5, missing_bytes: 0 };
    stage.session.file_failed(stage.now, peer, fault);
    stage.act();
    assert!(says(&mut stage, b"11:upload_onlyi0e"));
}
