//! The loop with real sockets, pipes, terminals and signals, driven by a machine that follows a script.
#![cfg(feature = "io")]

mod background;
mod script;
mod streams;
mod turns;
