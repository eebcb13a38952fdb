//! The sockets of all streams, and which of them can be served. Knows nothing of the session.

use crate::base::StreamId;
use crate::rim::bind::Bind;
use crate::rim::sys;
use crate::rim::tunnel::Tunnel;
use crate::session::{CloseCause, SecureFault};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token, event};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// The place of a slot that has no socket.
const VACANT: usize = usize::MAX;

/// One stream's socket. The poll reports each change once, so what it said is kept here until a read or a
/// write finds that it is over.
#[derive(Debug)]
pub struct Socket {
    /// The name that the session gave it.
    pub stream: StreamId,
    /// The socket itself, nonblocking.
    pub io: TcpStream,
    /// What lies between the socket and the stream; usually nothing.
    pub tunnel: Option<Box<Tunnel>>,
    /// The connection is open.
    pub open: bool,
    /// A read may find bytes, the end, or an error.
    pub readable: bool,
    /// A write may be taken.
    pub writable: bool,
    /// The other side has said its last: a short read is not the end, only a read of 0 or an error is.
    pub read_closed: bool,
    /// Writing has failed; what has arrived before is read first.
    pub failed: Option<CloseCause>,
    /// On the list of those to be served.
    listed: bool,
    /// On the list of those to be sent to.
    flushing: bool,
}

/// All sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The key is the poll's token.
    sockets: Slab<Socket>,
    /// Keys by the slot of the stream.
    keys: Vec<usize>,
    ready: VecDeque<StreamId>,
    flush: VecDeque<StreamId>,
    /// Where streams that we open leave from; anywhere if `None`.
    place: Option<Bind>,
    /// Descriptors from here on are left to others.
    end: Option<u64>,
}

impl Sockets {
    /// Streams that are opened from now on leave from `place`.
    pub fn bind(&mut self, place: Bind) {
        self.place = Some(place);
    }

    /// Streams that are opened from now on have descriptors below `end`.
    pub fn end_at(&mut self, end: u64) {
        self.end = Some(end);
    }

    /// Begins to open a stream to `address`. The answer is an event of its token.
    ///
    /// # Errors
    /// The cause, if it has failed already.
    pub fn connect(
        &mut self,
        registry: &Registry,
        stream: StreamId,
        address: SocketAddr,
    ) -> Result<(), CloseCause> {
        let io = match &self.place {
            Some(place) => place.connect(address),
            None => TcpStream::connect(address),
        };
        let io = io.map_err(|error| close_cause(&error))?;
        self.add(registry, stream, io, false)
    }

    /// Takes over an accepted connection.
    ///
    /// # Errors
    /// The cause, if it has failed already.
    pub fn adopt(&mut self, registry: &Registry, stream: StreamId, io: TcpStream) -> Result<(), CloseCause> {
        self.add(registry, stream, io, true)
    }

