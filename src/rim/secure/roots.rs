//! The certificates of the authorities that are trusted: the system's, or those that the user names, or those that are
//! built in.
//!
//! They are read anew for each chain, one after the other, and only those are kept that the chain names: the whole set
//! would take as much memory as the blocks of a small download.

use crate::base::limits::{ROOTS_FILE_BYTES_MAX, ROOTS_MAX};
use crate::session::SecureFault;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use webpki::anchor_from_trusted_cert;

/// Where systems keep them in one file; the first that is there counts.
const FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Alpine, OpenWrt
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // Alpine, OpenWrt
    "/opt/etc/ssl/certs/ca-certificates.crt", // Entware on NAS boxes
];
/// Where they lie one by one, if there is no such file.
const FOLDER: &str = "/etc/ssl/certs";

/// Where to look.
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

/// The authorities whose names are among `names`.
///
/// # Errors
/// [`SecureFault::NoRoots`]: the user names a file or a folder, and there is nothing to be read. Others are not trusted
/// then.
pub fn named(names: &[Vec<u8>]) -> Result<Vec<TrustAnchor<'static>>, SecureFault> {
    let chosen = chosen(|variable| std::env::var_os(variable).filter(|value| !value.is_empty()));
    if !chosen.is_empty() {
        let mut search = Search::new(names);
        chosen.iter().for_each(|place| search.look(place));
        return if search.seen > 0 { Ok(search.found) } else { Err(SecureFault::NoRoots) };
    }
    let files = FILES.iter().map(|path| Place::File(path.into()));
    for place in files.chain([Place::Folder(FOLDER.into())]) {
        let mut search = Search::new(names);
        search.look(&place);
        if search.seen > 0 {
            return Ok(search.found);
        }
    }
    let built_in = webpki_roots::TLS_SERVER_ROOTS.iter();
    Ok(built_in.filter(|anchor| is_named(anchor, names)).cloned().collect())
}

/// What the user names: OpenSSL's variables.
fn chosen(value: impl Fn(&str) -> Option<OsString>) -> Vec<Place> {
    let file = value("SSL_CERT_FILE").map(|path| Place::File(path.into()));
    let folder = value("SSL_CERT_DIR").map(|path| Place::Folder(path.into()));
    file.into_iter().chain(folder).collect()
}

fn is_named(anchor: &TrustAnchor<'_>, names: &[Vec<u8>]) -> bool {
    names.iter().any(|name| anchor.subject.as_ref() == &name[..])
}

/// A search for authorities.
struct Search<'a> {
    names: &'a [Vec<u8>],
    found: Vec<TrustAnchor<'static>>,
    /// Certificates that could be read.
    seen: usize,
}

impl<'a> Search<'a> {
    fn new(names: &'a [Vec<u8>]) -> Self {
        Self { names, found: Vec::new(), seen: 0 }
    }

    fn look(&mut self, place: &Place) {
        match place {
            Place::File(path) => self.look_into(path),
            Place::Folder(path) => {
                let entries = fs::read_dir(path).into_iter().flatten().flatten();
                entries.take(ROOTS_MAX).for_each(|entry| self.look_into(&entry.path()));
            }
        }
    }

    /// A certificate that cannot be read vouches for nobody, and the others count.
    fn look_into(&mut self, path: &Path) {
        let Some(file) = File::open(path).ok().filter(is_file) else { return };
        let reader = BufReader::new(file.take(ROOTS_FILE_BYTES_MAX));
        for certificate in CertificateDer::pem_reader_iter(reader) {
            let Ok(certificate) = certificate else { return };
            let Ok(anchor) = anchor_from_trusted_cert(&certificate) else { continue };
            self.seen += 1;
            if is_named(&anchor, self.names) && self.found.len() < ROOTS_MAX {
                self.found.push(anchor.to_owned());
            }
        }
    }
}

/// Nobody waits for a FIFO.
fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|data| data.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search<'a>(place: &Place, names: &'a [Vec<u8>]) -> Search<'a> {
        let mut search = Search::new(names);
        search.look(place);
        search
    }

    #[test]
    fn only_the_authorities_that_a_chain_names_are_kept() {
        let some = &webpki_roots::TLS_SERVER_ROOTS[7];
        let names = [b"nobody".to_vec(), some.subject.as_ref().to_vec()];
        let found = webpki_roots::TLS_SERVER_ROOTS.iter().filter(|anchor| is_named(anchor, &names)).count();
        assert!((1..5).contains(&found), "{found}");
        assert!(search(&Place::Folder(FOLDER.into()), &[]).found.is_empty());
    }

    #[test]
    fn what_is_no_certificate_vouches_for_nobody() {
        let folder = std::env::temp_dir().join(format!("swarmlet-roots-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (name, text) in [("a.pem", "no certificate"), ("b.pem", broken), ("c.pem", "-----BEGIN X")] {
            fs::write(folder.join(name), text).unwrap();
        }
        assert_eq!(search(&Place::Folder(folder.clone()), &[]).seen, 0);
        assert_eq!(search(&Place::File(folder.clone()), &[]).seen, 0, "a folder is no file");
        assert_eq!(search(&Place::File("/nonexistent".into()), &[]).seen, 0);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_the_user_names_goes_before_the_system() {
        let names = |variable: &str| Some(OsString::from(variable.to_lowercase()));
        let [Place::File(file), Place::Folder(folder)] = &chosen(names)[..] else { panic!() };
        assert!(file.ends_with("ssl_cert_file") && folder.ends_with("ssl_cert_dir"));
        assert!(chosen(|_| None).is_empty());
    }
}
