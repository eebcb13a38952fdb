//! Ports, places to listen, proxies and ratios, as users write them.

use crate::app::cli::Fault;
use crate::app::text::clean;
use crate::base::text::Quoted;
use crate::proxy::{EnvironmentFault, Proxy, Routes};
use crate::rim::{Bind, Listen};
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Highest `--seed-ratio`.
const RATIO_MAX: f64 = 1_000_000.0;
/// Longest name of a network interface (`IFNAMSIZ` of Linux), in bytes.
const INTERFACE_BYTES_MAX: usize = 15;

/// What is to go through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyWish {
    /// What the environment says.
    Environment,
    /// Nothing, whatever the environment says.
    None,
    /// Everything.
    Everything(Proxy),
}

impl ProxyWish {
    /// What goes which way; `value` has the environment.
    ///
    /// # Errors
    /// A variable that names no proxy.
    pub fn routes(&self, value: impl Fn(&str) -> Option<String>) -> Result<Routes, EnvironmentFault> {
        match self {
            Self::Environment => Routes::of_environment(value),
            Self::None => Ok(Routes::default()),
            Self::Everything(proxy) => Ok(Routes::through(proxy.clone())),
        }
    }
}

/// The URL of a proxy, or `none`.
///
/// # Errors
/// What is allowed. The value is not shown: it may have a password in it.
pub fn proxy(text: &str) -> Result<ProxyWish, Fault> {
    if text == "none" {
        return Ok(ProxyWish::None);
    }
    let proxy = Proxy::parse(text).map_err(|fault| Fault::new(format!("--proxy: {fault}, or none")))?;
    Ok(ProxyWish::Everything(proxy))
}

/// `N`, or `N-M` for a range that does not begin with 0.
///
/// # Errors
/// What is allowed.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    let range = match text.split_once('-') {
        None => text.parse().ok().map(|port| port..=port),
        Some((first, last)) => first.parse().ok().zip(last.parse().ok()).map(|(first, last)| first..=last),
    };
    let allowed =
        |range: &RangeInclusive<u16>| !range.is_empty() && (*range.start() > 0 || *range.end() == 0);
    range.filter(allowed).ok_or_else(|| {
        Fault::new(format!("--port {}: allowed is a port from 0 to 65535, or N-M from 1 on", Quoted(text)))
    })
}

/// A range as the user would write it.
pub fn port_words(ports: &RangeInclusive<u16>) -> String {
    match (ports.start(), ports.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    }
}

/// Where is listened, as the user would write it: ` at 10.0.0.1`, nothing for everywhere.
pub fn place_words(place: Option<&Bind>) -> String {
    match place {
        None => String::new(),
        Some(Bind::Address(ip)) => format!(" at {ip}"),
        Some(Bind::Interface(name)) => format!(" at {}", clean(name.as_encoded_bytes())),
    }
}

/// That the part of the network that everything keeps to is not there: a tunnel may come up later.
pub fn missing_words(place: &Bind, error: &io::Error) -> String {
    let place = match place {
        Bind::Address(ip) => ip.to_string(),
        Bind::Interface(name) => clean(name.as_encoded_bytes()),
    };
    format!("--bind {place}: {error}: nothing is reached until it is there, and nobody can connect to us")
}

/// That no port could be had, and what can be done.
pub fn unheard_words(wish: &Listen, error: &io::Error) -> String {
    let (ports, place) = (port_words(&wish.ports), place_words(wish.bind.as_ref()));
    let (first, last) = (*wish.ports.start(), *wish.ports.end());
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse if first == last && first <= u16::MAX - 8 => {
            format!("; try --port {first}-{}", first + 8)
        }
        io::ErrorKind::AddrInUse => "; try other ports, or --port 0".to_string(),
        io::ErrorKind::PermissionDenied => "; try a port from 1024 on".to_string(),
        _ => String::new(),
    };
    format!("cannot listen on port {ports}{place}: {error}: nobody can connect to us{remedy}")
}

