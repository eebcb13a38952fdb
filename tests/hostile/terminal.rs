//! What strangers write, shown on a terminal, in a log, as JSON: nothing of it acts on the reader's screen.

use crate::frames;
use crate::process::Scratch;
use crate::swarm::{Torrent, seed, track};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Sets the window's title, wipes the screen, turns the writing round, hides and fakes lines. The word in the middle shows
/// that it was looked at.
const NASTY: &str =
    "\x1b]0;t\x07\x1b[2J\u{9b}2J\r\n\0\x7f\u{85}marker\u{202e}\u{2066}\u{200b}\u{feff}\u{61c}\u{e0041}\u{8}";

/// Every character of it that must never be seen in the output.
fn is_nasty(c: char) -> bool {
    NASTY.contains(c) && !c.is_ascii_graphic() && c != '\n'
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

/// A torrent whose every text is nasty, a peer with a nasty name, trackers that complain nastily; written to `folder`.
/// The seeder's address comes back.
fn stage(folder: &Path) -> String {
    let nasty = [NASTY.as_bytes(), b"\xff"].concat();
    let failure = [b"d14:failure reason", &string(&nasty)[..], b"e"].concat();
    let warning = [b"d15:warning message", &string(&nasty)[..], b"8:intervali1800e5:peers0:e"].concat();
    let urls = [
        format!("http://{}/announce", track(failure).0),
        format!("http://{}/announce", track(warning).0),
        format!("http://{}/announce", track(nasty.clone()).0),
        format!("http://ma{NASTY}rker.example/announce"),
        format!("http://127.0.0.1:1/{NASTY}"),
        format!("marker{NASTY}://x/"),
    ];
    let tiers: Vec<u8> =
        urls.iter().flat_map(|url| [b"l", &string(url.as_bytes())[..], b"e"].concat()).collect();
    let more = format!("13:announce-listl{}e", String::from_utf8(tiers).unwrap());
    let text = String::from_utf8(string(NASTY.as_bytes())).unwrap();
    let more = format!("{more}7:comment{text}10:created by{text}");
    let torrent = Torrent::new(3 << 20, &nasty, &more);
    fs::write(folder.join("x.torrent"), &torrent.bytes).unwrap();
    let hello = [b"\0d1:v", &string(&nasty)[..], b"e"].concat();
    seed(&torrent, 300 << 10, frames::message(frames::EXTENDED, &hello)).to_string()
}

/// What the program writes when it runs for a while and is asked everything; `on_terminal` on one of its own.
fn output(options: &[&str], on_terminal: bool) -> String {
    let scratch = Scratch::new();
    let folder = scratch.path();
    let seeder = stage(folder);
    let line = format!(
        "{} -vv --bind 127.0.0.1 --port 0 --peer {seeder} {} -o out x.torrent",
        env!("CARGO_BIN_EXE_swarmlet"),
        options.join(" ")
    );
    let mut command = Command::new(if on_terminal { "script" } else { "sh" });
    let arguments: &[&str] = if on_terminal { &["-qefc", &line, "/dev/null"] } else { &["-c", &line] };
    let out = fs::File::create(folder.join("said")).unwrap();
    command.args(arguments).current_dir(folder).env("TERM", "xterm").stdin(Stdio::piped());
    let mut child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    // A terminal itself echoes what is typed there: that is not ours.
    let typed = if on_terminal { "marker" } else { NASTY };
    for command in ["status", "info", "files", "trackers", "peers", typed, "peers", "quit"] {
        sleep(Duration::from_millis(400));
        // It may have ended by then, if it was not to run.
        let _ = child.stdin.as_mut().map(|stdin| stdin.write_all(format!("{command}\n").as_bytes()));
    }
    child.wait().unwrap();
    let said = fs::read(folder.join("said")).unwrap();
    String::from_utf8(said).expect("UTF-8, whatever the strangers wrote")
}

fn assert_tame(said: &str, markers: usize) {
    let nasty = said.chars().position(is_nasty);
    let around = |at: usize| said.chars().skip(at.saturating_sub(80)).take(120).collect::<String>();
    assert!(nasty.is_none(), "{:?}", nasty.map(around));
    assert!(said.matches("marker").count() >= markers, "too little was shown to tell: {said:?}");
}

#[test]
fn strangers_texts_are_tame_in_a_log() {
    assert_tame(&output(&[], false), 10);
    assert_tame(&output(&["--show"], false), 5);
}

#[test]
fn strangers_texts_are_tame_as_json() {
    assert_tame(&output(&["--json"], false), 10);
    assert_tame(&output(&["--json", "--show"], false), 5);
}

#[test]
fn strangers_texts_are_tame_on_a_terminal_with_a_progress_line() {
    let mut said = output(&[], true);
    for own in ["\r", "\x1b7", "\x1b8", "\x1bD", "\x1b[A", "\x1b[K", "\x1b[J"] {
        said = said.replace(own, "");
    }
    for count in 0..100 {
        ["A", "L", "m"].iter().for_each(|act| said = said.replace(&format!("\x1b[{count}{act}"), ""));
    }
    assert!(said.contains("of 3.0 MiB"), "no progress line: {said:?}");
    assert_tame(&said, 10);
}
