//! Commands of the platform itself for a group that another node leads: a tenant's space after its entry in the directory,
//! the end of an erasure, the first members of a group.
//!
//! An exchange is `'P' | what u8 | group u64 | length u32 | payload`, answered by `status u8 | length u32 | bytes`; a stream carries one
//! after the other.
//! Requests of users never come this way: they are forwarded as they are.

use std::sync::Arc;
use std::time::Duration;

use api::error::{Code, Error, Outcome};
use bytes::Bytes;
use raft::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::about::{About, AboutForm};
use super::platform::Platform;
use super::replica::Replica;
use crate::directory::GROUP;
use crate::machine::envelope::{open, seal};
use crate::machine::limits::MOVE_BYTES;
use crate::service::error;

/// The first byte of a stream that carries an exchange.
pub(crate) const MARK: u8 = b'P';
/// Longest time of one exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stream is kept open for the next exchange.
const IDLE: Duration = Duration::from_secs(60);
/// How long to look for a leader.
const SEARCH: Duration = Duration::from_secs(5);

/// What is asked. Numbers travel between versions and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// Propose a command; its encoded answer.
    Propose = 1,
    /// Give a group its first members: names of nodes, encoded.
    Initialize = 2,
    /// Begin a scrub; it as JSON.
    ScrubBegin = 3,
    /// The last scrub; it as JSON.
    ScrubLast = 4,
    /// What came out of the scrub with this id at the node's replica, encoded.
    ScrubFound = 5,
    /// The node's replica is the odd one out.
    ScrubOdd = 6,
    /// The position of the directory, behind a read barrier, as 8 bytes.
    Position = 7,
    /// Make these nodes the voters of a group that the node leads: names, encoded.
    Voters = 8,
    /// Nothing: the node answers.
    Alive = 9,
    /// Hand the node's leaderships over, and do not be ready.
    Drain = 10,
    /// Serve again.
    Undrain = 11,
    /// Drain, and end.
    Restart = 12,
    /// What the node is, encoded ([`About`](super::about::About)).
    About = 13,
    /// What a cell takes that the node leads, encoded ([`Load`](super::loads::Load)).
    Load = 14,
    /// What the asking node has charged to tenants, encoded (`fair/spending.rs`).
    Spending = 15,
    /// Keep a chunk of a file (`node/blobs`).
    ChunkPut = 16,
    /// A chunk of a file.
    ChunkGet = 17,
    /// Which of these chunks the node's replica does not have.
    ChunkLacks = 18,
}

/// What a request of a newer version is told.
pub(crate) const UNKNOWN: &str = "a newer version asks for what this one does not know";

/// What is answered. The first byte of the answer.
pub(super) mod status {
    pub(crate) const DONE: u8 = 0;
    pub(crate) const NOT_APPLIED: u8 = 1;
    pub(crate) const UNKNOWN: u8 = 2;
}

impl Platform {
    /// Proposes an encoded command at whoever leads the group.
    pub(crate) async fn propose_at_leader(&self, group: u64, command: Bytes) -> Result<Bytes, Error> {
        let deadline = tokio::time::Instant::now() + SEARCH;
        for attempt in 0.. {
            let failure = match self.leader_of(group, attempt) {
                Some(number) if number == self.me.number => match self.group(group) {
                    Some(replica) => match replica.propose_foreign(command.clone()).await {
                        Ok(reply) => return Ok(reply),
                        Err(failure) => failure,
                    },
                    None => error::not_leader(None),
                },
                Some(number) => {
                    let asked = self.ask(NodeId(number), What::Propose, group, &command).await;
                    self.hint(group, asked.is_ok().then_some(number));
                    match asked {
                        Ok(reply) => return Ok(reply),
                        Err(failure) => failure,
                    }
                }
                None => error::not_leader(None),
            };
            let known = failure.outcome == Outcome::NotApplied;
            if !known || tokio::time::Instant::now() >= deadline {
                return Err(failure);
            }
            self.leader_change().await;
        }
        Err(error::not_leader(None))
    }

    /// Asks a node to give a group its first members.
    pub(crate) async fn initialize_at(&self, node: NodeId, group: u64, members: &[String]) -> Result<(), Error> {
        let members = Bytes::from(seal(&members));
        self.ask(node, What::Initialize, group, &members).await.map(|_| ())
    }

    pub(super) fn group(&self, number: u64) -> Option<Arc<Replica>> {
        self.slot(number)?.get()
    }

    /// Who leads a group; for one without a replica here, or with one that has no place in it any more, each node that has one in turn.
    pub(crate) fn leader_of(&self, group: u64, attempt: usize) -> Option<u64> {
        if let Some(replica) = self.group(group) {
            let leader = replica.group.leader().map(|node| node.0);
            let voters: Vec<u64> = replica.group.status().voters.into_iter().map(|node| node.0).collect();
            return led_by(leader, &voters, self.me.number, attempt);
        }
        if group == GROUP {
            let voters = self.directory_voters();
            return voters.get(attempt % voters.len().max(1)).copied();
        }
        if attempt == 0
            && let Some(known) = self.hinted(group)
        {
            return Some(known);
        }
        let topology = self.topology();
        let cell = topology.cell(group)?;
        let mut reachable = topology.numbers(&cell.nodes);
        // There are no connections to nodes of other regions to tell from.
        reachable.retain(|number| cell.region != self.me.region || self.host.reachable(NodeId(*number)));
        reachable.get(attempt % reachable.len().max(1)).copied()
    }

