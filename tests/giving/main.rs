//! What the session gives, to whom and how fast; and what strangers who misuse that get.

mod ending;
mod hearing;
mod losing;
mod manners;
mod orphans;
mod places;
mod refusing;
mod stage;
mod telling;
mod waiting;

use core::time::Duration;
use stage::{PIECE_BYTES, Stage};
use swarmlet::base::limits::{
    ARRIVALS_MAX, ARRIVALS_PER_ADDRESS_MAX, HANDSHAKE_TIMEOUT, KEEP_ALIVE_INTERVAL, OUTBOX_BYTES_MAX,
    PARTING_TIME, REQQ, SEND_PATIENCE, UNASKED_BYTES_MAX,
};
use swarmlet::base::{Block, InfoHash, PeerId, StreamId, TorrentId};
use swarmlet::session::{CloseCause, Command, Event, Giving, Outcome, Phase, StorageFault, StorageFaultKind};
use swarmlet::wire::{Handshake, Message};

fn seeding() -> Giving {
    Giving { seed: true, ..Giving::default() }
}

fn block(piece: u32, begin: u32, length: u32) -> Block {
    Block { piece, begin, length }
}

fn request(piece: u32) -> Message<'static> {
    Message::Request(block(piece, 0, 16 << 10))
}

/// A peer that is served.
fn served(stage: &mut Stage, address: &str, fast: bool) -> StreamId {
    let peer = stage.peer(address, fast);
    stage.say(peer, &[Message::Interested]);
    let heard = stage.heard(peer);
    assert_eq!(heard.last().map(String::as_str), Some("Unchoke"), "{heard:?}");
    peer
}

#[test]
fn a_peer_gets_what_it_asks_for_in_order_and_cut_as_the_socket_likes() {
    let mut stage = Stage::seed(4, seeding());
    let peer = stage.peer("1.2.3.4:5", true);
    let greeting = stage.heard(peer);
    assert_eq!(greeting, ["HaveAll"]);
    stage.say(peer, &[Message::HaveNone]);
    let allowed = stage.heard(peer);
    assert!(allowed.len() == 4 && allowed.iter().all(|word| word.starts_with("AllowedFast")), "{allowed:?}");
    stage.say(peer, &[Message::Interested]);
    stage.say(peer, &[request(3), Message::Request(block(0, 1, 77)), request(2)]);
    let mut bytes = Vec::new();
    for cut in [1, 5, 12, 1, 16_000, 400, 13, 60_000] {
        bytes.extend(stage.take(peer, cut));
        // What is said in between waits behind the block.
        stage.say(peer, &[Message::Request(block(2, 1, 1 << 13))]);
    }
    let heard = stage::words(&bytes, &stage.metainfo, &stage.content);
    assert_eq!(heard[..4], ["Unchoke", "block 3 0 16384", "block 0 1 77", "block 2 0 16384"]);
    assert!(stage.session.status(stage.now).torrents[0].uploaded_bytes >= 2 * 16384 + 77);
}

#[test]
fn requests_for_what_cannot_be_are_refused_or_end_the_connection() {
    let mut stage = Stage::new(4, seeding(), false);
    let peer = stage.peer("1.2.3.4:5", true);
    stage.say(peer, &[Message::HaveNone, Message::Interested, request(1)]);
    let heard = stage.heard(peer);
    assert_eq!(heard[0], "HaveNone");
    assert!(
        heard[1..].contains(&"Unchoke".to_string()) && heard.last().unwrap().starts_with("Reject"),
        "{heard:?}"
    );

    for bad in [block(4, 0, 1), block(0, 0, 0), block(0, 0, 1 << 31), block(0, PIECE_BYTES as u32, 1)] {
        let mut stage = Stage::seed(4, seeding());
        let peer = served(&mut stage, "1.2.3.4:5", true);
        let honest = served(&mut stage, "1.2.3.5:5", false);
        stage.say(peer, &[Message::Request(bad)]);
        assert!(stage.closed.contains(&peer), "{bad:?}");
        stage.say(honest, &[request(0)]);
        assert_eq!(stage.heard(honest), ["block 0 0 16384"]);
    }
}

