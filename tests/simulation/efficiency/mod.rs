//! How much of the lines is used: achieved ÷ possible, over latency, rate, number of seeders and piece size.

mod course;
mod seeder;

use course::Course;
use seeder::Kind;

const MIB: u64 = 1 << 20;

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

    fn in_flight_bytes(&self) -> u64 {
        self.possible() * self.round_trip_us / 1_000_000
    }
}

/// Per mille of what is possible that is used after a warm-up.
fn measure(lines: &Lines, piece_bytes: u32, memory_bytes: u64) -> (u64, u32) {
    let volume_bytes: u64 = std::env::var("VOL").ok().and_then(|s| s.parse().ok()).unwrap_or(32) * MIB;
    let volume_us = volume_bytes * 1_000_000 / lines.possible();
    let warm_us = (12 * lines.round_trip_us).max(volume_us / 2).min(20_000_000.max(12 * lines.round_trip_us));
    let span_us = (10 * lines.round_trip_us).max(volume_us.min(40_000_000));
    let total = (warm_us + span_us) * lines.possible() / 1_000_000 * 5 / 4 + 4 * u64::from(piece_bytes);
    let kinds = vec![Kind::steady(lines.rate, lines.round_trip_us); lines.seeders as usize];
    let mut course = Course::new(&kinds, total, piece_bytes, memory_bytes);
    course.run(warm_us, |_| true);
    let before = course.useful_bytes();
    course.run(warm_us + span_us, |_| true);
    let achieved = (course.useful_bytes() - before) * 1_000_000 / span_us;
    course.session.check();
    if std::env::var("DBG").is_ok() {
        let text = format!("{:?}", course.session);
        let at = text.find("pool: Pool").unwrap();
        println!("{:?} {piece_bytes}: {} dup {}", lines, &text[at..].split("picker").next().unwrap().split("actions").next().unwrap().replace("Buffer, ", ""), course.duplicates() );
    }
    (achieved * 1000 / lines.possible(), course.widest)
}

#[test]
fn explore() {
    for round_trip_ms in [1, 30, 100, 300] {
        for rate in [64 << 10, MIB, 16 * MIB, 100 * MIB] {
            for seeders in [1, 8, 50] {
                let lines = Lines { seeders, rate, round_trip_us: round_trip_ms * 1000 };
                if let Ok(only) = std::env::var("ONLY") { if only != format!("{round_trip_ms},{},{seeders}", rate >> 10) { continue; } }
                if lines.in_flight_bytes() > 10 * MIB { continue; }
                let t = std::time::Instant::now();
                let row: Vec<_> = [16 << 10, 256 << 10, 2 << 20, 16 << 20].map(|p| measure(&lines, p, 9 * MIB)).to_vec();
                println!("{round_trip_ms:4} ms {:6} KiB/s x {seeders:2}: bdp {:7} KiB {row:?} {:?}", rate >> 10, lines.in_flight_bytes() >> 10, t.elapsed());
            }
        }
    }
}
