//! When which tracker is asked.

use super::Trackers;
use super::member::{Aim, Member, State};
use crate::base::limits::{ANNOUNCE_LATE, ANNOUNCES_MAX, HUNGRY_REST, HUNGRY_STEP, TIER_PATIENCE};
use crate::base::{Instant, Rng};
use crate::tracker::lane::Lane;
use crate::tracker::request::Totals;
use alloc::vec::Vec;

/// Trackers of which one is reported to.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Members by index, the best first; the unsupported are not among them.
    pub order: Vec<usize>,
    /// When the next report is due.
    pub next: Instant,
    /// When one of them was last asked.
    pub asked: Instant,
    /// Hunger waits until then: an answer with peers came.
    calm: Instant,
}

impl Tier {
    /// A tier in random order, due at `now`.
    pub fn new(now: Instant, tier: usize, members: &[Member], rng: &mut Rng) -> Self {
        let speaks = |at: &usize| members[*at].tier == tier && members[*at].url.is_some();
        let mut order: Vec<usize> = (0..members.len()).filter(speaks).collect();
        rng.shuffle(&mut order);
        Self { order, next: now, asked: Instant::ZERO, calm: Instant::ZERO }
    }

    /// A tracker has answered: it becomes the one that is reported to, unless another is and works.
    pub fn on_answer(&mut self, now: Instant, at: usize, members: &[Member], has_peers: bool) {
        if has_peers {
            self.calm = now + HUNGRY_REST;
        }
        let works = |front: &usize| members[*front].state == State::Good && members[*front].round.is_none();
        if self.order.first().is_none_or(|front| *front == at || !works(front))
            && let Some(place) = self.order.iter().position(|&other| other == at)
        {
            self.order[..=place].rotate_right(1);
            self.next = members[at].ready;
        }
    }
}

impl Trackers {
    /// When [`Trackers::on_time`] wants to be called; may be past.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Does what is due: gives up late announces and starts new ones.
    pub fn on_time(&mut self, now: Instant, totals: &Totals, rng: &mut Rng) {
        self.totals = *totals;
        for at in 0..self.members.len() {
            for lane in 0..2 {
                self.advance(now, at, lane, rng, |errand, rng| errand.on_time(now, rng));
            }
            self.drop_late_lookup(now, at, rng);
        }
        if self.may_start() {
            for tier in 0..self.tiers.len() {
                while self.due(tier).is_some_and(|due| due <= now) && self.room_from() <= now {
                    self.start_next_of(now, tier, rng);
                }
            }
            for at in 0..self.members.len() {
                if self.members[at].owed_due().is_some_and(|due| due <= now) {
                    self.tell_completed(now, at, rng);
                }
                if self.members[at].scrape_due().is_some_and(|due| due <= now) {
                    self.scrape(now, at, rng);
                }
            }
        }
        self.settle();
    }

    /// The user wants an announce now: brings the next one forward as far as each tracker's `min interval` allows.
    /// When the first of them will be, `None` if there is no tracker to ask.
    pub fn announce_now(&mut self, now: Instant) -> Option<Instant> {
        for tier in &mut self.tiers {
            for &at in &tier.order {
                let member = &mut self.members[at];
                member.ready = member.ready.min(member.asked_ready.max(now));
            }
            // A tier that works stays with its tracker; one that does not takes whoever may be asked first.
            let good = tier.order.first().filter(|&&at| self.members[at].state == State::Good);
            let first = match good {
                Some(&at) => Some(self.members[at].asked_ready),
                None => tier.order.iter().map(|&at| self.members[at].ready).min(),
            };
            tier.next = first.map_or(tier.next, |first| tier.next.min(first.max(now)));
        }
        self.settle();
        self.next_announce()
    }

    /// When the next announce is due; `None` while all that can be asked are being asked, or without trackers.
    pub fn next_announce(&self) -> Option<Instant> {
        let waits = |tier: &usize| !self.is_asking(*tier);
        (0..self.tiers.len()).filter(waits).filter_map(|tier| self.due(tier)).min()
    }

    /// True if more trackers are asked than one of each tier, and more often than they would like: BEP 3 allows that to who
    /// needs more peers. Those of private torrents count every announce.
    pub(super) fn needs(&self) -> bool {
        self.hungry && !self.private
    }

    /// From when on a tracker may be asked.
    pub(super) fn ready(&self, member: &Member) -> Instant {
        let may = self.needs() && member.state == State::Good;
        if may { member.ready.min(member.needy_ready) } else { member.ready }
    }