#[test]
fn overlapping_requests_are_all_answered() {
    let mut stage = Stage::seed(2, seeding());
    let peer = served(&mut stage, "1.2.3.4:5", true);
    let blocks = [block(0, 0, 100), block(0, 50, 100), block(0, 0, 100)];
    stage.say(peer, &blocks.map(Message::Request));
    assert_eq!(stage.heard(peer), ["block 0 0 100", "block 0 50 100", "block 0 0 100"]);
}

#[test]
fn ten_thousand_requests_are_bounded_and_the_rest_is_refused() {
    for fast in [false, true] {
        let mut stage = Stage::seed(2, seeding());
        let greedy = served(&mut stage, "1.2.3.4:5", fast);
        let honest = served(&mut stage, "1.2.3.5:5", fast);
        for _ in 0..100 {
            stage.say(greedy, &[request(0); 100]);
        }
        assert!(stage.session.outgoing(greedy).len() <= OUTBOX_BYTES_MAX + 13);
        stage.say(honest, &[request(1)]);
        assert_eq!(stage.heard(honest), ["block 1 0 16384"]);
        if !stage.closed.contains(&greedy) {
            let heard = stage.heard(greedy);
            let blocks = heard.iter().filter(|word| word.starts_with("block")).count();
            assert!(blocks <= REQQ as usize + 1, "{blocks}");
        }
    }
}

#[test]
fn what_is_cancelled_is_not_sent() {
    let mut stage = Stage::seed(4, seeding());
    let peer = served(&mut stage, "1.2.3.4:5", true);
    let Message::Request(second) = request(1) else { unreachable!() };
    stage.say(peer, &[request(0), request(1), request(2), Message::Cancel(second)]);
    let heard = stage.heard(peer);
    assert_eq!(heard.iter().filter(|word| word.starts_with("block")).count(), 2, "{heard:?}");
    assert!(heard.iter().any(|word| word.starts_with("Reject")), "BEP 6 wants an answer: {heard:?}");
}

#[test]
fn interest_that_comes_and_goes_costs_little_and_gains_nothing() {
    let mut stage = Stage::seed(2, Giving { up_slots: Some(2), ..seeding() });
    let first = served(&mut stage, "1.2.3.4:5", true);
    let _second = served(&mut stage, "1.2.3.5:5", true);
    let waiting = stage.peer("1.2.3.6:5", true);
    for _ in 0..1000 {
        stage.say(waiting, &[Message::Interested, Message::NotInterested]);
        stage.say(first, &[Message::NotInterested, Message::Interested]);
    }
    stage.say(waiting, &[Message::Interested]);
    let heard = stage.heard(waiting);
    assert!(!heard.contains(&"Unchoke".to_string()), "{heard:?}");
    assert!(stage.heard(first).is_empty());
    stage.wait(Duration::from_secs(120));
    assert!(stage.heard(waiting).contains(&"Unchoke".to_string()), "its turn comes");
}

#[test]
fn a_peer_that_never_reads_is_dropped_in_the_end() {
    let mut stage = Stage::seed(2, seeding());
    let deaf = served(&mut stage, "1.2.3.4:5", true);
    stage.say(deaf, &[request(0); 50]);
    stage.take(deaf, 5000);
    for _ in 0..10 {
        stage.wait(SEND_PATIENCE / 5);
        stage.say(deaf, &[Message::Have(0)]);
    }
    assert!(stage.closed.contains(&deaf));
}

#[test]
fn a_peer_whose_block_does_not_come_from_our_disk_is_not_blamed() {
    let mut stage = Stage::seed(2, seeding());
    let slow = served(&mut stage, "9.9.9.1:5", false);
    stage.say(slow, &[request(0)]);
    stage.take(slow, 13);
    assert!(stage.session.file_bytes(stage.now, slow).is_some());
    for _ in 0..5 {
        stage.session.file_waits(stage.now, slow);
        stage.wait(SEND_PATIENCE - Duration::from_secs(5));
        stage.say(slow, &[Message::Have(0)]);
    }
    assert!(!stage.closed.contains(&slow));
}

#[test]
fn a_thousand_from_one_address_keep_nobody_else_out() {
    let mut stage = Stage::seed(2, seeding());
    let taken = (0..1000).filter(|port| stage.arrival(&format!("6.6.6.6:{}", port + 1)).is_some()).count();
    assert_eq!(taken, ARRIVALS_PER_ADDRESS_MAX);
    served(&mut stage, "1.2.3.4:5", true);
}

