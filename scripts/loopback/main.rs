//! A seeder and an HTTP tracker on loopback, for the demo, the benchmark and the tests.
//!
//! It is fast (requests are answered in batches, straight from mapped files), it can misbehave on demand, and it
//! watches its client: what breaks the protocol is said on stderr and counted. It shares no code with swarmlet, so
//! that a mistake made there is not made here as well.
//!
//! When it listens it prints `ready tracker=URL peers=IP:PORT,...`, and runs until its stdin is closed. Then it
//! prints `done sent_bytes=N faults=N` and exits with 1 if there were faults.

mod content;
mod seeder;
mod torrent;
mod tracker;
mod watch;

use argh::FromArgs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Seed a torrent on loopback, with a tracker, until stdin is closed.
#[derive(FromArgs)]
struct Options {
    /// the .torrent
    #[argh(option)]
    torrent: PathBuf,
    /// the file or folder that the .torrent was made from
    #[argh(option)]
    data: PathBuf,
    /// seeders, each on its own port (default 1)
    #[argh(option, default = "1")]
    seeders: u16,
    /// address of the seeders and the tracker (default 127.0.0.1, which some clients take for no peer's)
    #[argh(option, default = "Ipv4Addr::LOCALHOST")]
    address: Ipv4Addr,
    /// each seeder on an address of its own, counting up from the one after `address`
    #[argh(switch)]
    spread: bool,
    /// port of the tracker (default 0: any free one)
    #[argh(option, default = "0")]
    tracker_port: u16,
    /// what each seeder sends at most, in KiB/s
    #[argh(option)]
    rate: Option<u32>,
    /// wait before a request is answered, in milliseconds
    #[argh(option, default = "0")]
    latency_ms: u32,
    /// percentage of the first seeder's blocks that have a wrong byte
    #[argh(option, default = "0")]
    poison: u32,
    /// how many seeders send wrong bytes (default 1)
    #[argh(option, default = "1")]
    poisoners: u16,
    /// percentage of the pieces that each seeder has; together they have all (default 100)
    #[argh(option, default = "100")]
    pieces: u32,
    /// no seeder has any piece
    #[argh(switch)]
    empty: bool,
    /// never unchoke
    #[argh(switch)]
    choked: bool,
    /// bytes of `have` messages that all seeders together send in a second, of pieces one after the other
    #[argh(option, default = "0")]
    have_rate: u32,
    /// write at most this many bytes at a time
    #[argh(option)]
    fragment: Option<usize>,
    /// the first seeder answers this many blocks to each peer, then nothing
    #[argh(option)]
    silent_after: Option<u64>,
    /// choke for a moment after every so many blocks
    #[argh(option)]
    choke_every: Option<u64>,
    /// do not offer the fast extension
    #[argh(switch)]
    no_fast: bool,
    /// do not judge the client, as far as it can be understood
    #[argh(switch)]
    lenient: bool,
    /// seed of what is random (default 1)
    #[argh(option, default = "1")]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&argh::from_env()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "loopback: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    let torrent = torrent::read(&options.torrent)?;
    let content = content::Content::open(&torrent, &options.data)?;
    let swarm = Arc::new(seeder::Swarm::new(torrent, content, options));
    let mut peers = Vec::new();
    for nth in 0..options.seeders {
        let own = u32::from(options.address).saturating_add(u32::from(nth) + 1);
        let address = if options.spread { Ipv4Addr::from(own) } else { options.address };
        let listener = TcpListener::bind((address, 0))?;
        peers.push(listener.local_addr()?);
        seeder::listen(listener, &swarm, usize::from(nth));
    }
    let listener = TcpListener::bind((options.address, options.tracker_port))?;
    let address = listener.local_addr()?;
    tracker::listen(listener, &swarm, &peers);
    say(&ready_line(address, &peers));
    wait_for_the_end_of_stdin();
    let faults = swarm.watch.faults();
    let first_at = swarm.watch.first_block_at();
    say(&format!(
        "done sent_bytes={} faults={faults} first_block_at={first_at:.3}",
        swarm.watch.sent_bytes()
    ));
    Ok(ExitCode::from(u8::from(faults > 0)))
}

fn ready_line(tracker: SocketAddr, peers: &[SocketAddr]) -> String {
    let peers: Vec<String> = peers.iter().map(SocketAddr::to_string).collect();
    format!("ready tracker=http://{tracker}/announce peers={}", peers.join(","))
}

fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn wait_for_the_end_of_stdin() {
    let mut ignored = [0; 256];
    while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
}
