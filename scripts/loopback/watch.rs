//! Keeps count, and says on stderr what the client does wrong.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Counters of the whole run.
#[derive(Default)]
pub struct Watch {
    sent_bytes: AtomicU64,
    faults: AtomicU64,
    first_block_at: OnceLock<Duration>,
}

impl Watch {
    /// The client broke the protocol.
    pub fn fault(&self, what: impl Display) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let _ = writeln!(io::stderr(), "client fault: {what}");
    }

    /// Blocks left for the client; `bytes` are those of the content.
    pub fn sent(&self, bytes: u64) {
        self.first_block_at.get_or_init(|| SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// When the first block was sent, in seconds of the Unix epoch; 0 if none was.
    pub fn first_block_at(&self) -> f64 {
        self.first_block_at.get().map_or(0.0, Duration::as_secs_f64)
    }

    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}
