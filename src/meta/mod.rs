//! Floor 2: what a `.torrent` says.

/// (room)
pub struct Metainfo {}
