//! How streams are opened and datagrams sent: straight, through a proxy, with TLS. What goes which way was said before the
//! run; what is to go through a proxy never goes another way.

use crate::base::StreamId;
use crate::base::limits::TLS_CONNECTIONS_MAX;
use crate::proxy::{Dialogue, Fault, Proxy, Routes, Unreached, parcel};
use crate::resolver::Resolved;
use crate::rim::DATAGRAMS;
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::secure::Tls;
use crate::rim::tunnel::Tunnel;
use crate::rim::turn::Run;
use crate::session::{CloseCause, Event};
use crate::wire::Server;
use crate::wire::url::{Host, Scheme};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Numbers of our own questions for addresses have this bit; the machine counts its own from 1.
const OWN_QUERY: u32 = 1 << 31;

/// What opening streams has to remember.
#[derive(Debug, Default)]
pub struct Outside {
    /// What goes through which proxy.
    pub routes: Arc<Routes>,
    tls: Tls,
    /// Streams that wait for the address of their proxy.
    unresolved: Vec<Unresolved>,
    last_query: u32,
    /// Failures to reach a proxy: the next of its addresses is tried after each.
    failures: usize,
    /// Servers with TLS that wait until there are fewer connections.
    crowd: VecDeque<(StreamId, Server)>,
}

#[derive(Debug)]
struct Unresolved {
    query: u32,
    stream: StreamId,
    port: u16,
    tunnel: Tunnel,
}

impl Outside {
    /// Forgets a stream that waits here.
    pub fn forget(&mut self, stream: StreamId) {
        self.unresolved.retain(|waiting| waiting.stream != stream);
        self.crowd.retain(|(waiting, _)| *waiting != stream);
    }

    /// Notes why a stream was lost.
    pub fn on_lost(&mut self, cause: CloseCause) {
        if matches!(cause, CloseCause::Proxy(Fault::Unreached(_))) {
            self.failures = self.failures.wrapping_add(1);
        }
    }

