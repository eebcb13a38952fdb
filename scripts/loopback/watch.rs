//! Keeps count, and says on stderr what the client does wrong.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the whole run.
#[derive(Default)]
pub struct Watch {
    sent_bytes: AtomicU64,
    faults: AtomicU64,
}

impl Watch {
    /// The client broke the protocol.
    pub fn fault(&self, what: impl Display) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let _ = writeln!(io::stderr(), "client fault: {what}");
    }

    /// Blocks left for the client; `bytes` are those of the content.
    pub fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}
