//! Hostile strangers over real sockets against the real program: what they cost it, in memory, processor and sockets, while
//! an honest seeder goes on giving; which addresses it refuses to dial; and what they may write on a terminal.
//!
//! All is on loopback. `cargo test --test hostile -- --nocapture --test-threads=1` prints the figures.

mod addresses;
mod attackers;
mod attacks;
mod client;
#[path = "../simulation/frames.rs"]
#[allow(dead_code, reason = "the simulator needs more of it")]
mod frames;
#[path = "../interop/process.rs"]
#[allow(dead_code, reason = "the client under test is watched and asked in a way of its own")]
mod process;
mod swarm;
mod terminal;
