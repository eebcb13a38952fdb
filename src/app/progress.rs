//! The progress line: all torrents in one line that fits the terminal.

use crate::app::text::{count, percent, withheld};
use crate::app::width;
use crate::base::units::{Bytes, Span};
use crate::session::{Phase, Status, TorrentStatus};
use std::time::Duration;

/// Narrowest and widest bar, brackets not counted, in columns.
const BAR_COLUMNS: std::ops::RangeInclusive<usize> = 8..=40;

/// All torrents of a run as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    torrents: usize,
    complete: usize,
    checking: usize,
    paused: usize,
    stalled: usize,
    seeding: usize,
    size_bytes: u64,
    done_bytes: u64,
    /// Verified, and not on disk yet.
    held_bytes: u64,
    pieces: u64,
    pieces_checked: u64,
    down_rate: u64,
    up_rate: u64,
    peers: u32,
    /// Of those that are being downloaded: peers, those that have something we lack, and those that let us ask for it.
    suppliers: [u32; 3],
    connecting: u32,
    time_left: Option<Duration>,
}

impl Sum {
    /// Adds the torrents up.
    pub fn of(status: &Status) -> Self {
        let mut sum = Self::default();
        status.torrents.iter().for_each(|torrent| sum.add(torrent));
        let missing = sum.size_bytes.saturating_sub(sum.done_bytes);
        sum.time_left = match status.torrents.as_slice() {
            [single] => single.time_left,
            _ => missing.checked_div(sum.down_rate).map(Duration::from_secs),
        };
        sum
    }

    fn add(&mut self, torrent: &TorrentStatus) {
        self.torrents += 1;
        self.complete += usize::from(torrent.phase.is_complete());
        self.checking += usize::from(torrent.phase == Phase::Checking);
        self.paused += usize::from(torrent.phase == Phase::Paused);
        self.stalled += usize::from(torrent.phase == Phase::Stalled);
        self.seeding += usize::from(torrent.phase == Phase::Seeding);
        self.size_bytes = self.size_bytes.saturating_add(torrent.size_bytes);
        self.done_bytes = self.done_bytes.saturating_add(torrent.done_bytes);
        self.held_bytes = self.held_bytes.saturating_add(torrent.held_bytes);
        if torrent.phase == Phase::Checking {
            self.pieces += u64::from(torrent.pieces);
            self.pieces_checked += u64::from(torrent.pieces_checked);
        }
        if torrent.phase == Phase::Downloading {
            let more = [torrent.peers, torrent.useful, torrent.willing];
            self.suppliers.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.down_rate = self.down_rate.saturating_add(torrent.down_rate);
        self.up_rate = self.up_rate.saturating_add(torrent.up_rate);
        self.peers += torrent.peers;
        self.connecting += torrent.connecting;
    }

    /// True if time alone changes what is shown: a rate that decays, a check that goes on.
    pub fn is_moving(&self) -> bool {
        self.down_rate > 0 || self.up_rate > 0 || self.checking > 0
    }

    /// Tenths of a percent that are done, or checked while checking. Rounded down: 100.0% means everything.
    pub fn permille(&self) -> u64 {
        if self.checking > 0 {
            return share(self.pieces_checked, self.pieces);
        }
        if self.size_bytes == 0 {
            return if self.complete == self.torrents { 1000 } else { 0 };
        }
        let most = if self.done_bytes < self.size_bytes { 999 } else { 1000 };
        share(self.verified_bytes(), self.size_bytes).min(most)
    }

    /// What is there for good, as far as peers go: a slow line would show nothing while an extent fills.
    fn verified_bytes(&self) -> u64 {
        self.done_bytes.saturating_add(self.held_bytes).min(self.size_bytes)
    }

    /// What it is doing, where that is not downloading.
    pub fn doing(&self) -> Option<&'static str> {
        let unfinished = self.torrents - self.complete;
        let text = if self.checking > 0 {
            "checking"
        } else if unfinished > 0 && self.paused == unfinished {
            "paused"
        } else if self.stalled > 0 {
            "disk trouble"
        } else if unfinished == 0 && self.seeding > 0 {
            "seeding"
        } else {
            return None;
        };
        Some(text)
    }

