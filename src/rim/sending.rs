//! Bytes from the machine and from files to sockets: a bounded number per stream and turn.

use crate::base::limits::TURN_SEND_BYTES;
use crate::base::{Instant, StreamId, TorrentId};
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::pace::SLICE;
use crate::rim::patience::{Patience, waits_for_disk};
use crate::rim::perform::files_of;
use crate::rim::sockets::{Socket, close_cause};
use crate::rim::speed::DiskSpeed;
use crate::rim::storage::SendError;
use crate::rim::turn::Run;
use crate::session::FileBytes;
use std::io;
use std::os::fd::AsFd;

/// Streams whose next bytes are on their way from a slow disk.
#[derive(Debug, Default)]
pub(super) struct WaitsForDisk {
    waits: Vec<Wait>,
    speed: DiskSpeed,
}

/// A stream that waits for the bytes at an offset of a torrent.
#[derive(Debug)]
struct Wait {
    stream: StreamId,
    place: (TorrentId, u64),
    patience: Patience,
}

impl WaitsForDisk {
    /// When the disk is asked again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waits.iter().filter_map(|wait| wait.patience.next_deadline()).min()
    }

    /// For how many bytes the disk is to be asked before these are sent to `stream`; `None`: for none.
    fn asks(&mut self, now: Instant, stream: StreamId, file: &FileBytes) -> Option<usize> {
        let waits = self.waits.iter().any(|wait| wait.stream == stream);
        self.speed.asks(now, file).or(waits.then_some(file.length))
    }

    /// Since when, and until when, `stream` waits for these bytes.
    fn patience(&mut self, stream: StreamId, file: &FileBytes) -> &mut Patience {
        let place = (file.torrent, file.offset);
        let at = self.waits.iter().position(|wait| wait.stream == stream).unwrap_or_else(|| {
            self.waits.push(Wait { stream, place, patience: Patience::default() });
            self.waits.len() - 1
        });
        let wait = &mut self.waits[at];
        if wait.place != place {
            *wait = Wait { stream, place, patience: Patience::default() };
        }
        &mut wait.patience
    }

    /// `stream` waits for nothing.
    fn end(&mut self, stream: StreamId) {
        self.waits.retain(|wait| wait.stream != stream);
    }
}

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Lists those whose bytes may have come from the disk by now.
    pub(super) fn list_those_who_waited(&mut self) {
        let (now, sockets) = (self.rim.clock.now(), &mut self.rim.sockets);
        self.waits_for_disk.waits.retain_mut(|wait| {
            let is_open = sockets.get(wait.stream).is_some();
            if is_open && wait.patience.wakes(now) {
                sockets.list_flush(wait.stream);
            }
            is_open
        });
    }

    /// Gives each stream that has bytes and takes them its turn, or as many as can have it in a slice of time: the others
    /// are first next time.
    pub(super) fn flush(&mut self) {
        let end = self.rim.now() + SLICE;
        for _ in 0..self.rim.sockets.flush_count() {
            if let Some(stream) = self.rim.sockets.next_flush()
                && self.outcome.is_none()
            {
                self.write(stream);
            }
            if self.rim.now() >= end {
                break;
            }
        }
    }

    /// Writes messages, then bytes of files, then messages, until nothing is left, the socket is full, or others have
    /// waited long enough.
    fn write(&mut self, stream: StreamId) {
        if let Some(Err(error)) = self.rim.sockets.get(stream).map(Socket::flush) {
            return self.on_send_error(stream, &error);
        }
        let mut left = TURN_SEND_BYTES;
        while self.outcome.is_none() && self.takes_bytes(stream) {
            if left == 0 {
                return self.rim.sockets.list_flush(stream);
            }
            let file = self.machine.file_bytes(self.rim.clock.now(), stream);
            let count = if !self.machine.outgoing(stream).is_empty() {
                self.write_messages(stream, file.is_some())
            } else if let Some(file) = file {
                self.write_file(stream, file)
            } else {
                return;
            };
            let Some(count) = count else { return };
            left = left.saturating_sub(count);
            self.perform_all();
        }
    }

    fn takes_bytes(&mut self, stream: StreamId) -> bool {
        self.rim.sockets.get(stream).is_some_and(|socket| socket.writable && socket.open)
    }

    /// Writes messages once; `more`: bytes of a file follow. How many; `None` if that was all for now.
    fn write_messages(&mut self, stream: StreamId, more: bool) -> Option<usize> {
        let socket = self.rim.sockets.get(stream)?;
        let bytes = self.machine.outgoing(stream);
        match socket.send(bytes, more) {
            Ok(count) => {
                // A short write means that the kernel's buffer is full; the poll tells when it is not.
                socket.writable = count == bytes.len();
                self.machine.sent(self.rim.clock.now(), stream, count);
                Some(count)
            }
            Err(error) => {
                self.on_send_error(stream, &error);
                None
            }
        }
    }

    /// Writes bytes of a file once.
    fn write_file(&mut self, stream: StreamId, file: FileBytes) -> Option<usize> {
        let socket = self.rim.sockets.get(stream)?;
        let files = files_of(self.files, file.torrent);
        let start = self.rim.clock.now();
        if let Some(length) = self.waits_for_disk.asks(start, stream, &file) {
            let patience = self.waits_for_disk.patience(stream, &file);
            if !patience.is_due(start) || waits_for_disk(files, (file.offset, length), patience, start) {
                self.machine.file_waits(start, stream);
                return None;
            }
            let waited = patience.waited(start);
            self.waits_for_disk.speed.found(start, &file, waited);
        }
        self.waits_for_disk.end(stream);
        match files.send(file.offset, file.length, socket.io.as_fd()) {
            Ok(count) => {
                let now = self.rim.clock.now();
                self.waits_for_disk.speed.took(start, now);
                self.machine.sent_file(now, stream, count);
                return Some(count);
            }
            Err(SendError::Socket(error)) => self.on_send_error(stream, &error),
            Err(SendError::Storage(fault)) => {
                self.machine.file_failed(self.rim.clock.now(), stream, fault);
                self.perform_all();
            }
        }
        None
    }

    fn on_send_error(&mut self, stream: StreamId, error: &io::Error) {
        let Some(socket) = self.rim.sockets.get(stream) else { return };
        match error.kind() {
            io::ErrorKind::Interrupted => self.rim.sockets.list_flush(stream),
            io::ErrorKind::WouldBlock => socket.writable = false,
            _ => {
                socket.fail(close_cause(error));
                self.rim.sockets.list(stream);
            }
        }
    }
}
