//! Floor 1: bytes of strangers, read and written. Borrowing readers and appending writers that know no state of the
//! protocol: whether a word is welcome is for the rooms above.

pub mod address;
pub mod bencode;
pub mod chunked;
pub mod compact;
pub mod cursor;
pub mod dns;
pub mod escape;
pub mod extended;
pub mod framer;
mod geometry;
pub mod handshake;
pub mod http;
pub mod message;
pub mod misbehaved;
pub mod punycode;
pub mod server;
pub mod udp_tracker;
pub mod url;

pub use cursor::Cursor;
pub use extended::ExtendedHandshake;
pub use framer::{Framer, Item};
pub use handshake::{Handshake, HandshakeReader};
pub use message::Message;
pub use misbehaved::Misbehaved;
pub use server::Server;
