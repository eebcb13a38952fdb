//! Fuzz bodies: meta.
