//! Who waits for something to ask for.

use crate::stage::Stage;
use swarmlet::session::Giving;
use swarmlet::wire::Message;

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
