//! swarmlet: a BitTorrent client that is one thread and one poll loop.
#![cfg_attr(not(any(test, feature = "io")), no_std)]
#![cfg_attr(not(any(feature = "io")), forbid(unsafe_code))]

extern crate alloc;

pub mod base;
pub mod candidates;
pub mod download;
#[doc(hidden)]
pub mod fuzzing;
pub mod meta;
pub mod peer;
pub mod resolver;
pub mod session;
pub mod tracker;
pub mod upload;
pub mod wire;

#[cfg(feature = "io")]
pub mod app;
#[cfg(feature = "io")]
pub mod rim;
