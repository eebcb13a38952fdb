//! Floor 6: the app.

#[cfg(feature = "create")]
pub mod create;
