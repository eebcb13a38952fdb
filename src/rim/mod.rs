//! Floor 5: the rim.

pub mod storage;
