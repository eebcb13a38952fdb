//! Floor 2: what a `.torrent` says, checked and cleaned.

mod clashes;
mod cleaned;
mod extents;
mod fault;
mod files;
mod info;
mod layout;
mod metainfo;
mod paths;
mod urls;

pub use extents::Extents;
pub use fault::{Expected, MetainfoFault};
pub use layout::{File, FileKind, Layout, Segment};
pub use metainfo::Metainfo;
pub use urls::check_url;
