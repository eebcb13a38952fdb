//! A UDP tracker of a few lines, for IPv6 and for what no honest tracker does: false answers beside the true one.

use crate::process::{Running, Scratch, free_port, wait_for};
use crate::{PATIENCE, payload, seeder, swarmlet, torrent};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What came: the announces, whole.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

const ID: u64 = 0x0102_0304_0506_0708;

/// Serves until the test ends; names everybody who has announced.
fn serve(io: &UdpSocket, heard: &Heard) {
    let stranger = UdpSocket::bind((io.local_addr().unwrap().ip(), 0)).unwrap();
    let mut peers: Vec<SocketAddr> = Vec::new();
    let mut bytes = [0; 2000];
    while let Ok((count, from)) = io.recv_from(&mut bytes) {
        let request = &bytes[..count];
        let mut reply = request[8..16].to_vec();
        match request[11] {
            0 => reply.extend(ID.to_be_bytes()),
            _ => {
                assert_eq!(request[..8], ID.to_be_bytes(), "the id that was given");
                heard.lock().unwrap().push(request.to_vec());
                let port = u16::from_be_bytes([request[96], request[97]]);
                reply.extend([0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 1]);
                for peer in &peers {
                    match peer.ip() {
                        IpAddr::V4(ip) => reply.extend(ip.octets()),
                        IpAddr::V6(ip) => reply.extend(ip.octets()),
                    }
                    reply.extend(peer.port().to_be_bytes());
                }
                peers.push(SocketAddr::new(from.ip(), port));
            }
        }
        // Somebody else knows the answer before, and then come all sorts of nonsense.
        let refusal = [&[0, 0, 0, 3], &reply[4..8], b"forged"].concat();
        let _ = stranger.send_to(&refusal, from);
        let mut other = reply.clone();
        other[7] ^= 1;
        let mut action = reply.clone();
        action[3] = 2 - action[3];
        for lie in [&other[..], &action, &reply[..7], &[], &reply[..reply.len().min(15)]] {
            let _ = io.send_to(lie, from);
        }
        let _ = io.send_to(&reply, from);
    }
}

fn meet(ip: IpAddr) {
    let payload = payload::names();
    let scratch = Scratch::new();
    let io = UdpSocket::bind((ip, 0)).unwrap();
    let address = io.local_addr().unwrap();
    let heard = Heard::default();
    let ears = heard.clone();
    thread::spawn(move || serve(&io, &ears));
    let torrent = torrent(&scratch, payload, &[format!("udp://user:pass@{address}/announce?passkey=abc")]);
    let _seeder = seeder(&scratch, &torrent, payload, ip);
    wait_for("the seeder", PATIENCE, || (!heard.lock().unwrap().is_empty()).then_some(()));
    let output = scratch.folder("output");
    let mut command = swarmlet(&torrent, &output, ip, free_port());
    let mut leecher = Running::start(&mut command, "leecher", scratch.path());
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0), "{}", leecher.log());
    payload.assert_same(&output);
    let heard = heard.lock().unwrap();
    let events: Vec<u8> = heard.iter().map(|announce| announce[83]).collect();
    assert_eq!(events, [2, 2, 1, 3], "two come, one completes and leaves");
    for announce in heard.iter() {
        assert!(announce.ends_with(b"\x02\x15/announce?passkey=abc"), "{}", announce.escape_ascii());
    }
    assert!(!leecher.log().contains("pass@"), "{}", leecher.log());
}

#[test]
fn two_meet_by_udp_among_lies() {
    meet([127, 0, 0, 1].into());
}

#[test]
fn two_meet_by_udp_over_ipv6_among_lies() {
    meet("::1".parse().unwrap());
}
