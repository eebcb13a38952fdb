//! Addresses that the program does not dial, whoever names them.

use crate::client::{Client, count};
use crate::process::free_port;
use crate::swarm::{Torrent, compact, seed, track};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

#[test]
fn our_own_address_is_dialled_once_at_most() {
    let port = free_port();
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (tracker, _) = track(compact([own].into_iter()));
    let announce = format!("http://{tracker}/announce");
    let torrent = Torrent::new(3 << 20, b"content", &format!("8:announce{}:{announce}", announce.len()));
    let seeder = seed(&torrent, 256 << 10, vec![]);
    let options = ["-vv", "--peer", &own.to_string(), "--peer", &seeder.to_string()];
    let mut client = Client::start_at(port, &torrent, &options);
    client.complete(&torrent, "content");
    let said = client.said();
    let ourselves = count(&said, "dialled ourselves");
    assert_eq!(ourselves, 1, "{}", String::from_utf8_lossy(&said));
}

#[test]
fn what_a_tracker_names_that_cannot_be_dialled_is_not() {
    let here = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = [
        "0.0.0.0:7",
        "127.0.0.1:0",
        "224.0.0.1:7",
        "239.255.255.250:1900",
        "255.255.255.255:7",
        "240.0.0.1:7",
    ];
    let bad = nobody.map(|text| text.parse().unwrap());
    let (tracker, _) = track(compact(bad.into_iter().chain([here.local_addr().unwrap()])));
    let announce = format!("http://{tracker}/announce");
    let torrent = Torrent::new(1 << 20, b"content", &format!("8:announce{}:{announce}", announce.len()));
    let mut client = Client::start(&torrent, &["-vv", "--give-up", "3"]);
    // A tracker on loopback may name peers on loopback: that one is dialled, and none of the others.
    here.set_nonblocking(true).unwrap();
    client.wait_for("a connection from it", || here.accept().ok());
    client.watch(Duration::from_secs(4));
    let said = String::from_utf8_lossy(&client.said()).into_owned();
    for bad in nobody {
        assert!(!said.contains(bad), "{bad}: {said}");
    }
}
