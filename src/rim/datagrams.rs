//! Datagrams to and from UDP trackers, and the proxy that carries some: one socket for each address family, opened with the
//! first that is sent there.

use crate::base::StreamId;
use crate::base::limits::TURN_DATAGRAMS_MAX;
use crate::proxy::parcel;
use crate::rim::bind::{Bind, datagram_socket};
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::sockets::close_cause;
use crate::rim::sys;
use crate::rim::turn::Run;
use crate::session::{CloseCause, Event};
use crate::wire::address::canonical;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

/// One for each family.
pub const SOCKETS_MAX: usize = 2;

#[derive(Debug)]
struct Socket {
    io: UdpSocket,
    /// The poll reports each change once: true until a read finds nothing.
    readable: bool,
}

/// Both sockets, and what could not be delivered.
#[derive(Debug, Default)]
pub struct Datagrams {
    sockets: [Option<Socket>; SOCKETS_MAX],
    undeliverable: Vec<(SocketAddr, CloseCause)>,
    /// Where datagrams leave from (`--bind`).
    place: Option<Bind>,
    /// Where a proxy takes datagrams, for as long as this stream to it is open.
    relay: Option<(StreamId, SocketAddr)>,
}

impl Datagrams {
    /// A proxy carries what is sent to `relay`, for as long as `stream` is open.
    pub fn relay_by(&mut self, stream: StreamId, relay: SocketAddr) {
        self.relay = Some((stream, relay));
    }

    /// Where the proxy takes datagrams, if it does.
    pub fn relay(&self) -> Option<SocketAddr> {
        self.relay.map(|(_, relay)| relay)
    }

    /// A stream is gone.
    pub fn forget(&mut self, stream: StreamId) {
        self.relay = self.relay.filter(|(of, _)| *of != stream);
    }

    /// Lets datagrams of sockets that are opened from now on leave from `place` only.
    pub fn bind(&mut self, place: Bind) {
        self.place = Some(place);
    }

    /// Sends `bytes` to `address`; its socket has a token from `first_token` on. A full buffer loses the datagram, as
    /// any network may; other faults are told in the next turn.
    pub fn send(&mut self, registry: &Registry, first_token: usize, address: SocketAddr, bytes: &[u8]) {
        match self.try_send(registry, first_token, address, bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.undeliverable.push((address, close_cause(&error))),
        }
    }

    fn try_send(
        &mut self,
        registry: &Registry,
        first_token: usize,
        address: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        let nth = usize::from(address.is_ipv6());
        let socket = match &mut self.sockets[nth] {
            Some(socket) => socket,
            vacant => {
                let token = Token(first_token + nth);
                vacant.insert(Socket::open(address.ip(), self.place.as_ref(), registry, token)?)
            }
        };
        // A first error may be that of an earlier datagram, to somebody else.
        match socket.io.send_to(bytes, address) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                socket.readable = true;
                socket.io.send_to(bytes, address).map(drop)
            }
            answer => answer.map(drop),
        }
    }

    /// The poll says that the `nth` socket has something.
    pub fn on_event(&mut self, nth: usize) {
        if let Some(Some(socket)) = self.sockets.get_mut(nth) {
            socket.readable = true;
        }
    }

    /// True if there is something to tell without waiting for the poll.
    pub fn is_ready(&self) -> bool {
        !self.undeliverable.is_empty() || self.sockets.iter().flatten().any(|socket| socket.readable)
    }

    /// The next datagram of the `nth` socket, read into `buffer`; `None` if none is there.
    fn receive(&mut self, nth: usize, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let socket = self.sockets.get_mut(nth)?.as_mut().filter(|socket| socket.readable)?;
        for _ in 0..TURN_DATAGRAMS_MAX {
            match socket.io.recv_from(buffer) {
                Ok((count, from)) => return Some((from, count)),
                Err(error) => socket.readable = error.kind() != io::ErrorKind::WouldBlock,
            }
            // Other errors are about datagrams of ours, and are taken off by being told; this says whose.
            while let Some((address, number)) = sys::next_undeliverable(socket.io.as_fd()) {
                let cause = close_cause(&io::Error::from_raw_os_error(number));
                self.undeliverable.push((address, cause));
            }
            if !socket.readable {
                break;
            }
        }
        None
    }
}

