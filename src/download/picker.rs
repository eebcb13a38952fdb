//! Which piece next: the rarest that a peer has, found in a bounded number of steps.
//!
//! All pieces that may be opened stand in one array, sorted by how many peers have them; the borders between equal
//! counts are kept beside it. A `have` moves a piece across one border: two swaps, however long the array.

use super::offer::Pieces;
use super::search::Search;
use crate::base::{Bitfield, Rng};
use alloc::vec;
use alloc::vec::Vec;

/// Steps that one search for a piece may take before it answers "later".
pub const SCAN_STEPS: u32 = 128;
/// Not in the array: open, verified or stored.
const ABSENT: u32 = u32::MAX;
/// Pieces that have come back of which each peer hears; who has missed more looks at all of them anew.
const BACK_MAX: usize = 8;

/// The pieces that may be opened, by rarity. Peers that have everything are counted by the caller, not here: they
/// make no piece rarer than another.
#[derive(Debug)]
pub struct Picker {
    /// Pickable pieces; the rarest first, equals in random order.
    order: Vec<u32>,
    /// Where each piece stands in `order`, or `ABSENT`.
    position: Vec<u32>,
    /// The pieces in `order`.
    pickable: Bitfield,
    /// The last pieces that came back, in turn, and how many did in all.
    back: [u32; BACK_MAX],
    returned: u32,
    /// How many peers have each piece.
    availability: Vec<u16>,
    /// `first[n]` is where pieces with availability `n` or more begin in `order`; ends with a border beyond all.
    first: Vec<u32>,
    /// No piece before this word of `pickable` may be opened.
    lowest: u32,
    /// Swaps so far: what the picker's upkeep costs, for the test that it does not grow with the torrent.
    steps: u64,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This piece.
    Piece(u32),
    /// Nothing yet: call again.
    Later,
    /// The peer has no piece that may be opened.
    Nothing,
}

impl Picker {
    /// All of `pieces` may be opened, in random order.
    pub fn new(pieces: u32, rng: &mut Rng) -> Self {
        let mut order: Vec<u32> = (0..pieces).collect();
        rng.shuffle(&mut order);
        let mut position = vec![0; pieces as usize];
        for (at, &piece) in order.iter().enumerate() {
            position[piece as usize] = at as u32;
        }
        Self {
            order,
            position,
            pickable: Bitfield::full(pieces),
            back: [0; BACK_MAX],
            returned: 0,
            availability: vec![0; pieces as usize],
            first: vec![0, pieces],
            lowest: 0,
            steps: 0,
        }
    }

    /// True if `piece` may be opened.
    pub fn contains(&self, piece: u32) -> bool {
        self.position.get(piece as usize).is_some_and(|&at| at != ABSENT)
    }

    /// True if none may be opened.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many counted peers have `piece`.
    pub fn availability(&self, piece: u32) -> u32 {
        self.availability.get(piece as usize).copied().unwrap_or(0).into()
    }

    /// The pieces that may be opened and that so many peers have.
    pub fn with_availability(&self, peers: u32) -> &[u32] {
        let border = |nth: usize| self.first.get(nth).map_or(self.order.len(), |&at| at as usize);
        &self.order[border(peers as usize)..border(peers as usize + 1)]
    }

    /// One more peer has `piece`.
    pub fn add_peer(&mut self, piece: u32) {
        let Some(count) = self.availability.get_mut(piece as usize) else { return };
        let old = *count as usize;
        *count = count.saturating_add(1);
        if *count as usize == old || self.position[piece as usize] == ABSENT {
            return;
        }
        self.grow_borders(old + 3);
        // The last of its equals becomes the first of the next: one swap and the border moves over it.
        self.first[old + 1] -= 1;
        self.swap(self.position[piece as usize], self.first[old + 1]);
    }

