//! How names are looked up: the text of `/etc/resolv.conf`. The rim reads the file; this reads its bytes.

use super::lines;
use crate::base::limits::{
    DNS_PATIENCE, DNS_ROUNDS, DNS_ROUNDS_MAX, DNS_TIMEOUT_MAX, NAME_SERVERS_MAX, NDOTS_MAX,
    SEARCH_DOMAINS_MAX,
};
use crate::wire::dns::is_name;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

/// Where name servers listen.
const PORT: u16 = 53;
/// Where one listens that the file need not name: the usual resolver of a machine, and that of systemd. Where nobody
/// is, the kernel says so at once.
const ON_THIS_MACHINE: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::LOCALHOST];

/// What resolv.conf(5) says, within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Who is asked, at most [`NAME_SERVERS_MAX`].
    pub servers: Vec<SocketAddr>,
    /// Domains in which short names are looked for, at most [`SEARCH_DOMAINS_MAX`], in lower case without dot at the end.
    pub search: Vec<String>,
    /// A name with fewer dots is short.
    pub ndots: u8,
    /// How often the list of servers is gone through.
    pub rounds: u8,
    /// How long one server is waited for before the next one is asked as well; if `None`, a little longer each round.
    pub timeout: Option<Duration>,
    /// Each name begins with another server.
    pub rotate: bool,
}

impl Setup {
    /// Asks `servers`, at most [`NAME_SERVERS_MAX`], and everything else is as without a file.
    pub fn new(servers: &[SocketAddr]) -> Self {
        let servers = servers.iter().take(NAME_SERVERS_MAX).copied().collect();
        Self { servers, search: Vec::new(), ndots: 1, rounds: DNS_ROUNDS, timeout: None, rotate: false }
    }

    /// Reads the text of a resolver configuration. Without any server in it, those on this machine are asked.
    /// `interfaces` has the numbers of network interfaces, for servers on a link (`fe80::1%eth0`). What makes no sense
    /// is skipped.
    pub fn parse(text: &[u8], interfaces: &[(String, u32)]) -> Self {
        let mut setup = Self::new(&[]);
        for line in lines(text, b"#;") {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => setup.add_server(words.next().unwrap_or_default(), interfaces),
                // The last line counts.
                Some("search") => setup.search = domains(words),
                Some("domain") => setup.search = domains(words.take(1)),
                Some("options") => words.for_each(|word| setup.set(word)),
                _ => {}
            }
        }
        if setup.servers.is_empty() {
            setup.servers = ON_THIS_MACHINE.map(|ip| (ip, PORT).into()).to_vec();
        }
        setup
    }

    fn add_server(&mut self, text: &str, interfaces: &[(String, u32)]) {
        if let Some(server) = server(text, interfaces)
            && self.servers.len() < NAME_SERVERS_MAX
            && !self.servers.contains(&server)
        {
            self.servers.push(server);
        }
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u8>().ok();
        match (name, number) {
            ("ndots", Some(number)) => self.ndots = number.min(NDOTS_MAX),
            ("attempts", Some(number)) => self.rounds = number.clamp(1, DNS_ROUNDS_MAX),
            ("timeout", Some(number)) => {
                let timeout = Duration::from_secs(u64::from(number));
                self.timeout = Some(timeout.clamp(Duration::from_secs(1), DNS_TIMEOUT_MAX));
            }
            ("rotate", None) => self.rotate = true,
            _ => {}
        }
    }

    /// How long a server is waited for in the round `round`, from 0.
    pub(super) fn patience(&self, round: usize) -> Duration {
        self.timeout.unwrap_or(DNS_PATIENCE * (1 << round.min(usize::from(DNS_ROUNDS_MAX))))
    }

    /// The names that `host` may mean, first those to be tried first; none if it cannot be a name.
    ///
    /// A name with enough dots is looked for nowhere else: most names here were written by strangers, and a local
    /// domain that answers for everything must not become their tracker. A dot at the end forbids it for any name.
    pub(super) fn names(&self, host: &str) -> Vec<String> {
        let absolute = host.ends_with('.');
        let host = host.strip_suffix('.').unwrap_or(host);
        let dots = host.bytes().filter(|&byte| byte == b'.').count();
        let mut names = Vec::new();
        if !absolute && dots < usize::from(self.ndots) {
            names.extend(self.search.iter().map(|domain| format!("{host}.{domain}")));
        }
        names.push(host.to_string());
        names.retain(|name| is_name(name));
        names
    }
}

fn domains<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = words.map(|word| word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase());
    names.filter(|name| is_name(name)).take(SEARCH_DOMAINS_MAX).collect()
}

