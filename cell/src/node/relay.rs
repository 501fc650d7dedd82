//! Commands of the platform itself for a group that another node leads: a tenant's space after its entry in the directory,
//! the end of an erasure, the first members of a group.
//!
//! One exchange a stream: `'P' | what u8 | group u64 | length u32 | payload`, answered by `status u8 | length u32 | bytes`.
//! Requests of users never come this way: they are forwarded as they are.

use std::sync::Arc;
use std::time::Duration;

use api::error::{Code, Error};
use api::service::Timing;
use bytes::Bytes;
use raft::{NodeId, ProposeError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::platform::Platform;
use super::replica::Replica;
use crate::machine::limits::MOVE_BYTES;
use crate::service::error;

/// The first byte of a stream that carries an exchange.
pub(crate) const MARK: u8 = b'P';
/// Longest time of one exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to look for a leader.
const SEARCH: Duration = Duration::from_secs(5);

/// What is asked. Numbers travel between versions and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// Propose a command; its encoded answer.
    Propose = 1,
    /// Give a group its first members.
    Initialize = 2,
    /// Begin a scrub; it as JSON.
    ScrubBegin = 3,
    /// The last scrub; it as JSON.
    ScrubLast = 4,
    /// What came out of the scrub with this id at the node's replica, encoded.
    ScrubFound = 5,
    /// The node's replica is the odd one out.
    ScrubOdd = 6,
}

/// What a request of a newer version is told.
pub(crate) const UNKNOWN: &str = "a newer version asks for what this one does not know";

/// What is answered. The first byte of the answer.
mod status {
    pub(super) const DONE: u8 = 0;
    pub(super) const NOT_APPLIED: u8 = 1;
    pub(super) const UNKNOWN: u8 = 2;
}

impl Platform {
    /// Proposes an encoded command at whoever leads the group.
    pub(crate) async fn propose_at_leader(&self, group: u64, command: Bytes) -> Result<Bytes, Error> {
        let deadline = tokio::time::Instant::now() + SEARCH;
        for attempt in 0.. {
            let failure = match self.leader_of(group, attempt) {
                Some(number) if number == self.me.number => match self.group(group) {
                    Some(replica) => match replica.propose_bytes(command.clone(), &Timing::default()).await {
                        Ok(reply) => return Ok(reply),
                        Err(failure) => error::proposal(failure),
                    },
                    None => error::not_leader(None),
                },
                Some(number) => match self.ask(NodeId(number), What::Propose, group, &command).await {
                    Ok(reply) => return Ok(reply),
                    Err(failure) => failure,
                },
                None => error::not_leader(None),
            };
            let known = failure.outcome == api::error::Outcome::NotApplied;
            if !known || tokio::time::Instant::now() >= deadline {
                return Err(failure);
            }
            self.leader_change().await;
        }
        Err(error::not_leader(None))
    }

    /// Asks a node to give a group its first members.
    pub(crate) async fn initialize_at(&self, node: NodeId, group: u64) -> Result<(), Error> {
        self.ask(node, What::Initialize, group, &Bytes::new()).await.map(|_| ())
    }

    fn group(&self, number: u64) -> Option<Arc<Replica>> {
        self.replicas().find(|replica| replica.number == number)
    }

    /// Who leads a group; for one without a replica here, each node that has one in turn.
    pub(crate) fn leader_of(&self, group: u64, attempt: usize) -> Option<u64> {
        if let Some(replica) = self.group(group) {
            return replica.group.leader().map(|node| node.0);
        }
        let entry = self.config.cells.iter().find(|cell| cell.number == group)?;
        let nodes = entry.nodes.iter().filter_map(|name| self.config.node(name));
        let reachable: Vec<u64> = nodes
            .map(|node| node.number)
            .filter(|number| self.host.reachable(NodeId(*number)))
            .collect();
        reachable.get(attempt % reachable.len().max(1)).copied()
    }

    /// One exchange with another node.
    pub(crate) async fn ask(&self, node: NodeId, what: What, group: u64, payload: &Bytes) -> Result<Bytes, Error> {
        let unreachable = |error: std::io::Error| {
            tracing::info!(%error, node = node.0, "a node cannot be reached");
            Error::new(Code::Unavailable, "another node of the region cannot be reached")
        };
        let mut stream = self.host.dial(node).await.map_err(unreachable)?;
        let exchange = async {
            let mut head = vec![MARK, what as u8];
            head.extend_from_slice(&group.to_be_bytes());
            head.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
            stream.write_all(&head).await?;
            stream.write_all(payload).await?;
            stream.flush().await?;
            let status = stream.read_u8().await?;
            let bytes = read_block(&mut stream).await?;
            std::io::Result::Ok((status, bytes))
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok((status::DONE, bytes))) => Ok(bytes),
            Ok(Ok((status::NOT_APPLIED, bytes))) => {
                Err(Error::new(Code::Unavailable, String::from_utf8_lossy(&bytes).into_owned()))
            }
            Ok(Ok((_, bytes))) => Err(Error::new(Code::Unavailable, String::from_utf8_lossy(&bytes).into_owned()).unknown()),
            Ok(Err(_)) | Err(_) => Err(Error::new(Code::Unavailable, "another node of the region did not answer").unknown()),
        }
    }

    /// Serves one exchange whose mark has been read.
    pub(crate) async fn serve_relay(self: &Arc<Self>, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let what = stream.read_u8().await?;
        let group = stream.read_u64().await?;
        let payload = read_block(&mut stream).await?;
        let (status, bytes) = match self.group(group) {
            _ if what >= What::ScrubBegin as u8 => match self.serve_scrub(what, group, &payload).await {
                Ok(bytes) => (status::DONE, bytes),
                Err(reason) => (status::NOT_APPLIED, reason.into()),
            },
            None => (
                status::NOT_APPLIED,
                Bytes::from_static(b"the node has no replica of the group"),
            ),
            Some(replica) if what == What::Propose as u8 => match replica.propose_bytes(payload, &Timing::default()).await {
                Ok(reply) => (status::DONE, reply),
                Err(ProposeError::Unknown(reason)) => (status::UNKNOWN, reason.into()),
                Err(other) => (status::NOT_APPLIED, format!("{other}").into()),
            },
            Some(replica) if what == What::Initialize as u8 => match self.initialize_group(&replica).await {
                Ok(_) => (status::DONE, Bytes::new()),
                Err(error) => (status::NOT_APPLIED, error.detail.into()),
            },
            Some(_) => (status::NOT_APPLIED, Bytes::from_static(UNKNOWN.as_bytes())),
        };
        stream.write_u8(status).await?;
        stream.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await
    }
}

async fn read_block(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Bytes> {
    let length = stream.read_u32().await? as usize;
    if length > MOVE_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the block is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}
