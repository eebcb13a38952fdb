//! Whether a peer alone has something that is missing.

use super::Download;
use crate::base::Bitfield;

impl Download {
    /// True if no other counted peer has some piece that is missing and that one with the pieces `has` does have.
    /// `counted`: it is counted itself. Looks at the rarest pieces only, and takes one off `steps` for each; where those do
    /// not suffice, it is taken to be alone.
    pub fn is_alone_with_something(&self, has: &Bitfield, counted: bool, steps: &mut u32) -> bool {
        let own = u32::from(counted);
        let open = self.assembly.pieces().filter(|&piece| self.picker.availability(piece) == own);
        let rare = open.chain(self.picker.with_availability(own).iter().copied());
        for piece in rare {
            if *steps == 0 || has.has(piece) {
                return true;
            }
            *steps -= 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Instant, Rng, StreamId};
    use crate::download::{Pipeline, Pool};
    use crate::meta::Metainfo;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    const PIECES: u32 = 1_000;

    fn download() -> Download {
        let head = alloc::format!("d4:infod6:lengthi{}e4:name1:a12:piece lengthi16384e", PIECES * 16_384);
        let hashes =
            [alloc::format!("6:pieces{}:", PIECES * 20).into_bytes(), alloc::vec![7; 20_000]].concat();
        let bytes: Vec<u8> = [head.as_bytes(), &hashes, b"ee"].concat();
        Download::new(Arc::new(Metainfo::parse(&bytes).unwrap()), &mut Rng::new(1))
    }

    fn of(pieces: &[u32]) -> Bitfield {
        let mut has = Bitfield::new(PIECES);
        pieces.iter().for_each(|&piece| assert!(has.insert(piece)));
        has
    }

    #[test]
    fn who_has_what_nobody_else_has_is_alone_whether_it_is_being_fetched_or_not() {
        let (mut download, mut pool) = (download(), Pool::new(1 << 20));
        [3, 4, 4, 5, 5].into_iter().for_each(|piece| download.add_availability(piece));
        let is_alone = |download: &Download, pieces: &[u32]| {
            download.is_alone_with_something(&of(pieces), true, &mut 100)
        };
        assert!(is_alone(&download, &[3, 4]) && !is_alone(&download, &[4, 5]));
        let (source, only) = (StreamId { slot: 1, generation: 1 }, of(&[3]));
        let (now, rng, pipeline) = (Instant::from_micros(1), &mut Rng::new(2), &mut Pipeline::default());
        download.pick(now, rng, source, &only, pipeline, &mut pool);
        assert!(download.open_pieces() == 1 && is_alone(&download, &[3, 4]), "it is not here yet");
        assert!(download.is_alone_with_something(&Bitfield::full(PIECES), false, &mut 100));
    }

    #[test]
    fn who_is_not_known_to_be_of_no_use_after_so_many_steps_is_taken_to_be_alone() {
        let mut download = download();
        (0..PIECES).for_each(|piece| download.add_availability(piece));
        download.add_availability(7);
        let mut steps = 2 * PIECES;
        assert!(!download.is_alone_with_something(&of(&[7]), true, &mut steps));
        assert_eq!(steps, PIECES + 1);
        assert!(!download.is_alone_with_something(&of(&[7]), true, &mut steps) && steps == 2);
        assert!(download.is_alone_with_something(&of(&[7]), true, &mut steps) && steps == 0);
    }
}
