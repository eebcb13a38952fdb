//! What was asked of us and is lost meanwhile: nobody gets bytes that may be wrong.

use crate::stage::{PIECE_BYTES, Stage, fault};
use crate::{block, request, seeding, served};
use core::time::Duration;
use swarmlet::base::StreamId;
use swarmlet::base::limits::{HELD_MAX, SYNC_AGE_MAX};
use swarmlet::session::StorageFaultKind;
use swarmlet::wire::Message;

/// A session that has fetched two of four pieces, which no sync has seen.
fn half_way() -> (Stage, StreamId) {
    let mut stage = Stage::new(4, seeding(), false);
    stage.sync_fault = Some(fault(StorageFaultKind::Io));
    let source = stage.peer("1.2.3.4:5", true);
    stage.say(source, &[Message::Have(0), Message::Have(1), Message::Unchoke]);
    for at in (0..2 * PIECE_BYTES).step_by(16 << 10) {
        stage.take(source, usize::MAX);
        stage.send_block(source, at / PIECE_BYTES, at % PIECE_BYTES);
    }
    stage.wait(HELD_MAX);
    assert_eq!(pieces(&stage), 2);
    (stage, source)
}

fn pieces(stage: &Stage) -> u32 {
    stage.session.status(stage.now).torrents[0].pieces_have
}

/// A peer that is served and has got some bytes of a block.
fn in_the_middle(stage: &mut Stage, address: &str, fast: bool, asked: &[Message<'_>]) -> StreamId {
    let peer = served(stage, address, fast);
    stage.say(peer, asked);
    stage.take(peer, 13 + 100);
    peer
}

#[test]
fn what_is_lost_is_refused_when_its_turn_comes_and_not_sent() {
    let (mut stage, source) = half_way();
    let asked = [request(1), request(0), request(1), request(0)];
    let fast = in_the_middle(&mut stage, "1.2.4.4:5", true, &asked);
    let plain = in_the_middle(&mut stage, "1.2.5.4:5", false, &asked);
    let unlucky = in_the_middle(&mut stage, "1.2.6.4:5", true, &asked[1..]);
    stage.unreadable = Some(0);
    stage.wait(SYNC_AGE_MAX);
    assert_eq!((pieces(&stage), stage.sync_fault), (1, None));
    assert!(stage.closed.contains(&unlucky), "the rest of its block may be wrong");
    let rest = |stage: &mut Stage, peer| {
        let bytes = stage.take(peer, usize::MAX);
        bytes[(16 << 10) - 100..].to_vec()
    };
    let heard = |stage: &mut Stage, peer| {
        let bytes = rest(stage, peer);
        crate::stage::words(&bytes, &stage.metainfo, &stage.content)
    };
    let reject = format!("{:?}", Message::Reject(block(0, 0, 16 << 10)));
    assert_eq!(heard(&mut stage, fast), [&reject, "block 1 0 16384", &reject]);
    assert_eq!(heard(&mut stage, plain), ["block 1 0 16384"]);
    // It is asked for once more, and given when it is there.
    stage.unreadable = None;
    for begin in (0..PIECE_BYTES).step_by(16 << 10) {
        stage.take(source, usize::MAX);
        stage.send_block(source, 0, begin);
    }
    stage.wait(HELD_MAX);
    stage.say(plain, &[request(0)]);
    assert_eq!(stage.heard(plain), ["Have(0)", "block 0 0 16384"]);
}

#[test]
fn from_files_that_others_have_changed_nothing_is_given_before_they_are_read() {
    let mut stage = Stage::seed(4, seeding());
    let waiting = in_the_middle(&mut stage, "1.2.4.4:5", true, &[request(1), request(2), request(3)]);
    let unlucky = in_the_middle(&mut stage, "1.2.5.4:5", true, &[request(0)]);
    assert!(stage.session.file_bytes(stage.now, unlucky).is_some());
    let fault = fault(StorageFaultKind::Changed);
    stage.unloaded = Some(Vec::new());
    stage.session.file_failed(stage.now, unlucky, fault);
    stage.say(waiting, &[Message::NotInterested, Message::Interested, request(1)]);
    let bytes = stage.take(waiting, usize::MAX);
    let words = crate::stage::words(&bytes[(16 << 10) - 100..], &stage.metainfo, &stage.content);
    let reject = |piece: u32| format!("{:?}", Message::Reject(block(piece, 0, 16 << 10)));
    assert_eq!(words[..1], ["Choke"]);
    assert!((1..4).all(|piece| words.contains(&reject(piece))) && words.len() == 4, "{words:?}");
    stage.load();
    stage.wait(Duration::from_secs(1));
    stage.say(waiting, &[request(1)]);
    let heard = stage.heard(waiting);
    assert_eq!(heard, ["Unchoke", "block 1 0 16384"], "they are as they were");
}
