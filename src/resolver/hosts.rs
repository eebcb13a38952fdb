//! The files that say where names are found: `/etc/hosts` and `/etc/resolv.conf`. The rim reads them; this reads
//! their bytes.

use crate::base::limits::{HOSTS_MAX, NAME_SERVERS_MAX};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where name servers listen.
const PORT: u16 = 53;

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

    /// The addresses of `name` (in lower case). `localhost` has some even if the file is silent (RFC 6761).
    pub fn get(&self, name: &str) -> Option<Vec<IpAddr>> {
        let local = || name == "localhost" || name.ends_with(".localhost");
        let built_in = || vec_of([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        self.0.get(name).cloned().or_else(|| local().then(built_in))
    }
}

fn vec_of(addresses: [IpAddr; 2]) -> Vec<IpAddr> {
    addresses.into()
}

/// The name servers in the text of a resolver configuration, at most [`NAME_SERVERS_MAX`]; without any, the one on
/// this machine, as the C library has it. Servers on a link of their own (`fe80::1%eth0`) are skipped.
pub fn name_servers(text: &[u8]) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let named = words.next() == Some("nameserver");
        words.next().filter(|_| named).and_then(|word| word.parse::<IpAddr>().ok())
    };
    let servers = lines(text, b"#;").filter_map(server).take(NAME_SERVERS_MAX);
    let mut servers: Vec<SocketAddr> = servers.map(|ip| SocketAddr::new(ip, PORT)).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
}

/// The lines of a text without comments; those that are not UTF-8 are left out.
fn lines<'a>(text: &'a [u8], comment: &'static [u8]) -> impl Iterator<Item = &'a str> {
    let code = move |line: &'a [u8]| line.split(|byte| comment.contains(byte)).next().unwrap_or_default();
    text.split(|&byte| byte == b'\n').filter_map(move |line| core::str::from_utf8(code(line)).ok())
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
        ];
        for (name, wanted) in table {
            let wanted =
                wanted.map(|text| text.split(' ').map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>());
            assert_eq!(hosts.get(name), wanted, "{name}");
        }
        assert_eq!(Hosts::default().get("localhost").map(|addresses| addresses.len()), Some(2));
    }

    #[test]
    fn name_servers_are_found() {
        let table: [(&[u8], &[&str]); 5] = [
            (
                b"nameserver 1.1.1.1\nsearch lan\nnameserver\t2606:4700::1 \r\n",
                &["1.1.1.1:53", "[2606:4700::1]:53"],
            ),
            (b"#nameserver 1.1.1.1\n;nameserver 2.2.2.2\nnameserver fe80::1%eth0\n", &["127.0.0.1:53"]),
            (
                b"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4",
                &["1.1.1.1:53", "2.2.2.2:53", "3.3.3.3:53"],
            ),
            (b"", &["127.0.0.1:53"]),
            (b"nameservers 1.1.1.1\nnameserver\nnameserver x\n\xff", &["127.0.0.1:53"]),
        ];
        for (text, wanted) in table {
            let wanted: Vec<SocketAddr> = wanted.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(name_servers(text), wanted, "{}", text.escape_ascii());
        }
    }
}
