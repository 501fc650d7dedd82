//! Whom the client trusts over TLS: authorities whose certificates it was given, or one certificate and nobody else.
//!
//! No authority is built in, and none is looked for: which of them a machine trusts is in its files, which this crate does not read.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Client, ClientError};

/// What a connection over TLS is checked with.
#[derive(Clone)]
pub(super) struct Trust(pub(super) Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// Certificates that come from one of these authorities (PEM) and carry the host's name.
    pub(super) fn authorities(pem: &[u8]) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        // A machine's own list may hold some that are too old to be understood; the others count.
        let (known, _) = roots.add_parsable_certificates(certificates(pem)?);
        if known == 0 {
            return Err(ClientError::unsent("there is no authority's certificate in what was given"));
        }
        Ok(Self::new(builder()?.with_root_certificates(roots).with_no_client_auth()))
    }

    /// Exactly this certificate (the first of the PEM), whatever its name and whoever issued it.
    pub(super) fn only(pem: &[u8]) -> Result<Self, ClientError> {
        let missing = || ClientError::unsent("there is no certificate in what was given");
        let certificate = certificates(pem)?.into_iter().next().ok_or_else(missing)?;
        let provider = provider();
        let verifier = Only { certificate, provider };
        let config = builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self::new(config))
    }

    fn new(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}

impl Client {
    /// Over `https://`: servers whose certificates come from one of these authorities (PEM) and carry their host's name.
    pub fn with_authorities(self, pem: &[u8]) -> Result<Self, ClientError> {
        Ok(self.trusting(Trust::authorities(pem)?))
    }

    /// Over `https://`: servers that have exactly this certificate (PEM), whatever its name and whoever issued it.
    pub fn with_certificate(self, pem: &[u8]) -> Result<Self, ClientError> {
        Ok(self.trusting(Trust::only(pem)?))
    }

    fn trusting(mut self, trust: Trust) -> Self {
        self.places = self.places.iter().map(|place| Arc::new(place.trusting(&trust))).collect();
        self.trust = Some(trust);
        self
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ClientError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::unsent(format!("set up TLS: {error}")))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| ClientError::unsent(format!("read certificates as PEM: {error}")))
}

/// Accepts one certificate, from whoever proves to have its key.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("the server has another certificate".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
