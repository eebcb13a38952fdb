//! The clients that download: how each is started, and how it says that it has everything.

use crate::process::{Running, Scratch};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Whoever has not got a byte more for so long stands still, however slow the machine is.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Who downloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Swarmlet,
    Aria2,
    Transmission,
    Libtorrent,
    Rtorrent,
}

/// What it needs to know.
pub struct Task<'a> {
    pub torrent: &'a Path,
    pub output: &'a Path,
    pub scratch: &'a Scratch,
    /// The port that it shall listen on.
    pub port: u16,
    /// Ports of others, for clients that can be told of a peer.
    pub others: &'a [u16],
}

/// A client that downloads.
pub struct Leecher {
    running: Running,
    /// What is there when it has everything; without it, it ends then.
    mark: Option<PathBuf>,
    client: Client,
    output: PathBuf,
}

impl Leecher {
    pub fn start(client: Client, task: &Task) -> Self {
        let folder = task.scratch.folder(&format!("{client:?}-{}", task.port));
        let mark = folder.join("done");
        let command = match client {
            Client::Swarmlet => swarmlet_leecher(task),
            Client::Aria2 => aria2(task),
            Client::Transmission => transmission(task, &folder, &mark),
            Client::Libtorrent => libtorrent(task),
            Client::Rtorrent => rtorrent(task, &folder, &mark),
        };
        let stays = matches!(client, Client::Transmission | Client::Rtorrent);
        let mut command = command;
        let running = Running::start(&mut command, &format!("{client:?}"), &folder);
        Self { running, mark: stays.then_some(mark), client, output: task.output.to_path_buf() }
    }

    /// Waits until it has everything, as long as it gets on.
    pub fn complete(&mut self) {
        let (mut got, mut since) = (0, Instant::now());
        while !self.is_done() {
            sleep(Duration::from_millis(100));
            let bytes = bytes_below(&self.output);
            if bytes != got {
                (got, since) = (bytes, Instant::now());
            }
            let client = self.client;
            assert!(since.elapsed() < PATIENCE, "{client:?} stands still with {got} bytes on the disk");
        }
    }

    fn is_done(&mut self) -> bool {
        match &self.mark {
            Some(mark) => mark.exists(),
            None if self.running.runs() => false,
            None => {
                assert_eq!(self.running.wait(PATIENCE).code(), Some(0), "{:?}", self.client);
                true
            }
        }
    }
}

/// Bytes that the files of a folder take on the disk.
fn bytes_below(folder: &Path) -> u64 {
    let bytes = |path: &Path| match fs::metadata(path) {
        Ok(data) if data.is_dir() => bytes_below(path),
        Ok(data) => 512 * data.blocks(),
        // It has another name meanwhile.
        Err(_) => 0,
    };
    fs::read_dir(folder).map_or(0, |entries| entries.flatten().map(|entry| bytes(&entry.path())).sum())
}

/// The program under test, on 127.0.0.1.
pub fn swarmlet(torrent: &Path, output: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.arg("-o").arg(output).args(["--bind", "127.0.0.1", "--port", &port.to_string()]).arg(torrent);
    command
}

fn swarmlet_leecher(task: &Task) -> Command {
    let mut command = swarmlet(task.torrent, task.output, task.port);
    for port in task.others {
        command.args(["--peer", &format!("127.0.0.1:{port}")]);
    }
    command
}

/// It knows no way to be told of a peer: the seeder finds it.
fn aria2(task: &Task) -> Command {
    let mut command = Command::new("aria2c");
    command.args(["--no-conf", "--interface=127.0.0.1", "--disable-ipv6"]);
    command.args(["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0"]);
    command.args(["--seed-time=0", &format!("--listen-port={}", task.port)]);
    command.arg("--dir").arg(task.output).arg(task.torrent);
    command
}

/// So does this one.
fn transmission(task: &Task, folder: &Path, mark: &Path) -> Command {
    let settings = format!(
        r#"{{"bind-address-ipv4": "127.0.0.1", "bind-address-ipv6": "::1", "peer-port": {},
            "rpc-enabled": false, "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false,
            "utp-enabled": false, "port-forwarding-enabled": false, "preallocation": 0,
            "script-torrent-done-enabled": true, "script-torrent-done-filename": "{}",
            "rename-partial-files": false, "trash-original-torrent-files": false}}"#,
        task.port,
        done_script(folder, mark).display()
    );
    fs::write(folder.join("settings.json"), settings).unwrap();
    let watched = folder.join("watched");
    fs::create_dir_all(&watched).unwrap();
    fs::copy(task.torrent, watched.join("x.torrent")).unwrap();
    let mut command = Command::new("transmission-daemon");
    command.arg("--foreground").arg("--log-info").arg("--config-dir").arg(folder);
    command.arg("--watch-dir").arg(watched).arg("--download-dir").arg(task.output);
    command
}

/// Leaves a mark when transmission has everything.
fn done_script(folder: &Path, mark: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("done.sh");
    fs::write(&path, format!("#!/bin/sh\n: > '{}'\n", mark.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Debian's own python has the module.
fn libtorrent(task: &Task) -> Command {
    const SCRIPT: &str = "
import libtorrent, sys, time
session = libtorrent.session({'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False,
    'enable_natpmp': False, 'enable_outgoing_utp': False, 'enable_incoming_utp': False,
    'allow_multiple_connections_per_ip': True, 'listen_interfaces': '127.0.0.1:' + sys.argv[4]})
torrent = session.add_torrent({'ti': libtorrent.torrent_info(sys.argv[1]), 'save_path': sys.argv[2]})
while not torrent.status().is_seeding:
    for port in sys.argv[3].split():
        torrent.connect_peer(('127.0.0.1', int(port)))
    time.sleep(0.2)
torrent.pause()
torrent.flush_cache()
time.sleep(1)
";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT]).arg(task.torrent).arg(task.output);
    let others: Vec<String> = task.others.iter().map(u16::to_string).collect();
    command.args([others.join(" "), task.port.to_string()]);
    command
}

/// As a daemon it wants no terminal. The seeder finds it; it loads no torrent without a tracker, so it has one that does
/// not answer.
fn rtorrent(task: &Task, folder: &Path, mark: &Path) -> Command {
    let config = format!(
        "directory.default.set = {}\nnetwork.bind_address.set = 127.0.0.1\n\
         network.port_range.set = {port}-{port}\nnetwork.port_random.set = no\n\
         dht.mode.set = disable\nprotocol.pex.set = no\ntrackers.use_udp.set = no\n\
         pieces.hash.on_completion.set = no\nsystem.daemon.set = true\n\
         method.set_key = event.download.finished, done, \"execute = {{touch,{}}}\"\n\
         load.start = {}\n",
        task.output.display(),
        mark.display(),
        task.torrent.with_file_name("tracked.torrent").display(),
        port = task.port,
    );
    let path = folder.join("rtorrent.rc");
    fs::write(&path, config).unwrap();
    let mut command = Command::new("rtorrent");
    command.args(["-n", "-o", &format!("import={}", path.display())]);
    command
}
