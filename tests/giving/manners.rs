//! What others are told: pieces that we have, and what trackers want to know.

use crate::stage::{self, PIECE_BYTES, Stage};
use crate::{request, seeding, served};
use core::time::Duration;
use std::collections::VecDeque;
use swarmlet::base::limits::{
    EXTENT_BYTES, OUTBOX_HAVES_BYTES, PARTING_TIME, RUN_PIECES_MAX, SNUB_MAX, SUPER_SEED_INTERVAL,
    SUPER_SEED_PASS_MAX, TELL_INTERVAL,
};
use swarmlet::base::{Block, StreamId, TorrentId};
use swarmlet::resume::Past;
use swarmlet::session::{Event, Giving, Outcome};
use swarmlet::wire::Message;

/// Of a torrent that makes some extents.
const PIECES: u32 = 256;

#[test]
fn pieces_are_told_in_one_go_and_not_to_those_who_have_them() {
    let mut stage = Stage::new(4, seeding(), false);
    let source = stage.peer("1.2.3.4:5", true);
    let (knows_one, lacks_all) = (stage.peer("1.2.4.4:5", true), stage.peer("1.2.5.4:5", false));
    stage.say(source, &[Message::HaveAll, Message::Unchoke]);
    stage.say(knows_one, &[Message::Have(2)]);
    for peer in [source, knows_one, lacks_all] {
        stage.take(peer, usize::MAX);
    }
    for piece in 0..4 {
        for begin in (0..PIECE_BYTES).step_by(16 << 10) {
            stage.send_block(source, piece, begin);
            stage.take(source, usize::MAX);
        }
    }
    let bytes = stage.session.outgoing(lacks_all).to_vec();
    let words = stage::words(&bytes, &stage.metainfo, &stage.content);
    assert_eq!(words, ["Have(0)", "Have(1)", "Have(2)", "Have(3)"], "all wait for one write");
    let told = stage.heard(knows_one);
    assert!(told.contains(&"Have(0)".to_string()) && !told.contains(&"Have(2)".to_string()), "{told:?}");
    assert!(stage.closed.contains(&source), "seeds have nothing to say to each other");
}

#[test]
fn pieces_that_come_fast_are_told_of_together_and_to_newcomers_only_once() {
    // A piece is an extent: it is stored as soon as it is whole.
    let mut stage = Stage::cut(EXTENT_BYTES as usize, 8, seeding(), false, 200);
    let (source, leecher) = (stage.peer("1.2.3.4:5", true), stage.peer("1.2.4.4:5", true));
    stage.say(source, &[Message::HaveAll, Message::Unchoke]);
    let told = |stage: &mut Stage, peer| {
        let heard = stage.heard(peer).into_iter().filter(|words| words.starts_with("Have("));
        heard.collect::<Vec<_>>()
    };
    let mut asked = VecDeque::new();
    let mut fetch = |stage: &mut Stage, pieces: u64| {
        let done_bytes = |stage: &Stage| stage.session.status(stage.now).torrents[0].done_bytes;
        let wanted = done_bytes(stage) + pieces * EXTENT_BYTES;
        while done_bytes(stage) < wanted {
            asked.extend(stage.asked(source));
            let block = asked.pop_front().expect("it asks for more");
            stage.send_blocks(source, &[block]);
        }
    };
    fetch(&mut stage, 1);
    assert_eq!(told(&mut stage, leecher).len(), 1, "the first one is told at once");
    fetch(&mut stage, 2);
    assert_eq!(told(&mut stage, leecher).len(), 0, "what follows waits for more");
    stage.wait(TELL_INTERVAL);
    assert_eq!(told(&mut stage, leecher).len(), 2);
    fetch(&mut stage, 1);
    let newcomer = stage.peer("1.2.5.4:5", true);
    assert_eq!(told(&mut stage, leecher).len(), 1, "nothing is left that the newcomer knows from the start");
    stage.wait(TELL_INTERVAL);
    assert_eq!(told(&mut stage, newcomer).len(), 0);
    assert_eq!(stage.wait(TELL_INTERVAL), 0, "nothing wakes for nothing");
}

