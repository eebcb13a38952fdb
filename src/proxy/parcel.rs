//! Datagrams on their way through a SOCKS 5 proxy (RFC 1928, 7): before its bytes each says where it goes, or where it
//! comes from.

use super::place;
use crate::wire::cursor::Cursor;
use crate::wire::url::Host;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Two bytes that mean nothing, and the number of the fragment: 0 is a whole datagram.
const HEAD: [u8; 3] = [0, 0, 0];

/// A datagram for `port` of `host`, as the proxy wants it.
pub fn packed(host: &Host, port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut parcel = Vec::with_capacity(bytes.len() + 24);
    parcel.extend_from_slice(&HEAD);
    place::append(&mut parcel, host, port);
    parcel.extend_from_slice(bytes);
    parcel
}

/// Where a datagram from the proxy comes from, if it says so by an address, and its bytes. `None` for what is no datagram:
/// fragments are never asked for, and may be dropped.
pub fn unpacked(parcel: &[u8]) -> Option<(Option<SocketAddr>, &[u8])> {
    let mut cursor = Cursor::new(parcel);
    let [_, _, fragment] = cursor.array()?;
    let (ip, port) = place::read(&mut cursor)?;
    (fragment == 0).then(|| (ip.map(|ip| SocketAddr::new(ip, port)), cursor.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn each_datagram_says_where_it_goes() {
        assert_eq!(packed(&host("1.2.3.4"), 80, b"hi"), b"\0\0\0\x01\x01\x02\x03\x04\0\x50hi");
        assert_eq!(packed(&host("t.example"), 6969, b""), b"\0\0\0\x03\x09t.example\x1b\x39");
        assert_eq!(packed(&host("[::1]"), 1, b"x")[..4], [0, 0, 0, 4]);
    }

    #[test]
    fn what_was_packed_is_unpacked_as_it_was() {
        for (text, from) in [
            ("1.2.3.4", Some("1.2.3.4:80")),
            ("[2001:db8::1]", Some("[2001:db8::1]:80")),
            ("t.example", None),
        ] {
            let parcel = packed(&host(text), 80, b"bytes");
            let from = from.map(|from| from.parse().unwrap());
            assert_eq!(unpacked(&parcel), Some((from, &b"bytes"[..])), "{text}");
            let head = parcel.len() - 5;
            assert!((0..head).all(|length| unpacked(&parcel[..length]).is_none()), "{text}, cut off");
        }
    }

    #[test]
    fn nobody_in_particular_is_nobody_and_mapped_addresses_are_ipv4() {
        assert_eq!(unpacked(b"\0\0\0\x01\0\0\0\0\0\0x"), Some((None, &b"x"[..])));
        let mapped = packed(&host("[::ffff:1.2.3.4]"), 9, b"");
        assert_eq!(unpacked(&mapped), Some((Some("1.2.3.4:9".parse().unwrap()), &b""[..])));
    }

    #[test]
    fn fragments_and_unknown_kinds_are_not_taken() {
        for parcel in
            [&b"\0\0\x01\x01\x01\x02\x03\x04\0\x50hi"[..], b"\0\0\0\x02\x01\x02\x03\x04\0\x50hi", b""]
        {
            assert_eq!(unpacked(parcel), None, "{parcel:?}");
        }
    }
}