#[test]
fn handshakes_that_never_end_give_way_to_newcomers() {
    let mut stage = Stage::seed(2, seeding());
    let mut greedy = Vec::new();
    for port in 1..=ARRIVALS_PER_ADDRESS_MAX {
        greedy.extend(stage.arrival(&format!("6.6.6.6:{port}")));
        stage.wait(Duration::from_millis(1));
    }
    let others: Vec<StreamId> = (0..100).filter_map(|nth| stage.arrival(&format!("7.7.7.{nth}:1"))).collect();
    stage.act();
    // Those of one address go first, then the oldest.
    assert_eq!((others.len(), stage.closed.len()), (100, ARRIVALS_PER_ADDRESS_MAX + 100 - ARRIVALS_MAX));
    assert!(greedy[..7].iter().all(|arrival| stage.closed.contains(arrival)));
    served(&mut stage, "1.2.3.4:5", true);
    stage.wait(HANDSHAKE_TIMEOUT + Duration::from_secs(1));
    assert_eq!(stage.closed.len(), ARRIVALS_PER_ADDRESS_MAX + 100);
    assert!(stage.arrival("6.6.6.6:1").is_some());
}

#[test]
fn strangers_ourselves_and_twins_are_dropped() {
    let mut stage = Stage::seed(2, seeding());
    let stranger = stage.arrival("1.2.3.4:5").unwrap();
    let ids = (InfoHash([9; 20]), PeerId(*b"-XX0000-abcdefghijkl"));
    let other = Handshake { info_hash: ids.0, peer_id: ids.1, fast: true, extended: true };
    stage.session.received(stage.now, stranger, &other.encode());
    stage.act();
    assert!(stage.closed.contains(&stranger) && stage.take(stranger, 1).is_empty());

    let noise = stage.arrival("1.2.3.4:6").unwrap();
    stage.session.received(stage.now, noise, b"GET / HTTP/1.1\r\n");
    stage.act();
    assert!(stage.closed.contains(&noise));

    let first = stage.arrival("1.2.3.4:7").unwrap();
    stage.shake(first, ids.1, true);
    let our_id = PeerId(stage.take(first, 68)[48..68].try_into().unwrap());
    let second = stage.arrival("1.2.3.4:8").unwrap();
    stage.shake(second, ids.1, true);
    assert!(stage.closed.contains(&second) && !stage.closed.contains(&first));
    let ourselves = stage.arrival("1.2.3.4:9").unwrap();
    stage.shake(ourselves, our_id, true);
    assert_eq!(stage.take(ourselves, usize::MAX)[48..], our_id.0);
    assert!(stage.closed.contains(&ourselves), "whoever says our id hears it, and no more");

    let mut stage = Stage::new(2, seeding(), false);
    stage.session.handle(stage.now, Event::Command(Command::Add("1.2.3.4:9".parse().unwrap())));
    stage.act();
    let dialled = stage.dialled[0];
    stage.session.handle(stage.now, Event::Connected { stream: dialled });
    let ours = stage.take(dialled, 68);
    stage.shake(dialled, PeerId(ours[48..].try_into().unwrap()), true);
    assert!(stage.closed.contains(&dialled));
    let note = stage.notes.last().expect("it is said");
    assert!(note.contains("dialled ourselves") && note.contains("guilty: false"), "{note}");
}

#[test]
fn a_file_that_cannot_be_read_costs_the_piece_and_not_the_program() {
    let mut stage = Stage::seed(3, seeding());
    let peer = served(&mut stage, "1.2.3.4:5", true);
    stage.say(peer, &[request(1)]);
    stage.take(peer, 13);
    assert!(stage.session.file_bytes(stage.now, peer).is_some());
    let fault = StorageFault { kind: StorageFaultKind::Io, file: 0, os_error: 5, missing_bytes: 0 };
    stage.session.file_failed(stage.now, peer, fault);
    stage.act();
    let state = &stage.session.status(stage.now).torrents[0];
    assert!(stage.closed.contains(&peer));
    assert_eq!((state.phase, state.pieces_have), (Phase::Downloading, 2));
    let helper = stage.peer("1.2.3.9:5", true);
    stage.say(helper, &[Message::HaveAll, Message::Unchoke]);
    let heard = stage.heard(helper);
    assert!(heard.iter().any(|word| word.starts_with("Request(Block { piece: 1")), "{heard:?}");
}

