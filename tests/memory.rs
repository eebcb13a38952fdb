//! What strangers can make the session remember: counted by an allocator that counts, for this thread alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use swarmlet::base::limits::peers_bytes;
use swarmlet::base::{Instant, Rng, StreamId};
use swarmlet::meta::Metainfo;
use swarmlet::session::{Action, Command, Event, Session, Settings};

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

fn torrent(pieces: u32) -> Arc<Metainfo> {
    let mut bytes =
        format!("d4:infod6:lengthi{}e4:name1:x12:piece lengthi16384e", u64::from(pieces) * 16_384)
            .into_bytes();
    bytes.extend(format!("6:pieces{}:", pieces * 20).bytes());
    bytes.resize(bytes.len() + pieces as usize * 20, 7);
    bytes.extend(b"ee");
    Arc::new(Metainfo::parse(&bytes).unwrap())
}

/// A session with `peers` connections past their handshakes, peers that have nothing yet.
fn connected(peers: u32, memory_bytes: u64, pieces: u32) -> (Session, Vec<StreamId>, Instant) {
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
    session.add_torrent(now, torrent(pieces), true);
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
        session.handle(now, Event::Command(Command::Add(address(0))));
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
    let (mut session, streams, start) = connected(500, 4 << 20, PIECES);
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

/// What a stranger sends that wants to be remembered, step by step; in the end something `kind` of it. It never reads.
fn hoard(kind: u32, pieces: u32) -> [Vec<u8>; 4] {
    let number = |id: u8, piece: u32| [&[0, 0, 0, 5, id][..], &piece.to_be_bytes()].concat();
    let bits = pieces.div_ceil(8);
    let bitfield = [&(bits + 1).to_be_bytes()[..], &[5], &vec![0xff; bits as usize - 1], &[0xfe]].concat();
    let request = |nth: u32| {
        let block = [nth % pieces, 0, 16_384].map(u32::to_be_bytes);
        [&[0, 0, 0, 13, 6][..], block.as_flattened()].concat()
    };
    let unfinished = |length: u32, id: u8| {
        [&length.to_be_bytes()[..], &[20, id], &vec![b'x'; length as usize - 3]].concat()
    };
    [
        bitfield.clone(),
        vec![0, 0, 0, 1, 1, 0, 0, 0, 1, 2],
        (0..40).flat_map(|piece| number(17, piece)).collect(),
        match kind {
            0 => unfinished(63 << 10, 0),
            1 => unfinished(63 << 10, 1),
            2 => unfinished(2 << 10, 0),
            3 => bitfield[..bitfield.len() - 1].to_vec(),
            _ => (0..3_000).flat_map(request).collect(),
        },
    ]
}

#[test]
fn what_strangers_have_us_hold_stays_within_what_is_set_aside() {
    // As `--memory 2` and `--memory 10` share it out.
    let shares = [(56, 700 << 10, 1_000), (92, 4 << 20, PIECES)];
    for (peers, memory_bytes, pieces) in shares {
        let before = LIVE.get();
        let (alone, ..) = connected(0, memory_bytes, pieces);
        let quiet = LIVE.get() - before;
        drop(alone);
        // Beside the connections there are their addresses, open pieces and wishes: a part of what the program has.
        let bound = peers_bytes(peers, u64::from(pieces / 8)) as isize + (256 << 10);
        for kind in 0..5 {
            let before = LIVE.get();
            let (mut session, streams, now) = connected(peers, memory_bytes, pieces);
            for bytes in hoard(kind, pieces) {
                // Read as far as the session wishes, as the rim does.
                for &stream in &streams {
                    let mut parts = bytes.chunks(17);
                    while let Some(part) =
                        parts.next().filter(|part| session.allowance(now, stream) >= part.len())
                    {
                        session.received(now, stream, part);
                    }
                }
                while session.next_action().is_some() {}
                session.check();
                let held = LIVE.get() - before - quiet - session.status(now).buffered_bytes as isize;
                let length = bytes.len();
                assert!(
                    held <= bound,
                    "{peers} peers hold {held} of {bound} bytes, kind {kind}, after {length}"
                );
            }
            let left = session.status(now).torrents[0].peers;
            assert!(left == peers || kind >= 2, "{left} of {peers} are left, kind {kind}");
        }
    }
}
