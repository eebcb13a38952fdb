//! Where a peer's search for pieces stands. What has been looked at and could not be opened is not looked at again: only what
//! has come since then is, whether the peer got it or it came back.

/// Parts of the torrent of which is remembered whether they have been looked at.
const REGIONS: u32 = u64::BITS;
/// None of the pieces.
const NONE: u32 = u32::MAX;

/// Where a peer's search through the pieces stands.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Regions in which there may be a piece that the peer has and that may be opened.
    unseen: u64,
    /// The next piece to look at; those before it in its region have been.
    at: u32,
    /// A piece that may be one, too.
    hint: u32,
    /// Pieces that had come back when they were last looked at.
    pub(super) returned: u32,
    /// Pieces, or words of 64 of them, looked at so far.
    pub steps: u64,
}

impl Default for Search {
    fn default() -> Self {
        Self { unseen: u64::MAX, at: 0, hint: NONE, returned: 0, steps: 0 }
    }
}

/// Pieces of a region, of a torrent that has `pieces`: whole words.
fn region_pieces(pieces: u32) -> u32 {
    pieces.div_ceil(REGIONS * u64::BITS).max(1) * u64::BITS
}

impl Search {
    /// Begins anew: it is unknown which pieces there may be.
    pub fn restart(&mut self) {
        (self.unseen, self.at, self.hint) = (u64::MAX, 0, NONE);
    }

    /// `piece`, of so many, has to be looked at.
    pub fn add(&mut self, piece: u32, pieces: u32) {
        if self.hint == NONE || self.hint == piece {
            self.hint = piece;
            return;
        }
        let size = region_pieces(pieces);
        self.unseen |= 1 << (piece / size);
        if piece / size == self.at / size {
            self.at = self.at.min(piece);
        }
    }

    /// True if there is nothing to look at but [`Search::hint`].
    pub fn is_over(&self) -> bool {
        self.unseen == 0
    }

    /// There is nothing left to look at.
    pub fn end(&mut self) {
        (self.unseen, self.hint) = (0, NONE);
    }

    /// The piece to look at when nothing else is known.
    pub fn hint(&self) -> Option<u32> {
        Some(self.hint).filter(|&piece| piece != NONE)
    }

    /// The hint led to nothing.
    pub fn drop_hint(&mut self) {
        self.hint = NONE;
    }

    /// The next of so many pieces to look at, and all that follow it in the same word; `None` at the end.
    pub fn next(&mut self, pieces: u32) -> Option<u32> {
        let size = region_pieces(pieces);
        let region = self.at / size;
        self.unseen &= u64::MAX >> (REGIONS - pieces.div_ceil(size).clamp(1, REGIONS));
        // The region in which it stands first, then those that follow, and round again.
        let ahead = self.unseen.rotate_right(region);
        if ahead == 0 {
            return None;
        }
        let skipped = ahead.trailing_zeros();
        if skipped > 0 {
            self.at = (region + skipped) % REGIONS * size;
        }
        Some(self.at)
    }

    /// The search goes on at `piece`, which was found, or behind the word that [`Search::next`] named.
    pub fn go_on(&mut self, found: Option<u32>, pieces: u32) {
        let size = region_pieces(pieces);
        let behind = (self.at / u64::BITS + 1) * u64::BITS;
        self.at = found.unwrap_or(behind);
        let is_through = found.is_none() && (behind.is_multiple_of(size) || behind >= pieces);
        if is_through {
            self.unseen &= !(1 << ((behind - 1) / size));
            self.at = if behind >= pieces { 0 } else { behind };
        }
    }
}
