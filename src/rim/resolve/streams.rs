//! The streams to name servers, for answers that fit into no datagram.

use crate::rim::bind::Bind;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

/// Bytes read at a time: more than most answers have.
const READ_BYTES: usize = 2 << 10;
/// Reads from one stream in a turn: more than the resolver keeps of any answer.
const TURN_READS: usize = 4;

/// All of them; the key is added to the first token.
#[derive(Debug, Default)]
pub(super) struct Streams(Slab<Stream>);

#[derive(Debug)]
struct Stream {
    /// The resolver's name for it.
    name: u32,
    io: TcpStream,
    /// What is not sent yet of the question.
    unsent: Vec<u8>,
    /// The poll has said something of it.
    ready: bool,
}

/// What comes of a turn of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    Bytes(&'a [u8]),
    /// It is closed, or was never open.
    Closed,
}

impl Streams {
    /// True if there is something to do.
    pub fn is_ready(&self) -> bool {
        self.0.iter().any(|(_, stream)| stream.ready)
    }

    /// The poll says something of the one with this key.
    pub fn on_event(&mut self, key: usize) {
        if let Some(stream) = self.0.get_mut(key) {
            stream.ready = true;
        }
    }

    /// Begins to open a stream to `server` and to send `bytes`; its token is from `first_token` on.
    pub fn open(
        &mut self,
        (name, server, bytes): (u32, SocketAddr, Vec<u8>),
        place: Option<&Bind>,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<()> {
        let mut io = match place {
            None => TcpStream::connect(server)?,
            Some(place) => place.connect(server)?,
        };
        let entry = self.0.vacant_entry();
        let token = Token(first_token + entry.key());
        registry.register(&mut io, token, Interest::READABLE | Interest::WRITABLE)?;
        entry.insert(Stream { name, io, unsent: bytes, ready: false });
        Ok(())
    }

    /// Closes the one with this name, if it is there.
    pub fn close(&mut self, registry: &Registry, name: u32) {
        let key = self.0.iter().find(|(_, stream)| stream.name == name).map(|(key, _)| key);
        if let Some(mut stream) = key.and_then(|key| self.0.try_remove(key)) {
            let _ = registry.deregister(&mut stream.io);
        }
    }

    /// Sends and receives what can be, and hands it to `take` with the name of its stream.
    pub fn turn(&mut self, mut take: impl FnMut(u32, Heard<'_>)) {
        let mut bytes = [0; READ_BYTES];
        for (_, stream) in self.0.iter_mut().filter(|(_, stream)| stream.ready) {
            // Unless all reads bring something the poll will tell when there is more.
            stream.ready = false;
            let mut heard = stream.send();
            for _ in 0..TURN_READS {
                heard = heard.and_then(|()| match stream.io.read(&mut bytes) {
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => {
                        take(stream.name, Heard::Bytes(&bytes[..count]));
                        Ok(())
                    }
                    Err(error) => Err(error),
                });
            }
            match heard {
                Ok(()) => stream.ready = true,
                Err(error) if is_later(&error) => {}
                Err(_) => take(stream.name, Heard::Closed),
            }
        }
    }
}

impl Stream {
    /// Sends what the socket takes. While it is being opened it takes nothing.
    fn send(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let count = self.io.write(&self.unsent)?;
            self.unsent.drain(..count);
        }
        Ok(())
    }
}

/// True if it is only too early.
fn is_later(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, NotConnected, WouldBlock};
    matches!(error.kind(), WouldBlock | NotConnected | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use mio::{Events, Poll};
    use std::net::TcpListener;

    /// What is heard until a stream is closed.
    fn heard(poll: &mut Poll, streams: &mut Streams) -> (u32, Vec<u8>) {
        let mut events = Events::with_capacity(8);
        let (mut closed, mut all) = (None, Vec::new());
        for _ in 0..100 {
            poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
            events.iter().for_each(|event| streams.on_event(event.token().0 - 7));
            streams.turn(|name, what| match what {
                Heard::Bytes(bytes) => all.extend_from_slice(bytes),
                Heard::Closed => closed = Some(name),
            });
            if let Some(name) = closed {
                return (name, all);
            }
        }
        panic!("it is never closed")
    }

    #[test]
    fn a_question_goes_out_and_the_answer_comes_in() {
        let (mut poll, mut streams) = (Poll::new().unwrap(), Streams::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let question = (3, listener.local_addr().unwrap(), b"question".to_vec());
        streams.open(question, None, poll.registry(), 7).unwrap();
        let server = std::thread::spawn(move || {
            let (mut io, _) = listener.accept().unwrap();
            let mut bytes = [0; 8];
            io.read_exact(&mut bytes).unwrap();
            io.write_all(&bytes.map(|byte| byte.to_ascii_uppercase())).unwrap();
        });
        assert_eq!(heard(&mut poll, &mut streams), (3, b"QUESTION".to_vec()));
        server.join().unwrap();
        streams.close(poll.registry(), 4);
        assert_eq!(streams.0.len(), 1);
        streams.close(poll.registry(), 3);
        assert!(streams.0.is_empty() && !streams.is_ready());
    }

    #[test]
    fn nobody_there_is_closed() {
        let (mut poll, mut streams) = (Poll::new().unwrap(), Streams::default());
        let server = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place = Bind::Address([127, 0, 0, 7].into());
        if streams.open((5, server, b"x".to_vec()), Some(&place), poll.registry(), 7).is_ok() {
            assert_eq!(heard(&mut poll, &mut streams), (5, Vec::new()));
        }
    }
}
