//! The state of a group on its way to a node that rebuilds its replica.
//!
//! One transfer a stream: `'S' | group u64 | least u64 | only the leader u8`, answered by `0` and chunks, each `length u32 | bytes`, with
//! a length of 0 at the end; or by `1 | length u32 | why not`. Numbers are big-endian. The chunks are those of `storage`, which checks
//! every one and the whole: a stream that breaks off, or whose sender meets damage of its own, never ends as a snapshot.
//!
//! Raft's own transfers do not come this way: they need the group to be open on the receiving side, and a leader that knows it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use raft::NodeId;
use storage::{ReceivedSnapshot, SnapshotReader, SnapshotWriter};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::platform::Platform;
use super::slot::Slot;

/// The first byte of a stream that carries the state of a group.
pub(crate) const MARK: u8 = b'S';
/// Longest time of one transfer: the sender's file cannot use its freed pages again meanwhile.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest time between two chunks.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
/// Chunks of 1 MiB between disk and network. Raised: more memory. Lowered: one waits for the other.
const WINDOW: usize = 4;
/// Longest reason of a refusal, in bytes.
const REASON_BYTES: u32 = 4_096;

const GIVEN: u8 = 0;
const REFUSED: u8 = 1;

/// What is asked of another replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The group.
    pub(crate) group: u64,
    /// It must have applied this much: what comes before is in no log of ours.
    pub(crate) least: u64,
    /// Only from the leader.
    pub(crate) from_leader: bool,
}

impl Platform {
    /// Fetches the state of a group from a node into a file.
    pub(crate) async fn fetch(&self, node: NodeId, wanted: Wanted, writer: SnapshotWriter) -> io::Result<ReceivedSnapshot> {
        let mut stream = timeout(CHUNK_PATIENCE, self.host.dial(node)).await??;
        let mut head = vec![MARK];
        head.extend_from_slice(&wanted.group.to_be_bytes());
        head.extend_from_slice(&wanted.least.to_be_bytes());
        head.push(u8::from(wanted.from_leader));
        stream.write_all(&head).await?;
        stream.flush().await?;
        match timeout(CHUNK_PATIENCE, stream.read_u8()).await?? {
            GIVEN => timeout(PATIENCE, take(&mut stream, writer)).await?,
            _ => {
                let length = stream.read_u32().await?.min(REASON_BYTES);
                let mut reason = vec![0; length as usize];
                stream.read_exact(&mut reason).await?;
                Err(io::Error::other(String::from_utf8_lossy(&reason).into_owned()))
            }
        }
    }

    /// Serves one transfer whose mark has been read.
    pub(crate) async fn serve_transfer(&self, from: NodeId, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let wanted = Wanted {
            group: stream.read_u64().await?,
            least: stream.read_u64().await?,
            from_leader: stream.read_u8().await? == 1,
        };
        let slot = match self.stranger(from, wanted.group) {
            Some(why) => Err(why),
            None => {
                let mut slots = self.slots();
                slots
                    .find(|slot| slot.number == wanted.group)
                    .ok_or("the node has no replica of the group")
            }
        };
        let offered = slot.map_err(str::to_owned);
        let offered = offered.and_then(|slot| offer(slot, wanted).map(|reader| (slot, reader)));
        let (slot, reader) = match offered {
            Ok(offered) => offered,
            Err(reason) => {
                stream.write_u8(REFUSED).await?;
                stream.write_u32(u32::try_from(reason.len()).unwrap_or(u32::MAX)).await?;
                stream.write_all(reason.as_bytes()).await?;
                return stream.flush().await;
            }
        };
        let Ok(_turn) = slot.sending.try_acquire() else {
            return Err(io::Error::other("the state of the group is on its way to another node"));
        };
        tracing::info!(cell = %slot.name, at = reader.mark().index, "another node rebuilds its replica from this one");
        stream.write_u8(GIVEN).await?;
        timeout(PATIENCE, give(&mut stream, reader)).await?
    }
}

/// A reader of this node's replica, or why not.
fn offer(slot: &Slot, wanted: Wanted) -> Result<SnapshotReader, String> {
    if let Some(reason) = slot.stopped() {
        return Err(format!("the replica has stopped: {reason}"));
    }
    let replica = slot.get().ok_or("the replica is not there")?;
    if wanted.from_leader && !replica.group.is_leader() {
        return Err("the replica does not lead".to_owned());
    }
    let reader = replica.store.send_snapshot();
    let at = reader.mark().index;
    if at < wanted.least || at == 0 {
        return Err(format!("the replica is at log position {at}, {} is needed", wanted.least));
    }
    Ok(reader)
}

