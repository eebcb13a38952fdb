//! Processes that never outlive their test, and their working folders.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What installs the clients that these tests talk to.
pub const INSTALL: &str = "apt-get install -y transmission-daemon aria2 python3-libtorrent opentracker qbittorrent-nox rtorrent microsocks tinyproxy dante-server strace openssl";

/// A folder that goes when the test ends.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("interop-{}-{nth}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A new folder below.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child that is killed when dropped; says the end of its log when its test fails.
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts it with stdin closed; stdout and stderr go to `NAME-PID.log` in `folder`.
    pub fn start(command: &mut Command, name: &str, folder: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = folder.join(format!("{name}-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => panic!("{name} is missing; install it with: {INSTALL}"),
            _ => panic!("{name} does not start: {error}"),
        });
        Self { child, name: name.to_string(), log }
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), patience, || self.child.try_wait().unwrap())
    }

    /// Its process.
    #[allow(dead_code, reason = "not every test looks at it")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: plain numbers; the child has not been waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0, "{} is gone", self.name);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(15)..].join("\n");
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("--- {}:\n{end}\n", self.name));
        }
    }
}

/// Asks again and again until there is an answer; fails the test when patience ends.
pub fn wait_for<T>(what: &str, patience: Duration, mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < patience, "{what}: not within {patience:?}");
        sleep(Duration::from_millis(20));
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens.
pub fn wait_for_listener(process: &mut Running, port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let what = format!("{} listening on {address}", process.name);
    wait_for(&what, Duration::from_secs(20), || {
        assert!(process.runs(), "{} has ended: {}", process.name, process.log());
        TcpStream::connect(address).ok()
    });
}