impl Socket {
    fn open(to: IpAddr, place: Option<&Bind>, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut io = datagram_socket(to, place)?;
        // Without it a tracker that is gone is found by its silence.
        let _ = sys::report_undeliverable(io.as_fd(), to.is_ipv6());
        registry.register(&mut io, token, Interest::READABLE)?;
        Ok(Self { io, readable: false })
    }
}

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Tells what has come, and what has not arrived.
    pub(super) fn tell_datagrams(&mut self) {
        for nth in 0..SOCKETS_MAX {
            for _ in 0..TURN_DATAGRAMS_MAX {
                if self.outcome.is_some() {
                    return;
                }
                let Some((from, count)) = self.rim.datagrams.receive(nth, &mut self.rim.receive) else {
                    break;
                };
                let bytes = &self.rim.receive[..count];
                let event = if self.rim.datagrams.relay() == Some(canonical(from)) {
                    // What is no datagram is as if it had not come.
                    let Some((from, bytes)) = parcel::unpacked(bytes) else { continue };
                    Event::Relayed { from, bytes }
                } else {
                    Event::Datagram { from, bytes }
                };
                self.machine.handle(self.rim.clock.now(), event);
                self.perform_all();
            }
        }
        for (address, cause) in core::mem::take(&mut self.rim.datagrams.undeliverable) {
            self.tell(Event::Undeliverable { address, cause });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use mio::{Events, Poll};
    use std::net::{self, Ipv6Addr};

    struct Bench {
        poll: Poll,
        datagrams: Datagrams,
    }

    impl Bench {
        fn new() -> Self {
            Self { poll: Poll::new().unwrap(), datagrams: Datagrams::default() }
        }

        fn send(&mut self, address: SocketAddr, bytes: &[u8]) {
            self.datagrams.send(self.poll.registry(), 0, address, bytes);
        }

        /// Polls once, at most a second, and reads one datagram of the `nth` socket.
        fn wait(&mut self, nth: usize) -> Option<(SocketAddr, Vec<u8>)> {
            let mut events = Events::with_capacity(8);
            self.poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
            events.iter().for_each(|event| self.datagrams.on_event(event.token().0));
            let mut buffer = [0; 2_000];
            let (from, count) = self.datagrams.receive(nth, &mut buffer)?;
            Some((from, buffer[..count].to_vec()))
        }
    }

    fn listener(at: &str) -> Option<(net::UdpSocket, SocketAddr)> {
        let io = net::UdpSocket::bind(at).ok()?;
        let address = io.local_addr().ok()?;
        Some((io, address))
    }

    #[test]
    fn what_is_sent_arrives_and_the_answer_comes_back() {
        for (nth, at) in ["127.0.0.1:0", "[::1]:0"].into_iter().enumerate() {
            // A machine without IPv6 has nothing to show there.
            let Some((io, address)) = listener(at) else { continue };
            let mut bench = Bench::new();
            bench.send(address, b"question");
            let mut buffer = [0; 100];
            let (count, from) = io.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"question");
            io.send_to(b"answer", from).unwrap();
            assert_eq!(bench.wait(nth), Some((address, b"answer".to_vec())));
            assert!(bench.datagrams.receive(nth, &mut buffer).is_none());
            assert!(!bench.datagrams.is_ready() && bench.datagrams.sockets.iter().flatten().count() == 1);
        }
    }

    #[test]
    fn a_port_where_nobody_listens_is_told_and_hinders_nobody_else() {
        let (gone, nobody) = listener("127.0.0.1:0").unwrap();
        drop(gone);
        let (io, address) = listener("127.0.0.1:0").unwrap();
        let mut bench = Bench::new();
        bench.send(nobody, b"x");
        bench.send(address, b"y");
        let mut buffer = [0; 100];
        assert_eq!(io.recv_from(&mut buffer).unwrap().0, 1, "it is sent although the other failed");
        assert_eq!(bench.wait(0), None);
        assert_eq!(bench.datagrams.undeliverable, [(nobody, CloseCause::Refused)]);
    }

    #[test]
    fn datagrams_leave_from_where_the_user_says() {
        let (io, address) = listener("127.0.0.1:0").unwrap();
        let mut buffer = [0; 100];
        for (place, wanted) in [
            (Bind::Address([127, 0, 0, 7].into()), [127, 0, 0, 7]),
            (Bind::Interface("lo".into()), [127, 0, 0, 1]),
        ] {
            let mut bench = Bench::new();
            bench.datagrams.bind(place);
            bench.send(address, b"x");
            assert_eq!(io.recv_from(&mut buffer).unwrap().1.ip(), IpAddr::from(wanted));
        }
        for place in [Bind::Address(Ipv6Addr::LOCALHOST.into()), Bind::Interface("no-such-if0".into())] {
            let mut bench = Bench::new();
            bench.datagrams.bind(place);
            bench.send(address, b"x");
            assert_eq!(bench.datagrams.undeliverable.len(), 1);
        }
    }

    #[test]
    fn what_cannot_be_sent_at_all_is_told() {
        let mut bench = Bench::new();
        let broadcast: SocketAddr = "255.255.255.255:9".parse().unwrap();
        bench.send(broadcast, b"x");
        assert_eq!(bench.datagrams.undeliverable, [(broadcast, CloseCause::Unreachable)]);
        assert!(bench.datagrams.is_ready());
    }
}
