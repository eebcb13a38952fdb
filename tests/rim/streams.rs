//! Bytes between the machine and peers on loopback.

use crate::script::{BAD, COLD, Fact, play, stream};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use swarmlet::base::StreamId;
use swarmlet::base::limits::{RECEIVE_BYTES, TURN_READ_BYTES};
use swarmlet::session::{Action, CloseCause, Outcome};

/// A peer: does `part` with the first connection, in its own thread.
fn peer(part: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || part(listener.accept().unwrap().0));
    address
}

#[test]
fn a_stream_opens_sends_receives_and_ends() {
    let address = peer(|mut io| {
        let mut hello = [0; 5];
        io.read_exact(&mut hello).unwrap();
        io.write_all(&hello.map(|byte| byte.to_ascii_uppercase())).unwrap();
    });
    let mut got = Vec::new();
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.connect(0, address);
            desk.send(0, b"hello"); // before the connection is open: sent when it is
        }
        Fact::Bytes(_, bytes) => got.extend(bytes),
        Fact::Closed(_, cause) => {
            assert_eq!(cause, CloseCause::Ended);
            desk.finish();
        }
        fact => desk.note(format!("{fact:?}")),
    });
    assert_eq!((run.outcome, got.as_slice()), (Outcome::Complete, &b"HELLO"[..]));
    assert_eq!(run.desk.notes, [format!("Connected({:?})", stream(0))]);
}

#[test]
fn a_stream_that_never_opens_is_closed_with_the_cause() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unroutable = "[ff0e::1]:9".parse().unwrap(); // TCP to a multicast address
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.connect(0, nobody);
            desk.connect(1, unroutable);
        }
        Fact::Closed(stream, cause) => {
            desk.note(format!("{} {cause:?}", stream.slot));
            if desk.notes.len() == 2 {
                desk.finish();
            }
        }
        fact => panic!("{fact:?}"),
    });
    let mut notes = run.desk.notes;
    notes.sort();
    assert_eq!(notes, ["0 Refused", "1 Unreachable"]);
}

#[test]
fn what_came_before_a_reset_is_read_before_it_is_told() {
    const LENGTH: usize = 3 * RECEIVE_BYTES;
    let address = peer(|mut io| {
        thread::sleep(Duration::from_millis(30)); // so that what we send lies unread, which makes it a reset
        io.write_all(&vec![7; LENGTH]).unwrap();
        thread::sleep(Duration::from_millis(30));
    });
    let mut closed = None;
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => desk.send(0, b"never read"),
        Fact::Closed(_, cause) => {
            closed = Some(cause);
            desk.finish();
        }
        _ => {}
    });
    assert_eq!((run.desk.bytes[&stream(0)], closed), (LENGTH, Some(CloseCause::Reset)));
}

#[test]
fn that_nothing_can_be_sent_is_told_also_of_a_stream_that_is_not_read() {
    let address = peer(drop);
    let mut closed = None;
    play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => {
            desk.unheard.insert(stream(0));
            desk.deadline = Some(desk.now);
        }
        // The first write is answered with a reset, which the second finds.
        Fact::Time => {
            desk.send(0, b"anybody there?");
            desk.deadline = Some(desk.now + Duration::from_millis(30));
        }
        Fact::Closed(_, cause) => {
            closed = Some(cause);
            desk.finish();
        }
        fact => panic!("{fact:?}"),
    });
    assert_eq!(closed, Some(CloseCause::Reset));
}

#[test]
fn an_end_that_comes_together_with_the_last_bytes_is_not_missed() {
    let address = peer(|mut io| io.write_all(b"last").unwrap());
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => {
            thread::sleep(Duration::from_millis(30)); // the poll will report both at once, and once only
            desk.waiting.insert(stream(0));
            desk.deadline = Some(desk.now);
        }
        Fact::Time => {
            thread::sleep(Duration::from_millis(30));
            desk.waiting.clear();
            desk.wish(Action::Resume { stream: stream(0) });
        }
        Fact::Bytes(_, bytes) => assert_eq!(bytes, b"last"),
        Fact::Closed(_, CloseCause::Ended) => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert_eq!(run.desk.bytes[&stream(0)], 4);
}

#[test]
fn a_stale_name_reaches_nobody() {
    let address = peer(|mut io| while io.read(&mut [0; 8]).unwrap() > 0 {});
    let old = StreamId { slot: 0, generation: 1 };
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => {
            desk.outgoing.insert(old, b"stale".to_vec());
            desk.wish(Action::Flush { stream: old });
            desk.wish(Action::Resume { stream: old });
            desk.wish(Action::Close { stream: old });
            desk.send(0, b"ok");
            desk.deadline = Some(desk.now + Duration::from_millis(50));
        }
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert_eq!(run.desk.outgoing[&old], b"stale");
    assert!(run.desk.outgoing[&stream(0)].is_empty());
}

