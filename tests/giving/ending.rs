//! The end while a device hangs.

use crate::seeding;
use crate::stage::Stage;
use crate::telling::answer;
use swarmlet::base::TorrentId;
use swarmlet::base::limits::{STOP_TIMEOUT, UNSYNCED_BYTES_MIN};
use swarmlet::session::{Event, Outcome};
use swarmlet::wire::Message;

/// Not many of them may be unsynced.
const PIECE: usize = UNSYNCED_BYTES_MIN as usize / 4;

/// A session that waits for a sync, and has verified pieces that wait until it is done.
fn hanging() -> Stage {
    let mut stage = Stage::cut(PIECE, 7, seeding(), false, 200);
    stage.hangs = true;
    let seeder = stage.peer("1.2.3.4:5", true);
    stage.say(seeder, &[Message::HaveNone, Message::Unchoke]);
    for piece in 0..6 {
        stage.say(seeder, &[Message::Have(piece)]);
        while answer(&mut stage, seeder) > 0 {}
    }
    assert!((1..6).contains(&stage.stores), "{} pieces are stored", stage.stores);
    stage
}

#[test]
fn nothing_is_stored_beside_a_sync_which_may_keep_who_writes_waiting() {
    let mut stage = hanging();
    let stores = stage.stores;
    stage.session.handle(stage.now, Event::Quit);
    stage.act();
    assert_eq!((stage.stores, stage.outcome), (stores, None));
    stage.wait(STOP_TIMEOUT);
    assert_eq!((stage.stores, stage.outcome), (stores, Some(Outcome::Incomplete)), "it ends without");
}

#[test]
fn what_is_verified_is_stored_when_the_sync_is_done() {
    let mut stage = hanging();
    let stores = stage.stores;
    stage.session.handle(stage.now, Event::Quit);
    stage.act();
    stage.hangs = false;
    stage.session.handle(stage.now, Event::Synced { torrent: TorrentId(0) });
    stage.act();
    assert!(stage.stores > stores);
    assert_eq!(stage.session.status(stage.now).torrents[0].pieces_have, 6);
}
