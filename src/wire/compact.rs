//! Compact peer lists (BEP 23 for IPv4, BEP 7 for IPv6): an address and a big-endian port each, without gaps.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of one IPv4 peer.
pub const PEER_BYTES: usize = 6;
/// Bytes of one IPv6 peer.
pub const PEER6_BYTES: usize = 18;

/// The peers of a `peers` string. Port 0 means nobody and is left out; so is a cut-off last peer.
pub fn peers(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.as_chunks::<PEER_BYTES>().0.iter().filter_map(|&[a, b, c, d, high, low]| {
        address(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
    })
}

/// The peers of a `peers6` string, under the same rules.
pub fn peers6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.as_chunks::<PEER6_BYTES>().0.iter().filter_map(|peer| {
        let (ip, port) = (peer.first_chunk::<16>()?, peer.last_chunk::<2>()?);
        address(Ipv6Addr::from(*ip), u16::from_be_bytes(*port))
    })
}

fn address(ip: impl Into<core::net::IpAddr>, port: u16) -> Option<SocketAddr> {
    (port != 0).then(|| SocketAddr::new(ip.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_and_port_zero_is_nobody() {
        let bytes = [1, 2, 3, 4, 0x1a, 0xe1, 9, 9, 9, 9, 0, 0, 5, 6, 7, 8, 0, 1];
        let wanted = ["1.2.3.4:6881".parse().unwrap(), "5.6.7.8:1".parse().unwrap()];
        assert_eq!(peers(&bytes).collect::<Vec<SocketAddr>>(), wanted);
    }

    #[test]
    fn peers6_are_read() {
        let mut bytes = [0; 36];
        bytes[15] = 1;
        bytes[16] = 0x1f;
        bytes[17] = 0x90;
        let wanted: SocketAddr = "[::1]:8080".parse().unwrap();
        assert_eq!(peers6(&bytes).collect::<Vec<_>>(), [wanted]);
    }

    #[test]
    fn a_cut_off_peer_is_left_out() {
        for cut in 0..12 {
            assert_eq!(peers(&[7; 12][..cut]).count(), cut / 6);
        }
        assert_eq!(peers6(&[7; 35]).count(), 1);
    }
}
