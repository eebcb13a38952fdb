//! Bytes from sockets to the machine: bounded reads in turn.

use crate::base::StreamId;
use crate::base::limits::TURN_READ_BYTES;
use crate::rim::Rim;
use crate::rim::machine::{Files, Machine, Screen};
use crate::rim::pace::SLICE;
use crate::rim::sockets::{Socket, close_cause};
use crate::rim::turn::Run;
use crate::session::{CloseCause, Event, Landing, Scatter};
use core::array;
use mio::net::TcpStream;
use std::io::{self, IoSliceMut, Read};

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// Nothing was read: there is no memory to read into.
    Wait,
    /// All that was there; the poll tells when there is more.
    Drained,
    /// So many bytes, and there may be more.
    More(usize),
    /// The stream is over.
    Over(CloseCause),
}

impl<M: Machine, F: Files, S: Screen<M>> Run<'_, M, F, S> {
    /// Serves each stream that is ready, once, or as many as can be in a slice of time: the others are first next time.
    pub(super) fn serve_ready(&mut self) {
        let end = self.rim.now() + SLICE;
        for _ in 0..self.rim.sockets.ready_count() {
            if let Some(stream) = self.rim.sockets.next_ready() {
                self.serve(stream);
            }
            if self.rim.now() >= end {
                break;
            }
        }
    }

    /// Gives `stream` its turn: at most [`TURN_READ_BYTES`] and one read more, then the others.
    fn serve(&mut self, stream: StreamId) {
        let Some(socket) = self.rim.sockets.get(stream) else { return };
        if !socket.open {
            match socket.outcome() {
                None => return,
                Some(Err(cause)) => return self.lose(stream, cause),
                Some(Ok(())) => self.tell_connected(stream),
            }
            self.rim.sockets.list_flush(stream);
        }
        let mut left = TURN_READ_BYTES;
        while self.outcome.is_none() {
            match self.read(stream) {
                None | Some(Reading::Wait) => return,
                Some(Reading::Drained) => return self.perform_all(),
                Some(Reading::Over(cause)) => return self.lose(stream, cause),
                Some(Reading::More(count)) => left = left.saturating_sub(count),
            }
            self.perform_all();
            if left == 0 {
                return self.rim.sockets.list(stream);
            }
        }
    }

    /// Reads once from `stream` and hands the bytes over. `None` if it is closed or has nothing.
    fn read(&mut self, stream: StreamId) -> Option<Reading> {
        let Rim { sockets, receive, clock, .. } = &mut *self.rim;
        let socket = sockets.get(stream).filter(|socket| socket.readable)?;
        let room = match socket.failed {
            None => self.machine.allowance(clock.now(), stream),
            // The little that is left is read without waiting for anything, for nothing more can be sent.
            Some(_) => usize::MAX,
        };
        if room == 0 {
            return Some(Reading::Wait);
        }
        let (result, capacity) = match self.machine.landing(stream) {
            Landing::Wait => return Some(Reading::Wait),
            Landing::Anywhere if socket.is_secure() => {
                let room = room.min(receive.len());
                let (reading, count) = socket.read_secure(&mut receive[..room]);
                if count > 0 {
                    self.machine.received(clock.now(), stream, &receive[..count]);
                }
                return Some(reading);
            }
            Landing::Anywhere => {
                let room = room.min(receive.len());
                (socket.io.read(&mut receive[..room]), room)
            }
            Landing::Scatter(scatter) => {
                let (result, capacity) = read_scattered(&mut socket.io, scatter.areas(), room);
                if let Ok(count @ 1..) = result {
                    self.machine.landed(clock.now(), stream, count);
                }
                return Some(socket.judge(result, capacity));
            }
        };
        if let Ok(count @ 1..) = result {
            self.machine.received(clock.now(), stream, &receive[..count]);
        }
        Some(socket.judge(result, capacity))
    }

    /// Forgets a stream that is over, then tells the machine.
    pub(super) fn lose(&mut self, stream: StreamId, cause: CloseCause) {
        self.rim.sockets.remove(self.rim.poll.registry(), stream);
        self.rim.outside.on_lost(cause);
        self.rim.datagrams.forget(stream);
        self.admit();
        self.tell(Event::Closed { stream, cause });
    }
}

