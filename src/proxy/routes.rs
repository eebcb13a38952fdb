//! What goes through which proxy, as an option or the environment says.

use super::{Proxy, ProxyFault};
use crate::base::limits::NO_PROXY_MAX;
use crate::wire::punycode::ascii_name;
use crate::wire::url::{Host, Scheme};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// The proxies of a run. By default there is none, and everything goes straight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// For everything that has no other.
    all: Option<Proxy>,
    /// For `http://` trackers.
    http: Option<Proxy>,
    /// For `https://` trackers.
    https: Option<Proxy>,
    /// Who is spoken to straight all the same.
    exempt: Vec<Exempt>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exempt {
    /// Everybody.
    All,
    /// This name and those that end with a dot and it.
    Domain(String),
    /// Addresses whose first so many bits are these; of one family.
    Network(IpAddr, u32),
}

/// A variable of the environment that names no proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFault {
    /// Its name.
    pub variable: &'static str,
    /// What is wrong with it.
    pub fault: ProxyFault,
}

impl fmt::Display for EnvironmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment variable {}: {}", self.variable, self.fault)
    }
}

impl Routes {
    /// Everything goes through `proxy`, without exception.
    pub fn through(proxy: Proxy) -> Self {
        Self { all: Some(proxy), ..Self::default() }
    }

    /// As the variables `ALL_PROXY`, `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say, each also in lower case, which goes
    /// first; `value` has their values. Empty ones mean nothing. `HTTP_PROXY` and `HTTPS_PROXY` are for trackers of these
    /// schemes only.
    ///
    /// # Errors
    /// The first variable that names no proxy: who meant one must not go straight.
    pub fn of_environment(value: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentFault> {
        let find = |names: [&'static str; 2]| {
            let found = names.into_iter().filter_map(|name| Some((name, value(name)?)));
            found.map(|(name, text)| (name, text.trim().to_string())).find(|(_, text)| !text.is_empty())
        };
        let proxy = |names| {
            let Some((variable, text)) = find(names) else { return Ok(None) };
            Proxy::parse(&text).map(Some).map_err(|fault| EnvironmentFault { variable, fault })
        };
        let exempt = find(["no_proxy", "NO_PROXY"]).map(|(_, text)| exempt(&text));
        Ok(Self {
            all: proxy(["all_proxy", "ALL_PROXY"])?,
            http: proxy(["http_proxy", "HTTP_PROXY"])?,
            https: proxy(["https_proxy", "HTTPS_PROXY"])?,
            exempt: exempt.unwrap_or_default(),
        })
    }

    /// The proxy through which the peer at `ip` is reached; `None`: it is reached straight.
    pub fn to_peer(&self, ip: IpAddr) -> Option<&Proxy> {
        self.all.as_ref().filter(|_| !self.is_exempt(&Host::Address(ip)))
    }

    /// The proxy through which a tracker is reached; `None`: it is reached straight.
    pub fn to_server(&self, scheme: Scheme, host: &Host) -> Option<&Proxy> {
        let own = match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
            Scheme::Udp => None,
        };
        own.or(self.all.as_ref()).filter(|_| !self.is_exempt(host))
    }

    /// The proxy that is asked to carry datagrams; `None` if there is none that could.
    pub fn for_datagrams(&self) -> Option<&Proxy> {
        self.all.as_ref().filter(|proxy| proxy.carries_datagrams())
    }

    /// True if what no proxy of ours carries must not leave beside them: questions for the addresses of `host`, and
    /// datagrams to it where there is no [`Routes::for_datagrams`].
    pub fn is_closed_to(&self, host: &Host) -> bool {
        self.all.is_some() && !self.is_exempt(host)
    }

    /// True if there is no proxy, so that an address says enough about the way to a server.
    pub fn is_straight(&self) -> bool {
        self.proxies().next().is_none()
    }

    /// True if nobody shall know where we are: nothing is listened on, and no port of ours is told.
    pub fn is_hidden(&self) -> bool {
        self.all.is_some()
    }

    /// Every proxy that is used, once.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        let all = [&self.all, &self.http, &self.https];
        (0..all.len())
            .filter(move |&nth| !all[..nth].contains(&all[nth]))
            .filter_map(move |nth| all[nth].as_ref())
    }

    fn is_exempt(&self, host: &Host) -> bool {
        self.exempt.iter().any(|exempt| match (exempt, host) {
            (Exempt::All, _) => true,
            (Exempt::Domain(domain), Host::Name(name)) => is_within(name, domain),
            (Exempt::Network(network, bits), Host::Address(ip)) => agree(*network, ip.to_canonical(), *bits),
            _ => false,
        })
    }
}

/// The entries of `NO_PROXY`, between commas or spaces; those that say nothing are left out, and those beyond
/// [`NO_PROXY_MAX`].
fn exempt(text: &str) -> Vec<Exempt> {
    let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.filter_map(Exempt::parse).take(NO_PROXY_MAX).collect()
}

