//! Floor 1: the words that peers speak, as bytes. Borrowing readers and appending writers, without state of the
//! protocol: whether a word is welcome is for the rooms above.

pub mod cursor;
pub mod framer;
pub mod geometry;
pub mod handshake;
pub mod message;
pub mod misbehaved;

pub use cursor::Cursor;
pub use framer::{Framer, Item};
pub use geometry::Geometry;
pub use handshake::{Handshake, HandshakeReader};
pub use message::Message;
pub use misbehaved::Misbehaved;
