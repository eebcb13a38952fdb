//! Floor 6: what the user sees. Arguments in; lines, JSON and exit codes out.

pub mod arguments;
pub mod cli;
pub mod console;
#[cfg(feature = "create")]
pub mod create;
mod date;
mod descriptors;
pub mod exit;
pub mod help;
pub mod json;
pub mod logger;
mod memory;
mod network;
pub mod progress;
pub mod run;
pub mod screen;
mod terminal;
pub mod text;
pub mod timetable;
pub mod torrents;
mod values;
mod width;
