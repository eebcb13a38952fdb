//! Whether a certificate is good: rustls and webpki decide, on the authorities of this system.

use crate::rim::secure::roots;
use crate::session::SecureFault;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::sync::Arc;
use webpki::EndEntityCert;

/// Keeps no certificates: those of the authorities that a chain names are fetched when it is verified.
#[derive(Debug)]
pub struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let issuers: Vec<Vec<u8>> =
            core::iter::once(end_entity).chain(intermediates).filter_map(issuer_of).collect();
        let roots = RootCertStore { roots: roots::named(&issuers).map_err(refusal)? };
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, intermediates, now, algorithms)
            .map_err(|error| if is_self_signed(end_entity) { refusal_of_itself(error) } else { error })?;
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The name of whoever has signed a certificate, as its bytes have it; `None` if it cannot be read.
fn issuer_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    EndEntityCert::try_from(certificate).ok().map(|parsed| parsed.issuer().to_vec())
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

fn refusal(fault: SecureFault) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

/// A certificate that is signed by itself has no issuer that could be known; one that may sign others as well is
/// refused before it comes to that.
fn refusal_of_itself(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)) => {
            refusal(SecureFault::SelfSigned)
        }
        error => error,
    }
}
