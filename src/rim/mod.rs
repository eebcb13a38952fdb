//! Floor 5: the rim.
