//! Who issues the certificates of a cluster's nodes.
//!
//! An authority has a key of its own and a certificate that every node trusts. It is made once for a cluster, and its key is kept
//! where no node is. A node's certificate is valid for a bounded time, from a day before it was made: the clock of the node that takes
//! it may be behind that of the machine that made it.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::names::{bad, check_label, node_name, region_name};
use crate::{Error, Identity, NodeId};

/// The prefix of an authority's common name; what follows is the cluster.
const AUTHORITY_NAME: &str = "cloudnest cluster ";
/// How long a new authority's certificate is valid, days: ten years. Longer: a key that leaked is of use for longer. Shorter: all nodes
/// need a new file more often.
const AUTHORITY_DAYS: u32 = 3_653;
/// How long before it was made a certificate is valid already.
const EARLIER: Duration = Duration::from_secs(86_400);
const DAY: Duration = Duration::from_secs(86_400);

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

/// Makes a new authority for a cluster, valid for ten years.
pub fn make_authority(cluster: &str) -> Result<Authority, Error> {
    check_label("cluster", cluster)?;
    let key = KeyPair::generate().map_err(bad)?;
    let mut params = authority_params(cluster)?;
    valid_for(&mut params, AUTHORITY_DAYS);
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

fn valid_for(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Whole seconds: a certificate holds no others.
    let now = Duration::from_secs(now.as_secs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(EARLIER);
    // Its last second counts (RFC 5280, 4.1.2.5).
    params.not_after = epoch + (now + DAY * days).saturating_sub(Duration::from_secs(1));
}

/// The cluster in the common name of an authority's certificate that [`make_authority`] made: the length of a DER string is the byte
/// before it. So no parser of certificates is needed for this one field.
fn cluster_of(certificate: &[u8]) -> Option<&str> {
    let name = AUTHORITY_NAME.as_bytes();
    let start = certificate.windows(name.len()).position(|window| window == name)?;
    let length = usize::from(*certificate.get(start.checked_sub(1)?)?);
    std::str::from_utf8(certificate.get(start + name.len()..start + length)?).ok()
}

/// Whether a certificate is made out to a key: its public part is in it, as it is.
fn is_of_key(certificate: &[u8], key: &KeyPair) -> bool {
    let public = key.public_key_raw();
    certificate.windows(public.len()).any(|window| window == public)
}

impl Authority {
    /// Reads an authority that was stored with [`Authority::certificate_pem`] and [`Authority::key_pem`]. Where there are several
    /// certificates, as while authorities change, it is the one that the key belongs to.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Authority, Error> {
        let pair = KeyPair::from_pem(key).map_err(bad)?;
        let all = CertificateDer::pem_slice_iter(certificates.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(bad)?;
        let own = all
            .iter()
            .find(|certificate| is_of_key(certificate, &pair))
            .ok_or_else(|| bad("the authority's key does not belong to its certificate"))?;
        let cluster = cluster_of(own)
            .ok_or_else(|| bad("it is not an authority of a cluster"))?
            .to_owned();
        check_label("cluster", &cluster)?;
        let issuer = Issuer::new(authority_params(&cluster)?, pair);
        Ok(Authority {
            cluster,
            certificate_pem: certificates.to_owned(),
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

    /// A new key, and a certificate for one node of one region that is valid for `days` days.
    pub fn issue(&self, node: NodeId, region: &str, days: u32) -> Result<Identity, Error> {
        self.sign(node, region, days, KeyPair::generate().map_err(bad)?)
    }

    /// The same for a key (PEM) that the node has already: two files of which one changes fit together at every moment.
    pub fn issue_to(&self, key_pem: &str, node: NodeId, region: &str, days: u32) -> Result<Identity, Error> {
        self.sign(node, region, days, KeyPair::from_pem(key_pem).map_err(bad)?)
    }

    fn sign(&self, node: NodeId, region: &str, days: u32, key: KeyPair) -> Result<Identity, Error> {
        check_label("region", region)?;
        let names = vec![node_name(&self.cluster, node), region_name(&self.cluster, region)];
        let mut params = CertificateParams::new(names).map_err(bad)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("node {node}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        valid_for(&mut params, days);
        let certificate = params.signed_by(&key, &self.issuer).map_err(bad)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            authority_pem: self.certificate_pem.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_read_back_with_the_certificate_that_its_key_belongs_to() {
        let (old, new) = (make_authority("test").unwrap(), make_authority("test").unwrap());
        let both = format!("{}{}", old.certificate_pem(), new.certificate_pem());
        for one in [&old, &new] {
            let again = Authority::from_pem(&both, one.key_pem()).unwrap();
            assert_eq!((again.cluster(), again.certificate_pem()), ("test", both.as_str()));
        }
        assert!(Authority::from_pem(old.certificate_pem(), new.key_pem()).is_err());
        assert!(make_authority("No Such").is_err());
        assert!(new.issue(NodeId(1), "No.Such", 1).is_err());
    }

    #[test]
    fn a_key_that_is_kept_gets_another_certificate() {
        let authority = make_authority("test").unwrap();
        let first = authority.issue(NodeId(1), "here", 1).unwrap();
        let second = authority.issue_to(&first.key_pem, NodeId(1), "here", 2).unwrap();
        assert_eq!(first.key_pem, second.key_pem);
        assert_ne!(first.certificate_pem, second.certificate_pem);
    }
}