    /// Why nothing comes.
    fn withheld(&self) -> Option<&'static str> {
        let [suppliers, useful, willing] = self.suppliers;
        withheld(suppliers, useful, willing).filter(|_| self.down_rate == 0 && self.doing().is_none())
    }

    /// Who is connected; only those of whom something is wanted, if they withhold it.
    fn peers(&self, withheld: Option<&str>) -> String {
        let all = |peers: u32| count(u64::from(peers), "peer", "peers");
        match (withheld, self.peers) {
            (Some(why), _) => format!("{}, {why}", all(self.suppliers[0])),
            (None, 0) if self.connecting > 0 => format!("connecting to {}", self.connecting),
            (None, 0) => "no peers".to_string(),
            (None, peers) => all(peers),
        }
    }

    /// One line of at most `columns`. What matters least is left out first; the bar takes the room that is
    /// left.
    pub fn line(&self, columns: usize) -> String {
        let is_checking = self.checking > 0;
        let permille = self.permille();
        let percent = format!("{:>6}", percent(permille));
        let sizes = match Bytes(self.size_bytes) {
            all if self.complete == self.torrents => all.to_string(),
            all => format!("{} of {all}", Bytes(self.verified_bytes())),
        };
        let is_fetching = !is_checking && self.complete < self.torrents;
        let is_giving = !is_checking && !is_fetching && self.seeding > 0;
        let rate = if is_giving {
            Some(format!("{}/s up", Bytes(self.up_rate)))
        } else {
            is_fetching.then(|| format!("{}/s", Bytes(self.down_rate)))
        };
        let left = self.time_left.filter(|_| is_fetching && self.down_rate > 0);
        let left = left.map(|left| format!("{} left", Span(left)));
        let withheld = self.withheld().filter(|_| is_fetching);
        let peers = (is_fetching || is_giving).then(|| self.peers(withheld));
        let count = (self.torrents > 1).then(|| format!("{}/{} torrents", self.complete, self.torrents));
        // In the order in which they stand, each with the order in which they are let in.
        let parts = [
            (count, 5),
            (self.doing().map(str::to_string), 1),
            (Some(sizes).filter(|_| !is_checking), 3),
            (rate, 0),
            (left, 2),
            (peers, if withheld.is_some() { 1 } else { 4 }),
        ];
        let chosen = fitting(&parts, columns.saturating_sub(width::of(&percent)));
        let text: String = chosen.iter().map(|part| format!("  {part}")).collect();
        // In steps of four, so that it does not jump with each digit that comes or goes.
        let room = columns.saturating_sub(width::of(&percent) + width::of(&text) + 3) / 4 * 4;
        let is_wide = room >= *BAR_COLUMNS.start();
        let bar = if is_wide { bar(permille, room.min(*BAR_COLUMNS.end())) } else { String::new() };
        width::cut(&format!("{percent}{bar}{text}"), columns)
    }
}

/// The parts that fit into `columns`, two blanks before each; those of low number are let in first.
fn fitting(parts: &[(Option<String>, usize)], mut columns: usize) -> Vec<&str> {
    let mut is_in = vec![false; parts.len()];
    for order in 0..parts.len() {
        let candidate = parts.iter().position(|(text, rank)| *rank == order && text.is_some());
        let Some(index) = candidate else { continue };
        let needs = parts[index].0.as_deref().map_or(0, width::of) + 2;
        if needs <= columns {
            columns -= needs;
            is_in[index] = true;
        }
    }
    parts.iter().zip(is_in).filter(|(_, is_in)| *is_in).filter_map(|((text, _), _)| text.as_deref()).collect()
}

fn bar(permille: u64, columns: usize) -> String {
    let full = (columns as u64 * permille / 1000) as usize;
    let tip = if full < columns { ">" } else { "" };
    format!(" [{:<columns$}]", "=".repeat(full) + tip)
}