    /// One peer less has `piece`.
    pub fn remove_peer(&mut self, piece: u32) {
        let Some(count) = self.availability.get_mut(piece as usize) else { return };
        let old = *count as usize;
        *count = count.saturating_sub(1);
        if old == 0 || self.position[piece as usize] == ABSENT {
            return;
        }
        self.swap(self.position[piece as usize], self.first[old]);
        self.first[old] += 1;
    }

    /// `piece` may not be opened (any more). Costs one swap for each availability above its own.
    pub fn remove(&mut self, piece: u32) {
        if !self.contains(piece) {
            return;
        }
        let own = self.availability[piece as usize] as usize;
        let mut hole = self.position[piece as usize];
        for border in own + 1..self.first.len() {
            // The last of each group fills the hole, and the hole moves to the group's end.
            let last = self.first[border] - 1;
            self.swap(hole, last);
            self.first[border] = last;
            hole = last;
        }
        self.order.pop();
        self.position[piece as usize] = ABSENT;
        self.pickable.remove(piece);
    }

    /// `piece` may be opened again. Costs one swap for each availability above its own.
    pub fn insert(&mut self, piece: u32) {
        if self.contains(piece) || piece as usize >= self.position.len() {
            return;
        }
        self.lowest = self.lowest.min(piece / u64::BITS);
        self.pickable.insert(piece);
        self.back[self.returned as usize % BACK_MAX] = piece;
        self.returned = self.returned.wrapping_add(1);
        let own = self.availability[piece as usize] as usize;
        self.grow_borders(own + 2);
        let mut hole = self.order.len() as u32;
        self.order.push(piece);
        self.position[piece as usize] = hole;
        for border in (own + 1..self.first.len()).rev() {
            // The first of each group above makes room by becoming its last.
            let first = self.first[border];
            self.swap(hole, first);
            self.first[border] = first + 1;
            hole = first;
        }
    }

    /// The rarest piece that may be opened and that `has` holds, as far as [`SCAN_STEPS`] reach; if those are not
    /// enough, any such piece, found by going on from where the peer's last search stopped.
    pub fn rarest(&self, has: &impl Pieces, search: &mut Search) -> Found {
        if let Some(found) = self.known(has, search) {
            return found;
        }
        let offered = self.offered(has);
        let mut near = offered.iter().take(SCAN_STEPS as usize).inspect(|_| search.steps += 1);
        if let Some(&piece) = near.find(|&&piece| has.has(piece)) {
            return Found::Piece(piece);
        }
        if offered.len() <= SCAN_STEPS as usize {
            search.end();
            return Found::Nothing;
        }
        self.hinted(has, search).map_or_else(|| self.walk(has, search), Found::Piece)
    }

    /// What a search comes to that has looked at everything: nothing, or what has come since.
    pub fn known(&self, has: &impl Pieces, search: &mut Search) -> Option<Found> {
        self.catch_up(has, search);
        search.is_over().then(|| self.hinted(has, search).map_or(Found::Nothing, Found::Piece))
    }

    /// The peer of `search` has got `piece`.
    pub fn offer(&self, piece: u32, search: &mut Search) {
        search.add(piece, self.position.len() as u32);
    }

    /// Pieces that have come back since the last search have to be looked at.
    fn catch_up(&self, has: &impl Pieces, search: &mut Search) {
        let missed = self.returned.wrapping_sub(search.returned);
        if missed as usize > BACK_MAX {
            search.restart();
        } else {
            let back = (0..missed).map(|nth| self.returned.wrapping_sub(nth + 1) as usize % BACK_MAX);
            let own = back.map(|at| self.back[at]).filter(|&piece| has.has(piece));
            own.for_each(|piece| self.offer(piece, search));
        }
        search.returned = self.returned;
    }

    fn hinted(&self, has: &impl Pieces, search: &mut Search) -> Option<u32> {
        let piece = search.hint()?;
        search.steps += 1;
        let is_good = has.has(piece) && self.contains(piece);
        if !is_good {
            search.drop_hint();
        }
        is_good.then_some(piece)
    }