    /// One exchange with another node.
    pub(crate) async fn ask(&self, node: NodeId, what: What, group: u64, payload: &Bytes) -> Result<Bytes, Error> {
        match self.exchange_with(node, what, group, payload).await? {
            (status::DONE, bytes) => Ok(bytes),
            (status, bytes) => {
                let error = Error::new(Code::Unavailable, String::from_utf8_lossy(&bytes).into_owned());
                Err(if status == status::NOT_APPLIED {
                    error
                } else {
                    error.unknown()
                })
            }
        }
    }

    /// What another node is. One of a version that does not know the question is of the oldest level.
    pub(crate) async fn ask_about(&self, node: NodeId, group: u64) -> Result<About, Error> {
        match self.exchange_with(node, What::About, group, &Bytes::new()).await? {
            (status::DONE, bytes) => open(&bytes)
                .map(|AboutForm::V1(about)| about)
                .map_err(|error| error::internal(&error)),
            _ => Ok(About::oldest()),
        }
    }

    /// One exchange with another node: how it ended there, and what was answered.
    async fn exchange_with(&self, node: NodeId, what: What, group: u64, payload: &Bytes) -> Result<(u8, Bytes), Error> {
        let unreachable = |error: std::io::Error| {
            tracing::info!(%error, node = node.0, "a node cannot be reached");
            Error::new(Code::Unavailable, "another node cannot be reached")
        };
        let mut stream = self.lines.take(&self.host, node).await.map_err(unreachable)?;
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
        let exchanged = tokio::time::timeout(PATIENCE, exchange).await;
        if let Ok(Ok(_)) = &exchanged {
            self.lines.keep(node, stream);
        }
        match exchanged {
            Ok(Ok(ended)) => Ok(ended),
            Ok(Err(_)) | Err(_) => Err(Error::new(Code::Unavailable, "another node did not answer").unknown()),
        }
    }

    /// Serves the exchanges of a stream whose first mark has been read. A node of another region is served what is the
    /// directory's, and the steps of a move that comes from there.
    pub(crate) async fn serve_relay(
        self: &Arc<Self>,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        from: NodeId,
        near: bool,
    ) -> std::io::Result<()> {
        loop {
            let what = stream.read_u8().await?;
            let group = stream.read_u64().await?;
            let payload = read_block(&mut stream).await?;
            // Who is in a group is decided by whoever leads the directory, wherever that is.
            let control = [What::Initialize, What::Voters, What::Alive, What::About]
                .iter()
                .any(|one| *one as u8 == what);
            let own = near || group == GROUP || control;
            let (status, bytes) = match own || self.is_of_a_move_across(what, from, group, &payload).await {
                true => self.exchange(what, group, payload).await,
                false => (
                    status::NOT_APPLIED,
                    Bytes::from_static(b"the cells of this region are not yours"),
                ),
            };
            stream.write_u8(status).await?;
            stream.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).await?;
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            match tokio::time::timeout(IDLE, stream.read_u8()).await {
                Ok(Ok(MARK)) => {}
                // The other side keeps it no longer.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    /// What is answered to one exchange.
    async fn exchange(self: &Arc<Self>, what: u8, group: u64, payload: Bytes) -> (u8, Bytes) {
        if let Some(answer) = self.answer_of_node(what, group, &payload).await {
            return answer;
        }
        if let Some(answer) = self.answer_about_chunks(what, group, &payload).await {
            return answer;
        }
        match self.group(group) {
            _ if (What::ScrubBegin as u8..=What::ScrubOdd as u8).contains(&what) => {
                match self.serve_scrub(what, group, &payload).await {
                    Ok(bytes) => (status::DONE, bytes),
                    Err(reason) => (status::NOT_APPLIED, reason.into()),
                }
            }
            None => (
                status::NOT_APPLIED,
                Bytes::from_static(b"the node has no replica of the group"),
            ),
            Some(replica) if what == What::Propose as u8 => match replica.propose_foreign(payload).await {
                Ok(reply) => (status::DONE, reply),
                Err(error) if error.outcome == Outcome::Unknown => (status::UNKNOWN, error.detail.into()),
                Err(error) => (status::NOT_APPLIED, error.detail.into()),
            },
            Some(replica) if what == What::Initialize as u8 || what == What::Voters as u8 => {
                match self.membership(&replica, what, &payload).await {
                    Ok(()) => (status::DONE, Bytes::new()),
                    Err(reason) => (status::NOT_APPLIED, reason.into()),
                }
            }
            Some(_) => (status::NOT_APPLIED, Bytes::from_static(UNKNOWN.as_bytes())),
        }
    }
}

/// Who leads a group with these voters, as far as a replica of it knows. One that has no place in it any more hears of no leader, or knows of an
/// old one for ever: those who are left are asked in turn.
fn led_by(leader: Option<u64>, voters: &[u64], me: u64, attempt: usize) -> Option<u64> {
    match leader {
        leader if voters.contains(&me) => leader,
        Some(leader) if attempt == 0 => Some(leader),
        _ => voters.get(attempt % voters.len().max(1)).copied(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_without_a_place_in_its_group_asks_those_who_have_one() {
        // A member believes itself, and waits where it knows of no leader.
        assert_eq!(led_by(Some(3), &[1, 2, 3], 1, 5), Some(3));
        assert_eq!(led_by(None, &[1, 2, 3], 1, 5), None);
        // It was taken out of the group, and has heard of that, but of nothing since.
        assert_eq!(led_by(None, &[2], 1, 0), Some(2));
        let asked: Vec<_> = (0..3).map(|attempt| led_by(Some(9), &[2, 3], 1, attempt)).collect();
        assert_eq!(asked, [Some(9), Some(3), Some(2)]);
        // A replica that nobody has given members yet.
        assert_eq!(led_by(None, &[], 1, 0), None);
    }
}
