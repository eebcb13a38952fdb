//! The half of a SOCKS 5 server that carries datagrams (RFC 1928, 7), for one client at a time.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Agrees, and carries as long as the stream is open. Names lead to this machine.
pub fn carry(mut io: TcpStream, asked: &Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let inner = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    let outer = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    let client: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    for socket in [&inner, &outer] {
        socket.set_read_timeout(Some(Duration::from_secs(120)))?;
    }
    let (theirs, out, owner, asked) = (inner.clone(), outer.clone(), client.clone(), asked.clone());
    thread::spawn(move || carry_out(&theirs, &out, &owner, &asked));
    let back = inner.clone();
    thread::spawn(move || carry_back(&outer, &back, &client));
    let [high, low] = inner.local_addr()?.port().to_be_bytes();
    // An address of nowhere in particular: the proxy's own is meant.
    io.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, high, low])?;
    io.read_to_end(&mut Vec::new()).map(drop)
}

fn carry_out(
    inner: &UdpSocket,
    outer: &UdpSocket,
    client: &Mutex<Option<SocketAddr>>,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut bytes = [0; 2000];
    loop {
        let (count, from) = inner.recv_from(&mut bytes)?;
        *client.lock().unwrap() = Some(from);
        assert_eq!(bytes[..3], [0, 0, 0], "a whole datagram");
        let (host, rest) = match bytes[3] {
            1 => (Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]).to_string(), 8),
            _ => {
                let end = 5 + usize::from(bytes[4]);
                (String::from_utf8(bytes[5..end].to_vec()).unwrap(), end)
            }
        };
        let port = u16::from_be_bytes([bytes[rest], bytes[rest + 1]]);
        asked.lock().unwrap().push(format!("udp {host}:{port}"));
        outer.send_to(&bytes[rest + 2..count], (Ipv4Addr::LOCALHOST, port))?;
    }
}

fn carry_back(outer: &UdpSocket, inner: &UdpSocket, client: &Mutex<Option<SocketAddr>>) -> io::Result<()> {
    let mut bytes = [0; 2000];
    loop {
        let (count, from) = outer.recv_from(&mut bytes)?;
        let SocketAddr::V4(from) = from else { continue };
        let client = client.lock().unwrap().expect("it has asked");
        let head = [&[0, 0, 0, 1][..], &from.ip().octets(), &from.port().to_be_bytes()].concat();
        inner.send_to(&[&head, &bytes[..count]].concat(), client)?;
    }
}
