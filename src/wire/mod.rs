//! Floor 1: bytes of strangers, read and written.

pub mod bencode;
