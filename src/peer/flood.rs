//! Counts the messages of a peer that bring nobody forward.

use crate::base::Instant;
use crate::base::limits::{FLOOD_MESSAGES_MAX, FLOOD_WINDOW};
use crate::wire::Misbehaved;

/// The messages without use in the window that began at `since`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flood {
    since: Instant,
    messages: u32,
}

impl Flood {
    /// Counts one more.
    ///
    /// # Errors
    /// [`Misbehaved::Flood`] if it is one too many.
    pub fn count(&mut self, now: Instant) -> Result<(), Misbehaved> {
        if now.since(self.since) > FLOOD_WINDOW {
            *self = Self { since: now, messages: 0 };
        }
        self.messages = self.messages.saturating_add(1);
        if self.messages > FLOOD_MESSAGES_MAX { Err(Misbehaved::Flood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_allowed_pass_in_every_window_and_no_more() {
        let (mut flood, mut now) = (Flood::default(), Instant::from_micros(77_000_000));
        for _ in 0..3 {
            assert!((0..FLOOD_MESSAGES_MAX).all(|_| flood.count(now).is_ok()));
            assert_eq!(flood.count(now + FLOOD_WINDOW), Err(Misbehaved::Flood));
            now = now + FLOOD_WINDOW + core::time::Duration::from_micros(1);
        }
    }
}
