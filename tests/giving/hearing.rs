//! Peers that ask for more than is queued for them: how much of it is read, and when.

use crate::stage::{PIECE_BYTES, Stage};
use crate::{block, request, seeding, served};
use core::time::Duration;
use swarmlet::base::StreamId;
use swarmlet::base::limits::{
    BLOCK_BYTES, CHOKE_INTERVAL, IDLE_TIMEOUT, OUTBOX_BYTES_MAX, REQQ, REQUEST_MESSAGE_BYTES,
};
use swarmlet::session::Giving;
use swarmlet::wire::Message;

const ASKED: u32 = 10_000;

/// Asks for that many blocks at once, each another one.
fn ask_for_many(stage: &mut Stage, peer: StreamId) {
    let requests: Vec<_> = (0..ASKED).map(|nth| Message::Request(block(nth % 4, nth, 16))).collect();
    stage.write(peer, &requests);
}

#[test]
fn whoever_asks_for_too_much_is_not_read_until_there_is_room_and_gets_everything() {
    for fast in [false, true] {
        let mut stage = Stage::seed(4, seeding());
        let (greedy, modest) = (served(&mut stage, "1.2.3.4:5", fast), served(&mut stage, "1.2.3.5:5", fast));
        ask_for_many(&mut stage, greedy);
        let unread = (ASKED - REQQ) as usize * REQUEST_MESSAGE_BYTES;
        assert_eq!(stage.unread_bytes(greedy), unread, "as many as are promised are read, and no more");
        stage.say(modest, &[request(1)]);
        assert_eq!(stage.heard(modest), ["block 1 0 16384"]);
        let expected: Vec<String> = (0..ASKED).map(|nth| format!("block {} {nth} 16", nth % 4)).collect();
        assert!(stage.heard(greedy) == expected, "each is answered, in order");
        assert_eq!(stage.unread_bytes(greedy), 0);
    }
}

#[test]
fn what_was_asked_for_too_much_is_void_when_the_peer_is_choked() {
    let mut stage = Stage::seed(4, Giving { up_slots: Some(1), ..seeding() });
    let greedy = served(&mut stage, "1.2.3.4:5", false);
    ask_for_many(&mut stage, greedy);
    let other = stage.peer("1.2.3.5:5", false);
    stage.say(other, &[Message::Interested]);
    // It takes nothing, and loses its turn.
    stage.wait(3 * CHOKE_INTERVAL);
    assert_eq!(stage.unread_bytes(greedy), 0, "what a choked peer asks for costs nothing");
    assert_eq!(stage.heard(greedy), ["Choke"]);
    assert!(!stage.closed.contains(&greedy));
}

#[test]
fn whoever_is_not_read_is_not_silent() {
    let mut stage = Stage::seed(4, Giving { up_limit: 1 << 10, ..seeding() });
    let greedy = stage.peer("1.2.3.4:5", false);
    stage.say(greedy, &[Message::Interested]);
    stage.write(greedy, &[request(0); ASKED as usize]);
    let end = stage.now + 2 * IDLE_TIMEOUT;
    while stage.now < end {
        stage.wait(Duration::from_millis(500));
        stage.take(greedy, 1 << 20);
    }
    assert!(stage.unread_bytes(greedy) > 0 && !stage.closed.contains(&greedy));
}

#[test]
fn a_fast_peer_whose_blocks_are_awaited_is_read_on() {
    // It has a whole extent, which goes to its file, and a piece more, but not everything.
    const PIECES: usize = 33;
    for (fast, is_read_on) in [(true, true), (false, false)] {
        let mut stage = Stage::new(PIECES + 1, seeding(), false);
        let peer = stage.peer("1.2.3.4:5", fast);
        (0..PIECES as u32).for_each(|piece| stage.say(peer, &[Message::Have(piece)]));
        stage.say(peer, &[Message::Unchoke, Message::Interested]);
        for nth in 0..(PIECES - 1) * PIECE_BYTES / BLOCK_BYTES as usize {
            stage.take(peer, usize::MAX);
            let at = nth * BLOCK_BYTES as usize;
            stage.send_block(peer, at / PIECE_BYTES, at % PIECE_BYTES);
        }
        assert_eq!(stage.session.status(stage.now).torrents[0].pieces_have, PIECES as u32 - 1);
        stage.write(peer, &[request(0); REQQ as usize]);
        assert_eq!(stage.session.allowance(stage.now, peer) > 0, is_read_on, "fast: {fast}");
    }
}

#[test]
fn a_choked_peer_of_bep_6_is_read_as_far_as_it_can_be_rejected_and_none_is_lost() {
    let mut stage = Stage::new(4, seeding(), false);
    let greedy = stage.peer("1.2.3.4:5", true);
    stage.say(greedy, &[Message::Bitfield(&[0xf0])]);
    stage.heard(greedy);
    ask_for_many(&mut stage, greedy);
    assert!(stage.session.outgoing(greedy).len() <= OUTBOX_BYTES_MAX && stage.unread_bytes(greedy) > 0);
    // What we want of it is asked all the same.
    stage.say(greedy, &[Message::Unchoke]);
    let words = stage.heard(greedy);
    let rejects: Vec<&String> = words.iter().filter(|word| word.starts_with("Reject")).collect();
    let expected: Vec<String> =
        (0..ASKED).map(|nth| format!("{:?}", Message::Reject(block(nth % 4, nth, 16)))).collect();
    assert!(rejects.into_iter().eq(&expected), "each is answered, in order");
    assert!(words.iter().any(|word| word.starts_with("Request")));
    assert!(stage.unread_bytes(greedy) == 0 && !stage.closed.contains(&greedy));
}

#[test]
fn whoever_never_reads_its_rejects_is_closed_in_time() {
    for speaks in [false, true] {
        let mut stage = Stage::seed(4, seeding());
        let deaf = stage.peer("1.2.3.4:5", true);
        ask_for_many(&mut stage, deaf);
        let end = stage.now + 2 * IDLE_TIMEOUT;
        while stage.now < end && !stage.closed.contains(&deaf) {
            stage.wait(Duration::from_secs(1));
            if speaks {
                stage.write(deaf, &[Message::Interested]);
            }
        }
        assert!(stage.closed.contains(&deaf), "speaks: {speaks}");
        assert!(stage.now + IDLE_TIMEOUT / 2 < end, "speaks: {speaks}");
    }
}
