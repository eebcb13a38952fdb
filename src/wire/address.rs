//! What kinds of addresses there are: which can be dialled at all, and which lie inside somebody's house.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address as the network means it: IPv4 written inside IPv6 (`::ffff:1.2.3.4`) is IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// True if a stream to `address` could ever open: it has a port and names one machine.
pub fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let nobody = match ip {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.octets()[0] >= 240,
        // `::a.b.c.d` (RFC 4291, 2.5.5.1) was never routed; `::1` is this machine.
        IpAddr::V6(v6) => v6.segments()[..6] == [0; 6] && !v6.is_loopback(),
    };
    address.port() != 0 && !nobody && !ip.is_unspecified() && !ip.is_multicast()
}

/// True for addresses of this machine or of a local network, which strangers must not send us to.
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64; // RFC 6598
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            let embedded =
                v6.to_ipv4().is_some_and(|v4| is_local(IpAddr::V4(v4)) || v4 < Ipv4Addr::new(1, 0, 0, 0));
            v6.is_loopback() || embedded || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

/// True for names that only the machine or a local network knows: those set aside for it (RFC 6761, RFC 6762, RFC 8375, and
/// what name servers of the world have promised never to answer for), and names without a dot. `name` is lower case.
pub fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    match name.rsplit_once('.') {
        None => true,
        Some((_, last)) => {
            matches!(last, "localhost" | "local" | "internal" | "lan") || name.ends_with(".home.arpa")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_only_a_local_network_knows() {
        for local in
            ["localhost", "localhost.", "a.localhost", "nas.local", "db.internal", "router", "x.home.arpa"]
        {
            assert!(is_local_name(local), "{local}");
        }
        for public in ["t.example", "local.example.", "localhost.example", "internal.org", "arpa.net"] {
            assert!(!is_local_name(public), "{public}");
        }
    }

    #[test]
    fn what_can_be_dialled() {
        for good in ["1.2.3.4:1", "127.0.0.1:80", "10.0.0.1:80", "[::1]:80", "[2001:db8::1]:80"] {
            assert!(is_dialable(good.parse().unwrap()), "{good}");
        }
        let bad = ["1.2.3.4:0", "0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "250.0.0.1:1"];
        for bad in bad
            .into_iter()
            .chain(["[::]:1", "[ff02::1]:1", "[::ffff:0.0.0.0]:1", "[::ffff:224.0.0.1]:1"])
            .chain([
                "[::ffff:255.255.255.255]:1",
                "[::ffff:1.2.3.4]:0",
                "[::127.0.0.1]:1",
                "[::2]:1",
                "[2001:db8::1]:0",
            ])
        {
            assert!(!is_dialable(bad.parse().unwrap()), "{bad}");
        }
    }

    #[test]
    fn what_is_local() {
        let local =
            ["127.0.0.1", "127.9.9.9", "10.1.1.1", "192.168.0.1", "172.16.0.1", "169.254.1.1", "100.64.0.1"];
        for local in
            local.into_iter().chain(["0.0.0.0", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1"])
        {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2001:4860::1", "::ffff:8.8.8.8"] {
            assert!(!is_local(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(canonical("[::ffff:1.2.3.4]:5".parse().unwrap()), "1.2.3.4:5".parse().unwrap());
    }
}
