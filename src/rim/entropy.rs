//! Where chance comes from.

use crate::base::Rng;
use crate::rim::sys;
use std::io;

/// A generator that nobody can predict from outside. Waits only on a machine that has just booted and has no
/// randomness yet.
///
/// # Errors
/// The kernel is older than 3.17, or forbids `getrandom(2)`.
pub fn generator() -> io::Result<Rng> {
    let mut seed = [0; 8];
    sys::random(&mut seed)?;
    Ok(Rng::new(u64::from_ne_bytes(seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_runs_have_the_same_chance() {
        let (mut a, mut b) = (generator().unwrap(), generator().unwrap());
        assert_ne!((a.next_u64(), a.next_u64()), (b.next_u64(), b.next_u64()));
    }
}
