//! The extended handshake (BEP 10): what a peer says of itself, and which extensions it understands under which ids.

use crate::base::limits::{CLIENT_NAME_BYTES_MAX, REQQ};
use crate::wire::bencode::{self, Dict, Value};
use crate::wire::{Cursor, Misbehaved};
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Id of the extended handshake within the envelope of BEP 10; all others are agreed in `m`.
pub const HANDSHAKE_ID: u8 = 0;

/// What we call ourselves.
pub const OUR_CLIENT: &str = concat!("swarmlet ", env!("CARGO_PKG_VERSION"));

/// What of an extended handshake is of use. Everything in it is optional; what makes no sense counts as not said,
/// because clients put odd things there and mean no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake<'a> {
    /// `v`: client and version in the words of a stranger, cut to [`CLIENT_NAME_BYTES_MAX`]. Empty if not said.
    pub client: &'a [u8],
    /// `reqq`: requests it queues without dropping any; at least 1.
    pub reqq: Option<u32>,
    /// `p`: the TCP port it listens on; not 0.
    pub port: Option<u16>,
    /// `yourip`: our address as it sees it.
    pub your_ip: Option<IpAddr>,
    /// `metadata_size` (BEP 9): bytes of the `info` dictionary; not 0. Whoever allocates must bound it.
    pub metadata_bytes: Option<u32>,
    /// `upload_only` (BEP 21): whether it downloads nothing any more.
    pub upload_only: Option<bool>,
    extensions: Option<Dict<'a>>,
}

impl<'a> ExtendedHandshake<'a> {
    /// Reads the payload of the extended message with id [`HANDSHAKE_ID`]. Bytes after the dictionary are ignored.
    ///
    /// # Errors
    /// [`Misbehaved::BadExtendedHandshake`] if it does not start with a bencoded dictionary.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Misbehaved> {
        let parsed = bencode::parse_dict_prefix(payload);
        let (dict, _) = parsed.map_err(|_| Misbehaved::BadExtendedHandshake)?;
        let mut handshake = Self::default();
        for (key, value) in dict.entries() {
            handshake.take_in(key, value);
        }
        Ok(handshake)
    }

    fn take_in(&mut self, key: &[u8], value: Value<'a>) {
        match key {
            b"m" => self.extensions = value.as_dict(),
            b"metadata_size" => self.metadata_bytes = positive(value),
            b"p" => self.port = positive(value),
            b"reqq" => self.reqq = positive(value),
            b"upload_only" => self.upload_only = value.as_int().map(|int| int != 0),
            b"v" => {
                let name = value.as_bytes().unwrap_or_default();
                self.client = name.get(..CLIENT_NAME_BYTES_MAX).unwrap_or(name);
            }
            b"yourip" => self.your_ip = value.as_bytes().and_then(address),
            _ => {}
        }
    }

    /// The id under which the sender wants messages of extension `name`; `None` if it does not speak it, or no more.
    pub fn id_of(&self, name: &[u8]) -> Option<u8> {
        positive(self.extensions?.get(name)?)
    }

    /// Appends the payload of ours. `port` is the TCP port that we listen on, 0 for none; `upload_only`: we download
    /// nothing any more (BEP 21), said either way because it may have been otherwise before; `your_ip` is the receiver's address as we see it. Keys are sorted.
    pub fn encode_ours(port: u16, upload_only: bool, your_ip: IpAddr, out: &mut Vec<u8>) {
        let port = if port > 0 { format!("1:pi{port}e") } else { Default::default() };
        let seed = u8::from(upload_only);
        let head = format!("d1:mde{port}4:reqqi{REQQ}e11:upload_onlyi{seed}e");
        let ours = format!("{head}1:v{}:{OUR_CLIENT}6:yourip", OUR_CLIENT.len());
        out.extend_from_slice(ours.as_bytes());
        match your_ip.to_canonical() {
            IpAddr::V4(ip) => out.extend(b"4:".iter().chain(&ip.octets())),
            IpAddr::V6(ip) => out.extend(b"16:".iter().chain(&ip.octets())),
        }
        out.push(b'e');
    }
}

