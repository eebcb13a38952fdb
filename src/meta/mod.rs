//! Floor 2: what a `.torrent` says, checked and cleaned.

mod clashes;
mod cleaned;
mod fault;
mod files;
mod layout;
mod metainfo;
mod paths;
mod urls;

pub use fault::{Expected, MetainfoFault};
pub use layout::{File, FileKind, Layout, Segment};
pub use metainfo::Metainfo;
