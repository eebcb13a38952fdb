//! URLs of trackers (RFC 3986), read strictly enough that nothing in them can smuggle a line into a request.

use crate::base::limits::URL_BYTES_MAX;
use crate::wire::escape::{base64, escape, unescaped};
use crate::wire::punycode::ascii_name;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a tracker is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// The UDP tracker protocol (BEP 15).
    Udp,
}

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name to be resolved: lower case, letters, digits, `-`, `_` and dots, at most 253 bytes. Letters outside ASCII are
    /// written as name servers have them.
    Name(String),
    /// An address that stands in the URL itself.
    Address(IpAddr),
}

/// A URL that was read and found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// `user:password`, percent-decoded, as Basic authorization wants it.
    userinfo: Option<Vec<u8>>,
    host: Host,
    port: u16,
    target: String,
}

/// Why a text is not a URL that we can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// More than [`URL_BYTES_MAX`] bytes.
    TooLong,
    /// A space, line break or other control character.
    Control,
    /// No `scheme://` at its start.
    NoScheme,
    /// A scheme that is none of a tracker's; the first bytes of it.
    Scheme(String),
    /// The host is empty or not a name, an IPv4 address or an IPv6 address in brackets.
    Host,
    /// The port is not a number of 1 to 65535, or is missing where there is no usual one.
    Port,
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the URL is longer than {URL_BYTES_MAX} bytes"),
            Self::Control => f.write_str("the URL contains a space or control character"),
            Self::NoScheme => f.write_str("the URL has no scheme such as http://"),
            Self::Scheme(scheme) => {
                write!(f, "the scheme {scheme:?} is not supported, only http, https and udp")
            }
            Self::Host => f.write_str("the URL has no valid host"),
            Self::Port => f.write_str("the URL has no valid port"),
        }
    }
}

impl Url {
    /// Reads an absolute URL. Path and query are kept as they are, save that bytes outside ASCII are
    /// escaped and a fragment (`#…`) is left out.
    ///
    /// # Errors
    /// [`UrlFault`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        check_characters(text)?;
        let (scheme, rest) = text.split_once("://").ok_or(UrlFault::NoScheme)?;
        let scheme = Scheme::parse(scheme)?;
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(unescaped(userinfo)), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        Ok(Self {
            scheme,
            userinfo: userinfo.filter(|userinfo| !userinfo.is_empty()).map(with_password),
            host: Host::parse(host)?,
            port: parse_port(port, scheme.usual_port())?,
            target: clean_target(target),
        })
    }

    /// The URL that `reference`, as in a `Location` header, means when it stands in this one (RFC 3986, 5.2).
    /// A password follows to the same server only.
    ///
    /// # Errors
    /// [`UrlFault`] as for [`Url::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, UrlFault> {
        check_characters(reference)?;
        if has_scheme(reference) {
            return Self::parse(reference).map(|url| url.trusted_like(self));
        }
        if reference.starts_with("//") {
            let absolute = format!("{}:{reference}", self.scheme.name());
            return Self::parse(&absolute).map(|url| url.trusted_like(self));
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match reference.as_bytes().first() {
            None => self.target.clone(),
            Some(b'/') => without_dots(reference),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) => {
                without_dots(&format!("{}/{reference}", path.rsplit_once('/').map_or("", |(dir, _)| dir)))
            }
        };
        let target = clean_target(&target);
        if target.len() > URL_BYTES_MAX {
            return Err(UrlFault::TooLong);
        }
        Ok(Self { target, ..self.clone() })
    }

    /// Takes over the password of `other` if it leads to the same server.
    fn trusted_like(mut self, other: &Self) -> Self {
        let same = (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port);
        if same && self.userinfo.is_none() {
            self.userinfo = other.userinfo.clone();
        }
        self
    }

    /// How the server is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The server's name or address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The server's port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query; starts with `/`, printable ASCII without spaces.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What the `Host` header says: the port is named only where it is not the usual one.
    pub fn authority(&self) -> String {
        let host = &self.host;
        if self.scheme.usual_port() == Some(self.port) {
            format!("{host}")
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// What the `Authorization` header says (RFC 7617), if the URL has a user name.
    pub fn authorization(&self) -> Option<String> {
        self.userinfo.as_ref().map(|userinfo| format!("Basic {}", base64(userinfo)))
    }
}

impl fmt::Display for Url {
    /// The URL without user and password, so that it may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.target)
    }
}

