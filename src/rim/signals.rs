//! Signals as one more readable descriptor: no handler, nothing interrupted half-way, none lost.

use crate::rim::sys;
use core::ffi::c_int;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;

/// What a signal means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT or SIGTERM: end in good order; the second time, at once.
    Quit,
    /// SIGHUP: end in good order. A terminal that goes away is told by the kernel and by the shell: nobody is impatient.
    HangUp,
    /// SIGWINCH or SIGCONT: the terminal is wider, narrower, or shows what another program left there.
    Redraw,
}

/// The signals that the loop takes. They stay blocked for the thread until it ends, so that a late third
/// Ctrl-C does not turn a documented exit code into death by signal.
#[derive(Debug)]
pub struct Signals {
    records: File,
}

impl Signals {
    /// Takes the signals of this thread: SIGINT, SIGTERM, SIGWINCH, SIGCONT, and SIGHUP unless it is ignored
    /// (`nohup`). SIGTTIN and SIGTTOU are ignored, so that a background job is not stopped for touching the
    /// terminal; SIGTSTP keeps its meaning; SIGPIPE is ignored by std.
    ///
    /// # Errors
    /// The kernel has no `signalfd(2)`, or no descriptor is left.
    pub fn new() -> io::Result<Self> {
        sys::ignore_signal(libc::SIGTTIN);
        sys::ignore_signal(libc::SIGTTOU);
        let all = [libc::SIGINT, libc::SIGTERM, libc::SIGWINCH, libc::SIGCONT, libc::SIGHUP];
        let nohup = sys::signal_is_ignored(libc::SIGHUP);
        let taken = if nohup { &all[..all.len() - 1] } else { &all[..] };
        Ok(Self { records: File::from(sys::signal_fd(taken)?) })
    }

    /// Puts the descriptor on the poll.
    ///
    /// # Errors
    /// The poll refuses it: no memory.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.records.as_raw_fd()), token, Interest::READABLE)
    }

    /// The next signal that has come; `None` when all are taken.
    pub fn next(&mut self) -> Option<Signal> {
        let mut record = [0; sys::SIGNAL_RECORD_BYTES];
        loop {
            match self.records.read(&mut record) {
                Ok(count) if count == record.len() => {
                    return Some(meaning(c_int::from_ne_bytes([record[0], record[1], record[2], record[3]])));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

/// True if a signal asks to end that the loop has not taken yet: what comes before the loop and takes long looks for it.
pub fn ask_to_end() -> bool {
    sys::is_any_pending(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
}

/// What the signal with this number means.
fn meaning(number: c_int) -> Signal {
    match number {
        libc::SIGWINCH | libc::SIGCONT => Signal::Redraw,
        libc::SIGHUP => Signal::HangUp,
        _ => Signal::Quit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a signal to this thread alone: the other tests of the process keep theirs.
    fn raise(signal: c_int) {
        // SAFETY: the signal is blocked in this thread, so that it only becomes readable.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
    }

    #[test]
    fn each_signal_is_read_once_with_its_meaning() {
        let mut signals = Signals::new().unwrap();
        assert!(signals.next().is_none() && !ask_to_end());
        for (number, expected) in [
            (libc::SIGINT, Signal::Quit),
            (libc::SIGTERM, Signal::Quit),
            (libc::SIGHUP, Signal::HangUp),
            (libc::SIGWINCH, Signal::Redraw),
            (libc::SIGCONT, Signal::Redraw),
        ] {
            raise(number);
            assert_eq!(ask_to_end(), expected != Signal::Redraw, "signal {number}");
            assert_eq!((signals.next(), signals.next()), (Some(expected), None), "signal {number}");
        }
    }

    #[test]
    fn a_background_job_is_not_stopped_for_reading_or_writing() {
        let _signals = Signals::new().unwrap();
        assert!(sys::signal_is_ignored(libc::SIGTTIN) && sys::signal_is_ignored(libc::SIGTTOU));
        assert!(!sys::signal_is_ignored(libc::SIGTSTP) && !sys::signal_is_ignored(libc::SIGTERM));
    }
}
