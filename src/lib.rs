//! swarmlet: a BitTorrent client for Linux that is one thread and one poll loop.
//!
//! # The map
//!
//! ```text
//!            core: pure, deterministic, core + alloc                       rim: std, one thread
//!  ┌──────────────────────────────────────────────────────────────┐   ┌───────────────────────────────┐
//!  │ 0 base     clock rng ids geometry limits bitfield rate text  │   │ 5 rim   mio poll, socket slab  │
//!  │ 1 wire     framer message handshake bencode http url dns …   │   │         storage: windows, stdin│
//!  │ 2 meta     metainfo layout extents paths  resolver  proxy    │   │         signals, clock, names  │
//!  │ 3 rooms    peer download upload candidates tracker resume    │   │ 6 app   arguments, screen, JSON│
//!  │ 4 session  the switchboard: Event in, Action out ────────────┼──▶│         logger, exit codes     │
//!  └──────────────────────────────────────────────────────────────┘   └───────────────────────────────┘
//! ```
//!
//! The core is told facts ([`session::Event`], bytes that [`landed`](session::Session::landed)) and answers with wishes
//! ([`session::Action`]). The rim owns every descriptor, the clock and the entropy, and decides nothing. The words between
//! them are I/O's words, not BitTorrent's. Rooms of one floor do not know each other; they answer with plain values and
//! meet only in [`session`]. Time and chance are arguments, names are ids with a generation, and so a whole swarm runs in a
//! test, in virtual time, from a seed: `tests/simulation/`.
//!
//! | floor | module | may use | other crates |
//! |---|---|---|---|
//! | 0 | [`base`] | core, alloc | – |
//! | 1 | [`wire`] | 0 | httparse, in `wire::http` alone |
//! | 2 | [`meta`], [`resolver`], [`proxy`] | 0–1 | sha1 |
//! | 3 | [`peer`], [`download`], [`upload`], [`candidates`], [`tracker`], [`resume`] | 0–2, not each other | sha1 |
//! | 4 | [`session`] | 0–3 | slab |
//! | 5 | `rim` | 0–4, std | mio, slab, memmap2, libc, log; rustls, webpki and webpki-roots in `rim/secure`; sha1, of which `rim/pace` takes the speed |
//! | 6 | `app`, `main.rs` | all | argh, log, libc (numbers only), lava_torrent and sha1 (writing torrents) |
//!
//! Checked by `cargo check --no-default-features --lib` (the core does not link std; feature `io` brings rim and app), by
//! `tests/tidy.rs` (floors, sizes), and by clippy.
//!
//! # What is absent
//!
//! - In the core: sockets, files, clocks, threads, callbacks, trait objects, shared ownership of anything that changes,
//!   recursion over input, and panics that the wire could reach.
//! - In the rim: decisions. What to connect to, ask for, store or give up is the session's business.
//! - Anywhere: a second thread, work per block or `have` that grows with the torrent, an allocation per block once the
//!   buffers exist, unverified bytes in a file, bounds outside [`base::limits`].
//!
//! # The four flows
//!
//! **One received block.** The poll says that a stream is ready. [`landing`](session::Session::landing) plans the read: the rest of the
//! block in progress, then a header and a buffer for each request that the peer should answer next. One `readv` fills
//! them; [`landed`](session::Session::landed) checks the headers, and what was something else is fed to the
//! [`Framer`](wire::Framer) in the order of the stream. The [`Pipeline`](download::Pipeline) settles the request, the block is placed; a
//! whole piece waits for [`work`](session::Session::work), which hashes within a turn's budget. Hash right: the piece waits on the shelf
//! for the rest of its extent ([`meta::Extents`]), then `Action::Store`, one copy into one mapped window, `Stored`, and only
//! then `have` to all. Hash wrong: nothing has touched the file, and the sender of the bad block is found by comparing
//! blocks when a good copy arrives.
//!
//! **One tick.** [`next_deadline`](session::Session::next_deadline) is the minimum over rooms; nothing is due, the box sleeps.
//!
//! **One command.** Standard input is one more source on the loop. Lines become [`session::Command`]s, answers
//! [`session::Report`]s, which the app renders as text or JSON. No kind of standard input ends the program or delays it.
//!
//! **One announce.** Due → resolve → both address families side by side, over a stream (HTTP) or by datagrams (UDP) →
//! request → reply, bounded and under one deadline → candidates. A proxy and TLS are passed by the rim before the stream is
//! open; behind a proxy nothing is resolved, and datagrams go through it as long as a stream to it stays open. Every fault ends in one function: next tracker of the tier, backoff with
//! jitter. At the end `stopped` goes to all side by side.
//!
//! # Memory
//!
//! [`download::Pool`] lends buffers of one block and keeps the promise of `--memory`. A buffer is a token that moves from
//! the pool to a peer's read, to a piece, to the shelf and back, so no two writers share bytes. A piece reserves its blocks
//! when it is opened. Pieces larger than memory are put together in the map of a nameless file. What connections hold (queues,
//! answers that are not read, half a message) is counted by the session, and stays below what is set aside for them.
//!
//! # Words
//!
//! *extent*: the unit of storing, an aligned 2 MiB of a file. *begun*: an extent of which a piece was opened. *open* piece:
//! being fetched. *shelf*: verified pieces that are not in their files yet. *snubbed*: silent with requests outstanding.
//! *released* request: its block was given to others too. *starved* peer: could be asked for more, but there is nothing.
//! *run*: neighbouring pieces of one extent, which a seed gives to one peer before others.
#![cfg_attr(not(any(test, feature = "io")), no_std)]
#![cfg_attr(not(feature = "io"), forbid(unsafe_code))]

extern crate alloc;

pub mod base;
pub mod candidates;
pub mod download;
#[doc(hidden)]
pub mod fuzzing;
pub mod meta;
pub mod peer;
pub mod proxy;
pub mod resolver;
pub mod resume;
pub mod session;
pub mod tracker;
pub mod upload;
pub mod wire;

#[cfg(feature = "io")]
pub mod app;
#[cfg(feature = "io")]
pub mod rim;
