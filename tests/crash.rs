//! The real program, killed at random moments of a download and started again, many times over; now and then somebody
//! spoils a byte of a durable piece right after. After each kill: nothing is believed that is not right on the disk, all else
//! that was durable is, and only what was in memory is fetched again. In the end every byte is right.
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
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use swarmlet::base::{Bitfield, Rng};
use swarmlet::meta::Metainfo;
use swarmlet::resume::{Belief, Present, State};
use swarmlet::rim::storage::{Options, Storage, wall};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swarmlet");
/// Kills of the usual run, and downloads side by side.
const KILLS: usize = 20;
const LANES: usize = 5;
/// How long a run lives: a state is there after two seconds or so, and is written again five seconds after that.
const LIFE_MS: std::ops::Range<u32> = 1_500..8_000;
/// A store can be told from others' only when the files' clock has gone on: small pieces would be stored all the time.
const PIECE_BYTES: usize = 256 << 10;
/// Lengths of the files of the torrent.
const FILES: [usize; 5] = [5_000_123, 0, 700_000, 11, 24_000_000];
/// They are holes for file systems that look closely: good before anything is stored.
const PIECES_OF_ZEROS: std::ops::Range<u32> = 3..5;
/// What each seeder gives, in KiB/s: a download lasts for some lives.
const UP_LIMIT: &str = "1400";
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
    let zeros = PIECES_OF_ZEROS.start as usize * PIECE_BYTES..PIECES_OF_ZEROS.end as usize * PIECE_BYTES;
    content[zeros].fill(0);
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

fn read(torrent: &Path) -> Arc<Metainfo> {
    Arc::new(Metainfo::parse(&fs::read(torrent).unwrap()).unwrap())
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
            .args(["--seed", "--json", "--bind", "127.0.0.1", "--up-limit", UP_LIMIT])
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
        command.args(["--json", "--port", "0", "--bind", "127.0.0.1", "--peer", &peer]);
        command.args(["--memory", &MEMORY_MIB.to_string(), "-o"]).args([&self.folder, self.torrent]);
        let log = File::create(self.log_path()).unwrap();
        Running(command.stdin(Stdio::null()).stdout(log).spawn().unwrap())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Panics if the last run has believed something else than it should. One that had nothing to believe says nothing.
    fn assert_believed(&self, expected: &Bitfield) {
        let log = fs::read_to_string(self.log_path()).unwrap();
        if let Some(line) = log.lines().find(|line| line.contains("\"type\":\"resumed\"")) {
            assert!(line.contains(&format!("\"believed\":{},", expected.count())), "{expected:?}: {line}");
        } else {
            assert_eq!(expected.count(), 0, "{log}");
        }
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

    fn state_path(&self) -> PathBuf {
        self.folder.join(".t.swarmlet")
    }

    /// The pieces that the state on disk calls durable.
    fn durable(&self) -> Bitfield {
        let bytes = fs::read(self.state_path()).unwrap_or_default();
        let (files, pieces) = (FILES.len() as u32, self.metainfo.geometry().pieces);
        let state = State::decode(&bytes, self.metainfo.info_hash, files, pieces);
        state.map_or(Bitfield::new(pieces), |state| state.durable)
    }

    /// A byte of a piece that is durable: its file, opened, and its place there and in the torrent. None if nothing is, or
    /// if the piece is one of zeros whose file is not there, or not as long, yet: missing bytes are zeros as well.
    fn target(&self, rng: &mut Rng) -> Option<Target> {
        let durable: Vec<u32> = self.durable().iter().collect();
        let piece = *durable.get(rng.below(durable.len().max(1) as u32) as usize)?;
        let at = (piece as usize * PIECE_BYTES + rng.below(PIECE_BYTES as u32) as usize) as u64;
        let segment = self.metainfo.layout.segments(at, 1).find(|segment| segment.length > 0)?;
        let path = self.folder.join(format!("t/{}", segment.file));
        let file = File::options().read(true).write(true).open(path).ok();
        let file = file.filter(|file| file.metadata().unwrap().len() > segment.file_offset);
        assert!(file.is_some() || PIECES_OF_ZEROS.contains(&piece), "{piece} is durable and not there");
        let file = file?;
        Some(Target { piece, file, file_index: segment.file, offset: segment.file_offset })
    }

    /// How things are after a kill; panics if a piece is believed that is not right.
    fn judge(&self) -> Judgement {
        let disk = self.on_disk();
        let pairs = disk.chunks(PIECE_BYTES).zip(self.content.chunks(PIECE_BYTES));
        let good: Vec<bool> = pairs.map(|(ours, theirs)| ours == theirs).collect();
        let durable = self.durable();
        let (mut storage, _) =
            Storage::open(&self.folder, Arc::clone(&self.metainfo), &Options::default()).unwrap();
        let state = storage.take().expect("nobody else has it");
        let (era, wall) = (storage.era(), wall());
        let present = Present { stamps: storage.stamps(), era, wall };
        let belief = Belief::new(&self.metainfo, &state, &present);
        assert_eq!(belief.fault, None, "the state is always whole");
        let wrong: Vec<u32> = belief.pieces.iter().filter(|&piece| !good[piece as usize]).collect();
        assert!(wrong.is_empty(), "believed and not right: {wrong:?}");
        let lengths = self.content.chunks(PIECE_BYTES).map(|piece| piece.len() as u64);
        let good_bytes = lengths.zip(good).filter(|(_, good)| *good).map(|(length, _)| length).sum();
        Judgement { good_bytes, durable, believed: belief.pieces }
    }
}

/// A byte that is spoiled.
#[derive(Debug)]
struct Target {
    piece: u32,
    file: File,
    file_index: u32,
    offset: u64,
}

impl Target {
    fn spoil(&self) {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, self.offset).unwrap();
        self.file.write_all_at(&[byte[0] ^ 0x40], self.offset).unwrap();
    }
}