    fn add(
        &mut self,
        registry: &Registry,
        stream: StreamId,
        mut io: TcpStream,
        open: bool,
    ) -> Result<(), CloseCause> {
        self.close(registry, stream.slot);
        if self.end.is_some_and(|end| io.as_raw_fd() as u64 >= end) {
            return Err(CloseCause::NoResources);
        }
        // Requests are small and wait for nothing. A socket without the option still works.
        let _ = io.set_nodelay(true);
        let entry = self.sockets.vacant_entry();
        let key = entry.key();
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut io, Token(key), both).map_err(|error| close_cause(&error))?;
        entry.insert(Socket {
            stream,
            io,
            tunnel: None,
            open,
            readable: false,
            writable: false,
            read_closed: false,
            failed: None,
            listed: false,
            flushing: false,
        });
        let slot = stream.slot as usize;
        if self.keys.len() <= slot {
            self.keys.resize(slot + 1, VACANT);
        }
        self.keys[slot] = key;
        Ok(())
    }

    /// Notes what the poll says of a token, and lists its stream.
    pub fn on_event(&mut self, event: &event::Event) {
        let Some(socket) = self.sockets.get_mut(event.token().0) else { return };
        let over = event.is_read_closed() || event.is_error();
        socket.readable |= event.is_readable() || over;
        socket.writable |= event.is_writable();
        socket.read_closed |= over;
        let stream = socket.stream;
        self.list(stream);
        self.list_flush(stream);
    }

    /// The socket of `stream`; `None` for a stale name.
    pub fn get(&mut self, stream: StreamId) -> Option<&mut Socket> {
        let key = *self.keys.get(stream.slot as usize)?;
        self.sockets.get_mut(key).filter(|socket| socket.stream == stream)
    }

    /// How many sockets have TLS. Looks at all: such streams are rarely opened.
    pub fn secure_count(&self) -> usize {
        self.sockets.iter().filter(|(_, socket)| socket.is_secure()).count()
    }

    /// Closes the socket of `stream`; what the kernel has taken is still sent. A stale name closes nothing.
    pub fn remove(&mut self, registry: &Registry, stream: StreamId) {
        if self.get(stream).is_some() {
            self.close(registry, stream.slot);
        }
    }

    /// Closes whatever has this slot.
    fn close(&mut self, registry: &Registry, slot: u32) {
        let Some(place) = self.keys.get_mut(slot as usize) else { return };
        let key = core::mem::replace(place, VACANT);
        if let Some(mut socket) = self.sockets.try_remove(key) {
            let _ = registry.deregister(&mut socket.io);
        }
    }

    /// Lists `stream` to be served in the next turn.
    pub fn list(&mut self, stream: StreamId) {
        if let Some(socket) = self.get(stream)
            && !core::mem::replace(&mut socket.listed, true)
        {
            self.ready.push_back(stream);
        }
    }

    /// Lists `stream` to be sent to, unless its socket is full: then the poll will tell.
    pub fn list_flush(&mut self, stream: StreamId) {
        if let Some(socket) = self.get(stream)
            && socket.open
            && socket.writable
            && !core::mem::replace(&mut socket.flushing, true)
        {
            self.flush.push_back(stream);
        }
    }

    /// How many streams are listed to be served: a turn serves those and leaves who comes back for the next
    /// one.
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// How many streams are listed to be sent to.
    pub fn flush_count(&self) -> usize {
        self.flush.len()
    }

    /// The stream that has waited longest to be served, off the list. Its name may be stale.
    pub fn next_ready(&mut self) -> Option<StreamId> {
        let stream = self.ready.pop_front()?;
        if let Some(socket) = self.get(stream) {
            socket.listed = false;
        }
        Some(stream)
    }

    /// The stream that has waited longest to be sent to, off the list. Its name may be stale.
    pub fn next_flush(&mut self) -> Option<StreamId> {
        let stream = self.flush.pop_front()?;
        if let Some(socket) = self.get(stream) {
            socket.flushing = false;
        }
        Some(stream)
    }
}

impl Socket {
    /// How the attempt to connect stands: `Some(Ok)` when it has just become open, `None` while it goes on.
    pub fn outcome(&mut self) -> Option<Result<(), CloseCause>> {
        let Some(tunnel) = &mut self.tunnel else { return self.tcp_outcome() };
        if !tunnel.is_connected() {
            let outcome = self.tcp_outcome()?;
            // Only the end of the tunnel opens the stream.
            self.open = false;
            let tunnel = self.tunnel.as_mut()?;
            if let Err(cause) = outcome {
                return Some(Err(tunnel.blame(cause)));
            }
            tunnel.connected();
        }
        match self.tunnel.as_mut()?.proceed(&mut self.io) {
            Ok(false) => None,
            Ok(true) => {
                (self.open, self.readable, self.writable) = (true, true, true);
                Some(Ok(()))
            }
            Err(cause) => Some(Err(cause)),
        }
    }

    /// True if TLS is spoken.
    pub fn is_secure(&self) -> bool {
        self.tunnel.as_ref().is_some_and(|tunnel| tunnel.is_secure())
    }

    /// Sends some of `bytes`; `more`: others follow at once.
    pub fn send(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        match self.tunnel.as_mut().and_then(|tunnel| tunnel.secure()) {
            Some(secure) => secure.write(&mut self.io, bytes),
            None => sys::send(self.io.as_fd(), bytes, more),
        }
    }

    /// Sends what TLS still has.
    pub fn flush(&mut self) -> io::Result<()> {
        match self.tunnel.as_mut().and_then(|tunnel| tunnel.secure()) {
            Some(secure) => secure.flush(&mut self.io),
            None => Ok(()),
        }
    }

