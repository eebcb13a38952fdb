//! Who gives way where all places are taken.

use crate::stage::Stage;
use crate::{request, seeding, served};
use core::time::Duration;
use std::collections::VecDeque;
use swarmlet::base::limits::{
    CULL_AGE_MIN, CULL_INTERVAL, CULL_LOOK_INTERVAL, CULL_STEPS_MAX, RECONNECT_MIN, SOURCE_PATIENCE,
    TURNOVER_INTERVAL, USELESS_AGE_MIN, USELESS_MAX,
};
use swarmlet::base::{PeerId, StreamId};
use swarmlet::session::{CloseCause, Command, Event, Giving};
use swarmlet::wire::{Handshake, Message};

const PLACES: u32 = 3;

/// Tries to come in. True if there was room.
fn comes(stage: &mut Stage, nth: u8) -> bool {
    let Some(stream) = stage.arrival(&format!("9.9.1.{nth}:5")) else { return false };
    let mut id = *b"-XX0000-newcomer....";
    id[19] = nth;
    stage.shake(stream, swarmlet::base::PeerId(id), true);
    !stage.closed.contains(&stream)
}

fn crowd(stage: &mut Stage, places: u32) -> Vec<StreamId> {
    (0..places).map(|nth| stage.peer(&format!("1.2.{nth}.4:5"), true)).collect()
}

#[test]
fn who_wants_nothing_and_has_nothing_gives_way_when_it_has_had_its_chance() {
    let mut stage = Stage::with(4, seeding(), true, PLACES);
    crowd(&mut stage, PLACES);
    assert!(!comes(&mut stage, 1), "too early to tell");
    stage.wait(CULL_AGE_MIN);
    assert!(comes(&mut stage, 2) && !comes(&mut stage, 3), "one at a time");
    stage.wait(CULL_INTERVAL);
    assert!(comes(&mut stage, 4));
    assert_eq!(stage.session.status(stage.now).torrents[0].peers, PLACES);
}

#[test]
fn who_is_given_something_stays_and_who_waits_for_its_turn_stays_longer() {
    let giving = swarmlet::session::Giving { up_slots: Some(2), ..seeding() };
    let mut stage = Stage::with(4, giving, true, PLACES);
    let active = [served(&mut stage, "1.2.1.4:5", true), served(&mut stage, "1.2.2.4:5", true)];
    let waiting = stage.peer("1.2.3.4:5", true);
    stage.say(waiting, &[Message::Interested]);
    for second in 0..USELESS_MAX.as_secs() + 30 {
        stage.wait(Duration::from_secs(1));
        for (nth, peer) in active.into_iter().enumerate() {
            stage.say(peer, &[Message::Interested, request((second as u32 + nth as u32) % 4)]);
            stage.take(peer, usize::MAX);
        }
        // Whenever it is served, it makes use of it.
        stage.say(waiting, &[request(second as u32 % 4)]);
        stage.take(waiting, usize::MAX);
        let came = comes(&mut stage, second as u8);
        assert!(!came && !stage.closed.contains(&waiting), "after {second} s");
    }
}

#[test]
fn an_idle_peer_gives_way_and_the_only_one_that_may_give_what_is_missing_does_not() {
    let mut stage = Stage::with(4, seeding(), false, PLACES);
    let crowd = crowd(&mut stage, PLACES);
    // The first has a piece that nobody else has, and chokes us; the others share one.
    stage.say(crowd[0], &[Message::Have(0)]);
    stage.say(crowd[1], &[Message::Have(1)]);
    stage.say(crowd[2], &[Message::Have(1)]);
    stage.wait(USELESS_AGE_MIN);
    crowd.iter().for_each(|&peer| stage.say(peer, &[]));
    assert!(comes(&mut stage, 1));
    stage.wait(CULL_INTERVAL);
    let left = crowd.iter().filter(|peer| !stage.closed.contains(peer)).count();
    assert!(left == 2 && !stage.closed.contains(&crowd[0]));
    assert!(!comes(&mut stage, 2), "now two of them are the only ones");
}