impl fmt::Display for Host {
    /// As it stands in a URL: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, UrlFault> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            "udp" => Ok(Self::Udp),
            "" => Err(UrlFault::NoScheme),
            _ => Err(UrlFault::Scheme(text.chars().take(20).collect())),
        }
    }

    /// Its name in URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
        }
    }

    /// The port that need not be named.
    fn usual_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Udp => None,
        }
    }
}

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlFault> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(UrlFault::Host)?;
            // `Ipv6Addr` takes no zone (`%eth0`): a zone means something on the author's machine only.
            return inner.parse::<Ipv6Addr>().map(|v6| Self::Address(v6.into())).map_err(|_| UrlFault::Host);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let name = ascii_name(text).ok_or(UrlFault::Host)?;
        let name = name.strip_suffix('.').unwrap_or(&name);
        // A last label of digits is a mistyped address (`1.2.3.999`), never a domain.
        let numeric =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        let good = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if numeric || name.len() > 253 || !name.split('.').all(good) {
            return Err(UrlFault::Host);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

fn check_characters(text: &str) -> Result<(), UrlFault> {
    if text.len() > URL_BYTES_MAX {
        return Err(UrlFault::TooLong);
    }
    match text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        true => Err(UrlFault::Control),
        false => Ok(()),
    }
}

/// A user name alone has an empty password (RFC 7617).
fn with_password(mut userinfo: Vec<u8>) -> Vec<u8> {
    if !userinfo.contains(&b':') {
        userinfo.push(b':');
    }
    userinfo
}

/// True if `reference` names its scheme and so stands alone.
fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// `host:port` → host and what follows the colon; an IPv6 address keeps its brackets and colons.
pub(crate) fn split_port(place: &str) -> Result<(&str, &str), UrlFault> {
    let end_of_literal = if place.starts_with('[') { place.find(']').ok_or(UrlFault::Host)? + 1 } else { 0 };
    let (literal, rest) = place.split_at(end_of_literal);
    match rest.split_once(':') {
        Some((name, port)) if literal.is_empty() => Ok((name, port)),
        Some(("", port)) => Ok((literal, port)),
        None if literal.is_empty() || rest.is_empty() => Ok((place, "")),
        _ => Err(UrlFault::Host),
    }
}

/// The port in `text`; where it is empty, the `usual` one.
pub(crate) fn parse_port(text: &str, usual: Option<u16>) -> Result<u16, UrlFault> {
    if text.is_empty() {
        return usual.ok_or(UrlFault::Port);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|&port| port != 0).ok_or(UrlFault::Port)
}

/// Path and query as they go into a request line.
fn clean_target(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    let mut target = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        target.push('/');
    }
    for letter in text.chars() {
        match letter.is_ascii() {
            true => target.push(letter),
            false => escape(letter.encode_utf8(&mut [0; 4]).as_bytes(), &mut target),
        }
    }
    target
}