    /// How the attempt to connect stands, as far as TCP goes.
    fn tcp_outcome(&mut self) -> Option<Result<(), CloseCause>> {
        match self.io.take_error() {
            Ok(Some(error)) | Err(error) => return Some(Err(close_cause(&error))),
            Ok(None) => {}
        }
        match self.io.peer_addr() {
            Ok(_) => {
                self.open = true;
                Some(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected && !self.read_closed => None,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Some(Err(CloseCause::Reset)),
            Err(error) => Some(Err(close_cause(&error))),
        }
    }
}

/// What an error of a socket means for its stream.
pub fn close_cause(error: &io::Error) -> CloseCause {
    let Some(number) = error.raw_os_error() else {
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<SecureFault>());
        return fault.map_or(CloseCause::Other(0), |fault| CloseCause::Secure(*fault));
    };
    match number {
        libc::ECONNREFUSED => CloseCause::Refused,
        libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED => CloseCause::Reset,
        libc::ETIMEDOUT => CloseCause::TimedOut,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC => CloseCause::NoResources,
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN => CloseCause::Unreachable,
        // No address of that family of our own, no such family, no such interface, forbidden by the firewall, a broadcast
        // address.
        libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::ENODEV | libc::EPERM | libc::EACCES => {
            CloseCause::Unreachable
        }
        _ => CloseCause::Other(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use mio::{Events, Poll};
    use std::net::TcpListener;

    const FIRST: StreamId = StreamId { slot: 2, generation: 1 };
    const SECOND: StreamId = StreamId { slot: 2, generation: 2 };

    /// Polls until a stream is listed, at most a second.
    fn wait(poll: &mut Poll, sockets: &mut Sockets) -> Option<StreamId> {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
        events.iter().for_each(|event| sockets.on_event(event));
        sockets.next_ready()
    }

    #[test]
    fn a_stream_opens_and_its_name_dies_with_it() {
        let (mut poll, mut sockets) = (Poll::new().unwrap(), Sockets::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        sockets.connect(poll.registry(), FIRST, listener.local_addr().unwrap()).unwrap();
        assert_eq!(wait(&mut poll, &mut sockets), Some(FIRST));
        assert_eq!(sockets.get(FIRST).unwrap().outcome(), Some(Ok(())));
        assert!(sockets.get(FIRST).unwrap().io.nodelay().unwrap());

        sockets.remove(poll.registry(), SECOND);
        assert!(sockets.get(FIRST).is_some(), "another generation closes nothing");
        sockets.list(FIRST);
        sockets.remove(poll.registry(), FIRST);
        sockets.connect(poll.registry(), SECOND, listener.local_addr().unwrap()).unwrap();
        assert!(sockets.get(FIRST).is_none() && sockets.get(SECOND).is_some());
        assert_eq!(sockets.next_ready(), Some(FIRST), "stale on the list, and names nobody");
    }

    #[test]
    fn nobody_there_is_refused() {
        let (mut poll, mut sockets) = (Poll::new().unwrap(), Sockets::default());
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outcome = sockets.connect(poll.registry(), FIRST, address).and_then(|()| {
            assert_eq!(wait(&mut poll, &mut sockets), Some(FIRST));
            sockets.get(FIRST).unwrap().outcome().unwrap()
        });
        assert_eq!(outcome, Err(CloseCause::Refused));
    }

    #[test]
    fn streams_leave_the_last_descriptors_to_others() {
        let (poll, mut sockets) = (Poll::new().unwrap(), Sockets::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        sockets.end_at(3);
        assert_eq!(sockets.connect(poll.registry(), FIRST, address), Err(CloseCause::NoResources));
        let (io, _) = listener.accept().unwrap();
        io.set_nonblocking(true).unwrap();
        let adopted = sockets.adopt(poll.registry(), FIRST, TcpStream::from_std(io));
        assert!(adopted == Err(CloseCause::NoResources) && sockets.get(FIRST).is_none());
        sockets.end_at(1 << 20);
        assert_eq!(sockets.connect(poll.registry(), FIRST, address), Ok(()));
    }

    #[test]
    fn a_stream_is_listed_once_and_full_ones_are_not_flushed() {
        let (poll, mut sockets) = (Poll::new().unwrap(), Sockets::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        sockets.connect(poll.registry(), FIRST, listener.local_addr().unwrap()).unwrap();
        sockets.list(FIRST);
        sockets.list(FIRST);
        sockets.list(SECOND);
        sockets.list_flush(FIRST);
        assert_eq!((sockets.ready_count(), sockets.flush_count()), (1, 0));
        sockets.get(FIRST).unwrap().open = true;
        sockets.get(FIRST).unwrap().writable = true;
        sockets.list_flush(FIRST);
        sockets.list_flush(FIRST);
        assert_eq!((sockets.next_flush(), sockets.next_flush()), (Some(FIRST), None));
    }

    #[test]
    fn errors_have_their_meaning() {
        let cases = [
            (libc::ECONNREFUSED, CloseCause::Refused),
            (libc::EHOSTUNREACH, CloseCause::Unreachable),
            (libc::ENETUNREACH, CloseCause::Unreachable),
            (libc::EADDRNOTAVAIL, CloseCause::Unreachable),
            (libc::ENODEV, CloseCause::Unreachable),
            (libc::ECONNRESET, CloseCause::Reset),
            (libc::EPIPE, CloseCause::Reset),
            (libc::ETIMEDOUT, CloseCause::TimedOut),
            (libc::EMFILE, CloseCause::NoResources),
            (libc::ENOBUFS, CloseCause::NoResources),
            (libc::EDOM, CloseCause::Other(libc::EDOM)),
        ];
        for (number, cause) in cases {
            assert_eq!(close_cause(&io::Error::from_raw_os_error(number)), cause);
        }
    }
}
