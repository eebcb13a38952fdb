//! The program under test as a process: what it says, and what it costs.

use crate::process::{Scratch, free_port};
use crate::swarm::Torrent;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a run has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Most memory of its own that is in use, in KiB: without the output, which is mapped.
    pub anonymous_kib: u64,
    /// Most memory in use, mapped files included, in KiB.
    pub peak_kib: u64,
    pub descriptors: usize,
    pub cpu: Duration,
    pub took: Duration,
    /// Longest that an answer to `status` took, and how long one in the middle took.
    pub slowest_answer: Duration,
    pub usual_answer: Duration,
}

/// A running client, in a folder of its own.
pub struct Client {
    child: Child,
    folder: Scratch,
    pub port: u16,
    started: Instant,
    cost: Cost,
    asked: Option<Instant>,
    answers: usize,
    answered_in: Vec<Duration>,
}

impl Client {
    /// Downloads `torrent` with these options beside the usual ones.
    pub fn start(torrent: &Torrent, options: &[&str]) -> Self {
        Self::start_at(free_port(), torrent, options)
    }

    /// The same, listening on `port`.
    pub fn start_at(port: u16, torrent: &Torrent, options: &[&str]) -> Self {
        let folder = Scratch::new();
        let file = folder.path().join("x.torrent");
        fs::write(&file, &torrent.bytes).unwrap();
        let log = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
        command
            .args(["--memory", "8", "--bind", "127.0.0.1", "--port", &port.to_string(), "-o"])
            .arg(folder.path());
        command.args(options).arg(&file).stdin(Stdio::piped()).stdout(log("out")).stderr(log("err"));
        let child = command.spawn().unwrap();
        let (cost, started) = (Cost::default(), Instant::now());
        let answered_in = Vec::new();
        let client = Self { child, folder, port, started, cost, asked: None, answers: 0, answered_in };
        client.wait_for("it to listen", || TcpStream::connect(client.address()).ok());
        client
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// What it has written to stdout and stderr.
    pub fn said(&self) -> Vec<u8> {
        ["out", "err"].map(|name| fs::read(self.folder.path().join(name)).unwrap()).concat()
    }

    pub fn type_line(&mut self, line: &str) {
        // It may have ended by then.
        let _ = self.child.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}"));
    }

    pub fn wait_for<T>(&self, what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = answer() {
                return answer;
            }
            let said = String::from_utf8_lossy(&self.said()).into_owned();
            assert!(start.elapsed() < Duration::from_secs(60), "waited for {what}: {said}");
            sleep(Duration::from_millis(10));
        }
    }

    /// Watches for so long.
    pub fn watch(&mut self, span: Duration) -> Cost {
        let end = Instant::now() + span;
        while Instant::now() < end && self.child.try_wait().unwrap().is_none() {
            self.look();
            sleep(Duration::from_millis(20));
        }
        self.cost
    }

    /// Watches until it ends, which it does with everything, and returns what that cost.
    pub fn complete(&mut self, torrent: &Torrent, name: &str) -> Cost {
        let patience = Instant::now() + Duration::from_secs(120);
        let status = loop {
            self.look();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let said = || String::from_utf8_lossy(&self.said()).into_owned();
            assert!(Instant::now() < patience, "not complete in time: {}", said());
            sleep(Duration::from_millis(20));
        };
        self.cost.took = self.started.elapsed();
        self.answered_in.sort_unstable();
        self.cost.slowest_answer = self.answered_in.last().copied().unwrap_or_default();
        self.cost.usual_answer =
            self.answered_in.get(self.answered_in.len() / 2).copied().unwrap_or_default();
        assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&self.said()));
        assert!(
            fs::read(self.folder.path().join(name)).unwrap() == torrent.content,
            "{name} has wrong bytes"
        );
        self.cost
    }

    /// Reads the process's own figures, and asks for `status` four times a second.
    fn look(&mut self) {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let Ok(status) = fs::read_to_string(proc.join("status")) else { return };
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
        };
        self.cost.anonymous_kib = self.cost.anonymous_kib.max(kib("RssAnon:"));
        self.cost.peak_kib = self.cost.peak_kib.max(kib("VmHWM:"));
        let open = fs::read_dir(proc.join("fd")).map_or(0, Iterator::count);
        self.cost.descriptors = self.cost.descriptors.max(open);
        self.cost.cpu = self.cost.cpu.max(cpu(&proc).unwrap_or_default());
        self.time_an_answer();
    }

    fn time_an_answer(&mut self) {
        let answers =
            count(&fs::read(self.folder.path().join("out")).unwrap(), "hold blocks").max(self.answers);
        match self.asked {
            Some(asked) if answers > self.answers => {
                self.answered_in.push(asked.elapsed());
                (self.asked, self.answers) = (None, answers);
            }
            Some(_) => {}
            None => {
                self.asked = Some(Instant::now());
                self.type_line("status");
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process; the kernel counts in hundredths of a second.
fn cpu(proc: &Path) -> Option<Duration> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

pub fn count(text: &[u8], word: &str) -> usize {
    text.windows(word.len()).filter(|window| *window == word.as_bytes()).count()
}
