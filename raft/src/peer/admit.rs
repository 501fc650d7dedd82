//! Whom this node talks to, and about what: certificates against the configuration, members against the region of their group.
//!
//! What a certificate must say is the configuration's: the peer's own word counts for nothing but which entry to look at. A group that
//! is bound to a region has members there only; that is held on both sides, so that neither a node that was configured wrongly nor a
//! membership that names it makes an entry leave its region.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::{Lane, Link, Net, Peer};
use crate::limits::COMPLAINT_MS;
use crate::replica::Replica;
use crate::{Error, NodeId};

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.into())
}

impl Net {
    /// What this node knows of another one.
    pub(crate) fn peer(&self, node: u64) -> io::Result<Arc<Peer>> {
        let found = self.known(node);
        found.ok_or_else(|| refused(format!("node {node} is not in the configuration of node {}", self.node)))
    }

    /// Whether the other end of a connection proved that it is a node of the configuration, in the region that it has there.
    pub(super) fn admit(&self, stream: &TlsStream<TcpStream>, node: u64) -> io::Result<()> {
        let peer = self.peer(node)?;
        let (_, session) = stream.get_ref();
        let certificate = session
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or_else(|| refused("the peer has no certificate"))?;
        self.tls.check(certificate, NodeId(node), peer.region())?;
        *peer.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.to_vec());
        Ok(())
    }

    /// The certificate, DER, that a peer proved itself with when it last connected, or that this node proves itself with.
    pub(crate) fn certificate(&self, node: u64) -> Option<Vec<u8>> {
        if node == self.node {
            return Some(self.tls.certificate());
        }
        let peer = self.known(node)?;
        peer.certificate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a node may not be a member of a group that is bound to this region; none: it may, or the group is not bound.
    pub(crate) fn stranger(&self, node: u64, region: Option<&str>) -> Option<String> {
        let region = region?;
        let known = self.known(node);
        let own = match &known {
            Some(peer) => peer.region(),
            None if node == self.node => self.tls.region(),
            None => {
                return Some(format!(
                    "node {node} is not in the configuration, the group stays in {region}"
                ));
            }
        };
        (own != region).then(|| format!("node {node} is in the region {own}, the group stays in {region}"))
    }

    /// The way to a member of a group that is bound to this region, or to none.
    pub(crate) fn link(&self, node: u64, lane: Lane, region: Option<&str>) -> Result<Link, String> {
        let peer = self.known(node).ok_or_else(|| format!("node {node} has no address"))?;
        match self.stranger(node, region) {
            None => peer
                .link(lane)
                .cloned()
                .ok_or_else(|| format!("no links are held to node {node}")),
            Some(why) => {
                if self.is_news(&why) {
                    tracing::warn!(why, "nothing of the group is sent there");
                }
                Err(why)
            }
        }
    }

    /// Whether a refusal is to be logged: the same one is not told again and again while somebody tries again and again.
    pub(super) fn is_news(&self, refusal: &str) -> bool {
        let mut last = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last
            .as_ref()
            .is_some_and(|(text, at)| text == refusal && at.elapsed() < Duration::from_millis(COMPLAINT_MS));
        if !known {
            *last = Some((refusal.to_owned(), Instant::now()));
        }
        !known
    }
}

impl Replica {
    /// Refuses members that are in another region than their group may be in.
    pub(crate) fn check_members<'m>(&self, members: impl IntoIterator<Item = &'m NodeId>) -> Result<(), Error> {
        let strangers: Vec<String> = members
            .into_iter()
            .filter_map(|node| self.net.stranger(node.0, self.region.as_deref()))
            .collect();
        if strangers.is_empty() {
            Ok(())
        } else {
            Err(Error::Refused(strangers.join("; ")))
        }
    }
}
