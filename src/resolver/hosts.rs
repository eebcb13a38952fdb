//! Names that need no name server: the text of `/etc/hosts`, and what everybody knows. The rim reads the file; this
//! reads its bytes.

use super::lines;
use crate::base::limits::HOSTS_MAX;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names that need no name server.
#[derive(Clone, Debug, Default)]
pub struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads the text of a hosts file: lines of an address and its names, `#` begins a comment. Lines that make no
    /// sense are skipped; so is what follows the first [`HOSTS_MAX`] lines.
    pub fn parse(text: &[u8]) -> Self {
        let mut hosts = Self::default();
        for line in lines(text, b"#").take(HOSTS_MAX) {
            let mut words = line.split_ascii_whitespace();
            let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                let addresses = hosts.0.entry(name.to_ascii_lowercase()).or_default();
                if !addresses.contains(&ip) {
                    addresses.push(ip);
                }
            }
        }
        hosts
    }

    /// The addresses of `name` (in lower case). Even if the file is silent, `localhost` has some (RFC 6761), and names
    /// under `invalid` and `onion` have none, of which no name server must hear (RFC 6761, 7686).
    pub fn get(&self, name: &str) -> Option<Vec<IpAddr>> {
        let under =
            |top: &str| name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if let Some(addresses) = self.0.get(name) {
            Some(addresses.clone())
        } else if under("localhost") {
            Some([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into())
        } else {
            (under("onion") || under("invalid")).then(Vec::new)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_and_its_rubbish_skipped() {
        let text = b"# a comment\n127.0.0.1\tlocalhost Box\r\n\n::1 box # me\n10.0.0.1 tracker.lan t\n\
            10.0.0.1 t\nrubbish here\n\xff\xfe\n 192.168.1.1 router";
        let hosts = Hosts::parse(text);
        let table = [
            ("localhost", Some("127.0.0.1")),
            ("box", Some("127.0.0.1 ::1")),
            ("t", Some("10.0.0.1")),
            ("router", Some("192.168.1.1")),
            ("here", None),
            ("", None),
            ("my.localhost", Some("127.0.0.1 ::1")),
            ("notlocalhost", None),
            ("expyuzz4wqqyqhjn.onion", Some("")),
            ("x.invalid", Some("")),
        ];
        for (name, wanted) in table {
            let wanted = wanted.map(|text| {
                text.split(' ')
                    .filter(|text| !text.is_empty())
                    .map(|ip| ip.parse().unwrap())
                    .collect::<Vec<IpAddr>>()
            });
            assert_eq!(hosts.get(name), wanted, "{name}");
        }
        assert_eq!(Hosts::default().get("localhost").map(|addresses| addresses.len()), Some(2));
    }
}
