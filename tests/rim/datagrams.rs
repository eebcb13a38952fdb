//! Datagrams through the loop: they go out, answers are told, and so is what cannot be delivered.

use crate::script::{Fact, play};
use std::net::UdpSocket;
use std::thread;
use swarmlet::session::{Action, CloseCause};

#[test]
fn a_question_is_answered_and_a_dead_port_is_told() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answers = thread::spawn(move || {
        let mut bytes = [0; 100];
        let (count, from) = server.recv_from(&mut bytes).unwrap();
        for nth in 0..3 {
            server.send_to(&[&bytes[..count], &[b'0' + nth]].concat(), from).unwrap();
        }
    });
    let run = play(|desk, fact| match fact {
        Fact::Start => {
            desk.wish(Action::SendDatagram { address: nobody, bytes: b"x".to_vec() });
            desk.wish(Action::SendDatagram { address, bytes: b"ping".to_vec() });
        }
        Fact::Datagram(from, bytes) => {
            assert_eq!(from, address);
            desk.note(String::from_utf8(bytes).unwrap());
            if desk.notes.len() == 4 {
                desk.finish();
            }
        }
        Fact::Undeliverable(address, cause) => {
            assert_eq!((address, cause), (nobody, CloseCause::Refused));
            desk.note("refused".to_string());
            if desk.notes.len() == 4 {
                desk.finish();
            }
        }
        fact => panic!("{fact:?}"),
    });
    answers.join().unwrap();
    let mut notes = run.desk.notes;
    notes.sort();
    assert_eq!(notes, ["ping0", "ping1", "ping2", "refused"]);
}
