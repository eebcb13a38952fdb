//! A payload, a seeder for it, and swarmlet as a process that is asked things.

use crate::process::Scratch;
use sha1::{Digest as _, Sha1};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use swarmlet::base::Rng;

/// Longest that anything may take here, on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A file of numbers that look random, and its `.torrent`.
pub struct Payload {
    pub bytes: u64,
    pub torrent: PathBuf,
    data: PathBuf,
}

impl Payload {
    /// `mib` MiB and a bit, in pieces of `piece_bytes`.
    pub fn new(scratch: &Scratch, mib: u64, piece_bytes: usize) -> Self {
        let (data, torrent) = (scratch.path().join("payload"), scratch.path().join("payload.torrent"));
        let bytes = (mib << 20) + 12_345;
        let mut content = vec![0; bytes as usize];
        Rng::new(1).fill(&mut content);
        fs::write(&data, &content).unwrap();
        let hashes: Vec<u8> = content.chunks(piece_bytes).flat_map(Sha1::digest).collect();
        let head =
            format!("d8:announce27:http://127.0.0.1:9/announce4:infod6:lengthi{bytes}e4:name7:payload");
        let mut metainfo =
            format!("{head}12:piece lengthi{piece_bytes}e6:pieces{}:", hashes.len()).into_bytes();
        metainfo.extend(hashes);
        metainfo.extend(b"ee");
        fs::write(&torrent, metainfo).unwrap();
        Self { bytes, torrent, data }
    }

    /// Puts a copy into `folder`.
    pub fn put(&self, folder: &Path) {
        fs::copy(&self.data, folder.join("payload")).unwrap();
    }

    /// Compares with what is in `folder`, byte for byte.
    pub fn assert_same(&self, folder: &Path) {
        let ours = fs::read(folder.join("payload")).unwrap();
        assert!(ours == fs::read(&self.data).unwrap(), "other bytes than the seeder's");
    }
}

/// The folder with the binaries of the build.
pub fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_swarmlet")).parent().unwrap().to_path_buf()
}

/// The loopback seeder.
pub struct Seeder {
    child: Child,
    stdin: Option<ChildStdin>,
    pub peer: String,
}

impl Seeder {
    /// Sends at most `rate_kib` KiB/s.
    pub fn new(payload: &Payload, rate_kib: u32) -> Self {
        let program = built().join("examples/loopback");
        let mut command = Command::new(&program);
        command.arg("--torrent").arg(&payload.torrent).arg("--data").arg(&payload.data);
        command.args(["--rate", &rate_kib.to_string()]);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!("{}: {error}; build it with: cargo build --examples", program.display())
        });
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let peer = line.trim_end().split("peers=").nth(1).expect("a ready line").to_string();
        let stdin = child.stdin.take();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, stdin, peer }
    }

    /// Ends it; it must not have seen a breach of the protocol.
    pub fn end(mut self) {
        self.stdin = None;
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "the client broke the protocol");
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of swarmlet with `--json`.
pub struct Client {
    child: Child,
    stdin: ChildStdin,
    out: PathBuf,
    err: PathBuf,
}

impl Client {
    pub fn start(scratch: &Scratch, payload: &Payload, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
        command.args(["--json", "-v", "--port", "0"]).args(arguments);
        Self::spawn(scratch, command.arg("-o").arg(folder).arg(&payload.torrent))
    }

    pub fn spawn(scratch: &Scratch, command: &mut Command) -> Self {
        let (out, err) = (scratch.path().join("out"), scratch.path().join("err"));
        command.stdin(Stdio::piped());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().expect("swarmlet starts");
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin, out, err }
    }

    pub fn type_line(&mut self, line: &str) {
        let _ = writeln!(self.stdin, "{line}");
    }

    fn statuses(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&fs::read(&self.out).unwrap()).into_owned();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.filter(|line| line.contains(r#""type":"status""#)).map(str::to_string).collect()
    }

    /// The answer to `status`.
    pub fn status(&mut self) -> String {
        let before = self.statuses().len();
        self.type_line("status");
        self.wait_for("an answer to status", |client| client.statuses().into_iter().nth(before))
    }

    /// Asks for the status until it has this text.
    pub fn wait_for_status(&mut self, what: &str) -> String {
        self.wait_for(what, |client| Some(client.status()).filter(|status| status.contains(what)))
    }

    /// What it has said on stderr, and its news.
    pub fn log(&self) -> String {
        let (err, out) = (fs::read(&self.err).unwrap(), fs::read(&self.out).unwrap());
        let text = String::from_utf8_lossy(&[err, out].concat()).into_owned();
        let is_news =
            |line: &&str| !line.contains(r#""type":"status""#) && !line.contains(r#""type":"progress""#);
        text.lines().filter(is_news).map(|line| format!("{line}\n")).collect()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end; also answers the most anonymous memory that it was seen to have meanwhile, in KiB.
    pub fn end_watched(&mut self) -> (ExitStatus, u64) {
        let (start, mut most_kib) = (Instant::now(), 0);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, most_kib);
            }
            let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let now_kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            most_kib = most_kib.max(now_kib.unwrap_or(0));
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_for<T>(&mut self, what: &str, mut answer: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = answer(self) {
                return answer;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: ended with {ended:?}: {}", self.log());
            assert!(start.elapsed() < PATIENCE, "{what}: waited too long: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number behind `"key":` in an object.
pub fn number(object: &str, key: &str) -> u64 {
    let rest = object.split(&format!("\"{key}\":")).nth(1).unwrap_or_else(|| panic!("no {key} in {object}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{key} is no number in {object}"))
}
