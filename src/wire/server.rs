//! A server that is more than an address: what TLS has to verify, or what a proxy has to find.

use crate::wire::url::{Host, Scheme};
use core::net::SocketAddr;

/// Where a stream to a server leads, and what is spoken on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// [`Scheme::Https`]: TLS is spoken, and `host` must be in the certificate.
    pub scheme: Scheme,
    /// Its name or address, as its URL has it.
    pub host: Host,
    /// Its port, never 0.
    pub port: u16,
    /// The address to connect to; `None` where a proxy finds it.
    pub address: Option<SocketAddr>,
}
