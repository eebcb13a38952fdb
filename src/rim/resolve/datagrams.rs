//! The sockets for questions in datagrams: one for each server that was asked.
//!
//! They live only while something is looked up: each time the kernel picks new ports at random, which makes false
//! answers harder to place, and an idle run holds no descriptor for it.

use crate::base::limits::DNS_MESSAGE_BYTES_MAX;
use crate::rim::bind::{Bind, datagram_socket};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::SocketAddr;

/// Datagrams taken from one server in a turn; there are at most two questions a name.
const TURN_DATAGRAMS: usize = 32;

/// All of them; the index is added to the first token.
#[derive(Debug, Default)]
pub(super) struct Datagrams(Vec<Channel>);

/// The socket for one server. It is connected, so that nobody else can answer and "nobody listens" is heard.
#[derive(Debug)]
struct Channel {
    server: SocketAddr,
    io: UdpSocket,
    readable: bool,
}

impl Datagrams {
    /// True if something may have come.
    pub fn is_ready(&self) -> bool {
        self.0.iter().any(|channel| channel.readable)
    }

    /// The poll says that the `nth` socket has something.
    pub fn on_event(&mut self, nth: usize) {
        if let Some(channel) = self.0.get_mut(nth) {
            channel.readable = true;
        }
    }

    /// Sends `bytes` to `server`; a socket that is opened for it has its token from `first_token` on.
    pub fn send(
        &mut self,
        server: SocketAddr,
        bytes: &[u8],
        place: Option<&Bind>,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<usize> {
        let known = self.0.iter().position(|channel| channel.server == server);
        let nth = known.unwrap_or(self.0.len());
        if known.is_none() {
            let mut io = datagram_socket(server.ip(), place)?;
            io.connect(server)?;
            registry.register(&mut io, Token(first_token + nth), Interest::READABLE)?;
            self.0.push(Channel { server, io, readable: false });
        }
        self.0[nth].io.send(bytes)
    }

    /// Hands what has come to `take`: the server, and its message or that it cannot be reached.
    pub fn receive(&mut self, mut take: impl FnMut(SocketAddr, Option<&[u8]>)) {
        let mut bytes = [0; DNS_MESSAGE_BYTES_MAX];
        for channel in &mut self.0 {
            for _ in 0..TURN_DATAGRAMS {
                if !channel.readable {
                    break;
                }
                match channel.io.recv(&mut bytes) {
                    Ok(count) => take(channel.server, Some(&bytes[..count])),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => channel.readable = false,
                    // An error of an earlier datagram: refused, no route. It is taken off by being told.
                    Err(_) => take(channel.server, None),
                }
            }
        }
    }

    /// Closes all.
    pub fn close(&mut self, registry: &Registry) {
        for mut channel in self.0.drain(..) {
            let _ = registry.deregister(&mut channel.io);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// From where a datagram that is bound to `place` comes to a server on loopback.
    fn origin(place: &Bind) -> io::Result<IpAddr> {
        let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let poll = Poll::new()?;
        Datagrams::default().send(server.local_addr()?, b"x", Some(place), poll.registry(), 0)?;
        Ok(server.recv_from(&mut [0; 9])?.1.ip())
    }

    #[test]
    fn datagrams_leave_from_the_place_that_was_chosen_or_not_at_all() {
        let ip = IpAddr::from([127, 0, 0, 7]);
        assert_eq!(origin(&Bind::Address(ip)).unwrap(), ip);
        assert_eq!(origin(&Bind::Interface("lo".into())).unwrap(), IpAddr::from(Ipv4Addr::LOCALHOST));
        for bad in [
            Bind::Address([192, 0, 2, 1].into()),
            Bind::Address(Ipv6Addr::LOCALHOST.into()),
            Bind::Interface("no-such-if0".into()),
        ] {
            assert!(origin(&bad).is_err(), "{bad:?}");
        }
    }
}