#[test]
fn closing_is_not_answered_and_sends_what_the_kernel_has() {
    let (tell, told) = std::sync::mpsc::channel();
    let address = peer(move |mut io| {
        let mut all = Vec::new();
        io.read_to_end(&mut all).unwrap();
        tell.send(all).unwrap();
    });
    play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => {
            desk.send(0, b"last words");
            desk.deadline = Some(desk.now + Duration::from_millis(20));
        }
        Fact::Time if desk.notes.is_empty() => {
            desk.note("closing");
            desk.wish(Action::Close { stream: stream(0) });
            desk.deadline = Some(desk.now + Duration::from_millis(20));
        }
        Fact::Time => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), b"last words");
}

#[test]
fn nothing_is_read_while_memory_is_full_and_the_loop_sleeps_meanwhile() {
    let address = peer(|mut io| {
        io.write_all(&[1; 1000]).unwrap();
        let _ = io.read(&mut [0; 1]);
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.waiting.insert(stream(0));
            desk.connect(0, address);
        }
        Fact::Connected(_) => desk.deadline = Some(desk.now + Duration::from_millis(200)),
        Fact::Time => {
            assert!(desk.bytes.is_empty());
            desk.waiting.clear();
            desk.wish(Action::Resume { stream: stream(0) });
        }
        Fact::Bytes(..) if desk.bytes[&stream(0)] == 1000 => desk.finish(),
        Fact::Bytes(..) => {}
        fact => panic!("{fact:?}"),
    });
    assert!(run.turns < 10, "{} turns", run.turns);
}

#[test]
fn a_large_message_goes_out_as_the_other_side_takes_it() {
    const LENGTH: usize = 8 << 20;
    let address = peer(|mut io| {
        let (mut rest, mut buffer) = (LENGTH, vec![0; 1 << 20]);
        while rest > 0 {
            rest -= io.read(&mut buffer).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        io.write_all(b"!").unwrap();
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => desk.send(0, &vec![5; LENGTH]),
        Fact::Bytes(..) => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert!(run.desk.outgoing[&stream(0)].is_empty());
}

#[test]
fn a_peer_that_blasts_leaves_the_others_their_turn() {
    const PLENTY: usize = 64 << 20;
    let fast = peer(|mut io| while io.write_all(&[9; 64 << 10]).is_ok() {});
    let slow = peer(|mut io| {
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(2));
            io.write_all(&[1]).unwrap();
        }
        let _ = io.read(&mut [0; 1]);
    });
    let (mut turn, mut in_turn, mut most) = (0, 0, 0);
    play(|desk, fact| match fact {
        Fact::Start => {
            desk.connect(0, fast);
            desk.connect(1, slow);
        }
        Fact::Bytes(id, bytes) if id == stream(0) => {
            in_turn = if turn == desk.turns { in_turn + bytes.len() } else { bytes.len() };
            (turn, most) = (desk.turns, in_turn.max(most));
            // Slow enough that the next bytes have always arrived: this peer is never drained.
            thread::sleep(Duration::from_micros(100));
            if desk.bytes[&id] > PLENTY && desk.bytes.get(&stream(1)) == Some(&50) {
                desk.finish();
            }
        }
        _ => {}
    });
    assert!(most < TURN_READ_BYTES + RECEIVE_BYTES, "{most} bytes in a turn");
}

#[test]
fn the_first_bytes_from_a_disk_that_may_sleep_are_asked_for() {
    let address = peer(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => desk.send_file(0, COLD),
        Fact::FileSent(_) => desk.finish(),
        fact => panic!("{fact:?}"),
    });
    assert!(run.desk.waits >= 3);
}

#[test]
fn a_place_that_the_disk_refuses_is_waited_for_with_patience_and_then_told_of() {
    let address = peer(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => desk.connect(0, address),
        Fact::Connected(_) => desk.send_file(0, 10),
        Fact::FileSent(_) => desk.send_file(0, BAD),
        Fact::FileFailed(_, error) => {
            desk.note(format!("{error}"));
            desk.finish();
        }
        fact => panic!("{fact:?}"),
    });
    assert_eq!(run.desk.notes, [libc::EIO.to_string()]);
    assert!((1..200).contains(&run.desk.waits), "asked {} times", run.desk.waits);
}