/// An address, and behind `%` the name or the number of the interface on whose link it is.
fn server(text: &str, interfaces: &[(String, u32)]) -> Option<SocketAddr> {
    let Some((ip, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse::<IpAddr>().ok()?.to_canonical(), PORT));
    };
    let ip: Ipv6Addr = ip.parse().ok()?;
    let named = interfaces.iter().find(|(name, _)| name == zone).map(|(_, number)| *number);
    let scope = named.or_else(|| zone.parse().ok())?;
    Some(SocketAddrV6::new(ip, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Setup {
        Setup::parse(text, &[("eth0".into(), 7), ("br-lan".into(), 9)])
    }

    #[test]
    fn name_servers_are_found() {
        let machine: &[&str] = &["127.0.0.53:53", "127.0.0.1:53"];
        let table: [(&[u8], &[&str]); 6] = [
            (
                b"nameserver 1.1.1.1\nsearch lan\nnameserver\t2606:4700::1 \r\n",
                &["1.1.1.1:53", "[2606:4700::1]:53"],
            ),
            (b"#nameserver 1.1.1.1\n;nameserver 2.2.2.2\nnameserver fe80::1%wlan9\n", machine),
            (
                b"nameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver ::ffff:2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4",
                &["1.1.1.1:53", "2.2.2.2:53", "3.3.3.3:53"],
            ),
            (b"nameserver fe80::1%eth0\nnameserver fe80::2%3\n", &["[fe80::1%7]:53", "[fe80::2%3]:53"]),
            (b"", machine),
            (b"nameservers 1.1.1.1\nnameserver\nnameserver x\nnameserver 1.1.1.1%eth0\n\xff", machine),
        ];
        for (text, wanted) in table {
            let wanted: Vec<SocketAddr> = wanted.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(parse(text).servers, wanted, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn options_are_read_within_bounds() {
        let words = |setup: Setup| {
            let timeout = setup.timeout.map_or(0, |timeout| timeout.as_secs());
            format!("ndots {} rounds {} timeout {timeout} rotate {}", setup.ndots, setup.rounds, setup.rotate)
        };
        let table: [(&[u8], &str); 5] = [
            (b"", "ndots 1 rounds 3 timeout 0 rotate false"),
            (
                b"options rotate timeout:2\noptions attempts:4 ndots:5",
                "ndots 5 rounds 4 timeout 2 rotate true",
            ),
            (b"options timeout:0 attempts:0 ndots:0", "ndots 0 rounds 1 timeout 1 rotate false"),
            (b"options timeout:99 attempts:99 ndots:99 edns0", "ndots 15 rounds 5 timeout 10 rotate false"),
            (
                b"options timeout: attempts:x ndots:-1 ndots:999 rotate:1",
                "ndots 1 rounds 3 timeout 0 rotate false",
            ),
        ];
        for (text, wanted) in table {
            assert_eq!(words(parse(text)), wanted, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn short_names_are_looked_for_in_the_search_list_and_long_ones_are_not() {
        let long = "x".repeat(250);
        let long_label = format!("{}.example", "x".repeat(64));
        let table: [(&[u8], &str, &[&str]); 10] = [
            (b"search A.example b.Example.", "nas", &["nas.a.example", "nas.b.example", "nas"]),
            (b"search a.example", "nas.", &["nas"]),
            (b"search a.example", "t.org", &["t.org"]),
            (b"search a.example\noptions ndots:2", "t.org", &["t.org.a.example", "t.org"]),
            (b"search a.example\noptions ndots:2", "t.org.", &["t.org"]),
            (b"search a b\ndomain c d", "nas", &["nas.c", "nas"]),
            (b"search . a..b 1 2 3 4 5 6 7", "n", &["n.1", "n.2", "n.3", "n.4", "n.5", "n.6", "n"]),
            (b"search a\noptions ndots:0", "nas", &["nas"]),
            (b"search a", &long, &[]),
            (b"search a", &long_label, &[]),
        ];
        for (text, host, wanted) in table {
            assert_eq!(parse(text).names(host), wanted, "{}: {host}", text.escape_ascii());
        }
        for none in ["", ".", "..", "a..b", ".a"] {
            assert_eq!(parse(b"").names(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn patience_grows_unless_the_file_sets_it() {
        let seconds =
            |text: &[u8]| (0..3).map(|round| parse(text).patience(round).as_secs()).collect::<Vec<_>>();
        assert_eq!((seconds(b""), seconds(b"options timeout:3")), (vec![1, 2, 4], vec![3, 3, 3]));
    }
}
