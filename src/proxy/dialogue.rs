//! What is said to a proxy before the stream behind it is open: one of two protocols.

use super::connect::Connect;
use super::socks::Socks;
use super::{Fault, Kind, Proxy};
use crate::wire::url::Host;
use core::fmt;
use core::net::IpAddr;

/// The words with which a proxy is asked for a stream, or to carry datagrams, and what it has answered so far.
pub struct Dialogue(Protocol);

enum Protocol {
    Socks(Socks),
    Connect(Connect),
}

impl fmt::Debug for Dialogue {
    /// Nothing of what is said: there may be a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialogue(open: {})", self.is_open())
    }
}

impl Dialogue {
    /// Asks `proxy` for a stream to `port` of `host`.
    pub fn new(proxy: &Proxy, host: &Host, port: u16) -> Self {
        Self(match proxy.kind {
            Kind::Socks => Protocol::Socks(Socks::connect(proxy.login.as_ref(), host, port)),
            Kind::Http => Protocol::Connect(Connect::new(proxy.login.as_ref(), host, port)),
        })
    }

    /// Asks `proxy` to carry datagrams for as long as this stream is open; `None` if it speaks HTTP, which has no words for
    /// that.
    pub fn for_datagrams(proxy: &Proxy) -> Option<Self> {
        proxy.carries_datagrams().then(|| Self(Protocol::Socks(Socks::associate(proxy.login.as_ref()))))
    }

    /// Where an open dialogue for datagrams wants them sent: an address, `None` for the proxy's own, and a port.
    pub fn relay(&self) -> Option<(Option<IpAddr>, u16)> {
        match &self.0 {
            Protocol::Socks(socks) => socks.bound(),
            Protocol::Connect(_) => None,
        }
    }

    /// Bytes waiting to be sent to the proxy.
    pub fn outgoing(&self) -> &[u8] {
        match &self.0 {
            Protocol::Socks(socks) => socks.outgoing(),
            Protocol::Connect(connect) => connect.outgoing(),
        }
    }

    /// `count` bytes of [`Dialogue::outgoing`] were sent.
    pub fn sent(&mut self, count: usize) {
        match &mut self.0 {
            Protocol::Socks(socks) => socks.sent(count),
            Protocol::Connect(connect) => connect.sent(count),
        }
    }

    /// Bytes came. How many of them were the proxy's words: what follows belongs to the stream behind it.
    ///
    /// # Errors
    /// [`Fault`] says what is wrong; the stream is of no use then.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match &mut self.0 {
            Protocol::Socks(socks) => socks.on_bytes(bytes),
            Protocol::Connect(connect) => connect.on_bytes(bytes),
        }
    }

    /// The proxy has closed the stream: what that means.
    pub fn on_end(&self) -> Fault {
        match &self.0 {
            Protocol::Socks(socks) => socks.on_end(),
            Protocol::Connect(_) => Fault::Closed,
        }
    }

    /// True once the stream behind the proxy is open.
    pub fn is_open(&self) -> bool {
        match &self.0 {
            Protocol::Socks(socks) => socks.is_open(),
            Protocol::Connect(connect) => connect.is_open(),
        }
    }
}
