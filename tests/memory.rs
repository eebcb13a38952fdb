//! What strangers can make the session remember: counted by an allocator that counts, for this thread alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use swarmlet::base::{Instant, Rng, StreamId};
use swarmlet::meta::Metainfo;
use swarmlet::session::{Action, Event, Session, Settings};

struct Counting;

thread_local! {
    /// Bytes allocated and not freed by this thread.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// Allocations so far.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    // A thread that ends has no counter any more, and nobody asks it.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
    let _ = COUNT.try_with(|count| count.set(count.get() + u64::from(bytes > 0)));
}

// SAFETY: everything is passed on to the system's allocator unchanged; counting allocates nothing, because the
// counters are plain cells without destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the pointer came from `alloc` above, hence from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PIECES: u32 = 100_000;
#[cfg(feature = "io")]
const FILES: u32 = 50_000;

fn torrent() -> Arc<Metainfo> {
    let mut bytes =
        format!("d4:infod6:lengthi{}e4:name1:x12:piece lengthi16384e", u64::from(PIECES) * 16_384)
            .into_bytes();
    bytes.extend(format!("6:pieces{}:", PIECES * 20).bytes());
    bytes.resize(bytes.len() + PIECES as usize * 20, 7);
    bytes.extend(b"ee");
    Arc::new(Metainfo::parse(&bytes).unwrap())
}

/// A session with `peers` connections past their handshakes, peers that have nothing yet.
fn connected(peers: u32, memory_bytes: u64) -> (Session, Vec<StreamId>, Instant) {
    let address = |nth: u32| SocketAddr::from(([11, 0, (nth >> 8) as u8, nth as u8], 6881));
    let settings = Settings {
        memory_bytes,
        max_peers: peers,
        port: 6881,
        peers: (0..peers).map(address).collect(),
        give_up: None,
        check_only: false,
    };
    let mut now = Instant::from_micros(1_000_000);
    let mut session = Session::new(now, Rng::new(1), settings);
    session.add_torrent(now, torrent(), true);
    let mut streams = vec![];
    while streams.len() < peers as usize {
        let Some(action) = session.next_action() else {
            // Once there are enough, the next ones are dialled one after the other.
            now = session.next_deadline().expect("somebody is left to be dialled").max(now);
            session.on_time(now);
            continue;
        };
        let Action::Connect { stream, .. } = action else { continue };
        session.handle(now, Event::Connected { stream });
        let mut theirs = session.outgoing(stream).to_vec();
        session.sent(now, stream, theirs.len());
        theirs[48..].fill(3);
        theirs[64..].copy_from_slice(&stream.generation.to_be_bytes());
        session.received(now, stream, &theirs);
        streams.push(stream);
        session.handle(now, Event::Command(swarmlet::session::Command::Add(address(0))));
    }
    (session, streams, now)
}

fn perform(session: &mut Session, now: Instant) {
    while let Some(action) = session.next_action() {
        if let Action::Flush { stream } = action {
            let count = session.outgoing(stream).len();
            session.sent(now, stream, count);
        }
    }
}

/// One second of `have` from every peer, a million bytes each, as far as there are pieces.
fn haves(session: &mut Session, streams: &[StreamId], now: Instant) {
    let mut bytes = Vec::with_capacity(9 * 1000);
    for start in (0..PIECES).step_by(1000) {
        bytes.clear();
        for piece in start..start + 1000 {
            bytes.extend([0, 0, 0, 5, 4]);
            bytes.extend(piece.to_be_bytes());
        }
        for &stream in streams {
            session.received(now, stream, &bytes);
        }
        perform(session, now);
    }
    session.work(now, 0);
    perform(session, now);
}

#[test]
fn five_hundred_peers_that_flood_with_haves_cost_bounded_memory() {
    let before = LIVE.get();
    let (mut session, streams, start) = connected(500, 4 << 20);
    let after = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(streams.len(), 500);
    let allocations = COUNT.get();
    haves(&mut session, &streams, after(1));
    let after_one = LIVE.get() - before;
    let per_have = (COUNT.get() - allocations) as f64 / (500.0 * f64::from(PIECES));
    assert!(per_have < 0.01, "{per_have} allocations for each have");
    assert_eq!(session.status(Instant::ZERO).torrents[0].seeds, 500);
    haves(&mut session, &streams, after(2));
    haves(&mut session, &streams, after(3));
    let after_three = LIVE.get() - before;
    // A bitfield and two KiB for each peer, and what the torrent itself needs.
    let bound = 500 * (PIECES as isize / 8 + 2048) + PIECES as isize * (20 + 16) + (1 << 20);
    assert!(after_one < bound, "{after_one} of {bound} bytes");
    assert!(after_three <= after_one + (64 << 10), "{after_one}, then {after_three} bytes");
    assert_eq!(session.status(Instant::ZERO).torrents[0].peers, 0, "who only repeats himself is dropped");
    session.on_time(after(6));
    session.check();
}

/// A torrent of one piece and of many empty files.
#[cfg(feature = "io")]
fn torrent_of_files() -> Arc<Metainfo> {
    let mut bytes = b"d4:infod5:filesld6:lengthi9e4:pathl1:aee".to_vec();
    (0..FILES).for_each(|nth| bytes.extend(format!("d6:lengthi0e4:pathl3:dir6:{nth:06}ee").bytes()));
    bytes.extend(b"e4:name4:many12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee");
    Arc::new(Metainfo::parse(&bytes).unwrap())
}

#[cfg(feature = "io")]
#[test]
fn a_file_costs_what_memory_counts_for_it() {
    use swarmlet::base::limits::FILE_STATE_BYTES;
    use swarmlet::rim::storage::{Options, Storage};
    let place = std::env::temp_dir().join(format!("swarmlet-memory-{}", std::process::id()));
    let before = LIVE.get();
    let metainfo = torrent_of_files();
    let paths = metainfo.layout.path_bytes() as isize;
    let storage = Storage::open(&place, Arc::clone(&metainfo), &Options::default()).unwrap();
    let per_file = (LIVE.get() - before - paths) as f64 / f64::from(FILES);
    drop(storage);
    assert!(per_file <= FILE_STATE_BYTES as f64, "{per_file} bytes for each file");
    assert!(per_file > FILE_STATE_BYTES as f64 - 4.0, "{per_file}: less than is counted");
}
