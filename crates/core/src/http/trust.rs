//! The certificate authorities that a client trusts.

use std::path::Path;

/// The certificate authorities to trust.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    #[cfg(feature = "tls")]
    roots: Option<ureq::tls::RootCerts>,
}

impl Trust {
    /// Trusts only the authorities in this PEM file.
    #[cfg(feature = "tls")]
    pub fn from_pem_file(path: &Path) -> Result<Self, String> {
        use ureq::tls::{PemItem, RootCerts, parse_pem};

        let pem = std::fs::read(path).map_err(|e| e.to_string())?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) = item.map_err(|e| e.to_string())? {
                certificates.push(certificate);
            }
        }
        if certificates.is_empty() {
            return Err("the file contains no certificate".into());
        }
        Ok(Trust {
            roots: Some(RootCerts::from(certificates)),
        })
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(&self) -> ureq::tls::TlsConfig {
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(super::tls::provider());
        match &self.roots {
            Some(roots) => tls.root_certs(roots.clone()).build(),
            None => tls.build(),
        }
    }

    /// Accepts any file: this build has no TLS.
    #[cfg(not(feature = "tls"))]
    pub fn from_pem_file(_: &Path) -> Result<Self, String> {
        Err("this program was built without TLS".into())
    }
}
