//! What stands in the place of TLS in a build without it: there is never a connection.

use crate::session::SecureFault;
use crate::wire::url::Host;
use mio::net::TcpStream;
use std::io;

/// Makes no connections.
#[derive(Debug, Default)]
pub struct Tls;

/// A connection that cannot exist: nothing of it can be called.
#[derive(Debug)]
pub enum Secure {}

impl Tls {
    /// # Errors
    /// Always [`SecureFault::Absent`].
    pub fn connection(&mut self, _: &Host) -> Result<Secure, SecureFault> {
        Err(SecureFault::Absent)
    }
}

impl Secure {
    pub fn shake(&mut self, _: &mut TcpStream) -> io::Result<bool> {
        match *self {}
    }

    pub fn read(&mut self, _: &mut TcpStream, _: &mut [u8]) -> io::Result<(usize, usize)> {
        match *self {}
    }

    pub fn write(&mut self, _: &mut TcpStream, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub fn flush(&mut self, _: &mut TcpStream) -> io::Result<()> {
        match *self {}
    }
}
