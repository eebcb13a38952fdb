//! Floor 1: what goes over wires, as pure readers and writers of bytes.

pub mod address;
pub mod chunked;
pub mod compact;
pub mod dns;
pub mod http;
pub mod url;
