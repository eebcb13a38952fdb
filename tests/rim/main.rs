//! The loop with real sockets, pipes, terminals and signals, driven by a machine that follows a script.
#![cfg(feature = "io")]

mod background;
mod datagrams;
mod script;
mod streams;
mod turns;
