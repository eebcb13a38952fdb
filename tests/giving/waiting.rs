//! Who waits for our own limit.

use crate::stage::Stage;
use crate::{request, seeding};
use core::time::Duration;
use swarmlet::base::StreamId;
use swarmlet::base::limits::SEND_PATIENCE;
use swarmlet::session::Giving;
use swarmlet::wire::Message;

/// As many as a slow line serves less often than a peer may leave a block lying.
const MANY: u32 = 150;

#[test]
fn who_waits_for_its_part_of_the_limit_is_not_taken_for_deaf() {
    let giving = Giving { up_limit: 1 << 10, up_slots: Some(MANY), ..seeding() };
    let mut stage = Stage::seed(4, giving);
    let peers: Vec<StreamId> = (0..MANY).map(|nth| stage.peer(&format!("1.9.{nth}.4:5"), true)).collect();
    for &peer in &peers {
        stage.say(peer, &[Message::HaveNone, Message::Interested]);
    }
    let mut got = vec![0; MANY as usize];
    for second in 0..6 * SEND_PATIENCE.as_secs() {
        // Somebody who never shakes hands has all peers looked at, at the very time when parts are dealt out.
        stage.arrival(&format!("9.9.{}.9:1", second % 250));
        stage.now = stage.now + Duration::from_secs(1);
        stage.session.on_time(stage.now);
        stage.act();
        for (&peer, got) in peers.iter().zip(&mut got) {
            assert!(!stage.closed.contains(&peer), "dropped after {second} s");
            *got += stage.take(peer, usize::MAX).len();
            if second % 60 == 20 {
                stage.say(peer, &[request(0)]);
            }
        }
    }
    assert!(got.iter().all(|&got| got > 500), "{got:?}");
}

#[test]
fn a_choke_gives_nothing_back_where_nothing_was_asked() {
    const STARVED: u8 = 30;
    // Five blocks a piece: one is asked for all of the first, and for some of another; others have nothing but the first.
    let mut stage = Stage::cut(80 << 10, 16, Giving::default(), false, 200);
    let silent = stage.peer("1.2.3.4:5", true);
    stage.say(silent, &[Message::Have(0), Message::Unchoke]);
    assert_eq!(stage.asked(silent).len(), 5);
    stage.say(silent, &[Message::Have(1), Message::Have(2), Message::Have(3), Message::Have(4)]);
    for nth in 0..STARVED {
        let starved = stage.peer(&format!("1.9.{nth}.4:5"), true);
        stage.say(starved, &[Message::Have(0), Message::Unchoke]);
        assert_eq!(stage.asked(starved), []);
    }
    let idle = stage.peer("1.2.4.4:5", true);
    let before = stage.session.steps();
    for _ in 0..100 {
        stage.say(idle, &[Message::Unchoke, Message::Choke]);
        stage.session.work(stage.now, 1 << 20);
    }
    let steps = stage.session.steps() - before;
    assert!(steps < 100, "{steps} steps for a hundred chokes, {STARVED} peers that could be asked");
}