impl Exempt {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (place, bits) = text.split_once('/').map_or((text, None), |(place, bits)| (place, Some(bits)));
        let place = place.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = place.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|&bits| bits <= most))?;
            return Some(Self::Network(ip, bits));
        }
        let domain = ascii_name(text.trim_start_matches("*.").trim_matches('.'))?.to_ascii_lowercase();
        (!domain.is_empty()).then_some(Self::Domain(domain))
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// True if the first `bits` bits are the same.
fn agree(first: IpAddr, second: IpAddr, bits: u32) -> bool {
    let difference = match (first, second) {
        (IpAddr::V4(first), IpAddr::V4(second)) => u128::from(first.to_bits() ^ second.to_bits()) << 96,
        (IpAddr::V6(first), IpAddr::V6(second)) => first.to_bits() ^ second.to_bits(),
        _ => return false,
    };
    difference.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::url::Url;

    fn environment(lines: &[(&str, &str)]) -> Result<Routes, EnvironmentFault> {
        let find =
            |name: &str| lines.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into());
        Routes::of_environment(find)
    }

    /// The port of the proxy to the server of `url`, as a mark of which one it is.
    fn port_to(routes: &Routes, url: &str) -> Option<u16> {
        let url = Url::parse(url).unwrap();
        routes.to_server(url.scheme(), url.host()).map(|proxy| proxy.port)
    }

    #[test]
    fn each_scheme_has_its_proxy_and_the_rest_has_the_common_one() {
        let (http, https, all) =
            (("HTTP_PROXY", "g:1"), ("https_proxy", "http://g:2"), ("ALL_PROXY", "socks5://g:3"));
        let routes = environment(&[http, https, all, ("all_proxy", ""), ("NO_PROXY", " ")]).unwrap();
        assert_eq!(port_to(&routes, "http://t.example/"), Some(1));
        assert_eq!(port_to(&routes, "https://t.example/"), Some(2));
        assert_eq!(routes.to_peer([9, 9, 9, 9].into()).map(|proxy| proxy.port), Some(3));
        assert!(routes.is_hidden() && routes.is_closed_to(&Host::Name("t.example".into())));
        assert_eq!(routes.proxies().count(), 3);

        let routes = environment(&[http]).unwrap();
        assert_eq!((port_to(&routes, "http://t/"), port_to(&routes, "https://t/")), (Some(1), None));
        assert!(routes.to_peer([9, 9, 9, 9].into()).is_none() && !routes.is_hidden());
        assert!(!routes.is_closed_to(&Host::Name("t.example".into())));
        assert_eq!(environment(&[]), Ok(Routes::default()));
        assert!(Routes::default().is_straight() && !routes.is_straight());
    }

    #[test]
    fn lower_case_goes_first_and_a_wrong_value_is_a_fault_that_shows_no_password() {
        let routes = environment(&[("ALL_PROXY", "g:1"), ("all_proxy", "g:2")]).unwrap();
        assert_eq!(port_to(&routes, "http://t/"), Some(2));
        let fault = environment(&[("ALL_PROXY", "socks4://me:secret@g:1")]).unwrap_err().to_string();
        assert!(fault.contains("ALL_PROXY") && !fault.contains("secret"), "{fault}");
    }

    #[test]
    fn exempt_are_names_with_what_ends_in_them_addresses_and_networks() {
        let exempt =
            "localhost, .a.example b.example,10.0.0.0/8 192.168.1.1,fd00::/8,[::1],1.1.1.1/99,,Größe.example";
        let routes = environment(&[("all_proxy", "g:1"), ("no_proxy", exempt)]).unwrap();
        for straight in [
            "localhost",
            "a.example",
            "x.a.example",
            "x.b.example",
            "x.größe.example",
            "10.255.0.1",
            "192.168.1.1",
            "[fd12::1]",
            "[::1]",
        ] {
            assert_eq!(port_to(&routes, &alloc::format!("http://{straight}/")), None, "{straight}");
        }
        for around in ["xa.example", "example", "11.0.0.1", "192.168.1.2", "[fe00::1]", "1.1.1.1"] {
            assert_eq!(port_to(&routes, &alloc::format!("http://{around}/")), Some(1), "{around}");
        }
        assert!(routes.to_peer("::ffff:10.1.1.1".parse().unwrap()).is_none());
        let routes = environment(&[("all_proxy", "g:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(port_to(&routes, "http://t/"), None);
    }

    #[test]
    fn an_option_has_no_exceptions() {
        let routes = Routes::through(Proxy::parse("socks5://g:1").unwrap());
        assert!(
            ["http://localhost/", "https://10.0.0.1/", "udp://t:1"].map(|url| port_to(&routes, url))
                == [Some(1); 3]
        );
        assert!(routes.to_peer([127, 0, 0, 1].into()).is_some() && routes.is_hidden());
    }
}
