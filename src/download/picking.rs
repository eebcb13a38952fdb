//! What a peer is asked for next.

use super::assembly::Lane;
use super::offer::{Offer, Pieces};
use super::picker::Found;
use super::search::Search;
use super::{Download, Pick, Pipeline, Pool};
use crate::base::limits::{LATE_MIN, ORPHAN_HUNT_INTERVAL, SOLE_TIME_FACTOR, SOLE_TIME_MAX, SOLE_TIME_MIN};
use crate::base::{Bitfield, Block, Instant, Rng, StreamId};

impl Download {
    /// The next block to ask `source` for, which has the pieces `has`.
    pub fn pick(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        source: StreamId,
        has: &Bitfield,
        pipeline: &mut Pipeline,
        pool: &mut Pool,
    ) -> Pick {
        let refused = pipeline.take_refused(now);
        let pick = self.pick_of(now, rng, source, &Offer::new(has, &refused), pipeline, pool);
        pipeline.put_refused(refused);
        pick
    }

    fn pick_of(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        source: StreamId,
        has: &impl Pieces,
        pipeline: &mut Pipeline,
        pool: &mut Pool,
    ) -> Pick {
        // Whoever wants order takes no advice.
        if !self.in_order {
            if let Some(block) = self.pick_suggested(now, source, has, pipeline, pool) {
                return Pick::Block(block);
            }
            if pipeline.awaits_suggestions(now) {
                return Pick::Nothing;
            }
        }
        let lane = self.lane(pipeline);
        if lane == Lane::Slow && self.picker.is_empty() {
            return Pick::Nothing;
        }
        if let Some(block) = self.assembly.request(source, has, now, lane) {
            return Pick::Block(block);
        }
        if lane == Lane::Slow && self.is_lane_full(pipeline) {
            self.make_room(now, has, pool);
            return Pick::Nothing;
        }
        let opened = self.open_piece(now, rng, source, has, pipeline, pool);
        if opened == Opened::Yes
            && let Some(block) = self.assembly.request(source, has, now, lane)
        {
            return Pick::Block(block);
        }
        if lane == Lane::NotSlow
            && let Some(block) = self.assembly.request(source, has, now, Lane::Any)
        {
            return Pick::Block(block);
        }
        if opened == Opened::Later {
            return Pick::Later;
        }
        let usual = pipeline.expected_time();
        let patience = match opened {
            _ if self.picker.is_empty() => usual,
            // Blocks that a slow peer owes keep whole pieces in memory.
            Opened::Full => (usual * 2).max(LATE_MIN / 2),
            _ => (usual * 4).max(LATE_MIN),
        };
        let is_fair = self.heard_since.is_some_and(|since| now.since(since) > patience);
        match is_fair.then(|| self.assembly.double(source, has, now, patience, lane)).flatten() {
            Some(block) => Pick::Block(block),
            None if opened == Opened::Full => Pick::Full,
            None => Pick::Nothing,
        }
    }

    /// Which pieces a peer is asked for first. Slow peers share pieces with their like: what they owe would keep the pieces of
    /// fast ones in memory, which then could be asked for nothing. At the end, only fast ones are asked, for everything.
    fn lane(&self, pipeline: &Pipeline) -> Lane {
        match pipeline.slow_lane() {
            _ if self.in_order => Lane::Any,
            Some(_) => Lane::Slow,
            None if self.picker.is_empty() => Lane::Any,
            None => Lane::NotSlow,
        }
    }

    fn is_lane_full(&self, pipeline: &Pipeline) -> bool {
        let slow = self.assembly.slow_blocks();
        slow > 0 && pipeline.slow_lane().is_some_and(|most| slow + self.geometry.blocks(0) > most)
    }

    /// False if [`Download::pick`] has nothing for anybody, but for blocks that are late.
    pub fn has_work_for_peers(&self, pool: &Pool) -> bool {
        self.assembly.is_startable() || pool.has_room_for(self.geometry.blocks(0))
    }

    /// A block of what a seed suggests: it knows what it has given to nobody, and others are asked for what they have got.
    fn pick_suggested(
        &mut self,
        now: Instant,
        source: StreamId,
        has: &impl Pieces,
        pipeline: &mut Pipeline,
        pool: &mut Pool,
    ) -> Option<Block> {
        while let Some(piece) = pipeline.suggested() {
            if has.has(piece) && self.picker.contains(piece) && !self.open(now, source, piece, pipeline, pool)
            {
                return None;
            }
            if let Some(block) = self.assembly.request_of(piece, source, now) {
                return Some(block);
            }
            pipeline.drop_suggested();
        }
        None
    }

    fn open_piece(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        source: StreamId,
        has: &impl Pieces,
        pipeline: &mut Pipeline,
        pool: &mut Pool,
    ) -> Opened {
        let piece = match self.choose(rng, has, pipeline.search()) {
            Found::Piece(piece) => piece,
            Found::Later => return Opened::Later,
            Found::Nothing => return Opened::No,
        };
        if pool.is_filling() && self.wishes.is_empty() {
            // What is verified need not wait for its neighbours when there is little memory left.
            self.shelf.flush_oldest(&mut self.wishes);
        }
        if !self.open(now, source, piece, pipeline, pool) {
            self.make_room(now, has, pool);
            return Opened::Full;
        }
        Opened::Yes
    }

    /// Opens `piece` for `source`. False if there is no memory for it.
    fn open(
        &mut self,
        now: Instant,
        source: StreamId,
        piece: u32,
        pipeline: &Pipeline,
        pool: &mut Pool,
    ) -> bool {
        if !pool.reserve(self.geometry.blocks(piece)) {
            return false;
        }
        self.picker.remove(piece);
        self.begun.touch(&self.geometry, &self.extents, piece);
        // A piece that failed before comes from one peer, so that a second failure names the guilty one.
        let time = pipeline.time_for(self.geometry.piece_length(piece).into()) * SOLE_TIME_FACTOR;
        let time = time.clamp(SOLE_TIME_MIN, SOLE_TIME_MAX);
        let sole = self.blame.is_suspect(piece).then_some((source, time));
        self.assembly.open(now, piece, sole);
        if pipeline.slow_lane().is_some() {
            self.assembly.set_slow(piece);
        }
        true
    }

    /// Memory is full for a peer that has the pieces `has`. Little at a time: what is on its way out already gives memory
    /// back before anybody asks again.
    fn make_room(&mut self, now: Instant, has: &impl Pieces, pool: &mut Pool) {
        if self.wishes.is_empty() {
            self.shelf.flush_oldest(&mut self.wishes);
        }
        if now >= self.next_orphan_hunt {
            self.next_orphan_hunt = now + ORPHAN_HUNT_INTERVAL;
            self.give_up_orphan(now, has, pool);
        }
    }

    fn choose(&mut self, rng: &mut Rng, has: &impl Pieces, search: &mut Search) -> Found {
        if let Some(found) = self.picker.known(has, search) {
            return found;
        }
        if let Some(piece) = self.begun.choose(&self.geometry, &self.extents, &self.picker, has) {
            return Found::Piece(piece);
        }
        if self.in_order {
            return self.picker.in_order(has, search);
        }
        let is_first = self.have.count() == 0 && self.shelf.is_empty();
        if is_first { self.picker.random(has, rng, search) } else { self.picker.rarest(has, search) }
    }
}

/// Whether a piece could be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Yes,
    Later,
    Full,
    No,
}
