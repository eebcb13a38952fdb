//! A set of numbers that are taken out one after the other, the least first, without a look at those that are not in it.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Some of the numbers below a bound. A word of each level says which words of the level below are not empty.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The lowest first; the last one has one word.
    levels: Vec<Box<[u64]>>,
}

impl Backlog {
    /// The empty set of numbers below `len`.
    pub fn new(len: u32) -> Self {
        let (mut levels, mut words) = (Vec::new(), len);
        loop {
            words = words.div_ceil(u64::BITS).max(1);
            levels.push(vec![0; words as usize].into_boxed_slice());
            if words == 1 {
                return Self { levels };
            }
        }
    }

    /// Adds `number`; out of range changes nothing.
    pub fn insert(&mut self, number: u32) {
        let mut at = number;
        for level in &mut self.levels {
            let Some(word) = level.get_mut((at / u64::BITS) as usize) else { return };
            *word |= 1 << (at % u64::BITS);
            at /= u64::BITS;
        }
    }

    /// Takes `number` out.
    pub fn remove(&mut self, number: u32) {
        let mut at = number;
        for level in &mut self.levels {
            let Some(word) = level.get_mut((at / u64::BITS) as usize) else { return };
            *word &= !(1 << (at % u64::BITS));
            if *word != 0 {
                return;
            }
            at /= u64::BITS;
        }
    }

    /// True if `number` is in it.
    pub fn has(&self, number: u32) -> bool {
        let word = self.levels.first().and_then(|lowest| lowest.get((number / u64::BITS) as usize));
        word.is_some_and(|word| word & (1 << (number % u64::BITS)) != 0)
    }

    /// The least number in it.
    pub fn first(&self) -> Option<u32> {
        let mut at = 0;
        for level in self.levels.iter().rev() {
            let word = level.get(at as usize).filter(|word| **word != 0)?;
            at = at * u64::BITS + word.trailing_zeros();
        }
        Some(at)
    }

    /// Bytes of memory held beside the set itself.
    pub fn held_bytes(&self) -> usize {
        let words: usize = self.levels.iter().map(|level| level.len()).sum();
        words * size_of::<u64>() + self.levels.capacity() * size_of::<Box<[u64]>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use alloc::collections::BTreeSet;

    #[test]
    fn the_least_number_is_found_whatever_was_put_in_and_taken_out() {
        for len in [1, 63, 64, 65, 4_096, 4_097, 300_000] {
            let (mut backlog, mut expected, mut rng) = (Backlog::new(len), BTreeSet::new(), Rng::new(3));
            for _ in 0..3_000 {
                let number = rng.below(len);
                if rng.one_in(2) {
                    backlog.insert(number);
                    expected.insert(number);
                } else {
                    backlog.remove(number);
                    expected.remove(&number);
                }
                assert_eq!(
                    (backlog.first(), backlog.has(number)),
                    (expected.first().copied(), expected.contains(&number))
                );
            }
            while let Some(number) = backlog.first() {
                backlog.remove(number);
                assert_eq!(expected.pop_first(), Some(number));
            }
            assert!(expected.is_empty() && !backlog.has(0));
            assert!(backlog.held_bytes() <= len as usize / 7 + 200, "{}", backlog.held_bytes());
        }
    }

    #[test]
    fn what_is_out_of_range_is_not_in_it() {
        for len in [0, 10, 64] {
            let mut backlog = Backlog::new(len);
            backlog.insert(1_000);
            backlog.remove(1_000);
            assert!(backlog.first().is_none() && !backlog.has(1_000) && !backlog.has(u32::MAX));
        }
    }
}
