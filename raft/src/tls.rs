//! Who may talk: mutual TLS between nodes, TLS 1.3 only, one provider.
//!
//! A cluster has an authority (`authority`), or several while they change. A node's certificate carries two DNS names:
//! `node-<id>.<cluster>.cloudnest` and `<region>.region.<cluster>.cloudnest`. Each side of a connection checks that the other's has the
//! name of the node that it claims to be, and that of the region which this node's configuration gives that node. The cluster's name is
//! part of both, so nodes of two clusters never mix, even under one authority.
//!
//! Certificate, key and authorities can be replaced while the node runs ([`Tls::replace`]): connections that open from then on use the
//! new ones, those that are open go on. What would not work is refused, and changes nothing.
//!
//! CAVEATS. No connection is resumed: each proves itself anew, because a resumed one would be checked against the past. A connection
//! outlives the certificate that it was opened with.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use crate::names::{Bearer, bad, check_label, node_name, region_name};
use crate::{Error, NodeId};

/// What a node proves itself with, and what it checks others against. All PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node's certificate, with the DNS names `node-<id>.<cluster>.cloudnest` and `<region>.region.<cluster>.cloudnest`; behind it
    /// those of its issuers up to the authority, where there are any.
    pub certificate_pem: String,
    /// Its private key (PKCS#8).
    pub key_pem: String,
    /// The only authorities that peers' certificates may come from: one, or several while they change.
    pub authority_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Whether a node of this cluster and region could prove itself with it now. `Certificate` says why not, `Config` that a name is not
    /// one.
    pub fn check(&self, cluster: &str, node: NodeId, region: &str) -> Result<(), Error> {
        check_label("cluster", cluster)?;
        check_label("region", region)?;
        ends(cluster, node, region, self, Validity::Now).map(drop)
    }
}

/// What is to be done about a certificate without a region.
const NO_REGION: &str = "it names no region, as those made by earlier versions: make a new one with `cloudnest certs create`";

/// Both ends of TLS for one node.
pub(crate) struct Tls {
    cluster: String,
    node: NodeId,
    region: String,
    ends: ArcSwap<Ends>,
}

/// What new connections use.
struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

/// Whether a certificate may be one that is not valid now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Validity {
    /// At start: a node that does not come up is worse than one that its peers refuse.
    Any,
    /// In the place of one that may work.
    Now,
}

impl Tls {
    /// Reads the identity and checks that it is this node's own, so that a mix-up is found at start and not by the peers.
    pub(crate) fn new(cluster: &str, node: NodeId, region: &str, identity: &Identity) -> Result<Tls, Error> {
        check_label("cluster", cluster)?;
        check_label("region", region)?;
        Ok(Tls {
            cluster: cluster.to_owned(),
            node,
            region: region.to_owned(),
            ends: ArcSwap::from_pointee(ends(cluster, node, region, identity, Validity::Any)?),
        })
    }

    /// Another identity for connections that open from now on. It must be valid and this node's own; an error changes nothing.
    pub(crate) fn replace(&self, identity: &Identity) -> Result<(), Error> {
        let ends = ends(&self.cluster, self.node, &self.region, identity, Validity::Now)?;
        self.ends.store(Arc::new(ends));
        Ok(())
    }

