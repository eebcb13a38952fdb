//! Names that need no server: `localhost` and `/etc/hosts`.

use crate::base::limits::{HOST_ADDRESSES_MAX, HOSTS_BYTES_MAX};
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of `localhost` and of every name below it, which never leave the machine (RFC 6761, 6.3).
pub fn loopback(host: &str) -> Option<[IpAddr; 2]> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = host.rsplit('.').next().unwrap_or_default();
    label
        .eq_ignore_ascii_case("localhost")
        .then_some([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
}

/// The addresses that a hosts file (hosts(5)) gives `host`, in its order. What cannot be read is not there.
pub fn lookup(file: impl BufRead, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let lines = file.take(HOSTS_BYTES_MAX).split(b'\n').map_while(Result::ok);
    lines.filter_map(|line| address_if_named(&line, host)).take(HOST_ADDRESSES_MAX).collect()
}

/// The address at the head of `line`, if one of the names behind it is `host`.
fn address_if_named(line: &[u8], host: &str) -> Option<IpAddr> {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let address = words.next()?;
    words.any(|name| name.eq_ignore_ascii_case(host.as_bytes())).then_some(())?;
    core::str::from_utf8(address).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_here_and_nobody_else_is() {
        for host in ["localhost", "LocalHost.", "tracker.localhost"] {
            assert_eq!(loopback(host).map(|all| all.map(|a| a.is_loopback())), Some([true; 2]), "{host}");
        }
        for host in ["localhost.example.org", "notlocalhost", "", "."] {
            assert_eq!(loopback(host), None, "{host}");
        }
    }

    #[test]
    fn the_file_is_read_as_hosts_5_says() {
        let file = b"# 9.9.9.9 nas\n10.0.0.1\tnas.home nas # tracker\r\nfe80::1%eth0 nas\nfd00::1 NAS\r\n\
            bad nas\n10.0.0.2 other\n\xff\xfe nas\n10.0.0.3";
        let addresses = |host| lookup(&file[..], host).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(addresses("nas"), ["10.0.0.1", "fd00::1"]);
        assert_eq!(addresses("nas.home."), ["10.0.0.1"]);
        assert_eq!(addresses("tracker"), [""; 0]);
        assert_eq!(addresses("10.0.0.3"), [""; 0]);
    }

    #[test]
    fn a_file_without_end_is_given_up() {
        let endless = std::io::BufReader::new(std::io::repeat(b'x'));
        assert!(lookup(endless, "nas").is_empty());
        let many = "10.0.0.1 nas\n".repeat(1000);
        assert_eq!(lookup(many.as_bytes(), "nas").len(), HOST_ADDRESSES_MAX);
    }
}
