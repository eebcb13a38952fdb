//! The listening sockets: one port for all torrents, both families. Connections are taken a bounded number at a time.

use crate::base::Instant;
use crate::base::limits::{ACCEPT_RETRY_INTERVAL, TURN_ACCEPTS_MAX};
use crate::rim::bind::{Bind, interface_address};
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::sockets::close_cause;
use crate::rim::sys;
use crate::rim::turn::Run;
use crate::session::{CloseCause, Event};
use core::ops::RangeInclusive;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

/// One for each family.
pub const SOCKETS_MAX: usize = 2;

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The first port of these that is free; 0 lets the system choose.
    pub ports: RangeInclusive<u16>,
    /// Only there; everywhere if `None`.
    pub bind: Option<Bind>,
}

/// The sockets, and whether connections may wait there.
#[derive(Debug, Default)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    /// The poll reports each change once: true until an accept finds nobody.
    ready: [bool; SOCKETS_MAX],
    /// No descriptor was left: not before this.
    retry: Option<Instant>,
}

impl Listeners {
    /// Opens them, with tokens from `first_token` on.
    pub(super) fn open(wish: &Listen, registry: &Registry, first_token: usize) -> io::Result<Self> {
        let mut fault = io::Error::from(io::ErrorKind::AddrInUse);
        for port in wish.ports.clone() {
            match open_port(port, wish.bind.as_ref()) {
                Ok(mut sockets) => {
                    for (nth, socket) in sockets.iter_mut().enumerate() {
                        registry.register(socket, Token(first_token + nth), Interest::READABLE)?;
                    }
                    return Ok(Self { sockets, ..Self::default() });
                }
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// The port; 0 if nobody listens.
    pub fn port(&self) -> u16 {
        self.sockets.first().and_then(|socket| socket.local_addr().ok()).map_or(0, |address| address.port())
    }

    /// The poll says that somebody has come to the `nth` socket.
    pub fn on_event(&mut self, nth: usize) {
        if nth < self.sockets.len() {
            self.ready[nth] = true;
        }
    }

    /// True if connections may wait and can be taken.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.ready.contains(&true) && self.retry.is_none_or(|retry| retry <= now)
    }

    /// When those that could not be taken are looked at again.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.retry.filter(|_| self.ready.contains(&true))
    }

    /// The next connection.
    fn next(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        let nth = self.ready.iter().position(|ready| *ready)?;
        let answer = self.sockets.get(nth).map(TcpListener::accept)?;
        match answer {
            Ok((io, address)) => {
                self.retry = None;
                Some((io, SocketAddr::new(address.ip().to_canonical(), address.port())))
            }
            Err(error) if is_the_others_fault(&error) => self.next_after_fault(now),
            Err(error) if close_cause(&error) == CloseCause::NoResources => {
                self.retry = Some(now + ACCEPT_RETRY_INTERVAL);
                None
            }
            Err(_) => {
                self.ready[nth] = false;
                self.next(now)
            }
        }
    }

    /// Somebody went away while waiting: the next one is taken in the next turn.
    fn next_after_fault(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        self.retry = Some(now);
        None
    }
}

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Takes connections that wait; who is not wanted is closed at once.
    pub(super) fn accept(&mut self) {
        let now = self.rim.clock.now();
        if !self.rim.listeners.is_ready(now) {
            return;
        }
        for _ in 0..TURN_ACCEPTS_MAX {
            let Some((io, address)) = self.rim.listeners.next(now) else { return };
            let Some(stream) = self.machine.accept(now, address) else { continue };
            if let Err(cause) = self.rim.sockets.adopt(self.rim.poll.registry(), stream, io) {
                self.tell(Event::Closed { stream, cause });
            }
        }
    }
}

/// Opens a port for both families. IPv6 sockets of Linux usually take IPv4 as well; where they do not, or where there
/// is no IPv6, IPv4 has its own.
fn open_port(port: u16, bind: Option<&Bind>) -> io::Result<Vec<TcpListener>> {
    match bind {
        None => open_everywhere(port),
        Some(Bind::Address(ip)) => Ok(vec![TcpListener::bind(SocketAddr::new(*ip, port))?]),
        Some(Bind::Interface(name)) => open_interface(port, name),
    }
}

/// Where the interface itself may not be chosen (Linux before 5.7 lets only root), its addresses do nearly the same.
fn open_interface(port: u16, name: &OsStr) -> io::Result<Vec<TcpListener>> {
    let sockets = open_everywhere(port)?;
    match sockets.iter().try_for_each(|socket| sys::bind_to_interface(socket.as_fd(), name)) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            drop(sockets);
            let addresses = [true, false].into_iter().filter_map(|is_v6| interface_address(name, is_v6));
            addresses.map(|ip| TcpListener::bind(SocketAddr::new(ip, port))).collect()
        }
        answer => answer.map(|()| sockets),
    }
}

fn open_everywhere(port: u16) -> io::Result<Vec<TcpListener>> {
    let v4 = |port| TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    let Ok(v6) = TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) else {
        return v4(port).map(|socket| vec![socket]);
    };
    let port = v6.local_addr()?.port();
    Ok(core::iter::once(v6).chain(v4(port).ok()).collect())
}

/// Errors that `accept(2)` passes on from a connection that has failed while it waited.
fn is_the_others_fault(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EPERM
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use std::net::IpAddr;

    fn open(wish: &Listen) -> io::Result<Listeners> {
        Listeners::open(wish, Poll::new().unwrap().registry(), 0)
    }

    #[test]
    fn a_taken_port_is_passed_over_and_a_taken_range_is_a_fault() {
        let loopback = Some(Bind::Address(Ipv4Addr::LOCALHOST.into()));
        let first = open(&Listen { ports: 0..=0, bind: loopback.clone() }).unwrap();
        let port = first.port();
        assert_ne!(port, 0);
        let taken = open(&Listen { ports: port..=port, bind: loopback.clone() });
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let next = open(&Listen { ports: port..=port.saturating_add(20), bind: loopback });
        assert!(next.unwrap().port() > port);
    }

    #[test]
    fn both_families_come_in_and_have_their_own_addresses() {
        let mut listeners = Listeners { sockets: open_everywhere(0).unwrap(), ..Listeners::default() };
        let port = listeners.port();
        for from in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let Ok(_client) = std::net::TcpStream::connect((from, port)) else { continue };
            (0..SOCKETS_MAX).for_each(|nth| listeners.on_event(nth));
            let (_, address) = listeners.next(Instant::ZERO).expect("somebody came");
            assert_eq!(address.ip(), from);
            assert!(listeners.next(Instant::ZERO).is_none() && !listeners.is_ready(Instant::ZERO));
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_fault() {
        let bind = Some(Bind::Interface("no-such-if0".into()));
        assert!(open(&Listen { ports: 0..=0, bind }).is_err());
    }
}
