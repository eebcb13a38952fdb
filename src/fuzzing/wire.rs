//! Fuzz bodies: wire.
