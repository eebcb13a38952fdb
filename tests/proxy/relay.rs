//! A SOCKS 5 server of the tests' own: one that works and notes whom it was asked for, and several that do not.

use crate::carrier;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it does.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Connects to whom it is asked for, on this machine whatever the name, and carries datagrams. Wants this user and
    /// password.
    Relays { user: &'static str, password: &'static str },
    /// The same without a password, and its words come byte by byte.
    Dribbles(Duration),
    /// Says these bytes after each thing it hears, then closes.
    Says(&'static [&'static [u8]]),
    /// Takes connections and never says anything.
    IsSilent,
}

/// A running server.
pub struct Relay {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    pub fn start(manner: &Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (manner, theirs) = (manner.clone(), Arc::clone(&asked));
        thread::spawn(move || {
            for io in listener.incoming().flatten() {
                let (manner, asked) = (manner.clone(), Arc::clone(&theirs));
                // Whoever breaks off ends his own thread only.
                thread::spawn(move || drop(serve(io, &manner, &asked)));
            }
        });
        Self { address, asked }
    }

    /// Whom it was asked for, as `HOST:PORT`; for each datagram `udp HOST:PORT`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut io: TcpStream, manner: &Manner, asked: &Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    match manner {
        Manner::IsSilent => io.read_to_end(&mut Vec::new()).map(drop),
        Manner::Says(words) => {
            for said in *words {
                let _ = io.read(&mut [0; 1000])?;
                io.write_all(said)?;
            }
            Ok(())
        }
        Manner::Dribbles(pause) => relay(io, None, *pause, asked),
        Manner::Relays { user, password } => relay(io, Some((user, password)), Duration::ZERO, asked),
    }
}

/// The whole of the protocol, as a server speaks it.
fn relay(
    mut io: TcpStream,
    login: Option<(&str, &str)>,
    pause: Duration,
    asked: &Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let [5, methods] = take::<2>(&mut io)? else { return Ok(()) };
    let mut offered = vec![0; methods.into()];
    io.read_exact(&mut offered)?;
    if let Some((user, password)) = login {
        assert!(offered.contains(&2), "no password was offered");
        io.write_all(&[5, 2])?;
        assert_eq!(take::<1>(&mut io)?, [1]);
        let said = (text(&mut io)?, text(&mut io)?);
        let is_right = said == (user.to_string(), password.to_string());
        io.write_all(&[1, u8::from(!is_right)])?;
        if !is_right {
            return Ok(());
        }
    } else {
        slowly(&mut io, &[5, 0], pause)?;
    }
    let [5, command, 0, kind] = take::<4>(&mut io)? else { return Ok(()) };
    let host = match kind {
        1 => Ipv4Addr::from(take::<4>(&mut io)?).to_string(),
        _ => text(&mut io)?,
    };
    let port = u16::from_be_bytes(take::<2>(&mut io)?);
    if command == 3 {
        return carrier::carry(io, asked);
    }
    asked.lock().unwrap().push(format!("{host}:{port}"));
    let Ok(target) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return io.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    slowly(&mut io, &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80], pause)?;
    carry(io, target)
}

fn take<const N: usize>(io: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).map(|()| bytes)
}

/// A text behind its length.
fn text(io: &mut TcpStream) -> io::Result<String> {
    let mut bytes = vec![0; take::<1>(io)?[0].into()];
    io.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn slowly(io: &mut TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        io.write_all(&[*byte])?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Bytes both ways, until either side has had enough.
fn carry(io: TcpStream, target: TcpStream) -> io::Result<()> {
    let (mut up_from, mut up_to) = (io.try_clone()?, target.try_clone()?);
    let up = thread::spawn(move || {
        let _ = io::copy(&mut up_from, &mut up_to);
        up_to.shutdown(std::net::Shutdown::Write)
    });
    let (mut from, mut to) = (target, io);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
    drop(up.join());
    Ok(())
}
