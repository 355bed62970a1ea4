//! What TLS is made of: ring's algorithms, all of them, and nobody's private key.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

/// ring's provider less its signing: a satellite shows a token, never a
/// certificate of its own, and need not carry what signs with one.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        key_provider: &NoKeys,
        ..ring::default_provider()
    })
}

#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("no client certificates here".into()))
    }
}
