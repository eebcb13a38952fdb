//! Real clients download from swarmlet: alone with it, and in one swarm with each other, byte for byte. Strangers who
//! misuse it get what is their due. The clients come from Debian's packages; without them these tests fail and name
//! them.
#![allow(dead_code, reason = "the helpers have more than is needed here")]

mod leechers;
#[path = "../interop/payload.rs"]
mod payload;
#[path = "../interop/process.rs"]
mod process;
mod strangers;

use leechers::{Client, Leecher, PATIENCE, Task, swarmlet};
use payload::Payload;
use process::{Running, Scratch, free_port, wait_for, wait_for_listener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A swarmlet that has everything.
struct Scene {
    payload: &'static Payload,
    torrent: PathBuf,
    seeder: Running,
    /// On which it listens.
    port: u16,
    scratch: Scratch,
}

impl Scene {
    fn new(payload: &'static Payload, more: &[&str]) -> Self {
        let scratch = Scratch::new();
        let torrent = scratch.path().join("x.torrent");
        payload.write_torrent(&torrent, None);
        payload.write_torrent(&scratch.path().join("tracked.torrent"), Some("http://127.0.0.1:9/announce"));
        let (port, folder) = (free_port(), scratch.folder("seeder"));
        payload.link_to(&folder);
        let mut command = swarmlet(&torrent, &folder, port);
        command.arg("--seed").args(more);
        let mut seeder = Running::start(&mut command, "seeder", scratch.path());
        wait_for_listener(&mut seeder, port);
        wait_for("the check of what is there", PATIENCE, || seeder.log().contains("checked:").then_some(()));
        Self { payload, torrent, seeder, port, scratch }
    }

    /// `client` downloads everything; it listens on `port` and knows the seeder and `more`, if it can be told.
    fn start(&self, client: Client, port: u16, more: &[u16]) -> (Leecher, PathBuf) {
        // Not named by the port, which may be that of one who has left.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let output = self.scratch.folder(&format!("output-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let (torrent, scratch, others) = (&self.torrent, &self.scratch, &[&[self.port], more].concat()[..]);
        let leecher = Leecher::start(client, &Task { torrent, output: &output, scratch, port, others });
        (leecher, output)
    }

    /// Ends the seeder, which has nothing to complain about.
    fn end(mut self) {
        assert!(self.seeder.runs(), "the seeder has ended: {}", self.seeder.log());
        self.seeder.interrupt();
        assert_eq!(self.seeder.wait(Duration::from_secs(10)).code(), Some(0));
    }
}

/// `client` from swarmlet alone.
fn alone(client: Client, payload: &'static Payload, more: &[&str]) {
    let port = free_port();
    let peer = format!("127.0.0.1:{port}");
    let scene = Scene::new(payload, &[&["--peer", &peer], more].concat());
    let (mut leecher, output) = scene.start(client, port, &[]);
    leecher.complete();
    // Transmission makes no empty files, whoever it downloads from.
    payload.assert_same_files(&output, u64::from(client == Client::Transmission));
    scene.end();
}

macro_rules! alone {
    ($($name:ident: $client:ident, $payload:ident, $more:expr;)*) => { $(
        #[test]
        fn $name() {
            alone(Client::$client, payload::$payload(), $more);
        }
    )* };
}

alone! {
    swarmlet_gets_a_large_file: Swarmlet, large, &[];
    swarmlet_gets_many_files: Swarmlet, many, &[];
    aria2_gets_a_large_file: Aria2, large, &[];
    aria2_gets_many_files: Aria2, many, &[];
    transmission_gets_a_large_file: Transmission, large, &[];
    transmission_gets_many_files: Transmission, many, &[];
    transmission_gets_odd_names: Transmission, names, &[];
    libtorrent_gets_a_large_file: Libtorrent, large, &[];
    libtorrent_gets_many_files: Libtorrent, many, &[];
    rtorrent_gets_a_large_file: Rtorrent, large, &[];
    rtorrent_gets_many_files: Rtorrent, many, &[];
    libtorrent_gets_everything_from_a_super_seed: Libtorrent, names, &["--super-seed"];
    aria2_gets_everything_from_a_super_seed: Aria2, names, &["--super-seed"];
    transmission_gets_everything_from_a_super_seed: Transmission, names, &["--super-seed"];
    rtorrent_gets_everything_from_a_super_seed: Rtorrent, names, &["--super-seed"];
}

/// All clients in one swarm, which has one slow seeder: they have to give to each other.
fn mixed(more: &[&str]) {
    const SWARM: [Client; 6] = [
        Client::Swarmlet,
        Client::Swarmlet,
        Client::Aria2,
        Client::Transmission,
        Client::Libtorrent,
        Client::Rtorrent,
    ];
    let ports = SWARM.map(|_| free_port());
    let peers: Vec<String> =
        ports.iter().flat_map(|port| ["--peer".to_string(), format!("127.0.0.1:{port}")]).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let payload = payload::names();
    let scene = Scene::new(payload, &[&peers[..], &["--up-limit", "4096"], more].concat());
    let leechers = SWARM.iter().zip(ports).map(|(&client, port)| scene.start(client, port, &ports));
    for (mut leecher, output) in leechers.collect::<Vec<_>>() {
        leecher.complete();
        payload.assert_same(&output);
    }
    scene.end();
}

#[test]
fn a_swarm_of_all_clients_completes() {
    mixed(&[]);
}

#[test]
fn a_swarm_of_all_clients_completes_from_a_super_seed() {
    mixed(&["--super-seed"]);
}

/// With a ratio the seeder ends by itself, when it has given everything once.
#[test]
fn a_seeder_with_a_ratio_ends_by_itself() {
    let payload = payload::many();
    let mut scene = Scene::new(payload, &["--seed-ratio", "1"]);
    let (mut leecher, output) = scene.start(Client::Swarmlet, free_port(), &[]);
    leecher.complete();
    assert_eq!(scene.seeder.wait(Duration::from_secs(10)).code(), Some(0));
    payload.assert_same(&output);
}

/// What an earlier run has given counts: two downloads reach a ratio of 2 though the seeder is started anew between them.
#[test]
fn a_ratio_is_reached_over_two_runs() {
    let payload = payload::many();
    let mut scene = Scene::new(payload, &["--seed-ratio", "1.9"]);
    let (mut first, output) = scene.start(Client::Swarmlet, free_port(), &[]);
    first.complete();
    payload.assert_same(&output);
    scene.seeder.interrupt();
    assert_eq!(scene.seeder.wait(Duration::from_secs(10)).code(), Some(0));
    let mut command = swarmlet(&scene.torrent, &scene.scratch.path().join("seeder"), scene.port);
    command.args(["--seed-ratio", "1.9"]);
    scene.seeder = Running::start(&mut command, "seeder", scene.scratch.path());
    wait_for_listener(&mut scene.seeder, scene.port);
    // It gets nine tenths of it.
    let _second = scene.start(Client::Swarmlet, free_port(), &[]);
    assert_eq!(scene.seeder.wait(PATIENCE).code(), Some(0), "it ends by itself");
}