/// An address of this machine, or the name of an interface.
///
/// # Errors
/// What is allowed.
pub fn bind(text: &str) -> Result<Bind, Fault> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Bind::Address(address));
    }
    let plain = |letter: u8| letter.is_ascii_graphic() && letter != b'/' && letter != b':';
    if text.is_empty() || text.len() > INTERFACE_BYTES_MAX || !text.bytes().all(plain) {
        return Err(Fault::new(format!(
            "--bind {}: allowed is an address or the name of a network interface",
            Quoted(text)
        )));
    }
    Ok(Bind::Interface(text.into()))
}

/// A ratio in thousandths.
///
/// # Errors
/// What is allowed.
pub fn ratio(text: &str) -> Result<u32, Fault> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=RATIO_MAX).contains(ratio));
    ratio.map(|ratio| (ratio * 1000.0).round() as u32).ok_or_else(|| {
        Fault::new(format!("--seed-ratio {}: allowed is a number from 0 to {RATIO_MAX}", Quoted(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range() {
        let good = [("0", 0..=0), ("6881", 6881..=6881), ("6881-6889", 6881..=6889), ("5-5", 5..=5)];
        for (text, range) in good {
            assert_eq!(ports(text), Ok(range));
        }
        for bad in ["", "-", "0-5", "9-8", "1-", "65536", "1-2-3", "+1-x"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        assert_eq!((port_words(&(5..=5)), port_words(&(5..=6))), ("5".into(), "5 to 6".into()));
    }

    #[test]
    fn what_cannot_be_listened_on_names_a_way_out() {
        let words = |ports, number| {
            unheard_words(&Listen { ports, bind: None }, &io::Error::from_raw_os_error(number))
        };
        let used = words(6881..=6881, libc::EADDRINUSE);
        assert!(used.starts_with("cannot listen on port 6881: Address already in use"), "{used}");
        assert!(used.ends_with(": nobody can connect to us; try --port 6881-6889"), "{used}");
        assert!(words(5..=9, libc::EADDRINUSE).ends_with("; try other ports, or --port 0"));
        assert!(words(65_535..=65_535, libc::EADDRINUSE).ends_with("; try other ports, or --port 0"));
        assert!(words(80..=80, libc::EACCES).ends_with("; try a port from 1024 on"));
        assert!(words(80..=80, libc::ENOBUFS).ends_with("nobody can connect to us"));
    }

    #[test]
    fn places_are_addresses_or_interfaces() {
        assert_eq!(bind("::1"), Ok(Bind::Address("::1".parse().unwrap())));
        assert_eq!(bind("br-lan"), Ok(Bind::Interface("br-lan".into())));
        for bad in ["", "a/b", "a b", "1.2.3.4:5", "0123456789abcdef"] {
            assert!(bind(bad).is_err(), "{bad}");
        }
        assert_eq!(place_words(Some(&bind("::1").unwrap())), " at ::1");
        assert_eq!(
            (place_words(Some(&bind("br-lan").unwrap())), place_words(None)),
            (" at br-lan".into(), "".into())
        );
    }

    #[test]
    fn an_option_goes_before_the_environment() {
        let environment = |name: &str| (name == "ALL_PROXY").then(|| "socks5://env.example".to_string());
        let routes = |text: &str| proxy(text).unwrap().routes(environment).unwrap();
        assert!(!routes("none").is_hidden());
        assert_eq!(
            routes("http://gate:1").proxies().next().map(ToString::to_string),
            Some("http://gate:1".into())
        );
        let said = ProxyWish::Environment.routes(environment).unwrap();
        assert_eq!(said.proxies().next().map(ToString::to_string), Some("socks5://env.example:1080".into()));
        let fault = proxy("https://me:secret@gate:1").unwrap_err().to_string();
        assert!(fault.contains("socks5://") && !fault.contains("secret"), "{fault}");
    }

    #[test]
    fn ratios_are_thousandths() {
        assert_eq!([ratio("0"), ratio("1.5"), ratio("2")], [Ok(0), Ok(1500), Ok(2000)]);
        for bad in ["", "-1", "x", "NaN", "inf", "1e99"] {
            assert!(ratio(bad).is_err(), "{bad}");
        }
    }
}
