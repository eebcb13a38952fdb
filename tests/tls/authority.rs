//! An authority of the tests' own, and certificates by it: good ones and bad ones.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who vouches for the servers of a test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// It is for another name.
    OtherName,
    Expired,
    NotYetValid,
    SelfSigned,
    /// The authority is one that nobody knows.
    UnknownIssuer,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Its certificate, for `SSL_CERT_FILE`.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A server for `localhost`, `tracker.test` and 127.0.0.1, with a certificate that has this flaw.
    pub fn server(&self, flaw: Flaw) -> Arc<ServerConfig> {
        let name = if flaw == Flaw::OtherName { "other.example" } else { "localhost" };
        let mut names = vec![name.to_string()];
        if flaw != Flaw::OtherName {
            names.extend(["127.0.0.1", "tracker.test"].map(String::from));
        }
        let mut params = CertificateParams::new(names).unwrap();
        match flaw {
            Flaw::Expired => {
                (params.not_before, params.not_after) =
                    (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
            }
            Flaw::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            _ => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key).unwrap(),
            Flaw::UnknownIssuer => params.signed_by(&key, &Self::new("nobody knows").issuer).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        config(certificate.der().clone(), &key)
    }
}

fn config(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}
