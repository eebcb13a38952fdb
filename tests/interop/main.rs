//! Downloads from real clients: transmission, libtorrent and aria2 seed, opentracker knows them, and every result is
//! compared byte for byte. The clients come from Debian's packages; without them these tests fail and name them.

mod clients;
mod payload;
mod process;

use clients::{CLIENTS, Client, Seeder, Tracker};
use payload::Payload;
use process::{Running, Scratch, free_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest that any download may take here. Transmission needs most: it unchokes after up to 10 s, and answers at most
/// 512 requests twice a second, which is 16 MiB/s.
const PATIENCE: Duration = Duration::from_secs(180);
/// What limited seeders send, in bytes per second: slow enough to be interrupted.
const LIMITED: Option<u32> = Some(150 << 20);

/// A folder, a tracker, and a `.torrent` that names it.
struct Scene {
    tracker: Tracker,
    payload: &'static Payload,
    torrent: PathBuf,
    output: PathBuf,
    scratch: Scratch,
    /// Large ones run one at a time: a gigabyte each is enough for small machines.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Scene {
    fn new(payload: fn() -> &'static Payload) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let payload = payload();
        let large = payload.bytes() > 1 << 28;
        let alone = large.then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
        let scratch = Scratch::new();
        let tracker = Tracker::start(payload, &scratch);
        let torrent = scratch.path().join("x.torrent");
        payload.write_torrent(&torrent, Some(&tracker.url()));
        let output = scratch.folder("output");
        Self { tracker, payload, torrent, output, scratch, _alone: alone }
    }

    fn seeder(&self, client: Client, bytes_per_s: Option<u32>) -> Seeder {
        Seeder::start(client, self.payload, &self.torrent, &self.scratch, bytes_per_s)
    }

    fn swarmlet(&self, torrent: &Path, more: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
        command
            .arg("-o")
            .arg(&self.output)
            .args(["--port", &free_port().to_string()])
            .args(more)
            .arg(torrent);
        Running::start(&mut command, "swarmlet", self.scratch.path())
    }

    fn assert_complete(&self, swarmlet: &mut Running) {
        let status = swarmlet.wait(PATIENCE);
        assert_eq!(status.code(), Some(0), "{status}");
        self.payload.assert_same(&self.output);
    }
}

/// From these clients at once, found through the tracker.
fn download(clients: &[Client], payload: fn() -> &'static Payload) {
    let scene = Scene::new(payload);
    let _seeders: Vec<Seeder> = clients.iter().map(|&client| scene.seeder(client, None)).collect();
    scene.tracker.wait_for_seeders(clients.len());
    scene.assert_complete(&mut scene.swarmlet(&scene.torrent, &[]));
}

#[test]
fn a_large_file_from_transmission() {
    download(&[Client::Transmission], payload::large);
}

#[test]
fn a_large_file_from_libtorrent() {
    download(&[Client::Libtorrent], payload::large);
}

#[test]
fn a_large_file_from_aria2() {
    download(&[Client::Aria2], payload::large);
}

#[test]
fn many_small_files_from_transmission() {
    download(&[Client::Transmission], payload::many);
}

#[test]
fn many_small_files_from_libtorrent() {
    download(&[Client::Libtorrent], payload::many);
}

#[test]
fn many_small_files_from_aria2() {
    download(&[Client::Aria2], payload::many);
}

#[test]
fn odd_names_from_transmission() {
    download(&[Client::Transmission], payload::names);
}

#[test]
fn odd_names_from_libtorrent() {
    download(&[Client::Libtorrent], payload::names);
}

#[test]
fn odd_names_from_aria2() {
    download(&[Client::Aria2], payload::names);
}

#[test]
fn a_large_file_from_all_at_once() {
    download(&CLIENTS, payload::large);
}

#[test]
fn many_small_files_from_all_at_once() {
    download(&CLIENTS, payload::many);
}

/// The second seeder is known to nobody but the tracker, and has another port than the first.
#[test]
fn the_only_seeder_dies_and_another_comes() {
    let scene = Scene::new(payload::large);
    let first = scene.seeder(Client::Libtorrent, LIMITED);
    scene.tracker.wait_for_seeders(1);
    let mut swarmlet = scene.swarmlet(&scene.torrent, &[]);
    first.wait_until_sent(scene.payload.bytes() / 3);
    drop(first);
    assert!(swarmlet.runs(), "ended with the first seeder");
    let _second = scene.seeder(Client::Libtorrent, None);
    scene.assert_complete(&mut swarmlet);
}

/// No tracker: the peer is named on the command line. What is verified is not downloaded again.
#[test]
fn a_restart_goes_on_where_it_was() {
    /// What may be asked for again after each end: blocks on their way and pieces not whole.
    const AGAIN_BYTES: u64 = 48 << 20;
    let scene = Scene::new(payload::large);
    let torrent = scene.scratch.path().join("without tracker.torrent");
    scene.payload.write_torrent(&torrent, None);
    let seeder = scene.seeder(Client::Libtorrent, LIMITED);
    let peer = seeder.address().to_string();
    for part in [1, 2] {
        let mut swarmlet = scene.swarmlet(&torrent, &["--peer", &peer]);
        seeder.wait_until_sent(scene.payload.bytes() * part / 3);
        swarmlet.interrupt();
        let status = swarmlet.wait(Duration::from_secs(10));
        assert!(status.code().is_some_and(|code| code != 0), "interrupted, but {status}");
    }
    scene.assert_complete(&mut scene.swarmlet(&torrent, &["--peer", &peer]));
    let sent = seeder.sent_bytes();
    let most = scene.payload.bytes() + 2 * AGAIN_BYTES;
    assert!(sent <= most, "the seeder sent {sent} bytes, more than {most}");
}
