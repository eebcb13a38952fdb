//! Who gives way where all places are taken.

use crate::stage::Stage;
use crate::{request, seeding, served};
use core::time::Duration;
use swarmlet::base::StreamId;
use swarmlet::base::limits::{CULL_AGE_MIN, CULL_INTERVAL, CULL_STEPS_MAX, USELESS_AGE_MIN, USELESS_MAX};
use swarmlet::wire::Message;

const PLACES: u32 = 3;

/// Tries to come in. True if there was room.
fn comes(stage: &mut Stage, nth: u8) -> bool {
    let Some(stream) = stage.arrival(&format!("9.9.1.{nth}:5")) else { return false };
    let mut id = *b"-XX0000-newcomer....";
    id[19] = nth;
    stage.shake(stream, swarmlet::base::PeerId(id), true);
    !stage.closed.contains(&stream)
}

fn crowd(stage: &mut Stage) -> Vec<StreamId> {
    (0..PLACES).map(|nth| stage.peer(&format!("1.2.{nth}.4:5"), true)).collect()
}

#[test]
fn who_wants_nothing_and_has_nothing_gives_way_when_it_has_had_its_chance() {
    let mut stage = Stage::with(4, seeding(), true, PLACES);
    crowd(&mut stage);
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
fn an_idle_peer_gives_way_and_the_only_one_that_has_what_is_missing_does_not() {
    let mut stage = Stage::with(4, seeding(), false, PLACES);
    let crowd = crowd(&mut stage);
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
