//! Real clients download from swarmlet alone: transmission, aria2, libtorrent and swarmlet itself, byte for byte. The
//! clients come from Debian's packages; without them these tests fail and name them.
#![allow(dead_code, reason = "the helpers have more than is needed here")]

#[path = "interop/payload.rs"]
mod payload;
#[path = "interop/process.rs"]
mod process;

use payload::Payload;
use process::{Running, Scratch, free_port, wait_for, wait_for_listener};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(180);

/// A swarmlet that has everything, and whoever downloads from it.
struct Scene {
    payload: &'static Payload,
    torrent: PathBuf,
    output: PathBuf,
    seeder: Running,
    port: u16,
    scratch: Scratch,
}

impl Scene {
    fn new(payload: &'static Payload, more: &[&str]) -> Self {
        let scratch = Scratch::new();
        let torrent = scratch.path().join("x.torrent");
        payload.write_torrent(&torrent, None);
        let output = scratch.folder("output");
        let port = free_port();
        let mut command = swarmlet(&torrent, payload.folder(), port);
        command.arg("--seed").args(more);
        let mut seeder = Running::start(&mut command, "seeder", scratch.path());
        wait_for_listener(&mut seeder, port);
        wait_for("the check of what is there", PATIENCE, || seeder.log().contains("checked:").then_some(()));
        Self { payload, torrent, output, seeder, port, scratch }
    }

    fn start(&self, mut command: Command, name: &str) -> Running {
        Running::start(&mut command, name, self.scratch.path())
    }

    /// Ends the seeder, which has nothing to complain about.
    fn end(mut self) {
        assert!(self.seeder.runs(), "the seeder has ended: {}", self.seeder.log());
        self.seeder.interrupt();
        assert_eq!(self.seeder.wait(Duration::from_secs(10)).code(), Some(0));
    }
}

fn swarmlet(torrent: &Path, output: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.arg("-o").arg(output).args(["--bind", "127.0.0.1", "--port", &port.to_string()]).arg(torrent);
    command
}

/// swarmlet from swarmlet.
fn by_swarmlet(payload: &'static Payload) {
    let scene = Scene::new(payload, &[]);
    let mut command = swarmlet(&scene.torrent, &scene.output, free_port());
    command.args(["--peer", &format!("127.0.0.1:{}", scene.port)]);
    let mut leecher = scene.start(command, "leecher");
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0));
    payload.assert_same(&scene.output);
    scene.end();
}

/// aria2 knows no way to name a peer: the seeder finds it.
fn by_aria2(payload: &'static Payload) {
    let port = free_port();
    let scene = Scene::new(payload, &["--peer", &format!("127.0.0.1:{port}")]);
    let mut command = Command::new("aria2c");
    command.args(["--no-conf", "--interface=127.0.0.1", "--disable-ipv6"]);
    command.args(["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]);
    command.args(["--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0"]);
    command.args(["--seed-time=0", &format!("--listen-port={port}")]);
    command.arg("--dir").arg(&scene.output).arg(&scene.torrent);
    let mut leecher = scene.start(command, "aria2c");
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0));
    payload.assert_same(&scene.output);
    scene.end();
}

/// So is transmission.
fn by_transmission(payload: &'static Payload) {
    let port = free_port();
    let scene = Scene::new(payload, &["--peer", &format!("127.0.0.1:{port}")]);
    let config = scene.scratch.folder("transmission");
    let settings = format!(
        r#"{{"bind-address-ipv4": "127.0.0.1", "bind-address-ipv6": "::1", "peer-port": {port},
            "rpc-enabled": false, "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false,
            "utp-enabled": false, "port-forwarding-enabled": false, "preallocation": 0,
            "script-torrent-done-enabled": true, "script-torrent-done-filename": "{}",
            "rename-partial-files": false, "trash-original-torrent-files": false}}"#,
        done_script(&scene.scratch).display()
    );
    fs::write(config.join("settings.json"), settings).unwrap();
    let watched = scene.scratch.folder("watched");
    fs::copy(&scene.torrent, watched.join("x.torrent")).unwrap();
    let mut command = Command::new("transmission-daemon");
    command.arg("--foreground").arg("--log-info").arg("--config-dir").arg(config);
    command.arg("--watch-dir").arg(watched).arg("--download-dir").arg(&scene.output);
    let _leecher = scene.start(command, "transmission");
    let done = scene.scratch.path().join("done");
    wait_for("transmission to finish", PATIENCE, || done.exists().then_some(()));
    payload.assert_same(&scene.output);
    scene.end();
}

/// Leaves a mark when transmission has everything.
fn done_script(scratch: &Scratch) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = scratch.path().join("done.sh");
    let mark = scratch.path().join("done");
    fs::write(&path, format!("#!/bin/sh\n: > '{}'\n", mark.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Debian's own python has the module.
fn by_libtorrent(payload: &'static Payload) {
    const SCRIPT: &str = "
import libtorrent, sys, time
session = libtorrent.session({'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False,
    'enable_natpmp': False, 'enable_outgoing_utp': False, 'enable_incoming_utp': False,
    'allow_multiple_connections_per_ip': True, 'listen_interfaces': '127.0.0.1:0'})
torrent = session.add_torrent({'ti': libtorrent.torrent_info(sys.argv[1]), 'save_path': sys.argv[2]})
while not torrent.status().is_seeding:
    torrent.connect_peer(('127.0.0.1', int(sys.argv[3])))
    time.sleep(0.2)
torrent.pause()
torrent.flush_cache()
time.sleep(1)
";
    let scene = Scene::new(payload, &[]);
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT]).arg(&scene.torrent).arg(&scene.output).arg(scene.port.to_string());
    let mut leecher = scene.start(command, "libtorrent");
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0));
    payload.assert_same(&scene.output);
    scene.end();
}

#[test]
fn swarmlet_gets_a_large_file() {
    by_swarmlet(payload::large());
}

#[test]
fn swarmlet_gets_many_files() {
    by_swarmlet(payload::many());
}

#[test]
fn aria2_gets_a_large_file() {
    by_aria2(payload::large());
}

#[test]
fn aria2_gets_many_files() {
    by_aria2(payload::many());
}

#[test]
fn transmission_gets_a_large_file() {
    by_transmission(payload::large());
}

#[test]
fn transmission_gets_odd_names() {
    // Not the many files: it does not make the empty ones.
    by_transmission(payload::names());
}

#[test]
fn libtorrent_gets_a_large_file() {
    by_libtorrent(payload::large());
}

#[test]
fn libtorrent_gets_many_files() {
    by_libtorrent(payload::many());
}

/// With a ratio the seeder ends by itself, when it has given everything once.
#[test]
fn a_seeder_with_a_ratio_ends_by_itself() {
    let mut scene = Scene::new(payload::many(), &["--seed-ratio", "1"]);
    let mut command = swarmlet(&scene.torrent, &scene.output, free_port());
    command.args(["--peer", &format!("127.0.0.1:{}", scene.port)]);
    let mut leecher = scene.start(command, "leecher");
    assert_eq!(leecher.wait(PATIENCE).code(), Some(0));
    assert_eq!(scene.seeder.wait(Duration::from_secs(10)).code(), Some(0));
    scene.payload.assert_same(&scene.output);
}