/// What is on disk after a kill, and what the next run will believe of it.
struct Judgement {
    good_bytes: u64,
    durable: Bitfield,
    believed: Bitfield,
}

impl Judgement {
    /// Only the file in which a byte was spoiled is doubted.
    fn assert_no_other_file_is_doubted(&self, victim: &Victim<'_>, target: &Target) {
        let Metainfo { layout, .. } = &*victim.metainfo;
        let file = layout.file(target.file_index).unwrap();
        let doubted = victim.metainfo.geometry().pieces_of(file.offset..file.offset + file.length);
        // A file that was stored to in the tick in which the program was killed may be doubted as well.
        let others = self.durable.iter().filter(|piece| !doubted.contains(piece)).count();
        let believed = self.believed.iter().filter(|piece| !doubted.contains(piece)).count();
        assert!(!self.believed.has(target.piece));
        assert!(believed == others || believed == 0, "{believed} of {others}");
    }
}

/// What the kills have cost, and what was believed after them.
#[derive(Default)]
struct Tally {
    costs: Vec<u64>,
    downloads: u32,
    /// Kills after which nobody spoiled anything and something was durable; of them, those after which all of it was
    /// believed.
    with_state: u32,
    believed: u32,
    spoiled: u32,
}

#[test]
fn whatever_moment_it_is_killed_at_little_is_fetched_again_and_nothing_wrong_is_believed() {
    let scratch = Scratch::new();
    let (data, torrent) = (scratch.folder("data"), scratch.path().join("t.torrent"));
    let content = make(&data, &torrent);
    let metainfo = read(&torrent);
    let kills = std::env::var("CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let lane = |nth: usize| {
        let mut tally = Tally::default();
        let own = scratch.folder(&format!("lane {nth}"));
        make(&own.join("data"), &own.join("t.torrent"));
        let mut seeder = Seeder::start(&torrent, &own.join("data"));
        let mut rng = Rng::new(5 + nth as u64);
        while tally.costs.len() < kills.div_ceil(LANES) {
            let folder = own.join(format!("out {}", tally.downloads));
            fs::create_dir(&folder).unwrap();
            let (metainfo, port) = (Arc::clone(&metainfo), seeder.port);
            let victim = Victim { torrent: &torrent, metainfo, content: &content, folder, port };
            download(&victim, &mut seeder, &mut rng, &mut tally);
            fs::remove_dir_all(&victim.folder).unwrap();
            tally.downloads += 1;
        }
        tally
    };
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|nth| scope.spawn(move || lane(nth))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("its own panic is told above")).collect()
    });
    let sum = |of: fn(&Tally) -> u32| tallies.iter().map(of).sum::<u32>();
    let costs: Vec<u64> = tallies.iter().flat_map(|tally| tally.costs.iter().copied()).collect();
    let (count, worst) = (costs.len() as u64, costs.iter().max().copied().unwrap_or(0));
    let mean = costs.iter().sum::<u64>() / count;
    let (with_state, believed) = (sum(|tally| tally.with_state), sum(|tally| tally.believed));
    let (downloads, spoiled) = (sum(|tally| tally.downloads), sum(|tally| tally.spoiled));
    println!(
        "{count} kills in {downloads} downloads: fetched again after each {mean} bytes, at worst {worst}; {spoiled} times a \
         byte was spoiled; else {with_state} times something was durable, {believed} times all of it was believed"
    );
    assert!(worst <= COST_BYTES_MAX, "{worst} bytes were fetched again after one kill");
    assert!(u64::from(with_state + spoiled) * 2 >= count, "most runs have to live until there is a state");
    assert!(spoiled > 0 && believed * 4 >= with_state * 3, "{believed} of {with_state}");
}

