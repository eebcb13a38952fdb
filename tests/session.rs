//! The session under random scripts of operations; `fuzz/` goes on where this stops.

use swarmlet::base::Rng;
use swarmlet::fuzzing::session::run;
use swarmlet::session::Outcome;

/// A script whose operations are likely to lead somewhere: connections that shake hands, seeds that unchoke, blocks.
fn likely(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![rng.below(32) as u8 | (16 * u8::from(!rng.one_in(3)))];
    bytes.extend([0, 14, 255]);
    for nth in 0..4 {
        bytes.extend([2, nth, rng.below(4) as u8, 9, nth, 10]);
        bytes.extend([3, nth, 5 + rng.below(2) as u8, 252, 9, nth, 255, 3, nth, 1, 0, 9, nth, 255]);
    }
    for _ in 0..rng.below(150) {
        let nth = rng.below(5) as u8;
        match rng.below(10) {
            0..6 => {
                let how = if rng.one_in(6) { rng.below(8) as u8 } else { 3 };
                let span = if rng.one_in(10) { 28 } else { 16 };
                let wait = rng.below(span) as u8;
                let answer = [14, 255, 5, nth, how, 9, nth, 255, 10, wait];
                (0..rng.below(8)).for_each(|_| bytes.extend(answer));
            }
            6 => bytes.extend([9, nth, rng.below(120) as u8, 8, nth]),
            7 => bytes.extend([3, nth, rng.below(14) as u8, rng.below(256) as u8, 9, nth, 255]),
            8 => bytes.extend([11, u8::from(rng.one_in(3)) * rng.below(4) as u8]),
            _ => bytes.extend([rng.below(256) as u8, nth, rng.below(256) as u8, rng.below(256) as u8]),
        }
    }
    bytes
}

#[test]
fn no_script_breaks_the_session() {
    let seeds = std::env::var("SCRIPTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000u64);
    let mut complete = 0;
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let mut bytes = likely(&mut rng);
        if rng.one_in(4) {
            bytes = vec![0; rng.below(600) as usize];
            rng.fill(&mut bytes);
        }
        let result = std::panic::catch_unwind(|| run(&bytes));
        assert!(result.is_ok(), "seed {seed}: {bytes:?}");
        complete += u32::from(result.is_ok_and(|outcome| outcome == Some(Outcome::Complete)));
    }
    assert!(complete * 20 > seeds as u32, "only {complete} of {seeds} scripts lead to the end");
}

#[test]
fn the_scripts_of_the_corpus_do_what_their_names_say() {
    let script = |name: &str| {
        let path = format!("{}/fuzz/corpus/session/{name}", env!("CARGO_MANIFEST_DIR"));
        run(&std::fs::read(path).unwrap()).unwrap()
    };
    let complete =
        ["download", "download_in_parts", "two_peers_one_corrupt", "silent_then_snubbed", "choke_and_reject"];
    let complete = complete.iter().chain(&["rejects", "disk_full", "check", "unreadable"]);
    for name in complete {
        assert_eq!(script(name), Outcome::Complete, "{name}");
    }
    assert_eq!(script("check_only"), Outcome::CheckFailed);
    assert_eq!(script("disk_broken"), Outcome::IoError);
    assert_eq!(script("pause_and_quit"), Outcome::Incomplete);
}
