//! TLS without a proxy: a certificate and its key from files, taken anew when they change.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// A certificate that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("TLS with {file}: {reason}")]
pub struct TlsError {
    file: String,
    reason: String,
}

impl TlsError {
    fn new(file: &Path, reason: impl fmt::Display) -> Self {
        Self {
            file: file.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

/// What the tracker proves itself with. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Files>);

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    /// Reads the certificate, with those that signed it, and its key, PEM both.
    ///
    /// # Errors
    /// A file that cannot be read or has no such thing, a key of another certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Files {
            current: RwLock::new(Arc::new(read(certificate, key)?)),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })))
    }

    /// Takes what the files have now, for connections to come. Where that is no good, what they had
    /// before is kept.
    pub(crate) fn reload(&self) {
        let Files {
            certificate,
            key,
            current,
        } = &*self.0;
        match read(certificate, key) {
            Ok(fresh) => *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh),
            Err(error) => tracing::warn!(%error, "the old certificate is kept"),
        }
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(&self.0.certificate, error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.0) as Arc<dyn ResolvesServerCert>);
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::new(certificate, error))?;
    if chain.is_empty() {
        return Err(TlsError::new(certificate, "it has no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::new(key, error))?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| TlsError::new(key, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(folder: &Path, name: &str) -> (PathBuf, PathBuf, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (certificate, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key, made.cert.der().to_vec())
    }

    fn current(tls: &Tls) -> Vec<u8> {
        tls.0.current.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key, first) = write(folder.path(), "a");
        let tls = Tls::load(&certificate, &key).unwrap();
        assert_eq!(current(&tls), first);
        let (other, other_key, second) = write(folder.path(), "b");
        fs::copy(&other, &certificate).unwrap();
        tls.reload();
        assert_eq!(current(&tls), first, "the key is still the old one's");
        fs::copy(&other_key, &key).unwrap();
        tls.reload();
        assert_eq!(current(&tls), second);
    }

    #[test]
    fn files_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key, _) = write(folder.path(), "a");
        let nothing = folder.path().join("nothing");
        let refusal = |c: &Path, k: &Path| Tls::load(c, k).unwrap_err().to_string();
        assert!(refusal(&nothing, &key).contains("nothing"));
        assert!(refusal(&certificate, &nothing).contains("nothing"));
        assert!(refusal(&key, &key).contains("a.key: it has no certificate"));
        assert!(refusal(&certificate, &certificate).contains("a.pem"));
        let (_, other, _) = write(folder.path(), "b");
        assert!(refusal(&certificate, &other).contains("b.key"));
    }
}