/// Steps that the session takes while a thousand come who find all places taken, and how many come in.
fn storm(stage: &mut Stage) -> (u64, usize) {
    let before = stage.session.steps();
    let came = (0..1000).filter(|&nth| comes(stage, nth as u8)).count();
    (stage.session.steps() - before, came)
}

#[test]
fn those_who_find_no_place_cost_no_look_at_everybody() {
    const MANY: u32 = 100;
    const PIECES: u32 = 3_000;
    for complete in [true, false] {
        let mut stage = Stage::cut(1 << 10, PIECES as usize, seeding(), complete, MANY);
        for nth in 0..MANY {
            let peer = stage.peer(&format!("1.2.{nth}.4:5"), true);
            // The first has nearly all that the others lack, each of whom alone has one piece.
            let own = if nth == 0 { 0..PIECES - MANY } else { PIECES - nth..PIECES - nth + 1 };
            own.filter(|_| !complete).for_each(|piece| stage.say(peer, &[Message::Have(piece)]));
        }
        let (steps, came) = storm(&mut stage);
        assert!(steps <= u64::from(MANY) && came == 0, "{steps} steps before anybody may be judged");
        stage.wait(USELESS_AGE_MIN);
        let (steps, came) = storm(&mut stage);
        assert_eq!(came, usize::from(complete), "nobody can be spared but by a seed");
        assert!(steps <= u64::from(MANY + CULL_STEPS_MAX), "{steps} steps");
    }
}

/// The user names a peer, which is dialled as soon as there is a place for it.
fn add(stage: &mut Stage, address: &str) {
    stage.session.handle(stage.now, Event::Command(Command::Add(address.parse().unwrap())));
    stage.act();
}

/// Lets `span` pass while all of `peers` that are left say that they are there.
fn live(stage: &mut Stage, peers: &[StreamId], span: Duration, mut each: impl FnMut(&mut Stage, StreamId)) {
    let step = Duration::from_secs(10);
    for _ in 0..span.as_secs() / step.as_secs() {
        stage.wait(step);
        for &peer in peers {
            if !stage.closed.contains(&peer) {
                stage.session.received(stage.now, peer, &[0; 4]);
                each(stage, peer);
            }
        }
    }
}

/// A place that is looked for is found in this time.
const SOON: Duration = Duration::from_secs(CULL_LOOK_INTERVAL.as_secs() + 10);

/// A stage with so many places, nobody there, and one piece of eight; the piece.
fn with_a_piece(places: u32) -> (Stage, u32) {
    let mut stage = Stage::with(8, Giving::default(), false, places);
    let source = stage.peer("1.1.1.1:5", true);
    stage.say(source, &[Message::HaveAll, Message::Unchoke]);
    let mut asked = stage.asked(source);
    let piece = asked[0].piece;
    while stage.session.status(stage.now).torrents[0].pieces_have == 0 {
        asked.retain(|block| block.piece == piece);
        stage.send_blocks(source, &asked);
        stage.wait(Duration::from_secs(1));
        asked = stage.asked(source);
    }
    stage.session.handle(stage.now, Event::Closed { stream: source, cause: CloseCause::Ended });
    stage.act();
    (stage, piece)
}

#[test]
fn who_has_what_is_missing_and_gives_nothing_gives_way_in_the_end() {
    type Manner = fn(&mut Stage, StreamId, u32);
    let chokes: Manner = |stage, peer, _| drop(stage.take(peer, usize::MAX));
    let rejects: Manner = |stage, peer, _| {
        let asked = stage.asked(peer);
        let answers: Vec<Message<'_>> = asked.into_iter().map(Message::Reject).collect();
        stage.say(peer, &[&[Message::Unchoke], &answers[..]].concat());
    };
    let flatters: Manner = |stage, peer, _| {
        stage.say(peer, &[Message::Unchoke, Message::Choke]);
        stage.take(peer, usize::MAX);
    };
    let takes: Manner = |stage, peer, piece| {
        stage.say(peer, &[Message::Interested, request(piece)]);
        assert!(stage.heard(peer).contains(&format!("block {piece} 0 16384")));
    };
    for (nth, manner) in [chokes, rejects, flatters, takes].into_iter().enumerate() {
        for places in [1, PLACES] {
            let (mut stage, piece) = with_a_piece(places);
            let crowd = crowd(&mut stage, places);
            for (&peer, nth) in crowd.iter().zip(1..) {
                stage.say(peer, &[Message::Have((piece + nth) % 8)]);
            }
            add(&mut stage, "5.5.5.5:5");
            let mut each = |stage: &mut Stage, peer| manner(stage, peer, piece);
            live(&mut stage, &crowd, SOURCE_PATIENCE.saturating_sub(SOON), &mut each);
            assert_eq!(stage.dialled, [], "manner {nth}: each has its time");
            live(&mut stage, &crowd, 2 * SOON + TURNOVER_INTERVAL, &mut each);
            assert!(!stage.dialled.is_empty(), "manner {nth}, {places} places");
        }
    }
}

