//! Datagrams through the loop: they go out, answers are told, and so is what cannot be delivered.

use crate::script::{Desk, Fact, play, play_through, stream};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;
use swarmlet::proxy::Fault;
use swarmlet::session::{Action, CloseCause};
use swarmlet::wire::Server;
use swarmlet::wire::url::{Host, Scheme};

/// A wish to send a datagram to a server at a known address.
fn send(desk: &mut Desk, address: SocketAddr, bytes: &[u8]) {
    let server = server(Host::Address(address.ip()), address.port(), Some(address));
    desk.wish(Action::SendDatagram { server, bytes: bytes.to_vec() });
}

fn server(host: Host, port: u16, address: Option<SocketAddr>) -> Server {
    Server { scheme: Scheme::Udp, host, port, address }
}

fn listener() -> (UdpSocket, SocketAddr) {
    let io = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = io.local_addr().unwrap();
    (io, address)
}

/// True if nothing has come there, nor comes for a while.
fn heard_nothing(io: &UdpSocket) -> bool {
    io.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    io.recv(&mut [0; 100]).is_err()
}

/// A proxy that agrees to carry datagrams and names `relay` for them; it closes the stream when the thread is joined.
fn proxy(relay: SocketAddr) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("socks5://{}", listener.local_addr().unwrap());
    let proxy = thread::spawn(move || {
        let mut io = listener.accept().unwrap().0;
        let mut bytes = [0; 10];
        io.read_exact(&mut bytes[..3]).unwrap();
        io.write_all(&[5, 0]).unwrap();
        io.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]);
        let mut answer = vec![5, 0, 0, 1, 0, 0, 0, 0];
        answer.extend(relay.port().to_be_bytes());
        io.write_all(&answer).unwrap();
        let _ = io.read(&mut bytes);
    });
    (url, proxy)
}

#[test]
fn a_question_is_answered_and_a_dead_port_is_told() {
    let (server, address) = listener();
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
            send(desk, nobody, b"x");
            send(desk, address, b"ping");
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

#[test]
fn a_proxy_carries_what_is_for_a_name_and_tells_who_answers() {
    let (relay, relay_address) = listener();
    let (stranger, _) = listener();
    let (url, proxy) = proxy(relay_address);
    let carrying = thread::spawn(move || {
        let mut bytes = [0; 100];
        let (count, from) = relay.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"\0\0\0\x03\x09t.example\x00\x50ping");
        // Others, and nonsense from the proxy itself, are not taken for answers of the server's.
        stranger.send_to(b"\0\0\0\x01\x09\x09\x09\x09\0\x50forged", from).unwrap();
        for said in [
            &b"nonsense"[..],
            b"\0\0\x01\x01\x09\x09\x09\x09\0\x50part",
            b"\0\0\0\x01\x09\x09\x09\x09\0\x50pong",
        ] {
            relay.send_to(said, from).unwrap();
        }
    });
    let run = play_through(&url, |desk, fact| match fact {
        Fact::Start => desk.wish(Action::Associate { stream: stream(7) }),
        Fact::Connected(of) => {
            assert_eq!(of, stream(7));
            let server = server(Host::Name("t.example".into()), 80, None);
            desk.wish(Action::SendDatagram { server, bytes: b"ping".to_vec() });
        }
        Fact::Relayed(from, bytes) => {
            assert_eq!((from, &bytes[..]), (Some("9.9.9.9:80".parse().unwrap()), &b"pong"[..]));
            desk.finish();
        }
        Fact::Datagram(_, bytes) => assert!(bytes.ends_with(b"forged"), "{bytes:?}"),
        fact => panic!("{fact:?}"),
    });
    drop(run);
    carrying.join().unwrap();
    proxy.join().unwrap();
}

#[test]
fn behind_a_proxy_no_datagram_goes_straight_whatever_is_wished() {
    let (server, address) = listener();
    let (relay, relay_address) = listener();
    for scheme in ["socks5", "http"] {
        // Nobody has agreed to carry anything.
        play_through(&format!("{scheme}://{relay_address}"), |desk, fact| {
            assert_eq!(fact, Fact::Start);
            send(desk, address, b"x");
            desk.finish();
        });
    }
    assert!(heard_nothing(&server) && heard_nothing(&relay));

    let (url, proxy) = proxy(relay_address);
    play_through(&url, |desk, fact| match fact {
        Fact::Start => desk.wish(Action::Associate { stream: stream(7) }),
        Fact::Connected(_) => {
            send(desk, address, b"carried");
            desk.wish(Action::Close { stream: stream(7) });
            // The proxy has nothing to do with what follows.
            send(desk, address, b"late");
            desk.finish();
        }
        fact => panic!("{fact:?}"),
    });
    proxy.join().unwrap();
    let mut bytes = [0; 100];
    let count = relay.recv(&mut bytes).unwrap();
    assert!(bytes[..count].ends_with(b"carried"), "{:?}", &bytes[..count]);
    assert!(heard_nothing(&server) && heard_nothing(&relay));
}

#[test]
fn a_proxy_that_speaks_http_or_closes_carries_no_datagrams() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let closes = thread::spawn(move || {
        let mut io = listener.accept().unwrap().0;
        io.read_exact(&mut [0; 3]).unwrap();
        io.write_all(&[5, 0]).unwrap();
        io.read_exact(&mut [0; 10]).unwrap();
    });
    for scheme in ["http", "socks5"] {
        play_through(&format!("{scheme}://{address}"), |desk, fact| match fact {
            Fact::Start => desk.wish(Action::Associate { stream: stream(7) }),
            Fact::Closed(_, cause) => {
                assert_eq!(cause, CloseCause::Proxy(Fault::Unsupported));
                desk.finish();
            }
            fact => panic!("{fact:?}"),
        });
    }
    closes.join().unwrap();
}
