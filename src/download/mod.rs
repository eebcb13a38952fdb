//! (being written)
pub mod assembly;
pub mod picker;
pub mod pipeline;
pub mod pool;