/// Tenths of a percent, rounded down; all of nothing is all.
pub fn share(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 1000).checked_div(u128::from(whole)).map_or(1000, |share| share.min(1000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::text::tests::torrent_status;

    fn sum() -> Sum {
        Sum::of(&Status { torrents: vec![torrent_status()], ..Status::default() })
    }

    #[test]
    fn a_line_fits_every_width_and_keeps_what_matters() {
        let cases = [
            (120, " 45.2% [==================>                     ]  1.67 GiB of "),
            (100, " 45.2% [==============>                 ]  1.67 GiB of "),
            (79, " 45.2% [===>    ]  1.67 GiB of 3.70 GiB"),
            (60, " 45.2%  1.67 GiB of 3.70 GiB  11.2 MiB/s  3 m 10 s left"),
            (30, " 45.2%  11.2 MiB/s"),
            (19, " 45.2%  11.2 MiB/s"),
            (5, " 45.…"),
        ];
        for (columns, beginning) in cases {
            let line = sum().line(columns);
            assert!(line.starts_with(beginning), "{columns}: {line:?}");
        }
        for columns in 0..200 {
            let line = sum().line(columns);
            assert!(width::of(&line) <= columns, "{columns}: {line:?}");
        }
        assert!(sum().line(79).ends_with("  1.67 GiB of 3.70 GiB  11.2 MiB/s  3 m 10 s left  12 peers"));
    }

    #[test]
    fn what_is_verified_shows_before_it_is_stored_and_is_not_all() {
        let line = |done_bytes, held_bytes| {
            let torrent = TorrentStatus { size_bytes: 4 << 20, done_bytes, held_bytes, ..torrent_status() };
            Sum::of(&Status { torrents: vec![torrent], ..Status::default() }).line(60)
        };
        assert!(line(0, 1 << 20).starts_with(" 25.0%  1.0 MiB of 4.0 MiB"), "{}", line(0, 1 << 20));
        assert!(line(2 << 20, 2 << 20).starts_with(" 99.9%"), "{}", line(2 << 20, 2 << 20));
        assert!(line(4 << 20, 0).starts_with("100.0%"), "{}", line(4 << 20, 0));
    }

    #[test]
    fn several_torrents_are_one_line() {
        let complete =
            TorrentStatus { phase: Phase::Complete, done_bytes: 100, size_bytes: 100, ..torrent_status() };
        let both = Sum::of(&Status { torrents: vec![torrent_status(), complete], ..Status::default() });
        assert!(both.line(120).contains("  1/2 torrents  "), "{}", both.line(120));
    }

    #[test]
    fn phases_have_words() {
        let of = |phase| {
            let torrent = TorrentStatus { phase, ..torrent_status() };
            Sum::of(&Status { torrents: vec![torrent], ..Status::default() }).line(79)
        };
        assert!(of(Phase::Checking).starts_with(" 10.0% [====>  "), "{}", of(Phase::Checking));
        assert!(of(Phase::Checking).ends_with("  checking"));
        assert!(of(Phase::Paused).contains("  paused  "));
        assert!(of(Phase::Stalled).contains("  disk trouble  "));
    }

    #[test]
    fn a_seed_shows_what_it_gives() {
        let torrent = TorrentStatus {
            phase: Phase::Seeding,
            done_bytes: torrent_status().size_bytes,
            down_rate: 0,
            up_rate: 2 << 20,
            ..torrent_status()
        };
        let seed = Sum::of(&Status { torrents: vec![torrent.clone()], ..Status::default() });
        assert!(seed.is_moving());
        let line = seed.line(79);
        assert!(line.ends_with("]  seeding  3.70 GiB  2.0 MiB/s up  12 peers"), "{line}");
        let still = TorrentStatus { up_rate: 0, ..torrent };
        assert!(!Sum::of(&Status { torrents: vec![still], ..Status::default() }).is_moving());
    }

    #[test]
    fn who_is_connected_and_gets_nothing_hears_why() {
        let line = |peers, useful, willing, down_rate| {
            let torrent = TorrentStatus { peers, useful, willing, down_rate, ..torrent_status() };
            Sum::of(&Status { torrents: vec![torrent], ..Status::default() }).line(100)
        };
        assert!(
            line(1, 1, 0, 0).ends_with("  0 B/s  1 peer, none lets us download yet"),
            "{}",
            line(1, 1, 0, 0)
        );
        let torrent = TorrentStatus { useful: 12, willing: 0, down_rate: 0, ..torrent_status() };
        let narrow = Sum::of(&Status { torrents: vec![torrent], ..Status::default() }).line(55);
        assert_eq!(narrow, " 45.2%  0 B/s  12 peers, none lets us download yet");
        assert!(line(2, 0, 0, 0).ends_with("  2 peers, none has what is missing"));
        assert!(line(2, 2, 1, 0).ends_with("  2 peers") && line(2, 2, 0, 9).ends_with("  2 peers"));
    }

    #[test]
    fn all_but_a_byte_is_not_all() {
        assert_eq!(share(u64::MAX - 1, u64::MAX), 999);
        assert_eq!((share(7, 7), share(0, 0), share(9, 7)), (1000, 1000, 1000));
    }
}
