//! A set of pieces, laid out as on the wire (BEP 3): the high bit of the first byte is piece 0.

use alloc::boxed::Box;
use alloc::vec;

/// A set of the numbers `0..len` that knows how many it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Box<[u8]>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// The empty set over `0..len`.
    pub fn new(len: u32) -> Self {
        Self { bytes: vec![0; len.div_ceil(8) as usize].into_boxed_slice(), len, ones: 0 }
    }

    /// The full set over `0..len`.
    pub fn full(len: u32) -> Self {
        let mut bytes = vec![0xff; len.div_ceil(8) as usize].into_boxed_slice();
        if let Some(last) = bytes.last_mut() {
            *last &= spare_mask(len);
        }
        Self { bytes, len, ones: len }
    }

    /// The set that `bytes` of a `bitfield` message describe. `None` unless there are exactly enough
    /// bytes for `len` pieces and the spare bits are zero.
    pub fn from_wire(bytes: &[u8], len: u32) -> Option<Self> {
        let spare = bytes.last().map_or(0, |last| last & !spare_mask(len));
        if bytes.len() != len.div_ceil(8) as usize || spare != 0 {
            return None;
        }
        let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Self { bytes: bytes.into(), len, ones })
    }

    /// The bytes of a `bitfield` message.
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes
    }

    /// How many numbers the set ranges over.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True if it ranges over nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// True if all are in it.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// True if `index` is in it; false for numbers out of range.
    pub fn has(&self, index: u32) -> bool {
        self.bytes.get(index as usize / 8).is_some_and(|byte| byte & bit(index) != 0)
    }

    /// The numbers `64 * nth ..` and 63 more, the first in the highest bit; 0 out of range.
    pub fn word(&self, nth: u32) -> u64 {
        let rest = self.bytes.get(nth as usize * 8..).unwrap_or_default();
        match rest.first_chunk() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => {
                rest.iter().zip(1..).fold(0, |word, (&byte, nth)| word | u64::from(byte) << (64 - 8 * nth))
            }
        }
    }

    /// Adds `index`. True if it was not in it before; out of range changes nothing.
    pub fn insert(&mut self, index: u32) -> bool {
        let fresh = index < self.len && !self.has(index);
        if fresh {
            self.bytes[index as usize / 8] |= bit(index);
            self.ones += 1;
        }
        fresh
    }

    /// Takes `index` out. True if it was in it.
    pub fn remove(&mut self, index: u32) -> bool {
        let present = self.has(index);
        if present {
            self.bytes[index as usize / 8] &= !bit(index);
            self.ones -= 1;
        }
        present
    }

    /// What is in it and not in `other`, which ranges over the same numbers. Costs a look at each byte, not at each number.
    pub fn minus(&self, other: &Self) -> Self {
        let bytes: Box<[u8]> =
            self.bytes.iter().zip(&other.bytes).map(|(byte, other)| byte & !other).collect();
        let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
        Self { bytes, len: self.len, ones }
    }

    /// Bytes of memory held beside the set itself.
    pub fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All numbers in it, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let some = self.bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
        some.flat_map(|(at, &byte)| {
            let first = at as u32 * 8;
            (0..8).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| first + bit)
        })
    }
}

/// The bit of `index` within its byte.
const fn bit(index: u32) -> u8 {
    0x80 >> (index % 8)
}

/// The bits of the last byte that stand for numbers below `len`.
const fn spare_mask(len: u32) -> u8 {
    match len % 8 {
        0 => 0xff,
        used => !(0xff >> used),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_and_the_other_lacks() {
        let of = |numbers: &[u32]| {
            let mut set = Bitfield::new(20);
            for &number in numbers {
                set.insert(number);
            }
            set
        };
        let left = of(&[0, 7, 8, 19]).minus(&of(&[1, 7, 18, 19]));
        assert_eq!((left.iter().collect::<Vec<u32>>(), left.count()), (vec![0, 8], 2));
        assert!(of(&[3]).minus(&Bitfield::full(20)).count() == 0);
    }

    #[test]
    fn words_hold_sixty_four() {
        for len in [0, 1, 9, 63, 64, 65, 200] {
            let mut set = Bitfield::new(len);
            (0..len).filter(|number| number % 3 != 1).for_each(|number| assert!(set.insert(number)));
            let holds = |number: u32| set.word(number / 64) & (1 << (63 - number % 64)) != 0;
            assert!((0..300).all(|number| holds(number) == set.has(number)), "{len}");
        }
    }

    #[test]
    fn wire_order_is_high_bit_first() {
        let mut set = Bitfield::new(10);
        assert!(set.insert(0) && set.insert(9) && !set.insert(9) && !set.insert(10));
        assert_eq!(set.as_wire(), [0b1000_0000, 0b0100_0000]);
        assert_eq!((set.count(), set.iter().collect()), (2, vec![0, 9]));
        assert!(set.remove(0) && !set.remove(0) && !set.remove(77));
        assert_eq!(set.count(), 1);
    }

    #[test]
    fn the_wire_is_not_believed() {
        assert!(Bitfield::from_wire(&[0xff, 0b1100_0000], 10).is_some_and(|set| set.is_full()));
        assert_eq!(Bitfield::from_wire(&[0xff, 0b1110_0000], 10), None, "spare bit set");
        assert_eq!(Bitfield::from_wire(&[0xff], 10), None, "too short");
        assert_eq!(Bitfield::from_wire(&[0xff, 0, 0], 10), None, "too long");
        assert!(Bitfield::from_wire(&[], 0).is_some());
    }

    #[test]
    fn full_has_all_and_no_more() {
        for len in 0..40 {
            let full = Bitfield::full(len);
            assert_eq!(full.iter().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            assert_eq!(Bitfield::from_wire(full.as_wire(), len), Some(full));
        }
    }
}
