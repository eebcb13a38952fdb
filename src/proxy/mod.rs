//! Ways through a proxy: SOCKS 5 (RFC 1928, 1929) and HTTP's CONNECT (RFC 9110, 9.3.6). Pure: what to say, what the
//! answers mean, and what goes which way. The rim carries the bytes.

mod connect;
mod dialogue;
mod fault;
pub mod parcel;
mod place;
mod routes;
mod socks;

pub use dialogue::Dialogue;
pub use fault::{Fault, Unreached};
pub use routes::{EnvironmentFault, Routes};

use crate::base::limits::PROXY_LOGIN_BYTES_MAX;
use crate::wire::escape::unescaped;
use crate::wire::url::{Host, parse_port, split_port};
use alloc::vec::Vec;
use core::fmt;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SOCKS, version 5.
    Socks,
    /// HTTP with the method CONNECT.
    Http,
}

/// Where a proxy is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: Kind,
    /// Its name or address.
    pub host: Host,
    /// Its port, never 0.
    pub port: u16,
    login: Option<Login>,
}

/// A user and a password, each at most [`PROXY_LOGIN_BYTES_MAX`] bytes; the user is not empty.
#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

/// Why a text names no proxy that we could use. None of these shows the text, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// A scheme other than `socks5`, `socks5h` and `http`.
    Scheme,
    /// Not a host and a port.
    Place,
    /// User or password are longer than [`PROXY_LOGIN_BYTES_MAX`] bytes, or contain what the protocol cannot carry.
    Login,
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a proxy is socks5:// or http://"),
            Self::Place => f.write_str("a proxy is socks5://[USER:PASSWORD@]HOST:PORT or http://…"),
            Self::Login => write!(f, "its user and password may have {PROXY_LOGIN_BYTES_MAX} bytes each"),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proxy {
    /// The proxy without user and password, so that it may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Socks => "socks5",
            Kind::Http => "http",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Proxy {
    /// Reads `socks5://[user:password@]host[:port]`, `http://…`, or without a scheme, which means HTTP. The usual ports
    /// are 1080 and 80. User and password may have percent-escapes.
    ///
    /// # Errors
    /// [`ProxyFault`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ProxyFault> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => Kind::Socks,
            "http" => Kind::Http,
            _ => return Err(ProxyFault::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Login::parse(login, kind)?, place),
            None => (None, authority),
        };
        let usual = match kind {
            Kind::Socks => 1080,
            Kind::Http => 80,
        };
        let (host, port) = split_port(place).map_err(|_| ProxyFault::Place)?;
        let host = Host::parse(host).map_err(|_| ProxyFault::Place)?;
        let port = parse_port(port, Some(usual)).map_err(|_| ProxyFault::Place)?;
        Ok(Self { kind, host, port, login })
    }

    /// True if it may carry datagrams: SOCKS has words for that.
    pub fn carries_datagrams(&self) -> bool {
        self.kind == Kind::Socks
    }
}

impl Login {
    /// `user:password` with escapes; `None` if the user is empty.
    fn parse(text: &str, kind: Kind) -> Result<Option<Self>, ProxyFault> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let login = Self { user: unescaped(user), password: unescaped(password) };
        if login.user.is_empty() {
            return Ok(None);
        }
        let fits = |part: &[u8]| part.len() <= PROXY_LOGIN_BYTES_MAX;
        // A colon would end the user's name (RFC 7617).
        let is_cut = kind == Kind::Http && login.user.contains(&b':');
        if !fits(&login.user) || !fits(&login.password) || is_cut {
            return Err(ProxyFault::Login);
        }
        Ok(Some(login))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn proxies_are_read_as_they_are_meant() {
        let cases = [
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("SOCKS5H://Gate.Example:99/", "socks5://gate.example:99"),
            ("http://gate.example", "http://gate.example:80"),
            ("gate.example:3128", "http://gate.example:3128"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("socks5://me:pa%40ss@gate.example:1", "socks5://gate.example:1"),
            ("socks5://:only@gate.example:1", "socks5://gate.example:1"),
        ];
        for (text, shown) in cases {
            let proxy = Proxy::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(proxy.to_string(), shown, "{text}");
        }
        let login = Proxy::parse("socks5://me:p%40:s@g:1").unwrap().login.unwrap();
        assert_eq!((&login.user[..], &login.password[..]), (&b"me"[..], &b"p@:s"[..]));
        assert!(Proxy::parse("http://:p@g:1").unwrap().login.is_none());
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_being_shown() {
        let long = format!("socks5://{}:x@g:1", "u".repeat(256));
        let cases = [
            ("", ProxyFault::Place),
            ("https://secret:word@gate:1", ProxyFault::Scheme),
            ("socks4://gate:1", ProxyFault::Scheme),
            ("socks5://u:secret@gate:0", ProxyFault::Place),
            ("socks5://u:secret@", ProxyFault::Place),
            ("http://gate:1/path", ProxyFault::Place),
            ("http://ga te:1", ProxyFault::Place),
            ("http://a%3ab:p@gate:1", ProxyFault::Login),
            (&long, ProxyFault::Login),
        ];
        for (text, fault) in cases {
            assert_eq!(Proxy::parse(text), Err(fault), "{text}");
            assert!(!fault.to_string().contains("secret"));
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let proxy = Proxy::parse("http://somebody:secret@gate:1").unwrap();
        let routes = Routes::through(proxy.clone());
        let dialogue = Dialogue::new(&proxy, &Host::Name("t.example".into()), 80);
        for shown in [format!("{proxy} {proxy:?}"), format!("{routes:?}"), format!("{dialogue:?}")] {
            let bytes = format!("{:?}", b"secret").replace(['[', ']'], "");
            let hidden = ["secret", "somebody", "c29tZWJvZHk6", &bytes];
            assert!(hidden.iter().all(|word| !shown.contains(word)), "{shown}");
        }
    }
}
