//! What an extent costs by each of two ways, learned by trying both now and then.
//!
//! Nothing that could be looked up tells it: whether the kernel maps a huge page with one fault, whether it clears the
//! page first, whether a virtual machine has to fetch it from its host. The processor time of a few extents tells.

/// Extents stored at the start, by each way in turn.
const TRIAL: u32 = 4;
/// Extents stored by choice before the other way is tried again: fewest and most.
const SPAN_MIN: u32 = 16;
const SPAN_MAX: u32 = 1024;
/// Of the extents stored by choice, one in so many is measured: looking at the clock is a system call.
const MEASURED: u32 = 4;
/// A window may cost so many times what positioned writes cost: both are little beside hashing.
const WINDOW_MAY_COST: u64 = 2;

/// How an extent goes into its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Copied into a mapped window.
    Window,
    /// By positioned writes.
    Positioned,
}

/// What each way costs of late, and when the other one is tried again.
#[derive(Debug)]
pub(super) struct Prices {
    /// Processor time of an extent, in µs, averaged over the last few; 0 until there is one.
    window_us: u64,
    positioned_us: u64,
    /// Extents left of the first trial.
    trial: u32,
    /// Extents until the other way is tried.
    left: u32,
    span: u32,
}

impl Default for Prices {
    /// Begins with a trial.
    fn default() -> Self {
        Self { window_us: 0, positioned_us: 0, trial: TRIAL, left: SPAN_MIN, span: SPAN_MIN }
    }
}

impl Prices {
    /// The way for the next extent.
    pub(super) fn way(&self) -> Way {
        match (self.trial, self.left) {
            (1.., _) if self.trial.is_multiple_of(2) => Way::Window,
            (1.., _) => Way::Positioned,
            (0, 0) => self.choice().other(),
            (0, _) => self.choice(),
        }
    }

    /// True if what the next extent costs is to be measured.
    pub(super) fn wants_price(&self) -> bool {
        self.trial > 0 || self.left.is_multiple_of(MEASURED)
    }

    /// An extent was stored by this way; `cpu_us` of processor time, if that was measured.
    pub(super) fn stored(&mut self, way: Way, cpu_us: Option<u64>) {
        let before = self.choice();
        cpu_us.into_iter().for_each(|cpu_us| self.note(way, cpu_us));
        if self.trial > 0 {
            self.trial -= 1;
        } else if self.choice() != before {
            (self.left, self.span) = (SPAN_MIN, SPAN_MIN);
        } else if self.left == 0 {
            self.span = (2 * self.span).min(SPAN_MAX);
            self.left = self.span;
        } else {
            self.left -= 1;
        }
    }

    fn note(&mut self, way: Way, cpu_us: u64) {
        let price = match way {
            Way::Window => &mut self.window_us,
            Way::Positioned => &mut self.positioned_us,
        };
        *price = if *price == 0 { cpu_us } else { (*price * 3 + cpu_us) / 4 };
    }

    /// Windows cannot be had for now.
    pub(super) fn refused(&mut self) {
        *self = Self { window_us: 1_000_000, positioned_us: 1, trial: 0, left: SPAN_MAX, span: SPAN_MAX };
    }

    /// The way that is cheap enough.
    pub(super) fn choice(&self) -> Way {
        let is_cheap = self.window_us <= self.positioned_us.saturating_mul(WINDOW_MAY_COST);
        if is_cheap { Way::Window } else { Way::Positioned }
    }
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::Window => Self::Positioned,
            Self::Positioned => Self::Window,
        }
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
            let price = if way == Way::Window { window_us } else { positioned_us };
            let is_measured = prices.wants_price();
            prices.stored(way, Some(price).filter(|_| is_measured));
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
        assert!((TRIAL / 2..40).contains(&windows), "{windows}");
    }

    #[test]
    fn windows_that_become_dear_are_left_at_once_and_come_back_when_they_are_cheap() {
        let mut prices = Prices::default();
        assert!(store(&mut prices, 1_000, 300, 300) > 980);
        let windows = store(&mut prices, 1_000, 4_600, 300);
        assert!(windows < 40, "{windows}");
        let windows = store(&mut prices, 20_000, 300, 300);
        assert!(windows > 10_000, "{windows}");
    }

    #[test]
    fn a_refusal_lasts_for_a_while() {
        let mut prices = Prices::default();
        prices.refused();
        assert_eq!(store(&mut prices, SPAN_MAX, 1, 1), 0);
        assert_eq!(prices.way(), Way::Window);
    }
}
