//! Answers over HTTP that are not whole yet: what they take together is bounded, over all torrents.

use super::{Fault, Trackers};
use crate::base::{Instant, Rng};
use crate::tracker::exchange::Step;

impl Trackers {
    /// Bytes that are kept of answers that are not whole.
    pub fn answers_bytes(&self) -> usize {
        self.answers_bytes
    }

    /// Bytes that are kept of the longest of them.
    pub fn longest_answer_bytes(&self) -> usize {
        self.answers().map(|(bytes, ..)| bytes).max().unwrap_or(0)
    }

    /// The longest of them is too long, beside those of others: its tracker has failed.
    pub fn give_up_longest_answer(&mut self, now: Instant, rng: &mut Rng) {
        let longest = self.answers().max_by_key(|&(bytes, ..)| bytes);
        if let Some((_, at, lane)) = longest {
            self.advance(now, at, lane, rng, |_, _| Step::Failed(Fault::NoRoom));
        }
        self.settle();
    }

    /// Bytes, tracker and family of each errand under way.
    pub(super) fn answers(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let lanes = self.members.iter().enumerate();
        let lanes = lanes.flat_map(|(at, member)| {
            member.lanes.iter().enumerate().map(move |(lane, place)| (at, lane, place))
        });
        lanes.filter_map(|(at, lane, place)| Some((place.errand.as_ref()?.held_bytes(), at, lane)))
    }
}