#[test]
fn a_peer_that_was_told_nothing_at_first_is_told_when_there_is_something() {
    let mut stage = Stage::new(4, seeding(), false);
    // Without extensions nobody who has nothing says anything after the handshake.
    let (source, leecher) = (stage.peer("1.2.3.4:5", false), stage.peer("1.2.4.4:5", false));
    assert_eq!(stage.heard(leecher), [""; 0]);
    stage.flushed.clear();
    stage.say(source, &[Message::Bitfield(&[0xf0]), Message::Unchoke]);
    for block in stage.asked(source) {
        stage.send_blocks(source, &[block]);
    }
    for piece in 0..4 {
        (0..PIECE_BYTES).step_by(16 << 10).for_each(|begin| stage.send_block(source, piece, begin));
    }
    assert!(stage.flushed.contains(&leecher), "what is said has to be sent");
    assert_eq!(stage.heard(leecher).len(), 4);
}

#[test]
fn a_peer_that_drops_a_request_is_asked_again_in_the_end() {
    let mut stage = Stage::new(4, seeding(), false);
    let source = stage.peer("1.2.3.4:5", false);
    stage.say(source, &[Message::Bitfield(&[0xf0]), Message::Unchoke]);
    let mut dropped = None;
    while let blocks = stage.asked(source)
        && !blocks.is_empty()
    {
        for block in blocks {
            if *dropped.get_or_insert(block) != block {
                stage.send_blocks(source, &[block]);
            }
        }
    }
    stage.wait(SNUB_MAX * 3);
    let again = stage.asked(source);
    assert_eq!(again.first(), dropped.as_ref(), "{again:?}");
    stage.send_blocks(source, &again[..1]);
    assert_eq!(stage.session.status(stage.now).torrents[0].pieces_have, 4);
}

#[test]
fn the_tracker_is_told_the_truth() {
    let mut stage = Stage::new(4, seeding(), false);
    let source = stage.peer("1.2.3.4:5", true);
    stage.say(source, &[Message::HaveAll, Message::Unchoke]);
    let tells = |stage: &Stage, what: &str| stage.announces.last().is_some_and(|head| head.contains(what));
    let size = 4 * PIECE_BYTES;
    assert!(tells(&stage, &format!("uploaded=0&downloaded=0&left={size}")), "{:?}", stage.announces);
    for piece in 0..4 {
        for begin in (0..PIECE_BYTES).step_by(16 << 10) {
            stage.take(source, usize::MAX);
            stage.send_block(source, piece, begin);
        }
    }
    stage.wait(Duration::from_secs(1));
    assert!(tells(&stage, "event=completed"), "{:?}", stage.announces);
    assert!(tells(&stage, &format!("uploaded=0&downloaded={size}&left=0")), "{:?}", stage.announces);
    let peer = served(&mut stage, "1.2.4.4:5", true);
    stage.say(peer, &[request(1), request(2), request(2)]);
    // Half of the last block.
    stage.take(peer, 3 * (13 + (16 << 10)) - (8 << 10));
    stage.session.handle(stage.now, Event::Quit);
    stage.act();
    assert!(tells(&stage, "event=stopped"), "{:?}", stage.announces);
    assert!(
        tells(&stage, &format!("uploaded={}&downloaded={size}&left=0", 40 << 10)),
        "{:?}",
        stage.announces
    );
}

#[test]
fn what_earlier_runs_have_given_counts_for_the_ratio_and_the_time() {
    let past =
        Past { uploaded_bytes: 3 * PIECE_BYTES as u64, seeded: Duration::from_secs(50), ..Past::default() };
    let seed = |giving: Giving| {
        let mut stage = Stage::seed(4, giving);
        stage.session.set_past(TorrentId(0), past);
        stage
    };
    let mut by_ratio = seed(Giving { seed_permille: Some(1000), ..seeding() });
    let peer = served(&mut by_ratio, "1.2.3.4:5", true);
    for begin in 0..4 {
        assert_eq!(by_ratio.outcome, None);
        by_ratio.say(peer, &[Message::Request(Block { piece: 0, begin: begin << 14, length: 1 << 14 })]);
        by_ratio.take(peer, usize::MAX);
    }
    by_ratio.wait(PARTING_TIME);
    assert_eq!(by_ratio.outcome, Some(Outcome::Complete));

    let mut by_time = seed(Giving { seed_time: Some(Duration::from_secs(60)), ..seeding() });
    by_time.wait(Duration::from_secs(9));
    assert_eq!(by_time.outcome, None);
    by_time.wait(Duration::from_secs(5));
    assert_eq!(by_time.outcome, Some(Outcome::Complete));
}

