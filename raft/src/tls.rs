//! Who may talk: mutual TLS between nodes, TLS 1.3 only, one provider.
//!
//! A cluster has one authority; a node's certificate carries the DNS name `node-<id>.<cluster>.cloudnest`, and each side checks that
//! the other has the name of the node that it claims to be. The cluster's name is part of it, so nodes of two clusters never mix,
//! even under one authority.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Error, NodeId};

/// What a node proves itself with, and what it checks others against. All PEM.
#[derive(Clone)]
pub struct Identity {
    /// The node's certificate, with the DNS name `node-<id>.<cluster>.cloudnest`.
    pub certificate_pem: String,
    /// Its private key (PKCS#8).
    pub key_pem: String,
    /// The only authority that peers' certificates may come from.
    pub authority_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Issues node certificates for one cluster.
pub struct Authority {
    cluster: String,
    certificate_pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

fn bad(error: impl std::fmt::Display) -> Error {
    Error::Certificate(error.to_string())
}

/// The prefix of an authority's common name; what follows is the cluster.
const AUTHORITY_NAME: &str = "cloudnest cluster ";

/// Makes a new authority for a cluster, for development and for the first start of a cluster.
pub fn make_authority(cluster: &str) -> Result<Authority, Error> {
    check_cluster(cluster)?;
    let key = KeyPair::generate().map_err(bad)?;
    let params = authority_params(cluster)?;
    let certificate = params.self_signed(&key).map_err(bad)?;
    let (certificate_pem, key_pem) = (certificate.pem(), key.serialize_pem());
    Ok(Authority {
        cluster: cluster.to_owned(),
        certificate_pem,
        key_pem,
        issuer: Issuer::new(params, key),
    })
}

/// What an authority's certificate says; all that issuing needs besides the key.
fn authority_params(cluster: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(bad)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{AUTHORITY_NAME}{cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// The cluster in the common name of an authority's certificate that [`make_authority`] made: the length of a DER string is the byte
/// before it. So no parser of certificates is needed for this one field.
fn cluster_of(certificate: &[u8]) -> Option<&str> {
    let name = AUTHORITY_NAME.as_bytes();
    let start = certificate.windows(name.len()).position(|window| window == name)?;
    let length = usize::from(*certificate.get(start.checked_sub(1)?)?);
    std::str::from_utf8(certificate.get(start + name.len()..start + length)?).ok()
}

impl Authority {
    /// Reads an authority that was stored with [`Authority::certificate_pem`] and [`Authority::key_pem`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, Error> {
        let pair = KeyPair::from_pem(key).map_err(bad)?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(bad)?;
        let cluster = cluster_of(&der)
            .ok_or_else(|| bad("it is not an authority of a cluster"))?
            .to_owned();
        check_cluster(&cluster)?;
        let public = pair.public_key_raw();
        if !der.windows(public.len()).any(|window| window == public) {
            return Err(bad("the authority's key does not belong to its certificate"));
        }
        let issuer = Issuer::new(authority_params(&cluster)?, pair);
        Ok(Authority {
            cluster,
            certificate_pem: certificate.to_owned(),
            key_pem: key.to_owned(),
            issuer,
        })
    }

    /// The cluster whose nodes it issues certificates for.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The authority's certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key. Keep it away from the nodes.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// A key and certificate for one node.
    pub fn issue(&self, node: NodeId) -> Result<Identity, Error> {
        let key = KeyPair::generate().map_err(bad)?;
        let mut params = CertificateParams::new(vec![dns_name(&self.cluster, node)]).map_err(bad)?;
        params.distinguished_name.push(DnType::CommonName, format!("node {node}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(bad)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            authority_pem: self.certificate_pem.clone(),
        })
    }
}

/// A cluster's name is a DNS label, because it is part of one.
fn check_cluster(cluster: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok =
        (1..=48).contains(&cluster.len()) && cluster.chars().all(plain) && !cluster.starts_with('-') && !cluster.ends_with('-');
    if ok {
        Ok(())
    } else {
        Err(Error::Config(format!(
            "cluster name {cluster:?} is not 1-48 of a-z, 0-9 and inner hyphens"
        )))
    }
}

fn dns_name(cluster: &str, node: NodeId) -> String {
    format!("node-{node}.{cluster}.cloudnest")
}

/// Both ends of TLS for one node.
#[derive(Clone)]
pub(crate) struct Tls {
    cluster: Arc<str>,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the identity and checks that it is this node's own, so that a mix-up is found at start and not by the peers.
    pub(crate) fn new(cluster: &str, node: NodeId, identity: &Identity) -> Result<Tls, Error> {
        check_cluster(cluster)?;
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(identity.authority_pem.as_bytes()) {
            roots.add(authority.map_err(bad)?).map_err(bad)?;
        }
        let roots = Arc::new(roots);
        let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(bad)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(bad)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(bad)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(bad)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(bad)?;
        let own = chain.first().ok_or_else(|| bad("the identity holds no certificate"))?.clone();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(bad)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(bad)?;
        let tls = Tls {
            cluster: cluster.into(),
            client: Arc::new(client),
            server: Arc::new(server),
        };
        tls.check_certificate(&own, node)
            .map_err(|error| bad(format!("this node's own certificate: {error}")))?;
        Ok(tls)
    }

    /// The name that a node's certificate must have.
    pub(crate) fn server_name(&self, node: NodeId) -> std::io::Result<ServerName<'static>> {
        ServerName::try_from(dns_name(&self.cluster, node)).map_err(std::io::Error::other)
    }

    /// Whether the certificate, whose signature was verified, is that of this node.
    pub(crate) fn check_certificate(&self, certificate: &CertificateDer<'_>, node: NodeId) -> std::io::Result<()> {
        let refused = |error: rustls::Error| {
            let name = dns_name(&self.cluster, node);
            std::io::Error::new(
                std::io::ErrorKind::PermissionDenied,
                format!("the certificate is not that of {name}: {error}"),
            )
        };
        let parsed = ParsedCertificate::try_from(certificate).map_err(refused)?;
        verify_server_name(&parsed, &self.server_name(node)?).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_works_only_for_its_own_node_and_cluster() {
        let authority = make_authority("test").unwrap();
        let again = Authority::from_pem(authority.certificate_pem(), authority.key_pem()).unwrap();
        assert_eq!(again.cluster(), "test");
        assert!(Authority::from_pem(authority.certificate_pem(), make_authority("test").unwrap().key_pem()).is_err());
        let identity = again.issue(NodeId(7)).unwrap();
        assert!(Tls::new("test", NodeId(7), &identity).is_ok());
        assert!(Tls::new("test", NodeId(8), &identity).is_err());
        assert!(Tls::new("other", NodeId(7), &identity).is_err());
        assert!(make_authority("No Such").is_err());
    }
}