#[test]
fn seeds_have_nothing_to_say_to_each_other() {
    let mut stage = Stage::seed(2, seeding());
    let seed = stage.peer("1.2.3.4:5", true);
    stage.say(seed, &[Message::HaveAll]);
    assert!(stage.closed.contains(&seed));
}

#[test]
fn whoever_becomes_a_seed_says_so_in_one_word_and_is_kept() {
    // A wish for the last piece alone tells whether that word is understood.
    for first in [Message::HaveNone, Message::Bitfield(&[0b1110_0000]), Message::Have(0)] {
        let mut stage = Stage::new(4, seeding(), false);
        let other = stage.peer("1.2.3.9:5", true);
        stage.say(other, &[Message::Bitfield(&[0b0110_0000])]);
        let peer = stage.peer("1.2.3.4:5", true);
        stage.say(peer, &[first, Message::Unchoke]);
        stage.heard(peer);
        stage.say(peer, &[Message::HaveAll, Message::HaveNone, Message::HaveAll]);
        assert!(!stage.closed.contains(&peer), "{first:?}: it keeps to the rules");
        let state = &stage.session.status(stage.now).torrents[0];
        assert_eq!(state.seeds, 1, "{first:?}");
        let mut asked = Vec::new();
        for _ in 0..16 {
            let blocks = stage.asked(peer);
            asked.extend(blocks.iter().map(|block| block.piece));
            stage.send_blocks(peer, &blocks);
        }
        assert!(first != Message::HaveNone || asked.contains(&3), "{first:?}: {asked:?}");
        stage.session.handle(stage.now, Event::Closed { stream: peer, cause: CloseCause::Ended });
        // Looks whether the picker has forgotten each of its pieces once.
        stage.act();
    }
}

#[test]
fn without_seed_the_run_ends_and_with_a_ratio_or_a_time_a_little_later() {
    assert_eq!(Stage::seed(2, Giving::default()).outcome, Some(Outcome::Complete));

    let mut by_ratio = Stage::seed(2, Giving { seed_permille: Some(500), ..seeding() });
    let peer = served(&mut by_ratio, "1.2.3.4:5", true);
    for begin in 0..4 {
        assert_eq!(by_ratio.outcome, None);
        by_ratio.say(peer, &[Message::Request(block(0, begin << 14, 1 << 14))]);
        by_ratio.take(peer, usize::MAX);
    }
    by_ratio.wait(Duration::from_secs(1));
    assert_eq!(by_ratio.outcome, None, "it has time to read the last block");
    by_ratio.say(peer, &[request(1)]);
    let heard = by_ratio.heard(peer);
    assert!(!heard.iter().any(|word| word.starts_with("block")), "nothing more is given: {heard:?}");
    by_ratio.wait(PARTING_TIME);
    assert_eq!(by_ratio.outcome, Some(Outcome::Complete));
    let given = |stage: &Stage| stage.notes.iter().filter(|note| note.starts_with("GivenEnough")).count();
    assert_eq!(given(&by_ratio), 1, "it is said why it ends");

    let mut by_time = Stage::seed(2, Giving { seed_time: Some(Duration::from_secs(60)), ..seeding() });
    by_time.wait(Duration::from_secs(59));
    assert_eq!(by_time.outcome, None);
    by_time.wait(Duration::from_secs(5));
    assert_eq!((by_time.outcome, given(&by_time)), (Some(Outcome::Complete), 1));

    let mut by_word = Stage::seed(2, seeding());
    by_word.session.handle(by_word.now, Event::Command(Command::Seed(false)));
    by_word.wait(Duration::from_secs(3));
    assert_eq!(by_word.outcome, Some(Outcome::Complete));
}