/// A number that must be at least 1 and fit.
fn positive<T: TryFrom<i64>>(value: Value<'_>) -> Option<T> {
    value.as_int().filter(|&int| int > 0).and_then(|int| T::try_from(int).ok())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let mut cursor = Cursor::new(bytes);
    match bytes.len() {
        4 => cursor.array::<4>().map(IpAddr::from),
        16 => cursor.array::<16>().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_read_back() {
        let mut payload = Vec::new();
        ExtendedHandshake::encode_ours(6881, true, [1, 2, 3, 4].into(), &mut payload);
        let ours = ExtendedHandshake::parse(&payload).unwrap();
        assert_eq!((ours.client, ours.reqq, ours.port), (OUR_CLIENT.as_bytes(), Some(REQQ), Some(6881)));
        assert_eq!((ours.upload_only, ours.your_ip), (Some(true), Some([1, 2, 3, 4].into())));
        assert!(payload.starts_with(b"d1:mde1:pi6881e4:reqq"), "keys must be sorted");
        payload.clear();
        ExtendedHandshake::encode_ours(0, false, core::net::Ipv6Addr::LOCALHOST.into(), &mut payload);
        assert_eq!(ExtendedHandshake::parse(&payload).unwrap().port, None);
    }

    #[test]
    fn what_real_clients_say_is_understood() {
        let payload = b"d1:ei0e4:ipv44:\x01\x02\x03\x0412:complete_agoi1e1:md11:lt_donthavei7e11:ut_metadatai3e\
            6:ut_pexi0ee13:metadata_sizei41234e1:pi51413e4:reqqi2000e11:upload_onlyi1e1:v18:Transmission 4.0.6\
            6:yourip4:\x7f\x00\x00\x01etrailing";
        let said = ExtendedHandshake::parse(payload).unwrap();
        assert_eq!(said.client, b"Transmission 4.0.6");
        assert_eq!((said.reqq, said.port, said.metadata_bytes), (Some(2000), Some(51413), Some(41234)));
        assert_eq!((said.upload_only, said.your_ip), (Some(true), Some(IpAddr::from([127, 0, 0, 1]))));
        let ids = [&b"ut_metadata"[..], b"lt_donthave", b"ut_pex", b"unheard"].map(|name| said.id_of(name));
        assert_eq!(ids, [Some(3), Some(7), None, None], "0 takes an extension back");
    }

    #[test]
    fn nonsense_counts_as_not_said() {
        let cases: [&[u8]; 9] = [
            b"de",
            b"d4:reqqi0ee",
            b"d4:reqqi-5ee",
            b"d4:reqq3:250e",
            b"d4:reqqi99999999999ee",
            b"d1:pi65536ee",
            b"d1:pi0e6:yourip5:abcdee",
            b"d1:mi1e1:vi3e11:upload_onlylee",
            b"d13:metadata_sizei-1ee",
        ];
        for payload in cases {
            assert_eq!(ExtendedHandshake::parse(payload), Ok(ExtendedHandshake::default()));
        }
        let said = ExtendedHandshake::parse(b"d1:md6:ut_pexi256e11:ut_metadata1:3ee").unwrap();
        assert_eq!((said.id_of(b"ut_pex"), said.id_of(b"ut_metadata")), (None, None));
    }

    #[test]
    fn a_long_client_name_is_cut() {
        let payload = [&b"d1:v1000:"[..], &[b'x'; 1000], b"e"].concat();
        let said = ExtendedHandshake::parse(&payload).unwrap();
        assert_eq!(said.client, [b'x'; CLIENT_NAME_BYTES_MAX]);
    }

    #[test]
    fn only_what_is_no_dictionary_is_a_fault() {
        let deep = [&b"d1:m"[..], &[b'l'; 60_000]].concat();
        for payload in
            [&b""[..], b"le", b"i1e", b"4:spam", b"d", b"d1:v", b"d1:v99:shorte", b"di1ei2ee", &deep]
        {
            assert_eq!(ExtendedHandshake::parse(payload), Err(Misbehaved::BadExtendedHandshake));
        }
    }
}
