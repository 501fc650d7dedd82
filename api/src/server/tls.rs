//! TLS for clients: certificates that can be replaced while connections are open, and the handshake.
//!
//! [`Certificates`] holds what a listener proves itself with. A new connection uses what is there when it opens; one that is open
//! goes on with what it began with. What cannot be used never replaces what can.
//!
//! TLS 1.3 and 1.2, with the suites of rustls: all of them forward secret and authenticated. ALPN offers HTTP/2 and HTTP/1.1; who
//! names neither is served over HTTP/1.1. Nothing here reads a file: whoever does says which file it is that is wrong.

use std::fmt::{self, Write};
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate::Certificate;

/// HTTP/2, as ALPN names it.
const HTTP_2: &[u8] = b"h2";

/// A certificate with its chain and its key.
pub struct Certificates {
    config: RwLock<Arc<rustls::ServerConfig>>,
    /// Seconds since the epoch.
    expires: AtomicI64,
    replaced: AtomicU64,
    refused: AtomicU64,
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate or its chain.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The key.
    #[error("the key cannot be read: {0}")]
    Key(String),
    /// Both can be read, but do not belong together.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(String),
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("expires", &self.expires)
            .field("replaced", &self.replaced)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// A certificate, followed by those of its issuers, and its key; both PEM.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let (config, expires) = read(chain, key)?;
        Ok(Self {
            config: RwLock::new(config),
            expires: AtomicI64::new(expires),
            replaced: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Others in their place, for connections that open from now on. An error changes nothing, and is counted.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), CertificateError> {
        let (config, expires) = read(chain, key).inspect_err(|_| self.refuse())?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.expires.store(expires, Ordering::Relaxed);
        self.replaced.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts others that could not even be read.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Until when the certificate is valid, in seconds since the epoch.
    pub fn expires_at(&self) -> i64 {
        self.expires.load(Ordering::Relaxed)
    }

    fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write_metrics(&self, out: &mut dyn Write) -> fmt::Result {
        let expires = "cloudnest_tls_certificate_expires_timestamp_seconds";
        writeln!(
            out,
            "# HELP {expires} Until when the certificate for clients is valid, in seconds since the epoch.\n\
             # TYPE {expires} gauge\n{expires} {}",
            self.expires_at()
        )?;
        let loads = "cloudnest_tls_certificate_loads_total";
        let (replaced, refused) = (self.replaced.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed));
        writeln!(
            out,
            "# HELP {loads} New certificates for clients since the start: taken, or refused because they cannot be used.\n\
             # TYPE {loads} counter\n{loads}{{result=\"taken\"}} {replaced}\n{loads}{{result=\"refused\"}} {refused}"
        )
    }
}

fn read(chain: &[u8], key: &[u8]) -> Result<(Arc<rustls::ServerConfig>, i64), CertificateError> {
    let certificates = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::Certificate(error.to_string()))?;
    let own = certificates
        .first()
        .ok_or_else(|| CertificateError::Certificate("there is no certificate in it".to_owned()))?;
    let expires = Certificate::of_der(own)
        .map(|certificate| certificate.not_after)
        .ok_or_else(|| CertificateError::Certificate("its first entry is not a certificate".to_owned()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| CertificateError::Key(error.to_string()))?;
    let pair = |error: rustls::Error| CertificateError::Pair(error.to_string());
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), expires))
}

/// Does the handshake, within a time; true: the client wants HTTP/2.
pub(super) async fn accept<S>(certificates: &Certificates, stream: S, within: Duration) -> io::Result<(bool, TlsStream<S>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
    let stream = tokio::time::timeout(within, handshake)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no handshake within {within:?}")))??;
    let second = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
    Ok((second, stream))
}
