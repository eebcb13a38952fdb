//! What storing alone costs: fills the files of a torrent through `rim::storage` as a download would, an extent at a time
//! out of scattered blocks, in random or in file order, and syncs. Says which way the bytes took and the processor time.
//! `scripts/filesystems --table` runs it on each file system.

use argh::FromArgs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use swarmlet::base::limits::{BLOCK_BYTES, EXTENT_BYTES};
use swarmlet::base::{Rng, TorrentId};
use swarmlet::meta::Metainfo;
use swarmlet::rim::storage::{Done, Map, Options as StorageOptions, Storage, Syncer, Task};

/// Fill the files of a torrent and sync them.
#[derive(FromArgs)]
struct Options {
    /// the .torrent
    #[argh(option)]
    torrent: PathBuf,
    /// the folder to write into
    #[argh(option)]
    output: PathBuf,
    /// extents in file order, not at random
    #[argh(switch)]
    sequential: bool,
    /// positioned writes only
    #[argh(switch)]
    positioned: bool,
}

fn main() -> ExitCode {
    match run(&argh::from_env()) {
        Ok(line) => {
            let _ = writeln!(io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "stores: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<String> {
    let metainfo = Metainfo::parse(&std::fs::read(&options.torrent)?).map_err(other)?;
    let total = metainfo.layout.total_bytes();
    let how = StorageOptions {
        map: if options.positioned { Map::Never } else { Map::Auto },
        ..StorageOptions::default()
    };
    let (mut storage, _) = Storage::open(&options.output, Arc::new(metainfo), &how).map_err(other)?;
    let _ = storage.take().map_err(other)?;
    let order = order(total.div_ceil(EXTENT_BYTES), options.sequential);
    let content = Content::new();
    let before = cpu_s();
    for &extent in &order {
        let offset = extent * EXTENT_BYTES;
        let parts = content.parts(extent, EXTENT_BYTES.min(total - offset));
        let length = parts.iter().map(|part| part.len() as u64).sum();
        let mut done = 0;
        while done < length {
            done = storage.store(offset, &parts, done, EXTENT_BYTES).map_err(other)?;
        }
    }
    let stored = cpu_s() - before;
    let tally = storage.tally();
    complete(&mut storage)?;
    for &extent in &order {
        content.compare(&mut storage, extent, total)?;
    }
    let share = 100 * tally.mapped_bytes / (tally.mapped_bytes + tally.written_bytes).max(1);
    Ok(format!("mapped_percent={share} cpu_s={stored:.3}"))
}

fn other(error: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

/// The numbers of all extents.
fn order(count: u64, sequential: bool) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    if !sequential {
        Rng::new(1).shuffle(&mut order);
    }
    order
}

/// Blocks that lie anywhere in memory, as those of a pool do.
struct Content {
    blocks: Vec<Box<[u8]>>,
}

impl Content {
    fn new() -> Self {
        let block = |nth: usize| (0..BLOCK_BYTES as usize).map(|at| (at % 251) as u8 ^ nth as u8).collect();
        Self { blocks: (0..2 * EXTENT_BYTES as usize / BLOCK_BYTES as usize).map(block).collect() }
    }

    /// The bytes of an extent, which differ from those of its neighbours.
    fn parts(&self, extent: u64, length: u64) -> Vec<&[u8]> {
        let count = length.div_ceil(BLOCK_BYTES.into()) as usize;
        let block = |nth: usize| {
            let from = nth as u64 * u64::from(BLOCK_BYTES);
            let bytes = &self.blocks[(extent as usize + nth) % self.blocks.len()];
            &bytes[..(length - from).min(BLOCK_BYTES.into()) as usize]
        };
        (0..count).map(block).collect()
    }

    fn compare(&self, storage: &mut Storage, extent: u64, total: u64) -> io::Result<()> {
        let offset = extent * EXTENT_BYTES;
        let wanted = self.parts(extent, EXTENT_BYTES.min(total - offset)).concat();
        let mut found = vec![0; wanted.len()];
        storage.load(offset, &mut found).map_err(other)?;
        if found == wanted { Ok(()) } else { Err(other(format!("extent {extent} is not what was stored"))) }
    }
}

/// Makes everything durable, as the loop would, but for waiting itself.
fn complete(storage: &mut Storage) -> io::Result<()> {
    let mut syncer = Syncer::waiting();
    storage.begin(Task::Complete);
    loop {
        if let Some(Done::Completed(result)) = storage.go_on(TorrentId(0), &mut syncer) {
            return result.map_err(other);
        }
        syncer.turn();
        while let Some(done) = syncer.next_done() {
            storage.synced(done);
        }
    }
}

/// Processor time of this process, in seconds.
fn cpu_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec` through the pointer, which is exclusive for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
