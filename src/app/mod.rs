//! Floor 6: the app.