    /// True if nobody may be asked for the addresses of this name, because a proxy would not carry the question.
    pub fn keeps_to_itself(&self, name: &str) -> bool {
        self.routes.is_closed_to(&Host::Name(name.to_ascii_lowercase()))
    }
}

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Opens a stream to an address.
    pub(super) fn connect(&mut self, stream: StreamId, address: SocketAddr) {
        let routes = Arc::clone(&self.rim.outside.routes);
        match routes.to_peer(address.ip()) {
            None => self.open(stream, address, None),
            Some(proxy) => {
                let dialogue = Dialogue::new(proxy, &Host::Address(address.ip()), address.port());
                self.pass(stream, proxy, Tunnel::new(Some(dialogue), None));
            }
        }
    }

    /// Opens a stream to a server.
    pub(super) fn reach(&mut self, stream: StreamId, server: Server) {
        let is_secure = server.scheme == Scheme::Https;
        if is_secure && self.tls_connections() >= TLS_CONNECTIONS_MAX {
            return self.rim.outside.crowd.push_back((stream, server));
        }
        let secure = match is_secure.then(|| self.rim.outside.tls.connection(&server.host)).transpose() {
            Ok(secure) => secure,
            Err(fault) => return self.refuse(stream, CloseCause::Secure(fault)),
        };
        let routes = Arc::clone(&self.rim.outside.routes);
        match (routes.to_server(server.scheme, &server.host), server.address) {
            (Some(proxy), _) => {
                let dialogue = Dialogue::new(proxy, &server.host, server.port);
                self.pass(stream, proxy, Tunnel::new(Some(dialogue), secure));
            }
            (None, Some(address)) => self.open(stream, address, Some(Tunnel::new(None, secure))),
            (None, None) => self.refuse(stream, CloseCause::Unreachable),
        }
    }

    /// Opens a stream to the proxy that shall carry datagrams.
    pub(super) fn associate(&mut self, stream: StreamId) {
        let routes = Arc::clone(&self.rim.outside.routes);
        let proxy = routes.for_datagrams();
        match proxy.and_then(|proxy| Some((proxy, Dialogue::for_datagrams(proxy)?))) {
            Some((proxy, dialogue)) => self.pass(stream, proxy, Tunnel::new(Some(dialogue), None)),
            None => self.refuse(stream, CloseCause::Proxy(Fault::Unsupported)),
        }
    }

    /// A stream is open. If it is the one for which a proxy carries datagrams, they may go there from now on.
    pub(super) fn tell_connected(&mut self, stream: StreamId) {
        let socket = self.rim.sockets.get(stream);
        if let Some(relay) = socket.and_then(|socket| socket.tunnel.as_ref()?.relay(&socket.io)) {
            self.rim.datagrams.relay_by(stream, relay);
        }
        self.tell(Event::Connected { stream });
    }

    /// Sends a datagram. Where a proxy leads to the server it goes through the proxy, or nowhere: whatever the machine
    /// wishes, none leaves beside it.
    pub(super) fn post(&mut self, server: &Server, bytes: &[u8]) {
        let is_proxied = self.rim.outside.routes.to_server(Scheme::Udp, &server.host).is_some();
        let parcel = is_proxied.then(|| parcel::packed(&server.host, server.port, bytes));
        let way = match (&parcel, server.address) {
            (Some(parcel), _) => self.rim.datagrams.relay().map(|relay| (relay, &parcel[..])),
            (None, address) => address.map(|address| (address, bytes)),
        };
        if let Some((address, bytes)) = way {
            self.rim.datagrams.send(self.rim.poll.registry(), DATAGRAMS, address, bytes);
        }
    }

    /// Connections with TLS, those included that wait for a proxy's address.
    fn tls_connections(&self) -> usize {
        let unresolved = self.rim.outside.unresolved.iter().filter(|waiting| waiting.tunnel.is_secure());
        self.rim.sockets.secure_count() + unresolved.count()
    }

    /// Lets those in who wait because there were too many connections with TLS.
    pub(super) fn admit(&mut self) {
        while !self.rim.outside.crowd.is_empty() && self.tls_connections() < TLS_CONNECTIONS_MAX {
            if let Some((stream, server)) = self.rim.outside.crowd.pop_front() {
                self.reach(stream, server);
            }
        }
    }

    /// Begins with the proxy; its name may have to be resolved, which is the only question that leaves beside it.
    fn pass(&mut self, stream: StreamId, proxy: &Proxy, tunnel: Tunnel) {
        match &proxy.host {
            Host::Address(ip) => self.open(stream, SocketAddr::new(*ip, proxy.port), Some(tunnel)),
            Host::Name(name) => {
                let outside = &mut self.rim.outside;
                outside.last_query = outside.last_query.wrapping_add(1) | OWN_QUERY;
                let query = outside.last_query;
                outside.unresolved.push(Unresolved { query, stream, port: proxy.port, tunnel });
                self.rim.names.ask(self.rim.clock.now(), self.rim.poll.registry(), query, name);
            }
        }
    }

    /// Tells who asked for the addresses of a name: the machine, or a stream that waits for its proxy.
    pub(super) fn tell_addresses(&mut self, answer: &Resolved) {
        if answer.query & OWN_QUERY == 0 {
            return self.tell(Event::Resolved { query: answer.query, addresses: &answer.addresses });
        }
        let outside = &mut self.rim.outside;
        let place = outside.unresolved.iter().position(|waiting| waiting.query == answer.query);
        let Some(Unresolved { stream, port, tunnel, .. }) =
            place.map(|at| outside.unresolved.swap_remove(at))
        else {
            return;
        };
        match nth_address(&answer.addresses, outside.failures) {
            Some(ip) => self.open(stream, SocketAddr::new(ip, port), Some(tunnel)),
            None => self.refuse(stream, CloseCause::Proxy(Fault::Unreached(Unreached::NoAddress))),
        }
    }

    fn open(&mut self, stream: StreamId, address: SocketAddr, tunnel: Option<Tunnel>) {
        if let Err(cause) = self.rim.sockets.connect(self.rim.poll.registry(), stream, address) {
            let cause = tunnel.map_or(cause, |tunnel| tunnel.blame(cause));
            self.rim.outside.on_lost(cause);
            self.refuse(stream, cause);
        } else if let Some(socket) = self.rim.sockets.get(stream) {
            socket.tunnel = tunnel.map(Box::new);
        }
    }

    /// Tells in the next turn that a stream could not begin to open.
    fn refuse(&mut self, stream: StreamId, cause: CloseCause) {
        self.refused.push((stream, cause));
    }
}

/// The address that is tried after so many failures.
fn nth_address(addresses: &[IpAddr], failures: usize) -> Option<IpAddr> {
    addresses.get(failures.checked_rem(addresses.len())?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_makes_the_next_address_of_a_proxy_be_tried() {
        let addresses = [IpAddr::from([1, 1, 1, 1]), [2, 2, 2, 2].into()];
        assert_eq!(nth_address(&addresses, 0), Some(addresses[0]));
        assert_eq!(nth_address(&addresses, 3), Some(addresses[1]));
        assert_eq!(nth_address(&[], 3), None);
    }

    #[test]
    fn with_a_proxy_for_everything_no_name_is_asked_for() {
        let proxy = Proxy::parse("socks5://gate.example").unwrap();
        let outside = Outside { routes: Arc::new(Routes::through(proxy)), ..Outside::default() };
        assert!(outside.keeps_to_itself("T.example") && !Outside::default().keeps_to_itself("t.example"));
    }
}
