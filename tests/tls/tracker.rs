//! An HTTPS tracker: it answers every announce with the same bytes, one thread for each connection.

use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Answers with these bytes.
    Answers(Vec<u8>),
    /// Waits for so long, then answers.
    Holds(Duration, Vec<u8>),
    /// Says these bytes instead of TLS.
    SpeaksPlain(&'static [u8]),
    /// Answers, but closes the connection without the farewell of TLS.
    CutsOff(Vec<u8>),
}

/// A running tracker.
pub struct Tracker {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What it has seen.
#[derive(Default)]
pub struct Seen {
    /// First lines of requests.
    pub requests: Vec<String>,
    /// Handshakes that were resumed.
    pub resumed: usize,
    /// Requests that wait for their answer, and the most that ever did.
    waiting: usize,
    pub most_waiting: usize,
}

impl Tracker {
    /// Starts it. With a configuration it speaks TLS, else plain HTTP.
    pub fn start(config: Option<Arc<ServerConfig>>, manner: &Manner) -> Self {
        Self::start_at("127.0.0.1", config, manner)
    }

    /// The same, at another address of this machine.
    pub fn start_at(ip: &str, config: Option<Arc<ServerConfig>>, manner: &Manner) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Seen::default())));
        let (manner, theirs) = (manner.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for io in listener.incoming().flatten() {
                let (config, manner, seen) = (config.clone(), manner.clone(), Arc::clone(&theirs));
                // Clients that refuse the certificate break off: no fault of this thread.
                thread::spawn(move || drop(serve(io, config, &manner, &seen)));
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/announce", self.address.port())
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

/// The reply to an announce with one peer.
pub fn reply(peer: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(peer) = peer else { panic!("{peer} is not IPv4") };
    let mut body = b"d8:intervali900e5:peers6:".to_vec();
    body.extend(peer.ip().octets());
    body.extend(peer.port().to_be_bytes());
    body.push(b'e');
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

fn serve(
    mut io: TcpStream,
    config: Option<Arc<ServerConfig>>,
    manner: &Manner,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    if let Manner::SpeaksPlain(words) = manner {
        io.write_all(words)?;
        return io.read(&mut [0; 1000]).map(drop);
    }
    let Some(config) = config else { return answer(&mut io, manner, seen) };
    let tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, io);
    answer(&mut stream, manner, seen)?;
    if stream.conn.handshake_kind() == Some(HandshakeKind::Resumed) {
        seen.lock().unwrap().resumed += 1;
    }
    if !matches!(manner, Manner::CutsOff(_)) {
        stream.conn.send_close_notify();
        stream.flush()?;
    }
    Ok(())
}

fn answer(stream: &mut (impl io::Read + io::Write), manner: &Manner, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_string();
    seen.lock().unwrap().requests.push(line);
    match manner {
        Manner::Answers(bytes) | Manner::CutsOff(bytes) => stream.write_all(bytes)?,
        Manner::Holds(wait, bytes) => {
            {
                let mut seen = seen.lock().unwrap();
                seen.waiting += 1;
                seen.most_waiting = seen.most_waiting.max(seen.waiting);
            }
            thread::sleep(*wait);
            // Before the answer, because whoever has it may let the next one in.
            seen.lock().unwrap().waiting -= 1;
            stream.write_all(bytes)?;
        }
        Manner::SpeaksPlain(_) => {}
    }
    stream.flush()
}