    /// For connections that this node opens.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.ends.load().client)
    }

    /// For connections that are opened to this node.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.ends.load().server)
    }

    /// This node's certificate, DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.ends.load().certificate.to_vec()
    }

    /// This node's region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The name that a node's certificate must have.
    pub(crate) fn server_name(&self, node: NodeId) -> io::Result<ServerName<'static>> {
        ServerName::try_from(node_name(&self.cluster, node)).map_err(io::Error::other)
    }

    /// Whether the certificate, whose signature was verified, is that of this node in this region.
    pub(crate) fn check(&self, certificate: &CertificateDer<'_>, node: NodeId, region: &str) -> io::Result<()> {
        check(certificate, &self.cluster, node, region).map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

/// Why a certificate is not that of a node in a region.
fn check(certificate: &CertificateDer<'_>, cluster: &str, node: NodeId, region: &str) -> Result<(), String> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let presented = |name: &str| match ServerName::try_from(name) {
        Ok(wanted) => verify_server_name(&parsed, &wanted).map_err(|error| dns_names(&error)),
        Err(error) => Err(vec![error.to_string()]),
    };
    let name = node_name(cluster, node);
    if let Err(names) = presented(&name) {
        return Err(format!(
            "the certificate is not that of {name}: it is made out to {}",
            names.join(", ")
        ));
    }
    let Err(names) = presented(&region_name(cluster, region)) else {
        return Ok(());
    };
    Err(
        match Bearer::of(names.iter().map(String::as_str)).and_then(|bearer| bearer.region) {
            None => format!("the certificate is that of {name}, but {NO_REGION}"),
            Some(other) => format!(
                "the certificate is that of {name} in the region {other}, but the configuration has that node in {region}"
            ),
        },
    )
}

/// The DNS names of a certificate that did not have the wanted one.
fn dns_names(error: &rustls::Error) -> Vec<String> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            let plain = |name: &String| match name.strip_prefix("DnsName(\"").and_then(|rest| rest.strip_suffix("\")")) {
                Some(name) => name.to_owned(),
                None => name.clone(),
            };
            presented.iter().map(plain).collect()
        }
        other => vec![other.to_string()],
    }
}

/// Makes both ends of an identity that is this node's own.
fn ends(cluster: &str, node: NodeId, region: &str, identity: &Identity, validity: Validity) -> Result<Ends, Error> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(identity.authority_pem.as_bytes()) {
        let authority = authority.map_err(|error| bad(format!("the authority cannot be read: {error}")))?;
        roots
            .add(authority)
            .map_err(|error| bad(format!("the authority cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate of an authority"));
    }
    let roots = Arc::new(roots);
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("the certificate cannot be read: {error}")))?;
    let Some((own, issuers)) = chain.split_first() else {
        return Err(bad("there is no certificate of this node"));
    };
    let own = own.clone();
    check(&own, cluster, node, region).map_err(|why| bad(format!("this node's own certificate: {why}")))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .map_err(|error| bad(format!("the key cannot be read: {error}")))?;
    let of_clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(bad)?;
    let of_servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(bad)?;
    let name = ServerName::try_from(node_name(cluster, node)).map_err(bad)?;
    // What a peer with the same authorities would say of it.
    let now = UnixTime::now();
    taken(of_clients.verify_client_cert(&own, issuers, now).map(drop), validity)?;
    taken(
        of_servers.verify_server_cert(&own, issuers, &name, &[], now).map(drop),
        validity,
    )?;
    let pair = |error: rustls::Error| bad(format!("certificate and key cannot be used together: {error}"));
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(bad)?
        .with_client_cert_verifier(of_clients)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(pair)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(bad)?
        .with_webpki_verifier(of_servers)
        .with_client_auth_cert(chain, key)
        .map_err(pair)?;
    client.resumption = Resumption::disabled();
    Ok(Ends {
        client: Arc::new(client),
        server: Arc::new(server),
        certificate: own,
    })
}

/// Passes on what a peer would say of this node's own certificate.
fn taken(verdict: Result<(), rustls::Error>, validity: Validity) -> Result<(), Error> {
    use CertificateError::{BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer};
    match verdict {
        Ok(()) => Ok(()),
        Err(rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }))
            if validity == Validity::Any =>
        {
            Ok(())
        }
        // Authorities of one cluster have the same name, so one that is not trusted may look like one whose signature is wrong.
        Err(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            Err(bad("this node's own certificate: it comes from none of the authorities"))
        }
        Err(error) => Err(bad(format!("this node's own certificate: {error}"))),
    }
}

#[cfg(test)]
#[path = "tls/tests.rs"]
mod tests;
