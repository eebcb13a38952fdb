//! How much of the lines is used: achieved ÷ possible, over latency, rate, number of seeders and piece size.
//!
//! `table.md` keeps what the table was, so that a regression shows when the change is read. A figure may differ from it by
//! [`SLACK`]; `SIM_TABLE=write cargo test --test simulation efficiency` writes it anew. The long table is for
//! `cargo test --test simulation long_table -- --ignored`.

mod course;
mod seeder;

use course::Course;
use seeder::Kind;
use std::fmt::Write as _;
use std::io::Write as _;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// What the default of `--memory` leaves for blocks.
const MEMORY_BYTES: u64 = 8 * MIB;
/// Bytes that a figure of the table is measured over, unless that takes too long.
const VOLUME_BYTES: u64 = 32 * MIB;
/// A figure must be at least this, in percent.
const LEAST: u64 = 93;
/// Percent by which a figure may differ from what was kept.
const SLACK: u64 = 2;
const KEPT: &str = "tests/simulation/efficiency/table.md";

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Lines {
    seeders: u64,
    rate: u64,
    round_trip_us: u64,
}

impl Lines {
    fn possible(&self) -> u64 {
        self.seeders * self.rate
    }

    /// Bytes that the lines carry at a time.
    fn in_flight_bytes(&self) -> u64 {
        self.possible() * self.round_trip_us / 1_000_000
    }

    /// All combinations for which memory suffices.
    fn within_memory(round_trips_ms: &[u64], rates_kib: &[u64], seeders: &[u64]) -> Vec<Self> {
        let mut all = vec![];
        for &round_trip_ms in round_trips_ms {
            for &rate_kib in rates_kib {
                let of =
                    |&seeders| Self { seeders, rate: rate_kib * KIB, round_trip_us: round_trip_ms * 1000 };
                all.extend(seeders.iter().map(of));
            }
        }
        all.retain(|lines| lines.in_flight_bytes() <= MEMORY_BYTES);
        all
    }

    /// Percent of what is possible that is achieved, when the first twelve round trips are over.
    fn used(&self, piece_bytes: u32) -> u64 {
        let volume_us = VOLUME_BYTES * 1_000_000 / self.possible();
        let warm_us = (12 * self.round_trip_us).max(volume_us.min(40_000_000) / 2);
        let span_us = (10 * self.round_trip_us).max(volume_us.min(40_000_000));
        let needed = (warm_us + span_us) * self.possible() / 1_000_000;
        let kinds = vec![Kind::steady(self.rate, self.round_trip_us); self.seeders as usize];
        let mut course =
            Course::new(&kinds, needed * 5 / 4 + 4 * u64::from(piece_bytes), piece_bytes, MEMORY_BYTES);
        course.run(warm_us, |_| true);
        let before = course.useful_bytes();
        course.run(warm_us + span_us, |_| true);
        course.session.check();
        let achieved = (course.useful_bytes() - before) * 1_000_000 / span_us;
        (achieved * 100 + self.possible() / 2) / self.possible()
    }
}

/// The table, and its figures that are too low, but for cells of which `counts` says that they do not count.
fn table(lines: &[Lines], pieces_kib: &[u64], counts: impl Fn(&Lines, u64) -> bool) -> (String, Vec<String>) {
    let (mut text, mut low) = (String::new(), vec![]);
    let sizes: Vec<String> = pieces_kib.iter().map(|kib| format!("{kib} KiB |")).collect();
    let _ = writeln!(text, "| round trip, ms | KiB/s each | seeders | KiB in flight | {}", sizes.join(" "));
    let _ = writeln!(text, "|{}", "---|".repeat(4 + pieces_kib.len()));
    for line in lines {
        let (trip_ms, rate_kib) = (line.round_trip_us / 1000, line.rate / KIB);
        let _ =
            write!(text, "| {trip_ms} | {rate_kib} | {} | {} |", line.seeders, line.in_flight_bytes() / KIB);
        for &piece_kib in pieces_kib {
            let used = line.used((piece_kib * KIB) as u32);
            let _ = write!(text, " {used} |");
            if used < LEAST && counts(line, piece_kib * KIB) {
                low.push(format!("{line:?}, pieces of {piece_kib} KiB: {used} %"));
            }
        }
        text.push('\n');
    }
    (text, low)
}

/// True if `text` says the same as `kept`, but for a little in its last columns.
fn agrees(text: &str, kept: &str) -> bool {
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_string).collect() };
    let (text, kept) = (words(text), words(kept));
    let alike = |(one, other): (&String, &String)| match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.abs_diff(other) <= SLACK,
        _ => one == other,
    };
    text.len() == kept.len() && text.iter().zip(&kept).all(alike)
}

