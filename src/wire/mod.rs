//! Floor 1: bytes of strangers, read and written.

pub mod address;
pub mod bencode;
pub mod chunked;
pub mod compact;
pub mod dns;
pub mod escape;
pub mod http;
pub mod url;
