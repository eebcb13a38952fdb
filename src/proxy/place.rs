//! Places as SOCKS 5 writes them (RFC 1928, 5): what kind of address, the address, the port.

use crate::wire::cursor::Cursor;
use crate::wire::url::Host;
use alloc::vec::Vec;
use core::net::IpAddr;

pub(super) const IPV4: u8 = 1;
pub(super) const NAME: u8 = 3;
pub(super) const IPV6: u8 = 4;

/// Appends a place to `words`. A name goes as it is: the proxy finds its address.
pub(super) fn append(words: &mut Vec<u8>, host: &Host, port: u16) {
    match host {
        Host::Address(IpAddr::V4(v4)) => {
            words.push(IPV4);
            words.extend_from_slice(&v4.octets());
        }
        Host::Address(IpAddr::V6(v6)) => {
            words.push(IPV6);
            words.extend_from_slice(&v6.octets());
        }
        Host::Name(name) => {
            words.extend_from_slice(&[NAME, name.len() as u8]); // names have at most 253 bytes
            words.extend_from_slice(name.as_bytes());
        }
    }
    words.extend_from_slice(&port.to_be_bytes());
}

/// Reads a place: the address, `None` where a name stands or nowhere is named (`0.0.0.0`), and the port. `None` if it is cut
/// off or of an unknown kind.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<(Option<IpAddr>, u16)> {
    let ip = match cursor.u8()? {
        IPV4 => Some(IpAddr::from(cursor.array::<4>()?)),
        IPV6 => Some(IpAddr::from(cursor.array::<16>()?).to_canonical()),
        NAME => {
            let length = cursor.u8()?;
            cursor.bytes(length.into())?;
            None
        }
        _ => return None,
    };
    Some((ip.filter(|ip| !ip.is_unspecified()), cursor.u16()?))
}
