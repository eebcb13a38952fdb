//! Which piece next: the rarest that a peer has, found in a bounded number of steps.
//!
//! All pieces that may be opened stand in one array, sorted by how many peers have them; the borders between equal
//! counts are kept beside it. A `have` moves a piece across one border: two swaps, however long the array.

use crate::base::Rng;
use crate::download::offer::Pieces;
use alloc::vec;
use alloc::vec::Vec;

/// Steps that one search for a piece may take before it answers "later".
pub const SCAN_STEPS: u32 = 128;
/// Not in the array: open, verified or stored.
const ABSENT: u32 = u32::MAX;

/// The pieces that may be opened, by rarity. Peers that have everything are counted by the caller, not here: they
/// make no piece rarer than another.
#[derive(Debug)]
pub struct Picker {
    /// Pickable pieces; the rarest first, equals in random order.
    order: Vec<u32>,
    /// Where each piece stands in `order`, or `ABSENT`.
    position: Vec<u32>,
    /// How many peers have each piece.
    availability: Vec<u16>,
    /// `first[n]` is where pieces with availability `n` or more begin in `order`; ends with a border beyond all.
    first: Vec<u32>,
    /// No piece before this one may be opened.
    lowest: u32,
    /// Swaps so far: what the picker's upkeep costs, for the test that it does not grow with the torrent.
    steps: u64,
}

/// Where a peer's search through the pieces stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    /// The next piece to look at when the rarest ones are not to be had from this peer.
    at: u32,
    /// Steps since the last piece was found.
    walked: u32,
    /// Pieces looked at so far, in all.
    pub steps: u64,
}

impl Search {
    /// Begins anew: pieces came back or the peer has more than before.
    pub fn restart(&mut self) {
        self.walked = 0;
    }
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
    }

    /// `piece` may be opened again. Costs one swap for each availability above its own.
    pub fn insert(&mut self, piece: u32) {
        if self.contains(piece) || piece as usize >= self.position.len() {
            return;
        }
        self.lowest = self.lowest.min(piece);
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
        let offered = self.offered(has);
        let mut near = offered.iter().take(SCAN_STEPS as usize).inspect(|_| search.steps += 1);
        if let Some(&piece) = near.find(|&&piece| has.has(piece)) {
            search.walked = 0;
            return Found::Piece(piece);
        }
        if offered.len() <= SCAN_STEPS as usize {
            return Found::Nothing;
        }
        self.walk(has, search)
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

    /// The first piece by number that may be opened and that `has` holds, as far as a bounded number of steps reaches; if
    /// those are not enough, the first behind where the peer's last search stopped.
    pub fn in_order(&mut self, has: &impl Pieces, search: &mut Search) -> Found {
        if self.order.is_empty() {
            return Found::Nothing;
        }
        // Each piece is passed once, until it comes back.
        while !self.contains(self.lowest) {
            self.lowest += 1;
        }
        let end = has.len().min(self.lowest.saturating_add(SCAN_STEPS));
        let mut near = (self.lowest..end).inspect(|_| search.steps += 1);
        if let Some(piece) = near.find(|&piece| has.has(piece) && self.contains(piece)) {
            search.walked = 0;
            return Found::Piece(piece);
        }
        if search.walked == 0 {
            search.at = end % has.len();
        }
        self.walk(has, search)
    }

    /// The part of the array that a peer can have pieces of: what nobody counted has, only a peer that has
    /// everything can offer.
    fn offered(&self, has: &impl Pieces) -> &[u32] {
        let start = if has.is_full() { 0 } else { self.first[1] };
        &self.order[start as usize..]
    }

    /// Looks at up to eight times [`SCAN_STEPS`] pieces by number: cheap steps, for peers that have little.
    fn walk(&self, has: &impl Pieces, search: &mut Search) -> Found {
        let pieces = self.position.len() as u32;
        for _ in 0..8 * SCAN_STEPS {
            if search.walked >= pieces {
                return Found::Nothing;
            }
            let piece = search.at;
            search.at = if piece + 1 >= pieces { 0 } else { piece + 1 };
            search.walked += 1;
            search.steps += 1;
            if has.has(piece) && self.contains(piece) {
                search.walked = 0;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Bitfield;

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
        let mut picker = Picker::new(100_000, &mut Rng::new(2));
        let mut has = Bitfield::new(100_000);
        has.insert(77_777);
        (0..100_000).for_each(|piece| picker.add_peer(piece));
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
        assert!(calls <= 100_000 / (8 * SCAN_STEPS) + 1, "{calls}");
        picker.remove(77_777);
        (0..200).for_each(|_| assert_ne!(picker.rarest(&has, &mut search), Found::Piece(77_777)));
        assert_eq!(picker.rarest(&has, &mut search), Found::Nothing);
        search.restart();
        assert_eq!(picker.rarest(&has, &mut search), Found::Later);
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
