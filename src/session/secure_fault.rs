//! Why a connection is not safe, in words for those who have never heard of X.509.

use core::fmt;

/// Why TLS failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureFault {
    /// This build has no TLS.
    Absent,
    /// No certificate of an authority could be read from the place that the user named.
    NoRoots,
    /// The certificate is for other names.
    WrongName,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is signed by itself only.
    SelfSigned,
    /// The certificate is signed by somebody whom we do not know.
    UnknownIssuer,
    /// The certificate was called back.
    Revoked,
    /// The certificate is not one for servers.
    WrongPurpose,
    /// The certificate or a signature in it is broken or of an unknown kind.
    BadCertificate,
    /// The other side does not speak TLS.
    NotTls,
    /// The other side speaks only versions or ciphers that are not safe.
    Outdated,
    /// The other side refused, with this alert (RFC 8446, 6).
    Alert(u8),
    /// The stream ended without the farewell of TLS: something may be missing.
    CutOff,
    /// The other side broke the protocol.
    Broken,
}

impl core::error::Error for SecureFault {}

impl fmt::Display for SecureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "this build has no TLS",
            Self::NoRoots => "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read",
            Self::WrongName => "its certificate is for another name",
            Self::Expired => "its certificate has expired, or the clock of this machine is wrong",
            Self::NotYetValid => "its certificate is not valid yet, or the clock of this machine is wrong",
            Self::SelfSigned => "its certificate is self-signed: nobody vouches for it",
            Self::UnknownIssuer => "its certificate is from an issuer that is not trusted here",
            Self::Revoked => "its certificate was revoked",
            Self::WrongPurpose => "its certificate is not one for servers",
            Self::BadCertificate => "its certificate is broken or of an unknown kind",
            Self::NotTls => "it does not speak TLS",
            Self::Outdated => "it offers no version or cipher of TLS that is safe",
            Self::Alert(number) => return write!(f, "it refuses the TLS connection with alert {number}"),
            Self::CutOff => "the TLS connection was cut off",
            Self::Broken => "it broke the rules of TLS",
        })
    }
}