#[test]
fn who_alone_has_what_is_missing_stays_while_it_may_give_it() {
    let mut stage = Stage::with(64, Giving::default(), false, 1);
    let peer = stage.peer("1.2.3.4:5", true);
    stage.say(peer, &[Message::HaveAll]);
    add(&mut stage, "5.5.5.5:5");
    let mut asked = VecDeque::new();
    let mut reads = |stage: &mut Stage, peer| asked.extend(stage.asked(peer));
    live(&mut stage, &[peer], SOURCE_PATIENCE.saturating_sub(SOON), &mut reads);
    // It has let us wait for long. Its first block takes its time, and so do those that follow.
    stage.say(peer, &[Message::Unchoke]);
    for _ in 0..4 {
        live(&mut stage, &[peer], SOURCE_PATIENCE.saturating_sub(SOON), |stage, peer| {
            asked.extend(stage.asked(peer));
        });
        assert!(stage.dialled.is_empty() && !stage.closed.contains(&peer));
        let block = asked.pop_front().expect("it is asked");
        stage.send_blocks(peer, &[block]);
    }
    live(&mut stage, &[peer], SOURCE_PATIENCE + SOON, |stage, peer| drop(stage.take(peer, usize::MAX)));
    assert!(stage.closed.contains(&peer) && !stage.dialled.is_empty(), "that was all");
}

/// Whom we have dialled takes the call and shakes hands.
fn answers(stage: &mut Stage, nth: usize) -> StreamId {
    let stream = stage.dialled[nth];
    stage.session.handle(stage.now, Event::Connected { stream });
    let peer_id = PeerId(core::array::from_fn(|at| if at == 9 { nth as u8 } else { b'z' }));
    let info_hash = stage.metainfo.info_hash;
    let bytes = Handshake { info_hash, peer_id, fast: true, extended: false }.encode();
    stage.session.received(stage.now, stream, &bytes);
    stage.act();
    stream
}

#[test]
fn there_are_never_more_peers_than_places_and_who_found_none_is_called_again() {
    const MANY: u32 = 20;
    let mut stage = Stage::with(8, Giving::default(), false, MANY);
    (0..MANY).for_each(|nth| add(&mut stage, &format!("5.5.{nth}.5:5")));
    assert_eq!(stage.dialled.len(), MANY as usize);
    let crowd: Vec<StreamId> = (0..MANY).map(|nth| stage.peer(&format!("1.{nth}.3.4:5"), true)).collect();
    crowd.iter().for_each(|&peer| stage.say(peer, &[Message::HaveAll]));
    let peers = |stage: &Stage| stage.session.status(stage.now).torrents[0].peers;
    for nth in 0..MANY as usize {
        let stream = answers(&mut stage, nth);
        assert!(stage.closed.contains(&stream) && peers(&stage) == MANY);
    }
    for &peer in &crowd {
        stage.session.handle(stage.now, Event::Closed { stream: peer, cause: CloseCause::Ended });
    }
    stage.act();
    stage.wait(RECONNECT_MIN + Duration::from_secs(2));
    assert_eq!(stage.dialled.len(), 2 * MANY as usize);
    let stream = answers(&mut stage, MANY as usize);
    assert!(!stage.closed.contains(&stream) && peers(&stage) == 1);
}
