//! Bytes from the machine and from files to sockets: a bounded number per stream and turn.

use crate::base::StreamId;
use crate::base::limits::TURN_SEND_BYTES;
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::perform::files_of;
use crate::rim::sockets::{Socket, close_cause};
use crate::rim::storage::SendError;
use crate::rim::turn::Run;
use crate::session::FileBytes;
use std::io;
use std::os::fd::AsFd;

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Gives each stream that has bytes and takes them its turn.
    pub(super) fn flush(&mut self) {
        for _ in 0..self.rim.sockets.flush_count() {
            if let Some(stream) = self.rim.sockets.next_flush()
                && self.outcome.is_none()
            {
                self.write(stream);
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
        let files = files_of(&mut self.files, file.torrent);
        match files.send(file.offset, file.length, socket.io.as_fd()) {
            Ok(count) => {
                self.machine.sent_file(self.rim.clock.now(), stream, count);
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
