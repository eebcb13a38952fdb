//! Canonical peer priority (BEP 40): both ends of a connection that is or could be rank it alike, so that where places
//! are short the same connections are kept by everybody, and nobody can choose its own rank.

use core::net::{IpAddr, SocketAddr};

/// The rank of a connection between two addresses; the higher, the better. `None` for different families.
pub fn priority(one: SocketAddr, other: SocketAddr) -> Option<u32> {
    if one.ip() == other.ip() {
        let mut ports = [one.port().to_be_bytes(), other.port().to_be_bytes()];
        ports.sort_unstable();
        return Some(crc32c(ports.as_flattened()));
    }
    match (one.ip(), other.ip()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => Some(of_pair(one.octets(), other.octets(), 2)),
        (IpAddr::V6(one), IpAddr::V6(other)) => Some(of_pair(one.octets(), other.octets(), 6)),
        _ => None,
    }
}

/// Of each address the first `network` bytes count in whole, and where the two are neighbours those that are the same
/// and one more; of the rest every other bit.
fn of_pair<const N: usize>(one: [u8; N], other: [u8; N], network: usize) -> u32 {
    let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let whole = if same >= network { same + 1 } else { network };
    let masked = |address: [u8; N]| {
        let mut nth = 0;
        address.map(|byte| {
            nth += 1;
            if nth <= whole { byte } else { byte & 0x55 }
        })
    };
    let mut pair = [masked(one), masked(other)];
    pair.sort_unstable();
    crc32c(pair.as_flattened())
}

/// CRC-32C (Castagnoli), four bits at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 4) ^ TABLE[(crc & 15) as usize];
    !bytes.iter().fold(!0, |crc, &byte| step(step(crc ^ u32::from(byte))))
}

/// What four bits do to the rest.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut nth = 0;
    while nth < 16 {
        let (mut crc, mut bit) = (nth as u32, 0);
        while bit < 4 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[nth] = crc;
        nth += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn the_examples_of_bep_40_from_both_ends() {
        let rank = |one: &str, other: &str| priority(one.parse().unwrap(), other.parse().unwrap());
        for (one, other, expected) in [
            ("123.213.32.10:0", "98.76.54.32:0", Some(0xec2d_7224)),
            ("123.213.32.10:0", "123.213.32.234:0", Some(0x9956_8189)),
            ("123.213.32.10:1", "[2001:db8::1]:1", None),
        ] {
            assert_eq!((rank(one, other), rank(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn what_is_masked_does_not_count_and_what_is_near_does() {
        let rank = |one: &str, other: &str| priority(one.parse().unwrap(), other.parse().unwrap());
        let far = rank("1.2.3.4:1", "9.8.7.6:1");
        assert_eq!(rank("1.2.3.4:5", "9.8.175.174:5"), far, "bits that do not count, and the ports");
        assert_ne!(rank("1.2.3.4:1", "1.2.175.6:1"), rank("1.2.3.4:1", "1.2.7.6:1"), "in one /16");
        let v6 = rank("[2001:db8:1::1]:1", "[2001:db8:2::1]:1");
        assert_eq!(rank("[2001:db8:1::ab]:1", "[2001:db8:2::1]:1"), v6);
        assert_ne!(rank("1.2.3.4:5", "1.2.3.4:6"), rank("1.2.3.4:5", "1.2.3.4:7"), "one address: the ports");
    }
}
