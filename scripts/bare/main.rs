//! The least that a download can cost on one thread: receive, SHA-1, store, and nothing else. One connection to one
//! seeder that has everything and answers in order, a fixed window of requests, no poll loop, no choice of pieces. With
//! `--serve` the least that giving one can cost.
//! `scripts/bench` compares every client with it. It shares no code with swarmlet.

mod receive;
mod send;
mod store;
#[path = "../loopback/torrent.rs"]
#[expect(dead_code, reason = "a seeder needs more of it")]
mod torrent;

use argh::FromArgs;
use receive::Receiver;
use sha1::{Digest as _, Sha1};
use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::Store;

/// Fetch a torrent of one file from one seeder: receive, hash, store.
#[derive(FromArgs)]
struct Options {
    /// the .torrent
    #[argh(option)]
    torrent: PathBuf,
    /// the seeder
    #[argh(option)]
    peer: Option<SocketAddr>,
    /// where to listen, instead: serves the first who comes
    #[argh(option)]
    serve: Option<SocketAddr>,
    /// the file to write, or to serve
    #[argh(option)]
    output: PathBuf,
    /// pwrite: a piece at a time; window: through maps of 2 MiB; none (default pwrite)
    #[argh(option, default = "String::from(\"pwrite\")")]
    store: String,
    /// do not verify
    #[argh(switch)]
    no_hash: bool,
}

fn main() -> ExitCode {
    match run(&argh::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let torrent = torrent::read(&options.torrent)?;
    if let Some(address) = options.serve {
        return send::serve(address, &torrent, &options.output);
    }
    let hashes = hashes(&options.torrent)?;
    let store = Store::create(&options.store, &options.output, torrent.total_bytes)?;
    let peer = options.peer.ok_or_else(|| io::Error::other("--peer or --serve is needed"))?;
    let stream = TcpStream::connect(peer)?;
    let mut receiver = Receiver::start(stream, &torrent, store.unit_bytes())?;
    let (mut hashed, mut stored) = (0, 0);
    while stored < torrent.total_bytes {
        let received = receiver.receive()?;
        while let Some(piece) = next(hashed, torrent.piece_bytes, received, torrent.total_bytes) {
            let nth = (hashed / torrent.piece_bytes) as usize;
            if !options.no_hash && Sha1::digest(receiver.bytes(&piece))[..] != hashes[nth * 20..][..20] {
                return Err(io::Error::other(format!("piece {nth} is wrong")));
            }
            hashed = piece.end;
        }
        let unit_bytes = store.unit_bytes().max(torrent.piece_bytes);
        while let Some(unit) = next(stored, unit_bytes, hashed, torrent.total_bytes) {
            store.put(unit.start, receiver.bytes(&unit))?;
            stored = unit.end;
        }
    }
    Ok(())
}

/// The hashes of all pieces, 20 bytes each.
fn hashes(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    let pieces = torrent::dict_get(&bytes, b"info").and_then(|info| torrent::dict_get(info, b"pieces"));
    let after = pieces.and_then(|text| text.splitn(2, |&byte| byte == b':').nth(1));
    after.map(<[u8]>::to_vec).ok_or_else(|| io::Error::other("no hashes in the .torrent"))
}

/// The part of `size` bytes that begins at `start`, if it is whole.
fn next(start: u64, size: u64, there: u64, total: u64) -> Option<std::ops::Range<u64>> {
    let end = (start + size).min(total);
    (start < total && end <= there).then_some(start..end)
}
