//! The peer id by which a run names itself (BEP 20).

use crate::base::{PeerId, Rng};

/// `-SW`, our version, and behind it twelve random characters that survive in a URL.
pub(super) fn our_id(rng: &mut Rng) -> PeerId {
    const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut id = [0; 20];
    id[..8].copy_from_slice(&PREFIX);
    for letter in &mut id[8..] {
        *letter = LETTERS[rng.below(62) as usize];
    }
    PeerId(id)
}

/// What all ids of this version begin with: one character for each of its numbers, and 0.
const PREFIX: [u8; 8] = {
    let major = digit(env!("CARGO_PKG_VERSION_MAJOR"));
    let minor = digit(env!("CARGO_PKG_VERSION_MINOR"));
    let patch = digit(env!("CARGO_PKG_VERSION_PATCH"));
    [b'-', b'S', b'W', major, minor, patch, b'0', b'-']
};

/// A number up to 35 in decimal as one character: a digit, or a letter from 10 on, as others do.
const fn digit(number: &str) -> u8 {
    let (mut value, mut nth) = (0, 0);
    while nth < number.len() {
        value = value * 10 + (number.as_bytes()[nth] - b'0');
        nth += 1;
    }
    assert!(value < 36, "ours: one character holds no larger number of a version");
    if value < 10 { b'0' + value } else { b'A' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::client_name;

    #[test]
    fn the_id_tells_the_version_of_the_crate_and_no_two_are_alike() {
        let mut rng = Rng::new(1);
        let (one, other) = (our_id(&mut rng), our_id(&mut rng));
        assert_eq!(client_name(&one), concat!("SW ", env!("CARGO_PKG_VERSION")));
        assert!(one != other && one.0[8..].iter().all(u8::is_ascii_alphanumeric));
    }

    #[test]
    fn a_number_is_one_character() {
        assert_eq!(["0", "9", "10", "35"].map(digit), *b"09AZ");
    }
}