    /// Any piece that may be opened and that `has` holds, beginning at a random place: for the first pieces, which
    /// are to be complete soon rather than rare (BEP 3).
    pub fn random(&self, has: &impl Pieces, rng: &mut Rng, search: &mut Search) -> Found {
        let offered = self.offered(has);
        let start = rng.below(offered.len() as u32) as usize;
        let near = offered[start..].iter().take(SCAN_STEPS as usize).inspect(|_| search.steps += 1);
        let near = near.copied().find(|&piece| has.has(piece));
        near.map_or_else(|| self.rarest(has, search), Found::Piece)
    }

    /// The first piece by number that may be opened and that `has` holds, as far as [`SCAN_STEPS`] times 64 reach; if those
    /// are not enough, any such piece, as [`Picker::rarest`] finds it.
    pub fn in_order(&mut self, has: &impl Pieces, search: &mut Search) -> Found {
        if let Some(found) = self.known(has, search) {
            return found;
        }
        let words = has.len().div_ceil(u64::BITS);
        // Each word is passed once, until a piece of it comes back.
        while self.lowest < words && self.pickable.word(self.lowest) == 0 {
            self.lowest += 1;
        }
        let end = words.min(self.lowest + SCAN_STEPS);
        let both = |word: u32| (word, has.word(word) & self.pickable.word(word));
        let mut near = (self.lowest..end).inspect(|_| search.steps += 1).map(both);
        if let Some((word, both)) = near.find(|&(_, both)| both != 0) {
            return Found::Piece(word * u64::BITS + both.leading_zeros());
        }
        if end == words {
            search.end();
            return Found::Nothing;
        }
        self.walk(has, search)
    }

    /// The part of the array that a peer can have pieces of: what nobody counted has, only a peer that has
    /// everything can offer.
    fn offered(&self, has: &impl Pieces) -> &[u32] {
        let start = if has.is_full() { 0 } else { self.first[1] };
        &self.order[start as usize..]
    }

    /// Looks at pieces by number, 64 at a step and [`SCAN_STEPS`] times at most: for peers that have little.
    fn walk(&self, has: &impl Pieces, search: &mut Search) -> Found {
        let pieces = self.position.len() as u32;
        for _ in 0..SCAN_STEPS {
            let Some(at) = search.next(pieces) else { return Found::Nothing };
            search.steps += 1;
            let (word, rest) = (at / u64::BITS, u64::MAX >> (at % u64::BITS));
            let both = has.word(word) & self.pickable.word(word) & rest;
            let found = (both != 0).then(|| word * u64::BITS + both.leading_zeros());
            search.go_on(found, pieces);
            if let Some(piece) = found {
                return Found::Piece(piece);
            }
        }
        Found::Later
    }

    fn grow_borders(&mut self, len: usize) {
        let end = self.order.len() as u32;
        if self.first.len() < len {
            self.first.resize(len, end);
        }
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.steps += 1;
        self.order.swap(a as usize, b as usize);
        self.position[self.order[a as usize] as usize] = a;
        self.position[self.order[b as usize] as usize] = b;
    }