#[test]
fn a_super_seed_says_nothing_of_what_it_has_and_gives_only_what_it_told_of() {
    let mut stage = Stage::seed(PIECES as usize, Giving { super_seed: true, ..seeding() });
    let alone = stage.peer("1.2.3.4:5", true);
    let heard = stage.heard(alone);
    assert_eq!(heard[0], "HaveNone", "{heard:?}");
    let told: Vec<u32> = (0..PIECES).filter(|piece| heard.contains(&format!("Have({piece})"))).collect();
    assert!(!told.is_empty() && told.len() < PIECES as usize && heard.len() == told.len() + 1, "{heard:?}");
    stage.say(alone, &[Message::Interested]);
    let other = (0..PIECES).find(|piece| !told.contains(piece)).unwrap();
    stage.say(alone, &[request(told[0]), request(other)]);
    let answers = stage.heard(alone);
    assert!(answers.contains(&format!("block {} 0 16384", told[0])), "{answers:?}");
    assert!(answers.iter().any(|word| word.starts_with("Reject")), "{answers:?}");
    // Nobody else is there to take it: what it has got earns it more, until it knows of everything.
    for piece in 0..PIECES {
        stage.say(alone, &[Message::Have(piece)]);
    }
    assert!(stage.closed.contains(&alone), "it has everything");
    let late = stage.peer("1.2.4.4:5", true);
    assert_eq!(stage.heard(late)[0], "HaveAll", "everything is in the swarm");
}

/// Which pieces it was told of.
fn told(stage: &mut Stage, peer: StreamId) -> Vec<u32> {
    let heard = stage.heard(peer);
    (0..PIECES).filter(|piece| heard.contains(&format!("Have({piece})"))).collect()
}

#[test]
fn a_super_seed_tells_each_of_others_and_waits_not_for_ever_for_who_can_pass_nothing_on() {
    let mut stage = Stage::seed(PIECES as usize, Giving { super_seed: true, ..seeding() });
    let (one, other) = (stage.peer("1.2.3.4:5", true), stage.peer("1.2.4.4:5", false));
    let (first, others) = (told(&mut stage, one), told(&mut stage, other));
    assert!(!first.is_empty() && !others.is_empty() && !first.iter().any(|piece| others.contains(piece)));
    first.iter().for_each(|&piece| stage.say(one, &[Message::Have(piece)]));
    assert!(told(&mut stage, one).is_empty(), "the other has to get them first");
    // It gets half of them, which earns the first one more.
    first[..first.len() / 2].iter().for_each(|&piece| stage.say(other, &[Message::Have(piece)]));
    let more = told(&mut stage, one);
    assert!(!more.is_empty() && !more.iter().any(|piece| others.contains(piece) || first.contains(piece)));
    assert!(told(&mut stage, one).is_empty());
    stage.wait(SUPER_SEED_PASS_MAX + SUPER_SEED_INTERVAL);
    assert!(!told(&mut stage, one).is_empty(), "the other does not take the rest");
}

#[test]
fn a_super_seed_tells_of_tiny_pieces_as_many_as_can_be_told() {
    // Two extents of such pieces would be more than an outbox holds messages of.
    const TINY: u32 = 5_000;
    let mut stage = Stage::cut(1 << 10, TINY as usize, Giving { super_seed: true, ..seeding() }, true, 200);
    let (one, other) = (stage.peer("1.2.3.4:5", true), stage.peer("1.2.4.4:5", true));
    let told = |stage: &mut Stage, peer| {
        let heard = stage.heard(peer);
        let pieces =
            heard.iter().filter_map(|word| word.strip_prefix("Have(")?.strip_suffix(')')?.parse().ok());
        pieces.collect::<Vec<u32>>()
    };
    let (first, others) = (told(&mut stage, one), told(&mut stage, other));
    assert_eq!((first.len(), others.len()), (2 * RUN_PIECES_MAX as usize, 2 * RUN_PIECES_MAX as usize));
    for &piece in &first {
        stage.say(other, &[Message::Have(piece)]);
    }
    let more = told(&mut stage, one);
    assert!(more.len() >= first.len() && !more.iter().any(|piece| first.contains(piece)));
    // Who does not read is told of no more than waits for it already, and is not closed for that.
    more.iter().for_each(|&piece| stage.say(other, &[Message::Have(piece)]));
    stage.wait(SUPER_SEED_PASS_MAX);
    assert!(stage.session.outgoing(one).len() <= OUTBOX_HAVES_BYTES + 9 * RUN_PIECES_MAX as usize);
    assert!(stage.closed.is_empty());
}
