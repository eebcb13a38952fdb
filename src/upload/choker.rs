//! Who is served (BEP 3): those that give us most, those whose turn it is, and now and then somebody by chance.

use crate::base::limits::{CHOKE_IDLE_MIN, NEWCOMER_AGE_MAX, OPTIMISTIC_INTERVAL, SEED_TURN, UP_SLOTS_MAX};
use crate::base::units::KIB;
use crate::base::{Instant, Rng, StreamId};
use alloc::vec;
use alloc::vec::Vec;

/// Fewest slots that we choose by ourselves.
const SLOTS_MIN: u32 = 4;
/// Slots without a limit and before anything is known.
const SLOTS_DEFAULT: u32 = 8;
/// Most slots that we choose by ourselves: more make everybody slow.
const SLOTS_AUTO_MAX: u32 = 100;

/// How a peer stands with the choker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It is served since then.
    pub served_since: Option<Instant>,
    /// When it was served last; [`Instant::ZERO`] if never.
    pub served_until: Instant,
    /// Bytes that it had got when its turn began.
    pub bytes_before: u64,
}

/// A peer that wants something and could be served.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Who.
    pub stream: StreamId,
    /// When it connected.
    pub opened: Instant,
    /// Bytes per second from it; counts only while we need anything.
    pub gives: u64,
    /// Bytes per second to it.
    pub gets: u64,
    /// It owes us blocks and is silent.
    pub snubbed: bool,
    /// Bytes that it has got in all.
    pub got_bytes: u64,
    /// How it stands.
    pub standing: Standing,
}

/// How many are served at a time: what the user chose, or as many as `rate` (bytes per second that may or do leave) feeds.
/// A square root, because a fast line shall serve more peers and each of them faster.
pub fn slots(chosen: Option<u32>, limit: Option<u64>, rate: u64) -> u32 {
    if let Some(chosen) = chosen {
        return chosen.clamp(1, UP_SLOTS_MAX);
    }
    let fed = |rate: u64| u32::try_from((rate / u64::from(KIB)).isqrt()).unwrap_or(u32::MAX);
    match limit {
        Some(limit) => fed(limit).clamp(SLOTS_MIN, SLOTS_AUTO_MAX),
        None => fed(rate / 4).clamp(SLOTS_DEFAULT, SLOTS_AUTO_MAX),
    }
}

/// Remembers who is served by chance.
#[derive(Debug, Default)]
pub struct Choker {
    optimistic: Vec<StreamId>,
    rotated: Instant,
}

impl Choker {
    /// Who is served until the next round: at most `slots` of `contenders`, which it sorts.
    pub fn round(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        slots: u32,
        contenders: &mut [Contender],
    ) -> Vec<StreamId> {
        let slots = slots as usize;
        let by_chance = if slots > 1 { (slots / 5).max(1) } else { 0 };
        contenders.sort_by_key(|one| (core::cmp::Reverse(one.reciprocity()), one.place(now)));
        let givers = contenders.iter().take_while(|one| one.reciprocity() > 0).count();
        let mut is_served = vec![false; contenders.len()];
        is_served[..givers.min(slots - by_chance)].fill(true);
        self.draw(now, rng, by_chance, contenders, &mut is_served);
        // What is left goes round.
        let left = slots.saturating_sub(is_served.iter().filter(|&&is_served| is_served).count());
        is_served.iter_mut().filter(|is_served| !**is_served).take(left).for_each(|rest| *rest = true);
        let served = contenders.iter().zip(is_served).filter(|&(_, is_served)| is_served);
        served.map(|(one, _)| one.stream).collect()
    }

    /// Adds those that are served by chance; the same for three rounds, so that they can show what they are worth.
    fn draw(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        count: usize,
        contenders: &[Contender],
        is_served: &mut [bool],
    ) {
        if self.rotated.until(now) >= OPTIMISTIC_INTERVAL {
            self.optimistic.clear();
            self.rotated = now;
        }
        let mut left = count;
        self.optimistic.retain(|stream| {
            let place = contenders.iter().position(|one| one.stream == *stream).filter(|&at| !is_served[at]);
            let stays = left > 0 && place.is_some();
            if let Some(at) = place.filter(|_| stays) {
                (is_served[at], left) = (true, left - 1);
            }
            stays
        });
        while self.optimistic.len() < count {
            let Some(at) = drawn(now, rng, contenders, is_served) else { return };
            self.optimistic.push(contenders[at].stream);
            is_served[at] = true;
        }
    }
}

/// The place of one of those that are not served yet; newcomers have three chances where others have one.
fn drawn(now: Instant, rng: &mut Rng, contenders: &[Contender], is_served: &[bool]) -> Option<usize> {
    let free = || (0..contenders.len()).filter(|&at| !is_served[at]);
    let all: u32 = free().map(|at| contenders[at].chances(now)).sum();
    let mut left = rng.below(all);
    free().find(|&at| {
        let chances = contenders[at].chances(now);
        let is_it = left < chances;
        left = left.saturating_sub(chances);
        is_it
    })
}

impl Contender {
    /// What it gives us, if that counts: who owes us blocks and is silent gets nothing for what it gave.
    fn reciprocity(&self) -> u64 {
        if self.snubbed { 0 } else { self.gives }
    }

    fn chances(&self, now: Instant) -> u32 {
        let never_served =
            self.standing.served_since.is_none() && self.standing.served_until == Instant::ZERO;
        if never_served && now.since(self.opened) < NEWCOMER_AGE_MAX { 3 } else { 1 }
    }