    /// Swaps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Panics unless the array, the positions and the borders agree.
    #[doc(hidden)]
    pub fn check(&self) {
        for (at, &piece) in self.order.iter().enumerate() {
            assert_eq!(self.position[piece as usize] as usize, at);
            let own = self.availability[piece as usize] as usize;
            assert!(self.first[own] as usize <= at, "piece {piece} stands before its group");
            assert!(
                self.first.get(own + 1).is_none_or(|&next| at < next as usize),
                "piece {piece} stands after it"
            );
        }
        let present = self.position.iter().filter(|&&at| at != ABSENT).count();
        assert_eq!(present, self.order.len());
        assert!(
            (0..self.position.len() as u32).all(|piece| self.pickable.has(piece) == self.contains(piece))
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: u32 = 100_000;

    #[test]
    fn the_rarest_comes_first() {
        let mut picker = Picker::new(5, &mut Rng::new(1));
        for (piece, peers) in [(0, 3), (1, 1), (2, 2), (3, 2), (4, 5)] {
            (0..peers).for_each(|_| picker.add_peer(piece));
        }
        picker.check();
        let all = Bitfield::full(5);
        let mut search = Search::default();
        assert_eq!(picker.rarest(&all, &mut search), Found::Piece(1));
        picker.remove(1);
        picker.remove_peer(4);
        (0..3).for_each(|_| picker.remove_peer(4));
        assert_eq!(picker.rarest(&all, &mut search), Found::Piece(4));
        let mut some = Bitfield::new(5);
        some.insert(0);
        some.insert(1);
        assert_eq!(picker.rarest(&some, &mut search), Found::Piece(0), "piece 1 is not to be had");
        assert_eq!(picker.rarest(&Bitfield::new(5), &mut search), Found::Nothing);
    }

    #[test]
    fn in_order_the_first_comes_first_however_rare_the_others_are() {
        let mut picker = Picker::new(1000, &mut Rng::new(1));
        (0..500).for_each(|piece| picker.add_peer(piece));
        let (all, mut search) = (Bitfield::full(1000), Search::default());
        for piece in 0..10 {
            assert_eq!(picker.in_order(&all, &mut search), Found::Piece(piece));
            picker.remove(piece);
        }
        picker.insert(3);
        assert_eq!(picker.in_order(&all, &mut search), Found::Piece(3));
        let mut late = Bitfield::new(1000);
        [700, 900].into_iter().for_each(|piece| assert!(late.insert(piece)));
        assert_eq!(picker.in_order(&late, &mut search), Found::Piece(700), "it has nothing before that");
        picker.remove(700);
        assert_eq!(picker.in_order(&late, &mut search), Found::Piece(900));
        picker.remove(900);
        assert_eq!(picker.in_order(&late, &mut search), Found::Nothing);
        (0..1000).for_each(|piece| picker.remove(piece));
        assert_eq!(picker.in_order(&all, &mut search), Found::Nothing);
    }

    #[test]
    fn the_borders_hold_whatever_happens() {
        let mut rng = Rng::new(5);
        let mut picker = Picker::new(40, &mut rng);
        let mut counts = [0u32; 40];
        for _ in 0..20_000 {
            let piece = rng.below(40);
            match rng.below(4) {
                0 => {
                    picker.add_peer(piece);
                    counts[piece as usize] += 1;
                }
                1 if counts[piece as usize] > 0 => {
                    picker.remove_peer(piece);
                    counts[piece as usize] -= 1;
                }
                2 => picker.remove(piece),
                _ => picker.insert(piece),
            }
            picker.check();
        }
        assert!(
            (0..40).all(|piece| u32::from(picker.availability[piece as usize]) == counts[piece as usize])
        );
    }

    #[test]
    fn a_search_is_bounded_and_finds_the_needle_in_the_end() {
        let mut picker = Picker::new(PIECES, &mut Rng::new(2));
        let mut has = Bitfield::new(PIECES);
        has.insert(77_777);
        (0..PIECES).for_each(|piece| picker.add_peer(piece));
        let mut search = Search::default();
        let mut calls = 0;
        let found = loop {
            calls += 1;
            match picker.rarest(&has, &mut search) {
                Found::Later => {}
                other => break other,
            }
        };
        assert_eq!(found, Found::Piece(77_777));
        assert!(calls <= PIECES / (64 * SCAN_STEPS) + 1, "{calls}");
        picker.remove(77_777);
        while picker.rarest(&has, &mut search) == Found::Later {}
        assert_eq!(picker.rarest(&has, &mut search), Found::Nothing);
        search.restart();
        assert_eq!(picker.rarest(&has, &mut search), Found::Later);
    }

    /// Steps that a search takes until it knows, and what it finds.
    fn whole_search(picker: &Picker, has: &Bitfield, search: &mut Search) -> (u64, Found) {
        let before = search.steps;
        loop {
            let found = picker.rarest(has, search);
            if found != Found::Later {
                return (search.steps - before, found);
            }
        }
    }

    #[test]
    fn who_has_been_looked_through_costs_a_look_at_what_is_new() {
        let mut picker = Picker::new(PIECES, &mut Rng::new(2));
        (0..PIECES).for_each(|piece| picker.add_peer(piece));
        let (mut has, mut search) = (Bitfield::new(PIECES), Search::default());
        let (all, found) = whole_search(&picker, &has, &mut search);
        assert!(found == Found::Nothing && all > u64::from(PIECES / 64), "{all} steps");
        assert_eq!(whole_search(&picker, &has, &mut search), (0, Found::Nothing));
        // One after the other.
        for piece in [3, 77_777, PIECES - 1, 70_000] {
            has.insert(piece);
            picker.offer(piece, &mut search);
            assert_eq!(whole_search(&picker, &has, &mut search), (1, Found::Piece(piece)));
            assert_eq!(whole_search(&picker, &has, &mut search), (1, Found::Piece(piece)), "not opened");
            picker.remove(piece);
            assert!(whole_search(&picker, &has, &mut search).0 <= 1);
        }
        // What comes back is found by who has it.
        picker.insert(77_777);
        picker.insert(77_778);
        assert_eq!(whole_search(&picker, &has, &mut search), (1, Found::Piece(77_777)));
        picker.remove(77_777);
        // Many at once.
        let mut rng = Rng::new(4);
        let many: Vec<u32> = (0..100).map(|_| rng.below(PIECES)).filter(|&piece| has.insert(piece)).collect();
        many.iter().for_each(|&piece| picker.offer(piece, &mut search));
        for _ in &many {
            let (steps, Found::Piece(piece)) = whole_search(&picker, &has, &mut search) else { panic!() };
            assert!(steps < all + 100 * 128 && many.contains(&piece));
            picker.remove(piece);
        }
        assert_eq!(whole_search(&picker, &has, &mut search).1, Found::Nothing);
        // More than is remembered.
        many.iter().for_each(|&piece| picker.insert(piece));
        assert!(matches!(whole_search(&picker, &has, &mut search).1, Found::Piece(_)));
    }

    #[test]
    fn a_search_finds_whatever_may_be_opened() {
        for pieces in [1, 63, 200, 5_000, 50_000] {
            let (mut rng, mut has) = (Rng::new(pieces.into()), Bitfield::new(pieces));
            let (mut picker, mut search) = (Picker::new(pieces, &mut rng), Search::default());
            (0..pieces).for_each(|piece| picker.add_peer(piece));
            for _ in 0..3_000 {
                let piece = rng.below(pieces);
                match rng.below(5) {
                    0 if has.insert(piece) => picker.offer(piece, &mut search),
                    1 => picker.remove(piece),
                    2 => picker.insert(piece),
                    3 if has.count() < 50 => {}
                    _ => {
                        let found = whole_search(&picker, &has, &mut search).1;
                        let is_there = has.iter().any(|piece| picker.contains(piece));
                        match found {
                            Found::Piece(piece) => {
                                assert!(has.has(piece) && picker.contains(piece));
                                picker.remove(piece);
                            }
                            _ => assert!(!is_there, "{pieces} pieces"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn first_pieces_are_random() {
        let picker = Picker::new(1000, &mut Rng::new(2));
        let (all, mut rng) = (Bitfield::full(1000), Rng::new(9));
        let mut picks: Vec<Found> =
            (0..10).map(|_| picker.random(&all, &mut rng, &mut Search::default())).collect();
        picks.dedup();
        assert!(picks.len() > 7, "{picks:?}");
    }
}
