//! The bodies of all fuzz targets: ordinary functions that take bytes or operations and assert properties.
//! `fuzz/` calls them under cargo-fuzz; `tests/corpus.rs` replays the corpora through them on stable Rust.

pub mod command;
pub mod meta;
#[cfg(test)]
mod mutation;
pub mod names;
pub mod proxy;
pub mod resume;
pub mod session;
pub mod tracker;
pub mod wire;
