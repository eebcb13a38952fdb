//! The real program, killed at random moments of a download and started again, many times over. After each: nothing is
//! believed that is not right on the disk, only what was in memory is fetched again, and in the end every byte is right.
//!
//! `CRASH_KILLS=500 cargo test --release --test crash -- --nocapture` is the long run.
#![cfg(feature = "io")]
#![expect(clippy::print_stdout, reason = "the figures of the long run")]

#[path = "interop/process.rs"]
#[allow(
    dead_code,
    reason = "these tests keep their children themselves, because they type to them and kill them"
)]
mod process;

use process::{Scratch, free_port, wait_for};
use sha1::{Digest, Sha1};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use swarmlet::base::Rng;
use swarmlet::meta::Metainfo;
use swarmlet::resume::{Belief, Present};
use swarmlet::rim::storage::{Options, Storage, wall};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swarmlet");
/// Kills of the usual run.
const KILLS: usize = 40;
const PIECE_BYTES: usize = 64 << 10;
/// Lengths of the files of the torrent.
const FILES: [usize; 5] = [5_000_123, 0, 700_000, 11, 9_000_000];
/// `--memory` of the program that is killed, in MiB.
const MEMORY_MIB: usize = 2;
/// What one kill may cost: blocks in memory, and those on their way through the sockets.
const COST_BYTES_MAX: u64 = (MEMORY_MIB as u64 + 2) << 20;
const PATIENCE: Duration = Duration::from_secs(300);

/// A child that never outlives its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(value: &str) -> String {
    format!("{}:{value}", value.len())
}

/// Writes the files below `folder`, and their torrent beside it. Returns all bytes, in order.
fn make(folder: &Path, torrent: &Path) -> Vec<u8> {
    let mut content = vec![0; FILES.iter().sum()];
    Rng::new(11).fill(&mut content);
    // A piece of zeros is a hole for file systems that look closely.
    content[3 * PIECE_BYTES..5 * PIECE_BYTES].fill(0);
    let (mut at, mut list) = (0, String::new());
    fs::create_dir_all(folder.join("t")).unwrap();
    for (nth, length) in FILES.into_iter().enumerate() {
        fs::write(folder.join(format!("t/{nth}")), &content[at..at + length]).unwrap();
        list += &format!("d6:lengthi{length}e4:pathl{}ee", text(&nth.to_string()));
        at += length;
    }
    let hashes: Vec<u8> = content.chunks(PIECE_BYTES).flat_map(Sha1::digest).collect();
    let head =
        format!("d4:infod5:filesl{list}e4:name1:t12:piece lengthi{PIECE_BYTES}e6:pieces{}:", hashes.len());
    fs::write(torrent, [head.as_bytes(), &hashes, b"ee"].concat()).unwrap();
    content
}

/// The program as a seeder, which tells how much it has sent.
struct Seeder {
    _child: Running,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    port: u16,
}

impl Seeder {
    fn start(torrent: &Path, folder: &Path) -> Self {
        let port = free_port();
        let mut child = Command::new(PROGRAM)
            .args(["--seed", "--json", "--bind", "127.0.0.1", "--up-limit", "16384"])
            .args(["--port", &port.to_string(), "-o"])
            .args([folder, torrent])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut seeder = Self { _child: Running(child), commands, answers: BufReader::new(answers), port };
        let is_seeding = |seeder: &mut Self| seeder.status().contains("\"phase\":\"seeding\"");
        wait_for("a seeder that seeds", PATIENCE, || is_seeding(&mut seeder).then_some(()));
        seeder
    }

    fn status(&mut self) -> String {
        writeln!(self.commands, "status").unwrap();
        let mut lines = self.answers.by_ref().lines().map(Result::unwrap);
        lines.find(|line| line.starts_with("{\"type\":\"status\"")).expect("an answer")
    }

    fn sent_bytes(&mut self) -> u64 {
        let status = self.status();
        let (_, rest) = status.split_once("\"uploaded_bytes\":").expect("it is in the status");
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().unwrap()
    }
}

/// One download, killed again and again.
struct Victim<'a> {
    torrent: &'a Path,
    metainfo: Arc<Metainfo>,
    content: &'a [u8],
    folder: PathBuf,
    port: u16,
}