    /// Where it stands among those that give us nothing, the lower, the sooner: those in the middle of their turn, the
    /// fastest first; then those that wait, the longest first; then those that have had their turn or do not use it.
    fn place(&self, now: Instant) -> (u8, u64) {
        match self.standing.served_since {
            None => (1, self.standing.served_until.as_micros()),
            Some(since) => {
                let served = now.since(since);
                let is_unused = served >= CHOKE_IDLE_MIN && self.got_bytes == self.standing.bytes_before;
                if served >= SEED_TURN || is_unused {
                    (2, since.as_micros())
                } else {
                    (0, u64::MAX - self.gets)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::CHOKE_INTERVAL;

    const START: Instant = Instant::from_micros(10_000_000_000);

    fn stream(slot: u32) -> StreamId {
        StreamId { slot, generation: 1 }
    }

    fn contender(slot: u32, gives: u64) -> Contender {
        Contender {
            stream: stream(slot),
            opened: START,
            gives,
            gets: 0,
            snubbed: false,
            got_bytes: 0,
            standing: Standing::default(),
        }
    }

    /// Plays rounds, and says how many of them each was served in.
    fn rounds(slots: u32, count: u32, peers: &mut [Contender]) -> Vec<u32> {
        let (mut choker, mut rng, mut now) = (Choker::default(), Rng::new(5), START);
        let mut served_rounds = vec![0; peers.len()];
        for _ in 0..count {
            let served = choker.round(now, &mut rng, slots, &mut peers.to_vec());
            assert!(served.len() <= slots as usize && served.len() == peers.len().min(slots as usize));
            for (nth, peer) in peers.iter_mut().enumerate() {
                let is_served = served.contains(&peer.stream);
                served_rounds[nth] += u32::from(is_served);
                if is_served {
                    peer.standing.served_since.get_or_insert(now);
                    peer.got_bytes += 1000;
                } else if peer.standing.served_since.take().is_some() {
                    peer.standing.served_until = now;
                }
            }
            now = now + CHOKE_INTERVAL;
        }
        served_rounds
    }

    #[test]
    fn who_gives_most_is_served_and_a_free_rider_only_by_chance() {
        let mut peers: Vec<_> = (0..10).map(|nth| contender(nth, u64::from(nth) * 1000)).collect();
        let served = rounds(4, 300, &mut peers);
        assert!(served[7..].iter().all(|&rounds| rounds == 300), "{served:?}");
        assert!(served[..7].iter().all(|&rounds| (10..150).contains(&rounds)), "{served:?}");
    }

    #[test]
    fn who_falls_silent_loses_its_place() {
        let mut peers: Vec<_> = (0..10).map(|nth| contender(nth, u64::from(nth) * 1000)).collect();
        peers[9].snubbed = true;
        let served = rounds(4, 60, &mut peers);
        assert!(served[9] < 40 && served[6] == 60, "{served:?}");
    }

    #[test]
    fn a_seed_serves_everybody_in_turn() {
        let mut peers: Vec<_> = (0..12).map(|nth| contender(nth, 0)).collect();
        peers.iter_mut().for_each(|peer| peer.gets = u64::from(peer.stream.slot) * 1000);
        let served = rounds(4, 600, &mut peers);
        assert!(served.iter().all(|&rounds| (120..320).contains(&rounds)), "{served:?}");
    }

    #[test]
    fn a_newcomer_has_three_chances() {
        let mut rng = Rng::new(3);
        let mut peers: Vec<_> = (0..2).map(|nth| contender(nth, 0)).collect();
        peers[1].standing.served_until = START;
        let draws = (0..4000).filter(|_| drawn(START, &mut rng, &peers, &[false; 2]) == Some(0)).count();
        assert!((2850..3150).contains(&draws), "{draws}");
        assert_eq!(drawn(START, &mut rng, &peers, &[true; 2]), None);
    }

    #[test]
    fn who_does_not_use_its_turn_loses_it() {
        let mut idle = contender(0, 0);
        idle.standing.served_since = Some(START);
        let later = START + CHOKE_IDLE_MIN;
        assert!(idle.place(later) > contender(1, 0).place(later));
        idle.got_bytes = 1;
        assert!(idle.place(later) < contender(1, 0).place(later));
    }

    #[test]
    fn as_many_as_the_user_may_name_are_settled_in_one_look_at_each_for_each_chance() {
        let mut peers: Vec<_> = (0..5_000).map(|nth| contender(nth, u64::from(nth % 7))).collect();
        let mut choker = Choker::default();
        // With a look at each for each that is served beside it, this would take minutes.
        let mut served = choker.round(START, &mut Rng::new(2), 4_000, &mut peers);
        served.sort_unstable();
        served.dedup();
        assert_eq!((served.len(), choker.optimistic.len()), (4_000, 800));
    }

    #[test]
    fn slots_follow_the_rate_unless_chosen() {
        let cases = [
            (Some(3), None, 0, 3),
            (Some(0), None, 0, 1),
            (None, None, 0, 8),
            (None, None, 100 << 20, 100),
            (None, Some(10 << 10), 0, 4),
            (None, Some(400 << 10), 0, 20),
            (None, Some(u64::MAX), 0, 100),
        ];
        for (chosen, limit, rate, expected) in cases {
            assert_eq!(slots(chosen, limit, rate), expected, "{chosen:?} {limit:?} {rate}");
        }
    }

    #[test]
    fn nobody_and_a_single_slot_are_no_trouble() {
        let (mut choker, mut rng) = (Choker::default(), Rng::new(1));
        assert!(choker.round(START, &mut rng, 4, &mut []).is_empty());
        let mut two = [contender(0, 5), contender(1, 9)];
        assert_eq!(choker.round(START, &mut rng, 1, &mut two), [stream(1)]);
    }
}
