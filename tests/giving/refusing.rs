//! Requests that are rejected, by peers and by us.

use crate::stage::Stage;
use crate::{request, seeding};
use core::time::Duration;
use swarmlet::base::limits::REFUSED_TIME;
use swarmlet::base::{Block, StreamId};
use swarmlet::session::Giving;
use swarmlet::wire::Message;

fn reject(stage: &mut Stage, peer: StreamId, blocks: &[Block]) {
    let answers: Vec<_> = blocks.iter().map(|&block| Message::Reject(block)).collect();
    stage.say(peer, &answers);
}

#[test]
fn what_was_allowed_and_is_rejected_all_the_same_is_not_asked_for_again() {
    for all in [true, false] {
        let mut stage = Stage::new(8, Giving::default(), false);
        let peer = stage.peer("1.2.3.4:5", true);
        let has = if all {
            vec![Message::HaveAll]
        } else {
            vec![Message::HaveNone, Message::Have(0), Message::Have(1)]
        };
        stage.say(peer, &has);
        stage.say(peer, &[Message::AllowedFast(0)]);
        let blocks = stage.asked(peer);
        assert!(!blocks.is_empty() && blocks.iter().all(|block| block.piece == 0), "{blocks:?}");
        reject(&mut stage, peer, &blocks);
        stage.wait(Duration::from_secs(60));
        assert_eq!(stage.asked(peer), [], "it chokes, and allows nothing");
        stage.say(peer, &[Message::AllowedFast(0)]);
        assert_eq!(stage.asked(peer), [], "nor is it believed again");
        stage.say(peer, &[Message::Unchoke]);
        assert!(stage.asked(peer).iter().any(|block| block.piece != 0));
    }
}

#[test]
fn what_we_allow_we_give_however_much_it_has_by_then() {
    let mut stage = Stage::seed(40, Giving { up_slots: Some(1), ..seeding() });
    let first = stage.peer("1.2.3.4:5", true);
    stage.say(first, &[Message::HaveNone, Message::Interested]);
    let peer = stage.peer("1.9.3.4:5", true);
    stage.say(peer, &[Message::HaveNone, Message::Interested]);
    let piece = |word: &String| word.strip_prefix("AllowedFast(")?.strip_suffix(")")?.parse().ok();
    let allowed: Vec<u32> = stage.heard(peer).iter().filter_map(piece).collect();
    let haves: Vec<_> =
        (0..40).filter(|piece| !allowed.contains(piece)).take(20).map(Message::Have).collect();
    stage.say(peer, &haves);
    stage.say(peer, &[request(allowed[0])]);
    let heard = stage.heard(peer);
    assert!(heard.iter().any(|word| *word == format!("block {} 0 16384", allowed[0])), "{heard:?}");
}

#[test]
fn who_has_pieces_to_give_when_it_comes_is_allowed_nothing() {
    let mut stage = Stage::seed(40, seeding());
    let peer = stage.peer("1.2.3.4:5", true);
    stage.say(peer, &[Message::Bitfield(&[0xff, 0xe0, 0, 0, 0])]);
    let heard = stage.heard(peer);
    assert!(!heard.iter().any(|word| word.starts_with("AllowedFast")), "{heard:?}");
}

/// A seed rejects every request for a piece, and gives all others in this time.
fn lacking(stage: &mut Stage, peer: StreamId, time: Duration) -> usize {
    let (end, mut rejected) = (stage.now + time, 0);
    while stage.now < end {
        for block in stage.asked(peer) {
            if block.piece == 3 {
                rejected += 1;
                reject(stage, peer, &[block]);
            } else {
                stage.send_blocks(peer, &[block]);
            }
        }
        stage.wait(Duration::from_millis(100));
    }
    rejected
}

#[test]
fn a_seed_that_lacks_a_piece_after_all_gives_the_others() {
    let pieces = 32;
    let mut stage = Stage::cut(1 << 20, pieces, seeding(), false, 200);
    let peer = stage.peer("1.2.3.4:5", true);
    stage.say(peer, &[Message::HaveAll, Message::Unchoke]);
    let rejected = lacking(&mut stage, peer, REFUSED_TIME / 2);
    let have = stage.session.status(stage.now).torrents[0].pieces_have;
    assert_eq!(have as usize, pieces - 1, "{rejected} rejected");
    assert!(rejected <= 64, "{rejected}: a piece has as many blocks");
    // It may have got it by then.
    assert!(lacking(&mut stage, peer, REFUSED_TIME) > 0);
}
