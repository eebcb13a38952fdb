//! A swarmlet that has everything, in a folder of its own: nobody else may work on that.

use crate::payload;
use crate::process::{Running, Scratch, free_port, wait_for, wait_for_listener};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// It and its address, which no proxy is asked for.
pub fn start(scratch: &Scratch) -> (Running, SocketAddr) {
    let (payload, torrent) = (payload::names(), scratch.path().join("seed.torrent"));
    payload.write_torrent(&torrent, None);
    let folder = scratch.folder("seeded");
    let copied =
        Command::new("cp").arg("-r").arg(payload.folder().join("Größe – 中文")).arg(&folder).status();
    assert!(copied.unwrap().success());
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.args(["--seed", "--proxy", "none", "--bind", "127.0.0.1", "--port", &port.to_string(), "-o"]);
    let mut running = Running::start(command.arg(folder).arg(&torrent), "seeder", scratch.path());
    wait_for_listener(&mut running, port);
    wait_for("the check", PATIENCE, || running.log().contains("checked:").then_some(()));
    (running, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}
