//! TLS between a socket and a stream. rustls does no I/O of its own: it is fed and asked here, on the one thread.
//!
//! Nothing of it is in memory before the first `https://` tracker is asked. From then on there is one small
//! configuration and what is needed to resume sessions; the certificates of the authorities are read for each
//! handshake that needs them, and only those that matter are looked at twice.

mod roots;
mod sessions;
mod verify;

use crate::session::SecureFault;
use crate::wire::url::Host;
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// How connections are made; empty until the first.
#[derive(Debug, Default)]
pub struct Tls {
    config: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// A connection to `host`, which has to prove that it is it.
    ///
    /// # Errors
    /// The name cannot stand in a certificate.
    pub fn connection(&mut self, host: &Host) -> Result<Secure, SecureFault> {
        let name = match host {
            Host::Address(ip) => ServerName::IpAddress((*ip).into()),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| SecureFault::WrongName)?,
        };
        let config = self.config.get_or_insert_with(config);
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(|error| fault(&error))?;
        Ok(Secure(tls))
    }
}

/// TLS 1.2 and 1.3 with what the provider has; nobody is told who we are.
fn config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(verify::Verifier::new(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for both versions")
        .dangerous() // as rustls calls every verifier but its own; ours asks rustls's after choosing the roots
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(sessions::Sessions::default()));
    Arc::new(config)
}

/// One connection.
#[derive(Debug)]
pub struct Secure(ClientConnection);

impl Secure {
    /// Shakes hands as far as the socket lets it. True once that is done.
    ///
    /// # Errors
    /// The socket's, or a [`SecureFault`].
    pub fn shake(&mut self, io: &mut TcpStream) -> io::Result<bool> {
        loop {
            match self.flush(io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                result => result?,
            }
            if !self.0.is_handshaking() {
                return Ok(true);
            }
            match self.0.read_tls(io) {
                Ok(0) => return Err(cut_off()),
                Ok(_) => self.process(io)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once. How many bytes are in `bytes` then, and how many were taken from the socket for it: none of either is
    /// the end.
    ///
    /// # Errors
    /// The socket's, or a [`SecureFault`].
    pub fn read(&mut self, io: &mut TcpStream, bytes: &mut [u8]) -> io::Result<(usize, usize)> {
        match self.0.reader().read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result.map(|count| (count, 0)).map_err(|_| cut_off()),
        }
        let taken = self.0.read_tls(io)?;
        self.process(io)?;
        match self.0.reader().read(bytes) {
            Ok(count) => Ok((count, taken)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((0, taken)),
            Err(_) => Err(cut_off()),
        }
    }

    /// Takes some of `bytes` and sends what the socket takes.
    ///
    /// # Errors
    /// The socket's; nothing was taken then.
    pub fn write(&mut self, io: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.flush(io)?;
        let count = self.0.writer().write(bytes)?;
        // What the socket does not take is sent by the next flush, which tells of its errors.
        let _ = self.flush(io);
        Ok(count)
    }

    /// Sends what waits here.
    ///
    /// # Errors
    /// The socket's.
    pub fn flush(&mut self, io: &mut TcpStream) -> io::Result<()> {
        while self.0.wants_write() {
            match self.0.write_tls(io) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// Works on what has come. Where that is wrong, the other side is told.
    fn process(&mut self, io: &mut TcpStream) -> io::Result<()> {
        let result = self.0.process_new_packets();
        result.map(drop).map_err(|error| {
            let _ = self.flush(io);
            io::Error::other(fault(&error))
        })
    }
}

fn cut_off() -> io::Error {
    io::Error::other(SecureFault::CutOff)
}

/// What an error of rustls means for the user.
fn fault(error: &Error) -> SecureFault {
    match error {
        Error::InvalidCertificate(why) => certificate_fault(why),
        Error::NoCertificatesPresented => SecureFault::BadCertificate,
        Error::InvalidMessage(_) => SecureFault::NotTls,
        Error::PeerIncompatible(_) => SecureFault::Outdated,
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => {
            SecureFault::Outdated
        }
        Error::AlertReceived(alert) => SecureFault::Alert(u8::from(*alert)),
        _ => SecureFault::Broken,
    }
}

fn certificate_fault(why: &CertificateError) -> SecureFault {
    use CertificateError as Why;
    match why {
        Why::NotValidForName | Why::NotValidForNameContext { .. } => SecureFault::WrongName,
        Why::Expired | Why::ExpiredContext { .. } => SecureFault::Expired,
        Why::NotValidYet | Why::NotValidYetContext { .. } => SecureFault::NotYetValid,
        Why::UnknownIssuer => SecureFault::UnknownIssuer,
        Why::Revoked => SecureFault::Revoked,
        Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => SecureFault::WrongPurpose,
        // What our own verifier has found.
        Why::Other(other) => other.0.downcast_ref().copied().unwrap_or(SecureFault::BadCertificate),
        _ => SecureFault::BadCertificate,
    }
}