/// Downloads everything, with a kill now and then.
fn download(victim: &Victim<'_>, seeder: &mut Seeder, rng: &mut Rng, tally: &mut Tally) {
    let (mut sent, mut judgement) = (seeder.sent_bytes(), victim.judge());
    let start = Instant::now();
    loop {
        let mut run = victim.start();
        let life = Duration::from_millis(u64::from(LIFE_MS.start + rng.below(LIFE_MS.end - LIFE_MS.start)));
        let end = Instant::now() + life;
        while Instant::now() < end && run.0.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        if let Some(status) = run.0.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            victim.assert_believed(&judgement.believed);
            break;
        }
        let target = victim.target(rng).filter(|_| rng.one_in(2));
        drop(run);
        if let Some(target) = &target {
            target.spoil();
        }
        victim.assert_believed(&judgement.believed);
        let (sent_before, good_before) = (sent, judgement.good_bytes);
        judgement = victim.judge();
        let good = judgement.good_bytes;
        // What is on its way to a dead program is still counted as sent.
        sent = seeder.sent_bytes();
        let spoiled =
            target.as_ref().map_or(0, |target| victim.content[target.piece as usize * PIECE_BYTES..].len());
        let spoiled = spoiled.min(PIECE_BYTES) as u64;
        assert!(good + spoiled >= good_before, "a piece that was right is not any more");
        tally.costs.push((sent - sent_before).saturating_sub(good + spoiled - good_before));
        match &target {
            Some(target) => {
                judgement.assert_no_other_file_is_doubted(victim, target);
                tally.spoiled += 1;
            }
            None if judgement.durable.count() > 0 => {
                tally.with_state += 1;
                tally.believed += u32::from(judgement.believed == judgement.durable);
            }
            None => {}
        }
        assert!(start.elapsed() < PATIENCE, "the download does not get on");
    }
    assert!(victim.on_disk() == victim.content, "the download is not right byte for byte");
    assert!(!victim.state_path().exists(), "there is nothing to be resumed");
}

#[test]
fn whatever_was_there_at_a_clean_end_is_believed() {
    let scratch = Scratch::new();
    let (data, torrent) = (scratch.folder("data"), scratch.path().join("t.torrent"));
    let content = make(&data, &torrent);
    let metainfo = read(&torrent);
    let seeder = Seeder::start(&torrent, &data);
    let (folder, port) = (scratch.folder("out"), seeder.port);
    let victim = Victim { torrent: &torrent, metainfo, content: &content, folder, port };
    let mut believed = Bitfield::new(victim.metainfo.geometry().pieces);
    for nth in 0..8 {
        let mut run = victim.start();
        // Some end when there is a state, some before that, when the last one is all that they leave.
        std::thread::sleep(Duration::from_millis(if nth % 4 == 3 { 2_500 } else { 1_000 }));
        let told = Command::new("kill").args(["-TERM", &run.0.id().to_string()]).status().unwrap();
        assert!(told.success() && run.0.wait().unwrap().code() == Some(6));
        victim.assert_believed(&believed);
        let Judgement { durable, believed: all, .. } = victim.judge();
        assert!(durable.count() > believed.count() && all == durable, "{nth}: {all:?} of {durable:?}");
        believed = all;
    }
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
