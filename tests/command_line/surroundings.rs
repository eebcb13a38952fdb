//! What the program finds around it: limits of the process, and a network that is not there.

use crate::{directory, ran, swarmlet, torrent};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn a_file_that_may_not_be_so_long_is_refused_at_the_start() {
    let directory = directory("file_limit");
    fs::write(directory.join("a.torrent"), torrent("a", &[])).unwrap();
    for allocate in ["full", "sparse"] {
        let line = format!(
            "ulimit -f 1; exec {} -q --give-up 9 --allocate {allocate} -o out a.torrent",
            env!("CARGO_BIN_EXE_swarmlet")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(&directory).stdin(Stdio::null());
        let ran = ran(&mut shell);
        ran.assert_fault(4, &["out/a is 2.0 KiB long, and ulimit -f allows"]);
        assert!(!directory.join("out").exists(), "nothing is made in vain");
    }
}

#[test]
fn who_may_open_next_to_no_files_hears_so() {
    let directory = directory("descriptors");
    fs::write(directory.join("a.torrent"), torrent("a", &[])).unwrap();
    let mut shell = Command::new("sh");
    let line = format!("ulimit -n 12; exec {} -q --give-up 9 a.torrent", env!("CARGO_BIN_EXE_swarmlet"));
    shell.args(["-c", &line]).current_dir(&directory).stdin(Stdio::null());
    ran(&mut shell).assert_fault(1, &["ulimit -n allows 12 open files: 26 are the least"]);
}

#[test]
fn who_can_reach_nobody_hears_why() {
    let directory = directory("unreached");
    let whole = torrent("a", &[]);
    fs::write(directory.join("a.torrent"), &whole).unwrap();
    // Without its tracker.
    let info = whole.windows(6).position(|window| window == b"4:info").unwrap();
    fs::write(directory.join("b.torrent"), [b"d", &whole[info..]].concat()).unwrap();
    let said = |arguments: &[&str]| {
        let ran = ran(swarmlet().args(arguments).args(["--give-up", "1"]).current_dir(&directory));
        assert_eq!(ran.code, 8, "{}", ran.err);
        ran.err
    };
    let bind = said(&["--bind", "no-such-if0", "a.torrent"]);
    let line = ": nothing is reached until it is there, and nobody can connect to us\n";
    assert!(bind.contains("--bind no-such-if0: ") && bind.contains(line), "{bind}");
    let lonely = said(&["--proxy", "socks5://127.0.0.1:1", "b.torrent"]);
    assert!(lonely.contains("names no tracker, and nobody can connect to us: give --peer\n"), "{lonely}");
    let listening = said(&["--port", "0", "--bind", "127.0.0.1", "b.torrent"]);
    assert!(listening.contains("give --peer, or wait for peers that connect\n"), "{listening}");
}