#[test]
fn the_limit_up_is_kept_and_shared_by_all() {
    const RATE: u64 = 256 << 10;
    let mut stage = Stage::seed(4, Giving { up_limit: RATE, ..seeding() });
    let peers: Vec<StreamId> = (0..4).map(|nth| stage.peer(&format!("1.2.3.{nth}:5"), true)).collect();
    peers.iter().for_each(|&peer| stage.say(peer, &[Message::Interested]));
    let (mut got, mut asked) = (vec![0_u64; peers.len()], vec![0_u64; peers.len()]);
    let mut windows = Vec::new();
    for _ in 0..1050 {
        stage.wait(Duration::from_millis(10));
        let before: u64 = got.iter().sum();
        for (nth, &peer) in peers.iter().enumerate() {
            if asked[nth] < got[nth] + (64 << 10) {
                stage.say(peer, &[request(0), request(1)]);
                asked[nth] += 32 << 10;
            }
            got[nth] += stage.take(peer, 1 << 20).len() as u64;
        }
        windows.push(got.iter().sum::<u64>() - before);
    }
    let ten: u64 = windows[50..].iter().sum();
    assert!((RATE * 97 / 10..=RATE * 103 / 10).contains(&ten), "{ten} in ten seconds");
    let burst: u64 = windows[50..].windows(50).map(|half| half.iter().sum()).max().unwrap();
    assert!(burst <= RATE * 3 / 4, "{burst} in half a second");
    let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
    assert!(most * 9 <= least * 10, "{got:?}");
}

#[test]
fn an_idle_seed_sleeps() {
    let mut stage = Stage::seed(2, Giving { up_limit: 1 << 20, up_slots: Some(50), ..seeding() });
    let peers: Vec<StreamId> =
        (0..50).map(|nth| served(&mut stage, &format!("1.2.3.{nth}:5"), true)).collect();
    let wakes = stage.wait(Duration::from_secs(100));
    assert!(wakes <= 1 && !stage.closed.contains(&peers[0]), "{wakes} wake-ups in 100 s");
}

#[test]
fn peers_that_came_one_after_another_do_not_wake_an_idle_seed_one_after_another() {
    let mut stage = Stage::seed(2, Giving { up_slots: Some(50), ..seeding() });
    let mut peers = Vec::new();
    for nth in 0..50 {
        peers.push(served(&mut stage, &format!("1.2.3.{nth}:5"), true));
        stage.wait(Duration::from_secs(2));
    }
    // They keep the connections alive, too.
    peers.iter().for_each(|&peer| stage.session.received(stage.now, peer, &[0; 4]));
    let wakes = stage.wait(KEEP_ALIVE_INTERVAL);
    assert!((1..=4).contains(&wakes) && stage.closed.is_empty(), "{wakes} wake-ups for 50 keep-alives");
}

#[test]
fn the_limit_down_holds_reading_back() {
    const RATE: u64 = 100 << 10;
    let mut stage = Stage::new(2, seeding(), false);
    let peer = stage.peer("1.2.3.4:5", false);
    stage.session.handle(stage.now, Event::Command(Command::Limit { up: false, rate: RATE }));
    let mut read = 0;
    for _ in 0..1000 {
        stage.wait(Duration::from_millis(10));
        // Keep-alives: they count as well as anything else.
        let room = stage.session.allowance(stage.now, peer).min(1 << 20) / 4 * 4;
        stage.session.received(stage.now, peer, &vec![0; room]);
        stage.act();
        read += room as u64;
        if stage.closed.contains(&peer) {
            break;
        }
        stage.session.allowance(stage.now, peer);
    }
    assert!(read <= RATE * 103 / 10, "{read}");
    assert!(TorrentId(0) == stage.session.status(stage.now).torrents[0].torrent);
}

#[test]
fn blocks_that_nobody_asked_for_end_the_connection_in_the_end() {
    let mut stage = Stage::new(4, seeding(), false);
    let peer = stage.peer("1.2.3.4:5", true);
    let length: u32 = 16 << 10;
    let unasked = [&(length + 9).to_be_bytes()[..], &[7], &[0; 8], &vec![1; length as usize]].concat();
    for nth in 0..=UNASKED_BYTES_MAX / u64::from(length) {
        assert!(!stage.closed.contains(&peer), "after {nth} blocks");
        stage.session.received(stage.now, peer, &unasked);
        stage.act();
    }
    assert!(stage.closed.contains(&peer));
}