async fn give(stream: &mut (impl AsyncWrite + Unpin), mut reader: SnapshotReader) -> io::Result<()> {
    let (send, mut chunks) = mpsc::channel::<Bytes>(WINDOW);
    let reading = tokio::task::spawn_blocking(move || {
        while let Some(chunk) = reader.next_chunk()? {
            if send.blocking_send(chunk).is_err() {
                break;
            }
        }
        Ok::<(), storage::Error>(())
    });
    while let Some(chunk) = chunks.recv().await {
        stream.write_u32(u32::try_from(chunk.len()).unwrap_or(u32::MAX)).await?;
        stream.write_all(&chunk).await?;
    }
    // Without its end the other side takes nothing of it.
    reading.await?.map_err(io::Error::other)?;
    stream.write_u32(0).await?;
    stream.flush().await
}

async fn take(stream: &mut (impl AsyncRead + Unpin), mut writer: SnapshotWriter) -> io::Result<ReceivedSnapshot> {
    let (send, mut chunks) = mpsc::channel::<Vec<u8>>(WINDOW);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(chunk) = chunks.blocking_recv() {
            // The end of the stream: whether it is one of a snapshot, the chunks say themselves.
            if chunk.is_empty() {
                return writer.finish();
            }
            writer.write(&chunk)?;
        }
        Err(storage::Error::SnapshotRefused("the stream broke off".to_owned()))
    });
    loop {
        let length = timeout(CHUNK_PATIENCE, stream.read_u32()).await??;
        if length as usize > storage::MAX_CHUNK_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is too long"));
        }
        let mut chunk = vec![0; length as usize];
        timeout(CHUNK_PATIENCE, stream.read_exact(&mut chunk)).await??;
        // A writer that has stopped says why below.
        if send.send(chunk).await.is_err() || length == 0 {
            break;
        }
    }
    drop(send);
    writing.await?.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use storage::{Event, KeyRange, Mark, Options, Rebuild, Space, Store};

    use super::*;

    fn filled(dir: &std::path::Path) -> Store {
        let store = Store::open(dir, Options::default()).expect("a store");
        for index in 1..=200u64 {
            let mut batch = store.begin_batch().expect("a batch");
            let mut command = batch.command(index, Space(index % 5)).expect("a command");
            let key = Event {
                space: Space(index % 5),
                position: index,
            };
            command.put(&key, vec![index as u8; 20_000]);
            command.accept();
            let state = vec![index as u8];
            batch.commit(Mark { index, state }).expect("a commit");
        }
        store
    }

    async fn carry(sender: &Store, rebuild: &Rebuild, upto: u64) -> io::Result<ReceivedSnapshot> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let reader = sender.send_snapshot();
        let giving = tokio::spawn(async move {
            // What comes after `upto` bytes never does.
            let mut near = near;
            let (mut pipe, mut end) = tokio::io::duplex(64 << 10);
            let given = tokio::spawn(async move { give(&mut pipe, reader).await });
            let copied = tokio::io::copy(&mut (&mut end).take(upto), &mut near).await;
            drop((end, near));
            let _ = given.await;
            copied
        });
        let mut far = far;
        let taken = take(&mut far, rebuild.receive().map_err(io::Error::other)?).await;
        drop(far);
        let _ = giving.await;
        taken
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_state_that_broke_off_is_never_installed_and_a_whole_one_is_the_senders() {
        let (one, other) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let (sender, damaged) = (filled(one.path()), filled(other.path()));
        damaged.mark_damaged("for the test").expect("a mark");
        let rebuild = Rebuild::of(&damaged).expect("a damaged store");
        for upto in [0, 100, 1 << 20, 3 << 20] {
            assert!(
                carry(&sender, &rebuild, upto).await.is_err(),
                "{upto} bytes are not all of it"
            );
        }
        let received = carry(&sender, &rebuild, u64::MAX).await.expect("all of it");
        let rebuilt = rebuild.install(received).expect("a store");
        let hash = |store: &Store| store.begin_read().hash(KeyRange::all()).expect("a hash");
        assert_eq!((rebuilt.mark(), hash(&rebuilt)), (sender.mark(), hash(&sender)));
    }
}