#[test]
fn lines_are_full_whatever_their_latency_rate_and_number() {
    let lines = Lines::within_memory(&[1, 30, 100, 300], &[64, 1 << 10, 16 << 10, 100 << 10], &[1, 8, 50]);
    let (text, low) = table(&lines, &[16, 256, 2 << 10, 16 << 10], |_, _| true);
    assert!(low.is_empty(), "{text}\n{low:#?}");
    if std::env::var("SIM_TABLE").is_ok_and(|what| what == "write") {
        std::fs::write(KEPT, &text).unwrap();
    }
    let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
    assert!(
        agrees(&text, &kept),
        "this is the table, and {KEPT} is another (see the head of this file):\n{text}"
    );
}

#[test]
#[ignore = "takes minutes: scripts/check --long runs it"]
fn long_table() {
    let rates = [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 100 << 10];
    let lines = Lines::within_memory(&[1, 3, 10, 30, 100, 200, 300], &rates, &[1, 2, 5, 10, 20, 50]);
    // Beside what is on its way, the piece that it is for has to fit.
    let fits = |line: &Lines, piece_bytes| line.in_flight_bytes() + piece_bytes <= MEMORY_BYTES;
    let (text, low) = table(&lines, &[16, 64, 256, 1 << 10, 4 << 10, 16 << 10], fits);
    let _ = writeln!(std::io::stdout(), "{text}");
    assert!(low.is_empty(), "{text}\n{low:#?}");
}

#[test]
fn what_waits_at_a_peer_does_not_grow_with_time() {
    for (rate, round_trip_us, most) in [(64 * KIB, 1_000, 6), (MIB, 30_000, 24), (4 * MIB, 100_000, 90)] {
        let mut course =
            Course::new(&[Kind::steady(rate, round_trip_us)], 120 * rate, 256 << 10, MEMORY_BYTES);
        course.run(100_000_000, |_| true);
        assert!(course.useful_bytes() > 97 * rate);
        assert!(course.widest <= most, "{rate} bytes a second: {} requests waited", course.widest);
    }
}

#[test]
fn a_longer_way_is_noticed() {
    let rate = 4 * MIB;
    let mut course = Course::new(&[Kind::steady(rate, 10_000)], 200 * rate, 256 << 10, MEMORY_BYTES);
    course.run(20_000_000, |_| true);
    course.change_round_trip(200_000);
    course.run(40_000_000, |_| true);
    let before = course.useful_bytes();
    course.run(50_000_000, |_| true);
    let used = (course.useful_bytes() - before) * 100 / (10 * rate);
    assert!(used >= LEAST, "{used} %");
}

/// Ten peers, of which one is slow and one answers nothing after `silent_after` blocks: how long the last hundredth of
/// `mib` MiB takes, in percent of the whole time.
fn last_hundredth(rate: u64, round_trip_us: u64, piece_bytes: u32, mib: u64, silent_after: u32) -> u64 {
    let total = mib * MIB;
    let mut kinds = vec![Kind::steady(rate, round_trip_us); 8];
    kinds.push(Kind::steady(16 * KIB, round_trip_us));
    kinds.push(Kind { silent_after, ..Kind::steady(rate, round_trip_us) });
    let mut course = Course::new(&kinds, total, piece_bytes, MEMORY_BYTES);
    course.run(u64::MAX / 4, |course| course.useful_bytes() < total / 100 * 99);
    let late_us = course.elapsed_us();
    course.run(u64::MAX / 4, |course| course.done_bytes() < total);
    let whole_us = course.elapsed_us();
    let (ideal_us, duplicates) = (total * 1_000_000 / (8 * rate), course.duplicate_bytes());
    assert!(whole_us < ideal_us * 11 / 10, "{whole_us} of {ideal_us} us");
    assert!(duplicates < total / 50, "{duplicates} bytes came twice");
    (whole_us - late_us) * 100 / whole_us
}

#[test]
fn the_last_hundredth_takes_no_longer_than_twice_its_share() {
    for (rate, round_trip_us, piece_bytes, mib) in
        [(MIB, 40_000, 256 << 10, 100), (4 * MIB, 100_000, 1 << 20, 512), (256 * KIB, 50_000, 1 << 20, 100)]
    {
        for silent_after in [0, 20, 100] {
            let took = last_hundredth(rate, round_trip_us, piece_bytes, mib, silent_after);
            assert!(took <= 2, "{took} % at {rate} bytes a second, silent after {silent_after} blocks");
        }
    }
}

#[test]
fn a_slow_processor_hashes_a_large_piece_in_slices() {
    let (total, slice) = (96 * MIB, 64 << 10);
    let mut course = Course::new(&[Kind::steady(100 * MIB, 1_000)], total, 16 << 20, MEMORY_BYTES);
    course.hash_budget_bytes = slice;
    course.run(u64::MAX / 4, |course| course.done_bytes() < total);
    // A slice ends with the block in which its budget does; pieces may be hashed two at a time.
    let most = (slice + 2 * 16_384) as u64;
    assert!(course.slices >= total / most, "{} slices", course.slices);
}
