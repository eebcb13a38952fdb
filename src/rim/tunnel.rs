//! What lies between a socket and its stream: a proxy to be passed, TLS, or both.

use crate::proxy::{Dialogue, Fault, Unreached};
use crate::rim::secure::Secure;
use crate::rim::sockets::close_cause;
use crate::rim::sys;
use crate::session::CloseCause;
use crate::wire::address::is_local;
use mio::net::TcpStream;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

/// Bytes of a proxy's answer that are looked at together.
const GLANCE_BYTES: usize = 512;

/// The way through which a stream is opened, and the TLS that it goes on with.
#[derive(Debug)]
pub struct Tunnel {
    /// TCP is there.
    connected: bool,
    /// The proxy, until it is passed.
    proxy: Option<Dialogue>,
    /// The socket leads to a proxy, whatever becomes of the rest.
    proxied: bool,
    /// Where a proxy that has agreed to carry datagrams takes them: an address, `None` for its own, and a port.
    relay: Option<(Option<IpAddr>, u16)>,
    secure: Option<Secure>,
}

impl Tunnel {
    /// A way through a proxy that is spoken to like this, then with TLS, as far as they are given.
    pub fn new(proxy: Option<Dialogue>, secure: Option<Secure>) -> Self {
        Self { connected: false, proxied: proxy.is_some(), relay: None, proxy, secure }
    }

    /// Where the proxy at the other end of `io` takes datagrams, if it has agreed to carry some.
    pub fn relay(&self, io: &TcpStream) -> Option<SocketAddr> {
        let (named, port) = self.relay?;
        let proxy = io.peer_addr().ok()?.ip();
        Some(SocketAddr::new(reachable(named, proxy), port))
    }

    /// True if TLS is spoken.
    pub fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    /// TLS, where it is spoken.
    pub fn secure(&mut self) -> Option<&mut Secure> {
        self.secure.as_mut()
    }

    /// True once TCP is there.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// TCP is there.
    pub fn connected(&mut self) {
        self.connected = true;
    }

    /// Why TCP failed, as it is to be told: whoever was to be reached is not to blame for the proxy.
    pub fn blame(&self, cause: CloseCause) -> CloseCause {
        if !self.proxied {
            return cause;
        }
        CloseCause::Proxy(Fault::Unreached(match cause {
            CloseCause::NoResources => return cause,
            CloseCause::Refused => Unreached::Refused,
            CloseCause::Unreachable => Unreached::NoRoute,
            CloseCause::TimedOut => Unreached::Silent,
            _ => Unreached::Broken,
        }))
    }

    /// Goes on as far as the socket lets it. True once the stream is open.
    ///
    /// # Errors
    /// Why it never will be.
    pub fn proceed(&mut self, io: &mut TcpStream) -> Result<bool, CloseCause> {
        if let Some(dialogue) = &mut self.proxy {
            if !ask(dialogue, io).map_err(CloseCause::Proxy)? {
                return Ok(false);
            }
            self.relay = dialogue.relay();
            self.proxy = None;
        }
        match &mut self.secure {
            Some(secure) => secure.shake(io).map_err(|error| close_cause(&error)),
            None => Ok(true),
        }
    }
}

/// The address at which a proxy takes datagrams that has answered from `proxy`: the `named` one, unless that is one of its
/// own house, where we are not.
fn reachable(named: Option<IpAddr>, proxy: IpAddr) -> IpAddr {
    named.filter(|ip| !is_local(*ip) || is_local(proxy)).unwrap_or(proxy)
}

/// Speaks to the proxy; true once it has opened the way. Its words are looked at before they are taken, because the first
/// byte behind them is the stream's.
fn ask(dialogue: &mut Dialogue, io: &mut TcpStream) -> Result<bool, Fault> {
    let mut bytes = [0; GLANCE_BYTES];
    while !dialogue.is_open() {
        while !dialogue.outgoing().is_empty() {
            match sys::send(io.as_fd(), dialogue.outgoing(), false) {
                Ok(count) => dialogue.sent(count),
                Err(error) => return waits(&error),
            }
        }
        let seen = match io.peek(&mut bytes) {
            Ok(0) => return Err(dialogue.on_end()),
            Ok(count) => count,
            Err(error) => return waits(&error).map_err(|_| dialogue.on_end()),
        };
        let taken = dialogue.on_bytes(bytes.get(..seen).unwrap_or_default())?;
        io.read_exact(bytes.get_mut(..taken).unwrap_or_default()).map_err(|_| Fault::Closed)?;
    }
    Ok(true)
}

/// False if an error means that the poll will tell.
fn waits(error: &io::Error) -> Result<bool, Fault> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(false),
        // Seldom, and as good as broken: the signal that could do it is taken from a descriptor.
        _ => Err(Fault::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_go_where_the_proxy_says_unless_nobody_else_can_reach_that() {
        let cases = [
            (None, "9.9.9.9", "9.9.9.9"),
            (Some("9.9.9.8"), "9.9.9.9", "9.9.9.8"),
            (Some("10.0.0.1"), "9.9.9.9", "9.9.9.9"),
            (Some("127.0.0.1"), "2001:db8::1", "2001:db8::1"),
            (Some("10.0.0.1"), "10.0.0.2", "10.0.0.1"),
        ];
        for (named, proxy, wanted) in cases {
            let named = named.map(|named: &str| named.parse().unwrap());
            assert_eq!(reachable(named, proxy.parse().unwrap()), wanted.parse::<IpAddr>().unwrap());
        }
    }
}
