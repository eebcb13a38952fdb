//! What an extent costs by each of two ways, learned by trying both now and then.
//!
//! Nothing that could be looked up tells it: whether the kernel maps a huge page with one fault, whether it clears the
//! page first, whether a virtual machine has to fetch it from its host. The processor time of a few extents tells.

/// Extents tried each way before a choice.
const TRIAL: u32 = 4;
/// Extents stored by choice before the next trial: fewest and most.
const SPAN_MIN: u32 = 32;
const SPAN_MAX: u32 = 1024;
/// A window may cost so many times what a positioned write costs: both are little beside hashing.
const WINDOW_MAY_COST: u64 = 2;

/// How an extent goes into its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Copied into a mapped window.
    Window,
    /// By positioned writes.
    Positioned,
}

/// The trials and what followed from them.
#[derive(Debug)]
pub(super) struct Prices {
    chosen: Way,
    /// Extents until the next trial; 0 during one.
    left: u32,
    /// Extents between the last trial and the next.
    span: u32,
    /// Extents of this trial that have been paid.
    tried: u32,
    window_us: u64,
    positioned_us: u64,
}

impl Default for Prices {
    /// Begins with a trial.
    fn default() -> Self {
        Self { chosen: Way::Window, left: 0, span: SPAN_MIN, tried: 0, window_us: 0, positioned_us: 0 }
    }
}

impl Prices {
    /// The way for the next extent. In a trial they take turns.
    pub(super) fn way(&self) -> Way {
        match self.is_trial() {
            true if self.tried.is_multiple_of(2) => Way::Window,
            true => Way::Positioned,
            false => self.chosen,
        }
    }

    /// True if what the next extent costs is to be told.
    pub(super) fn is_trial(&self) -> bool {
        self.left == 0
    }

    /// An extent was stored outside a trial.
    pub(super) fn stored(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// An extent of a trial took `cpu_us` of processor time. Answers what was chosen if the trial ends and the choice is
    /// another than before.
    pub(super) fn paid(&mut self, way: Way, cpu_us: u64) -> Option<Way> {
        if !self.is_trial() {
            return None; // A refusal has ended the trial.
        }
        match way {
            Way::Window => self.window_us += cpu_us,
            Way::Positioned => self.positioned_us += cpu_us,
        }
        self.tried += 1;
        if self.tried < 2 * TRIAL {
            return None;
        }
        let is_cheap = self.window_us <= self.positioned_us * WINDOW_MAY_COST;
        self.choose(if is_cheap { Way::Window } else { Way::Positioned })
    }

    /// Windows cannot be had for now.
    pub(super) fn refused(&mut self) {
        self.choose(Way::Positioned);
        self.left = SPAN_MAX;
    }

    fn choose(&mut self, way: Way) -> Option<Way> {
        let is_change = way != self.chosen;
        self.span = if is_change { SPAN_MIN } else { (2 * self.span).min(SPAN_MAX) };
        *self = Self { chosen: way, left: self.span, span: self.span, ..Self::default() };
        is_change.then_some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores `extents` at these prices; returns how many went through windows.
    fn store(prices: &mut Prices, extents: u32, window_us: u64, positioned_us: u64) -> u32 {
        let mut windows = 0;
        for _ in 0..extents {
            let way = prices.way();
            windows += u32::from(way == Way::Window);
            if prices.is_trial() {
                prices.paid(way, if way == Way::Window { window_us } else { positioned_us });
            } else {
                prices.stored();
            }
        }
        windows
    }

    #[test]
    fn a_window_that_is_cheap_enough_is_kept() {
        let windows = store(&mut Prices::default(), 10_000, 390, 200);
        assert!(windows > 9_900, "{windows}");
    }

    #[test]
    fn a_dear_window_is_tried_seldom() {
        let windows = store(&mut Prices::default(), 10_000, 4_600, 300);
        assert!((4 * TRIAL..100).contains(&windows), "{windows}");
    }

    #[test]
    fn a_change_of_prices_is_noticed() {
        let mut prices = Prices::default();
        store(&mut prices, 5_000, 4_600, 300);
        let windows = store(&mut prices, 5_000, 300, 300);
        assert!(windows > 3_000, "{windows}");
    }

    #[test]
    fn a_refusal_lasts_for_a_while() {
        let mut prices = Prices::default();
        prices.refused();
        assert_eq!(store(&mut prices, SPAN_MAX, 1, 1), 0);
        assert_eq!(store(&mut prices, 2 * TRIAL, 1, 1), TRIAL);
    }
}
