//! Closing one group while the others go on, so that it can be opened again over another machine.
//!
//! Its log and its vote stay where they are. What this replica was asked to write before is durable when the group is closed: who
//! opens it again takes all that the log shows for durable, and acknowledges it.

use super::{Host, lock};
use crate::{Error, Group};

/// Why a group stopped that was closed.
const CLOSED: &str = "the group was closed";

impl Host {
    /// Ends a group on this node, and waits until nothing of it runs. Its handles answer that it stopped. Fails with `Log` when the
    /// log can no longer be written, and with `Closed` when the host stops meanwhile.
    pub async fn close_group(&self, group: &Group) -> Result<(), Error> {
        let replica = group.replica();
        replica.queue.end(CLOSED);
        let _ = replica.raft.shutdown().await;
        self.0.net.inbox.remove(replica);
        let threads = {
            let mut all = lock(&self.0.apply_threads);
            let (own, others) = std::mem::take(&mut *all).into_iter().partition(|(id, _)| *id == replica.id.0);
            *all = others;
            own
        };
        let joined = tokio::task::spawn_blocking(move || {
            let threads: Vec<(u64, std::thread::JoinHandle<()>)> = threads;
            // What it panicked of is the reason why the group stopped.
            threads.into_iter().for_each(|(_, thread)| drop(thread.join()));
        });
        joined.await.map_err(|_| Error::Closed)?;
        let log = self.0.wal.group(replica.id.0);
        let settled = crate::log_store::settle(&log).await;
        settled.map_err(|error| Error::Log(error.to_string()))
    }
}