impl Socket {
    /// What a read with room for `capacity` bytes means. TCP gives all it has: less than the room is the last
    /// of it, unless the other side has said its last, for then only a read of 0 or the error shows how.
    fn judge(&mut self, result: io::Result<usize>, capacity: usize) -> Reading {
        let reading = match result {
            Ok(0) => Reading::Over(self.failed.unwrap_or(CloseCause::Ended)),
            Ok(count) if count < capacity && !self.read_closed => Reading::Drained,
            Ok(count) => Reading::More(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Reading::More(0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.failed.map_or(Reading::Drained, Reading::Over)
            }
            Err(error) => Reading::Over(self.failed.unwrap_or_else(|| close_cause(&error))),
        };
        self.readable &= reading != Reading::Drained;
        reading
    }

    /// Reads once through TLS; how that was, and how many bytes are in `bytes` then. The poll is asked only when the socket
    /// has nothing: TLS keeps what does not fit.
    fn read_secure(&mut self, bytes: &mut [u8]) -> (Reading, usize) {
        let Some(secure) = self.tunnel.as_mut().and_then(|tunnel| tunnel.secure()) else {
            return (Reading::Over(CloseCause::Other(0)), 0);
        };
        match secure.read(&mut self.io, bytes) {
            Ok((0, 0)) => (Reading::Over(self.failed.unwrap_or(CloseCause::Ended)), 0),
            Ok((count, taken)) => (Reading::More(count.max(taken)), count),
            Err(error) => (self.judge(Err(error), 0), 0),
        }
    }

    /// Writing has failed for `cause`: a tracker may have sent its reply and gone, so what is there is read
    /// first.
    pub(super) fn fail(&mut self, cause: CloseCause) {
        self.failed = Some(cause);
        self.writable = false;
        self.readable = true;
        self.read_closed = true;
    }
}

/// Reads into `areas`, one after the other, at most `room` bytes; also says how many bytes that takes.
fn read_scattered<'a>(
    io: &mut TcpStream,
    areas: impl Iterator<Item = &'a mut [u8]>,
    room: usize,
) -> (io::Result<usize>, usize) {
    let mut slices: [IoSliceMut<'_>; Scatter::AREAS_MAX] = array::from_fn(|_| IoSliceMut::new(&mut []));
    let (mut count, mut capacity) = (0, 0);
    for (slice, area) in slices.iter_mut().zip(areas) {
        let length = area.len().min(room - capacity);
        if length == 0 {
            break;
        }
        capacity += length;
        count += 1;
        *slice = IoSliceMut::new(&mut area[..length]);
    }
    debug_assert!(capacity > 0, "an empty read would look like the end of the stream");
    (io.read_vectored(&mut slices[..count]), capacity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn a_scattered_read_fills_the_areas_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut theirs = listener.accept().unwrap().0;
        theirs.write_all(b"abcdefghij").unwrap();
        ours.peek(&mut [0]).unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut io = TcpStream::from_std(ours);

        let (mut first, mut second, mut third) = ([0; 2], [0; 3], [0; 9]);
        let (result, capacity) = read_scattered(&mut io, [&mut first[..], &mut second].into_iter(), 99);
        assert_eq!((result.unwrap(), capacity, &first, &second), (5, 5, b"ab", b"cde"));
        let (result, capacity) = read_scattered(&mut io, [&mut second[..], &mut third].into_iter(), 99);
        assert_eq!((result.unwrap(), capacity, &second, &third[..3]), (5, 12, b"fgh", &b"ij\0"[..]));
        let (result, _) = read_scattered(&mut io, [&mut first[..]].into_iter(), 99);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
