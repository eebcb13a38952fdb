//! Floor 0: the words that every room shares. Uses `core` and `alloc` only.

pub mod backlog;
pub mod backoff;
pub mod bitfield;
pub mod bucket;
pub mod clock;
pub mod columns;
pub mod geometry;
pub mod ids;
pub mod limits;
pub mod rate;
pub mod rng;
pub mod text;
pub mod units;

pub use backlog::Backlog;
pub use backoff::backoff;
pub use bitfield::Bitfield;
pub use clock::Instant;
pub use geometry::Geometry;
pub use ids::{Block, InfoHash, PeerId, StreamId, TorrentId};
pub use rate::Rate;
pub use rng::Rng;
pub use text::Printable;