/// Takes `.` and `..` out of the path of `target`; above the root there is only the root.
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        match part {
            ".." => drop(kept.pop()),
            "." => {}
            _ => kept.push(part),
        }
        if parts.peek().is_none() && matches!(part, "." | "..") {
            kept.push(""); // the path names a directory
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls_are_read_as_they_are_meant() {
        let cases = [
            ("http://t.example/announce", "t.example", 80, "/announce"),
            ("HTTP://T.Example:6969/a?k=1&b=%2f", "t.example:6969", 6969, "/a?k=1&b=%2f"),
            ("http://t.example", "t.example", 80, "/"),
            ("http://t.example.:80?x#top", "t.example", 80, "/?x"),
            ("http://t.example:/a", "t.example", 80, "/a"),
            ("https://10.0.0.1/a", "10.0.0.1", 443, "/a"),
            ("http://[2001:db8::1]:8080/a", "[2001:db8::1]:8080", 8080, "/a"),
            ("http://[::1]/a", "[::1]", 80, "/a"),
            ("udp://tracker.example:1337/announce", "tracker.example:1337", 1337, "/announce"),
            ("http://Größe.example:81/ü", "xn--gre-6ka8i.example:81", 81, "/%C3%BC"),
            ("udp://例え.テスト:1337/", "xn--r8jz45g.xn--zckzah:1337", 1337, "/"),
            ("http://t_1.example/päth//x/../y", "t_1.example", 80, "/p%C3%A4th//x/../y"),
        ];
        for (text, authority, port, target) in cases {
            let url = Url::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(
                (url.authority().as_str(), url.port(), url.target()),
                (authority, port, target),
                "{text}"
            );
            assert_eq!(Url::parse(&url.to_string()), Ok(url), "{text}");
        }
    }

    #[test]
    fn bad_urls_are_refused_by_name() {
        let cases = [
            ("", UrlFault::NoScheme),
            ("t.example/announce", UrlFault::NoScheme),
            ("://t.example", UrlFault::NoScheme),
            ("wss://t.example/", UrlFault::Scheme("wss".into())),
            ("http://", UrlFault::Host),
            ("http:///announce", UrlFault::Host),
            ("http://a..b/", UrlFault::Host),
            ("http://ex%41mple/", UrlFault::Host),
            ("http://mu\u{308}nchen.example/", UrlFault::Host),
            ("http://ü\u{a0}x.example/", UrlFault::Host),
            ("http://1.2.3.999/", UrlFault::Host),
            ("http://[fe80::1%25eth0]/", UrlFault::Host),
            ("http://[::1]x:80/", UrlFault::Host),
            ("http://[::1/", UrlFault::Host),
            ("http://::1/", UrlFault::Host),
            ("http://t.example:0/", UrlFault::Port),
            ("http://t.example:65536/", UrlFault::Port),
            ("http://t.example:+80/", UrlFault::Port),
            ("udp://t.example/announce", UrlFault::Port),
            ("http://t.example/a b", UrlFault::Control),
            ("http://t.example/a\r\nX: y", UrlFault::Control),
            ("http://t.example/\u{7f}", UrlFault::Control),
        ];
        for (text, fault) in cases {
            assert_eq!(Url::parse(text), Err(fault), "{text}");
        }
        let long = format!("http://t.example/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(Url::parse(&long), Err(UrlFault::TooLong));
        assert_eq!(Url::parse(&format!("http://{}.example/", "x".repeat(64))), Err(UrlFault::Host));
    }

    #[test]
    fn redirects_lead_where_the_rfc_says() {
        let base = Url::parse("http://u:p@t.example:81/a/b/announce?x=1").unwrap();
        let cases = [
            ("http://o.example/c", "http://o.example/c"),
            ("//o.example/c?d", "http://o.example/c?d"),
            ("/c/../d/./e?f=..", "http://t.example:81/d/e?f=.."),
            ("c", "http://t.example:81/a/b/c"),
            ("../c#f", "http://t.example:81/a/c"),
            ("../../../..", "http://t.example:81/"),
            ("./", "http://t.example:81/a/b/"),
            ("?y=2", "http://t.example:81/a/b/announce?y=2"),
            ("", "http://t.example:81/a/b/announce?x=1"),
        ];
        for (reference, wanted) in cases {
            assert_eq!(base.join(reference).unwrap().to_string(), wanted, "{reference}");
        }
        assert_eq!(base.join("/a b"), Err(UrlFault::Control));
        assert_eq!(base.join("gopher://x/"), Err(UrlFault::Scheme("gopher".into())));
    }

    #[test]
    fn a_password_goes_to_its_own_server_only_and_is_never_shown() {
        let base = Url::parse("http://user:pa%3Ass@t.example/").unwrap();
        assert_eq!(base.authorization().as_deref(), Some("Basic dXNlcjpwYTpzcw=="));
        assert_eq!(base.to_string(), "http://t.example/");
        let nameless = Url::parse("http://user@t.example/").unwrap();
        assert_eq!(nameless.authorization().as_deref(), Some("Basic dXNlcjo="));
        assert_eq!(Url::parse("http://@t.example/").unwrap().authorization(), None);
        assert!(base.join("/x").unwrap().authorization().is_some());
        assert!(base.join("http://t.example/x").unwrap().authorization().is_some());
        assert!(base.join("http://t.example:81/x").unwrap().authorization().is_none());
        assert!(base.join("//o.example/x").unwrap().authorization().is_none());
    }
}