    fn may_start(&self) -> bool {
        self.gone.is_none() && !self.held
    }

    fn is_asking(&self, tier: usize) -> bool {
        self.tiers[tier].order.iter().any(|&at| self.members[at].round.is_some())
    }

    /// When the next tracker of a tier is to be asked; `None` if all of them are being asked.
    fn due(&self, tier: usize) -> Option<Instant> {
        if self.private && !self.is_its_turn(tier) {
            return None;
        }
        let place = &self.tiers[tier];
        let hungry = self.needs();
        let idle = place.order.iter().map(|&at| &self.members[at]).filter(|member| member.round.is_none());
        let ready = idle.map(|member| self.ready(member)).min().filter(|_| self.may_start())?;
        let step = if hungry { HUNGRY_STEP } else { TIER_PATIENCE };
        let another = (place.asked + step).max(place.calm);
        let due = match (self.is_asking(tier), hungry) {
            (true, _) => another,
            (false, true) => place.next.min(another),
            (false, false) => place.next,
        };
        Some(due.max(ready))
    }

    /// BEP 27: true if nobody is being asked, no other tier has a tracker that works, and those before it have none that may.
    fn is_its_turn(&self, tier: usize) -> bool {
        let states = |tier: usize| self.tiers[tier].order.iter().map(|&at| &self.members[at].state);
        let may_work = |other: usize| states(other).any(|state| !matches!(state, State::Failed(_)));
        let works = |other: usize| states(other).any(|state| *state == State::Good);
        let is_quiet = self.members.iter().all(|member| member.round.is_none());
        is_quiet && !(0..tier).any(may_work) && (works(tier) || !(tier + 1..self.tiers.len()).any(works))
    }

    /// From when on one more tracker may be asked: most are dead, and must not keep the others waiting.
    fn room_from(&self) -> Instant {
        let mut starts: Vec<Instant> = self.members.iter().filter_map(|member| member.round).collect();
        if starts.len() < ANNOUNCES_MAX {
            return Instant::ZERO;
        }
        starts.sort_unstable();
        starts[starts.len() - ANNOUNCES_MAX] + ANNOUNCE_LATE
    }

    fn start_next_of(&mut self, now: Instant, tier: usize, rng: &mut Rng) {
        let members = &self.members;
        let ready = |at: &usize| members[*at].round.is_none() && self.ready(&members[*at]) <= now;
        let Some(at) = self.tiers[tier].order.iter().copied().find(ready) else { return };
        self.tiers[tier].asked = now;
        self.start(now, at, rng);
    }

    /// A tier has just lost the tracker that it reports to: whoever of it is ready first is asked next, at once if it may
    /// be.
    pub(super) fn hand_over(&mut self, now: Instant, tier: usize) {
        let ready = self.tiers[tier].order.iter().map(|&at| self.members[at].ready).min();
        self.tiers[tier].next = ready.unwrap_or(now).max(now);
        self.tiers[tier].asked = Instant::ZERO;
    }

    /// Works out the next deadline after anything has changed.
    pub(super) fn settle(&mut self) {
        let errands = self.members.iter().flat_map(|member| &member.lanes);
        let late = errands.filter_map(|lane| Some(lane.errand.as_ref()?.deadline())).min();
        self.answers_bytes = self.answers().map(|(bytes, ..)| bytes).sum();
        self.talks = self.members.iter().flat_map(|member| &member.lanes).any(Lane::is_talking);
        let lookups = self.members.iter().filter_map(|member| Some(member.lookup?.deadline)).min();
        let room = self.room_from();
        let due = (0..self.tiers.len()).filter_map(|tier| self.due(tier)).min().map(|due| due.max(room));
        let said = self.members.iter().flat_map(|member| [member.owed_due(), member.scrape_due()]);
        let said = said.flatten().min().filter(|_| self.may_start());
        self.deadline = [late, lookups, due, said].into_iter().flatten().min();
    }

    /// Nobody answered the question for a name.
    fn drop_late_lookup(&mut self, now: Instant, at: usize, rng: &mut Rng) {
        let Some(lookup) = self.members[at].lookup.filter(|lookup| lookup.deadline <= now) else { return };
        self.members[at].lookup = None;
        if lookup.aim == Aim::Announce {
            self.failed_member(now, at, super::Fault::Late, rng);
        }
    }
}