impl Victim<'_> {
    fn start(&self) -> Running {
        let peer = format!("127.0.0.1:{}", self.port);
        let mut command = Command::new(PROGRAM);
        command.args(["--quiet", "--port", "0", "--bind", "127.0.0.1", "--peer", &peer]);
        command.args(["--memory", &MEMORY_MIB.to_string(), "-o"]).args([&self.folder, self.torrent]);
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// The content as it is on disk; what is missing are zeros.
    fn on_disk(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.content.len());
        for (nth, length) in FILES.into_iter().enumerate() {
            let mut file = fs::read(self.folder.join(format!("t/{nth}"))).unwrap_or_default();
            file.resize(length, 0);
            bytes.extend(file);
        }
        bytes
    }

    /// Which pieces are right on disk; panics if one is believed that is not.
    fn good_pieces(&self) -> Vec<bool> {
        let disk = self.on_disk();
        let pairs = disk.chunks(PIECE_BYTES).zip(self.content.chunks(PIECE_BYTES));
        let good: Vec<bool> = pairs.map(|(ours, theirs)| ours == theirs).collect();
        let (mut storage, _) =
            Storage::open(&self.folder, Arc::clone(&self.metainfo), &Options::default()).unwrap();
        let state = storage.take().expect("nobody else has it");
        let (era, wall) = (storage.era(), wall());
        let present = Present { stamps: storage.stamps(), era, wall };
        let belief = Belief::new(&self.metainfo, &state, &present);
        assert_eq!(belief.fault, None, "the state is always whole");
        let wrong: Vec<u32> = belief.pieces.iter().filter(|&piece| !good[piece as usize]).collect();
        assert!(wrong.is_empty(), "believed and not right: {wrong:?}");
        good
    }

    fn good_bytes(&self) -> u64 {
        let good = self.good_pieces();
        let lengths = self.content.chunks(PIECE_BYTES).map(|piece| piece.len() as u64);
        lengths.zip(good).filter(|(_, good)| *good).map(|(length, _)| length).sum()
    }
}

#[derive(Default)]
struct Costs(Vec<u64>);

#[test]
fn whatever_moment_it_is_killed_at_little_is_fetched_again_and_nothing_wrong_is_believed() {
    let scratch = Scratch::new();
    let (data, torrent) = (scratch.folder("data"), scratch.path().join("t.torrent"));
    let content = make(&data, &torrent);
    let metainfo = Arc::new(Metainfo::parse(&fs::read(&torrent).unwrap()).unwrap());
    let mut seeder = Seeder::start(&torrent, &data);
    let kills = std::env::var("CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let (mut rng, mut costs, mut downloads) = (Rng::new(5), Costs::default(), 0);
    while costs.0.len() < kills {
        let folder = scratch.folder(&format!("out {downloads}"));
        let (metainfo, port) = (Arc::clone(&metainfo), seeder.port);
        let victim = Victim { torrent: &torrent, metainfo, content: &content, folder, port };
        download(&victim, &mut seeder, &mut rng, &mut costs);
        fs::remove_dir_all(&victim.folder).unwrap();
        downloads += 1;
    }
    let (count, worst) = (costs.0.len() as u64, costs.0.iter().max().copied().unwrap_or(0));
    let mean = costs.0.iter().sum::<u64>() / count;
    println!(
        "{count} kills in {downloads} downloads: fetched again after each {mean} bytes, at worst {worst}"
    );
    assert!(worst <= COST_BYTES_MAX, "{worst} bytes were fetched again after one kill");
}

/// Downloads everything, with a kill now and then.
fn download(victim: &Victim<'_>, seeder: &mut Seeder, rng: &mut Rng, costs: &mut Costs) {
    let (mut sent, mut good) = (seeder.sent_bytes(), victim.good_bytes());
    let (start, mut longest_ms) = (Instant::now(), 400);
    loop {
        let mut run = victim.start();
        let life = Duration::from_millis(u64::from(30 + rng.below(longest_ms)));
        // Each kill costs what is in memory: on a busy machine a life must be longer to be worth it.
        longest_ms += 40;
        let end = Instant::now() + life;
        while Instant::now() < end && run.0.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        if let Some(status) = run.0.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            break;
        }
        drop(run);
        let (sent_before, good_before) = (sent, good);
        // What is on its way to a dead program is still counted as sent.
        (sent, good) = (seeder.sent_bytes(), victim.good_bytes());
        assert!(good >= good_before, "a piece that was right is not any more");
        costs.0.push((sent - sent_before).saturating_sub(good - good_before));
        assert!(start.elapsed() < PATIENCE, "the download does not get on");
    }
    assert!(victim.on_disk() == victim.content, "the download is not right byte for byte");
    assert!(!victim.folder.join(".t.swarmlet").exists(), "there is nothing to be resumed");
}

#[test]
fn a_second_process_on_the_same_output_is_told_so() {
    let scratch = Scratch::new();
    let (data, torrent) = (scratch.folder("data"), scratch.path().join("t.torrent"));
    make(&data, &torrent);
    let _seeder = Seeder::start(&torrent, &data);
    let second = Command::new(PROGRAM).args(["--port", "0", "-o"]).args([&data, &torrent]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(5), "{said}");
    assert!(said.contains("another process works on this output"), "{said}");
}
