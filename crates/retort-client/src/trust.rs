//! Whom to trust: the root certificates of this machine and those that settings name.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::{ClientError, ClientSettings};

/// Returns how TLS is spoken, and whether certificates can be checked at all.
///
/// # Errors
/// When the file of further roots cannot be used.
pub(crate) fn tls(settings: &ClientSettings) -> Result<(Arc<ClientConfig>, bool), ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let further = match &settings.ca_file {
        Some(path) => {
            let pem = std::fs::read(path).map_err(|source| ClientError::CaFile {
                path: path.clone(),
                source,
            })?;
            let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let usable = roots.ok().filter(|roots| are_usable(roots));
            Some(usable.ok_or_else(|| ClientError::BadCaFile(path.clone()))?)
        }
        None => None,
    };
    let verifier = match &further {
        Some(roots) => Some(
            Verifier::new_with_extra_roots(roots.iter().cloned(), Arc::clone(&provider))
                .map_err(ClientError::Build)?,
        ),
        // A machine without root certificates can still ask local servers.
        None => Verifier::new(Arc::clone(&provider)).ok(),
    };
    let has_roots = verifier.is_some();
    let mut config = config(provider, verifier).map_err(ClientError::Build)?;
    config.alpn_protocols = if settings.http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok((Arc::new(config), has_roots))
}

fn are_usable(roots: &[CertificateDer<'static>]) -> bool {
    let mut store = RootCertStore::empty();
    let added = roots.iter().all(|root| store.add(root.clone()).is_ok());
    added && !roots.is_empty()
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Option<Verifier>,
) -> Result<ClientConfig, rustls::Error> {
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = match verifier {
        Some(verifier) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
        None => builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    };
    Ok(config)
}
