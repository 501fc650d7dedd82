//! Mutual TLS between nodes.

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
}

/// Makes a new authority for a cluster, for development and for the first start of a cluster.
pub fn make_authority(_cluster: &str) -> Result<Authority, Error> {
    unimplemented!()
}

impl Authority {
    /// Reads an authority that was stored with [`Authority::certificate_pem`] and [`Authority::key_pem`].
    pub fn from_pem(_certificate: &str, _key: &str) -> Result<Authority, Error> {
        unimplemented!()
    }

    /// The authority's certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.cluster
    }

    /// The authority's private key. Keep it away from the nodes.
    pub fn key_pem(&self) -> &str {
        &self.cluster
    }

    /// A key and certificate for one node.
    pub fn issue(&self, _node: NodeId) -> Result<Identity, Error> {
        unimplemented!()
    }
}
