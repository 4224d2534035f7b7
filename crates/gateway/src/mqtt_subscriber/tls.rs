//! The client's side of TLS, from PEM files or the system's authorities.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::config::BrokerTls;

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerTlsError {
    #[error("{path}: {source}")]
    Pem {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    #[error("the system has no certificate authorities, and ca_path is not set")]
    NoAuthorities,
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Reads the files.
///
/// # Errors
/// A file that cannot be read or holds something else, a key that is not the certificate's, or nobody to trust.
pub(crate) fn client_config(files: &BrokerTls) -> Result<Arc<ClientConfig>, BrokerTlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(files.ca_path.as_deref())?);
    let config = match &files.client {
        None => builder.with_no_client_auth(),
        Some((certificate_path, key_path)) => {
            let key = PrivateKeyDer::from_pem_file(key_path).map_err(pem_error(key_path))?;
            builder.with_client_auth_cert(certificates(certificate_path)?, key)?
        }
    };
    Ok(Arc::new(config))
}

fn authorities(ca_path: Option<&Path>) -> Result<RootCertStore, BrokerTlsError> {
    let mut roots = RootCertStore::empty();
    match ca_path {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
        }
        // Systems carry an odd certificate that rustls does not take; the rest is as good as ever.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() { Err(BrokerTlsError::NoAuthorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerTlsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(pem_error(path))?;
    let certificates = found.collect::<Result<Vec<_>, _>>().map_err(pem_error(path))?;
    if certificates.is_empty() { Err(BrokerTlsError::Empty(path.to_owned())) } else { Ok(certificates) }
}

fn pem_error(path: &Path) -> impl Fn(rustls_pki_types::pem::Error) -> BrokerTlsError + use<> {
    let path = path.to_owned();
    move |source| BrokerTlsError::Pem { path: path.clone(), source }
}
