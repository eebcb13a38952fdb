//! An authority of the tests' own, and certificates by it: good ones and bad ones, made by the `openssl` program.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Who vouches for the servers of a test; lives in a folder of its own.
pub struct Authority {
    folder: PathBuf,
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

/// What `openssl ca` has to be told.
const SETTINGS: &str = "\
[ca]
default_ca = own
[own]
database = index
rand_serial = yes
unique_subject = no
certificate = authority.pem
private_key = authority.key
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
";
/// A key of the kind that is made fastest.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

impl Authority {
    /// An authority in a new folder below `place`.
    pub fn new(place: &Path, name: &str) -> Self {
        let authority = Self { folder: place.join(name) };
        fs::create_dir_all(&authority.folder).unwrap();
        fs::write(authority.folder.join("settings"), SETTINGS).unwrap();
        fs::write(authority.folder.join("index"), "").unwrap();
        let subject = format!("/CN={name}");
        let words = ["req", "-x509", "-days", "30", "-subj", &subject, "-keyout", "authority.key"];
        authority.openssl(&[&words[..], &["-out", "authority.pem"], &NEW_KEY].concat());
        authority
    }

    /// Its certificate, for `SSL_CERT_FILE`.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// How long that is on the wire.
    pub fn certificate_bytes(&self) -> usize {
        // Its length and extensions have five bytes.
        CertificateDer::from_pem_file(self.certificate()).unwrap().len() + 5
    }

    /// A server for `localhost`, `tracker.test` and 127.0.0.1, with a certificate that has this flaw.
    pub fn server(&self, flaw: Flaw) -> Arc<ServerConfig> {
        self.server_with(flaw, 0)
    }

    /// The same, which sends ours as well, so many times.
    pub fn server_with(&self, flaw: Flaw, more: usize) -> Arc<ServerConfig> {
        if flaw == Flaw::UnknownIssuer {
            return Self::new(&self.folder, "nobody knows").server(Flaw::None);
        }
        let names = match flaw {
            Flaw::OtherName => "DNS:other.example",
            _ => "DNS:localhost,DNS:tracker.test,IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3",
        };
        fs::write(self.folder.join("names"), format!("subjectAltName={names}\n")).unwrap();
        let words = ["req", "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr"];
        self.openssl(&[&words[..], &NEW_KEY].concat());
        let (from, until) = match flaw {
            Flaw::Expired => ("20010101000000Z", "20020101000000Z"),
            Flaw::NotYetValid => ("20900101000000Z", "20910101000000Z"),
            _ => ("20010101000000Z", "20900101000000Z"),
        };
        let common = ["-in", "server.csr", "-out", "server.pem", "-extfile", "names"];
        let itself: &[&str] = &["x509", "-req", "-days", "30", "-signkey", "server.key"];
        let by_us: &[&str] =
            &["ca", "-batch", "-notext", "-config", "settings", "-startdate", from, "-enddate", until];
        self.openssl(&[if flaw == Flaw::SelfSigned { itself } else { by_us }, &common].concat());
        self.config(more)
    }

    fn config(&self, more: usize) -> Arc<ServerConfig> {
        let certificate = |name: &str| CertificateDer::from_pem_file(self.folder.join(name)).unwrap();
        let ours = std::iter::repeat_n(certificate("authority.pem"), more);
        let chain = std::iter::once(certificate("server.pem")).chain(ours).collect();
        let key = PrivateKeyDer::from_pem_file(self.folder.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    fn openssl(&self, words: &[&str]) {
        let output = Command::new("openssl").args(words).current_dir(&self.folder).output();
        let output = output.expect("openssl is missing; install it with: apt-get install -y openssl");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
