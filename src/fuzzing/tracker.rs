//! Fuzz bodies: tracker.
