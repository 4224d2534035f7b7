//! The server's side of TLS, from PEM files, which can be read again while it listens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::config::TlsFiles;

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {source}")]
    Pem {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{path}: {source}")]
    Rustls {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("{path}: {source}")]
    ClientCa {
        path: PathBuf,
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// What the TLS listeners of an endpoint show and want, from the next connection on.
pub struct TlsInForce {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl TlsInForce {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else, or a key that is not the certificate's.
    pub(super) fn read(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let config = RwLock::new(server_config(files)?);
        Ok(Arc::new(TlsInForce { files: files.clone(), config }))
    }

    /// Reads the files again. Connections that are open stay as they are.
    ///
    /// # Errors
    /// As at the start; what was in force stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = server_config(&self.files)?;
        *self.config.write() = config;
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.config.read().clone()
    }
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.certificate_path)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_path)
        .map_err(|source| TlsError::Pem { path: files.key_path.clone(), source })?;
    let rustls_error = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Rustls { path, source }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(rustls_error(&files.certificate_path))?;
    let builder = match &files.client_ca_path {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(rustls_error(path))?;
            }
            let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if let Some(path) = &files.client_crl_path {
                // Authorities in between are ours to trust; a certificate that no list speaks of is refused.
                verifier = verifier.with_crls(revocation_lists(path)?).only_check_end_entity_revocation();
            }
            let verifier =
                verifier.build().map_err(|source| TlsError::ClientCa { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(rustls_error(&files.certificate_path))?;
    Ok(Arc::new(config))
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let pem_error = |source| TlsError::Pem { path: path.to_owned(), source };
    let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(pem_error)?;
    let lists = lists.collect::<Result<Vec<_>, _>>().map_err(pem_error)?;
    if lists.is_empty() {
        return Err(pem_error(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(lists)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem_error = |source| TlsError::Pem { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(pem_error)?.collect::<Result<Vec<_>, _>>().map_err(pem_error)
}
