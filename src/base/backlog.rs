//! Numbers that are taken out one after the other, without a look at those that are not there. As long as they are few,
//! they are a list; then a bit for each number that there could be.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

/// Most numbers of a list, if the bits would not be shorter.
const LISTED_MAX: usize = 1024;

/// Some of the numbers below a bound.
#[derive(Clone, Debug)]
pub struct Backlog {
    len: u32,
    listed: VecDeque<u32>,
    /// A word of each level says which words of the level below are not empty; the last one has one word. None while they
    /// are listed.
    levels: Vec<Box<[u64]>>,
}

impl Backlog {
    /// None of the numbers below `len`.
    pub const fn new(len: u32) -> Self {
        Self { len, listed: VecDeque::new(), levels: Vec::new() }
    }

    /// Adds `number`; out of range changes nothing.
    pub fn add(&mut self, number: u32) {
        if number >= self.len {
            return;
        }
        if self.levels.is_empty() {
            // A number takes as much as 32 bits.
            if self.listed.len() < LISTED_MAX.min(self.len as usize / 32) {
                return self.listed.push_back(number);
            }
            self.make_levels();
        }
        self.set(number);
    }

    /// True if `number` is there.
    pub fn has(&self, number: u32) -> bool {
        let word = self.levels.first().and_then(|lowest| lowest.get((number / u64::BITS) as usize));
        word.is_some_and(|word| word & (1 << (number % u64::BITS)) != 0) || self.listed.contains(&number)
    }

    /// The number that is taken out next.
    pub fn first(&self) -> Option<u32> {
        if self.levels.is_empty() {
            return self.listed.front().copied();
        }
        let mut at = 0;
        for level in self.levels.iter().rev() {
            let word = level.get(at as usize).filter(|word| **word != 0)?;
            at = at * u64::BITS + word.trailing_zeros();
        }
        Some(at)
    }

    /// Takes that out.
    pub fn remove_first(&mut self) {
        if self.listed.pop_front().is_some() {
            return;
        }
        let Some(mut at) = self.first() else { return };
        for level in &mut self.levels {
            let Some(word) = level.get_mut((at / u64::BITS) as usize) else { return };
            *word &= !(1 << (at % u64::BITS));
            if *word != 0 {
                return;
            }
            at /= u64::BITS;
        }
    }

    /// Bytes of memory held beside it.
    pub fn held_bytes(&self) -> usize {
        let words: usize = self.levels.iter().map(|level| level.len()).sum();
        self.listed.capacity() * size_of::<u32>()
            + words * size_of::<u64>()
            + self.levels.capacity() * size_of::<Box<[u64]>>()
    }

    fn make_levels(&mut self) {
        let mut words = self.len;
        while self.levels.is_empty() || words > 1 {
            words = words.div_ceil(u64::BITS).max(1);
            self.levels.push(vec![0; words as usize].into_boxed_slice());
        }
        core::mem::take(&mut self.listed).into_iter().for_each(|number| self.set(number));
    }

    fn set(&mut self, number: u32) {
        let mut at = number;
        for level in &mut self.levels {
            let Some(word) = level.get_mut((at / u64::BITS) as usize) else { return };
            *word |= 1 << (at % u64::BITS);
            at /= u64::BITS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use alloc::collections::BTreeSet;

    #[test]
    fn everything_comes_out_once_whatever_was_put_in() {
        for len in [1, 63, 64, 65, 4_096, 4_097, 300_000] {
            let (mut backlog, mut expected, mut rng) = (Backlog::new(len), BTreeSet::new(), Rng::new(3));
            for _ in 0..6_000 {
                let number = rng.below(len);
                if rng.one_in(3) {
                    if let Some(first) = backlog.first() {
                        assert!(expected.remove(&first), "{first} of {len}");
                    }
                    backlog.remove_first();
                } else if expected.insert(number) {
                    backlog.add(number);
                }
                assert_eq!(
                    (backlog.first().is_none(), backlog.has(number)),
                    (expected.is_empty(), expected.contains(&number))
                );
            }
            assert!(backlog.held_bytes() <= len as usize / 7 + 200, "{}", backlog.held_bytes());
            while let Some(number) = backlog.first() {
                backlog.remove_first();
                assert!(expected.remove(&number));
            }
            assert!(expected.is_empty() && !backlog.has(0));
        }
    }

    #[test]
    fn a_few_of_many_take_little_memory() {
        let mut backlog = Backlog::new(1 << 21);
        (0..500).for_each(|number| backlog.add(number * 1_000));
        assert!(backlog.held_bytes() <= 4_096 && backlog.has(7_000) && !backlog.has(7_001));
        (0..LISTED_MAX as u32).for_each(|number| backlog.add(number * 1_000 + 1));
        assert!(backlog.held_bytes() > 1 << 18 && backlog.has(7_000) && backlog.has(7_001));
    }

    #[test]
    fn what_is_out_of_range_is_not_there() {
        for len in [0, 10, 64, 1_000] {
            let mut backlog = Backlog::new(len);
            backlog.add(1_000);
            backlog.remove_first();
            assert!(backlog.first().is_none() && !backlog.has(1_000) && !backlog.has(u32::MAX));
        }
    }
}
