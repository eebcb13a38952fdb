//! What tests of the session's parts begin with: a session with one small torrent, and what it answers.

use super::{Action, Command, Event, Report, Session, Settings};
use crate::base::{Instant, Rng};
use crate::meta::Metainfo;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A moment that is not the first.
pub const NOW: Instant = Instant::from_micros(1_000_000);
/// Bytes of a piece.
pub const PIECE_BYTES: usize = 9;

/// Little memory, few peers, nobody to begin with.
pub fn settings() -> Settings {
    Settings {
        memory_bytes: 1 << 20,
        max_peers: 9,
        port: 0,
        peers: Vec::new(),
        give_up: None,
        check_only: false,
    }
}

/// A torrent called `a`, of one piece for each hash.
pub fn torrent(hashes: &[[u8; 20]]) -> Arc<Metainfo> {
    let (bytes, pieces) = (hashes.len() * PIECE_BYTES, hashes.len() * 20);
    let head =
        alloc::format!("d4:infod6:lengthi{bytes}e4:name1:a12:piece lengthi{PIECE_BYTES}e6:pieces{pieces}:");
    let file = [head.as_bytes(), hashes.as_flattened(), b"ee"].concat();
    Arc::new(Metainfo::parse(&file).expect("a good torrent"))
}

/// A session with a torrent of one piece that nobody has; `empty`: nothing of it is on disk.
pub fn session(settings: Settings, empty: bool) -> Session {
    let mut session = Session::new(NOW, Rng::new(1), settings);
    session.add_torrent(NOW, torrent(&[[b'x'; 20]]), empty);
    session
}

/// The answer to a command.
pub fn said(session: &mut Session, command: Command) -> String {
    session.handle(NOW, Event::Command(command));
    let answer = |action| match action {
        Action::Say(Report::Done(text)) => Some(text),
        _ => None,
    };
    core::iter::from_fn(|| session.next_action()).find_map(answer).expect("each command is answered")
}
