//! From a copy of the directory to a seat in it, and back.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use api::error::Error;
use raft::GroupId;
use storage::Store;

use super::{Copy, Directory};
use crate::directory::{GROUP, changes};
use crate::node::open::{Opener, place};
use crate::node::platform::Platform;
use crate::node::slot::Slot;
use crate::search::seeker::Seeker;
use crate::service::error::internal;

/// How often a seat makes sure that it still hears of the directory.
const ASK: Duration = Duration::from_secs(4);
/// After how long without a word it may have lost its vote: above what the directory takes to elect a leader, votes that are split included.
const FORGOTTEN: Duration = Duration::from_secs(12);

impl Directory {
    /// Whether a seat has not heard of the others for so long that it may be no member any more: who loses its vote while it lives is told so by
    /// nobody, because it is no member when the topology says so.
    async fn is_forgotten(&self, seat: &Slot) -> bool {
        let last = |now| *self.heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
        let since = last(Instant::now()).elapsed();
        // A replica that is being repaired is not asked.
        let Some(replica) = seat.get().filter(|_| since > ASK) else {
            return false;
        };
        if replica.group.read_barrier().await.is_ok() {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            return false;
        }
        since > FORGOTTEN
    }

    /// Whether the replica that is joining has what the copy has.
    fn has_caught_up(&self, joining: &Slot, me: u64) -> bool {
        let position = |store: &Store| changes::position(&store.begin_read()).unwrap_or_default();
        let reached = joining.get().map_or(0, |replica| position(&replica.store));
        let member = joining
            .get()
            .is_some_and(|replica| replica.group.status().voters.contains(&raft::NodeId(me)));
        member && self.copy().is_none_or(|copy| reached >= copy.position())
    }
}

impl Platform {
    /// Gets this node's directory one step nearer to what the topology says of it; `votes`: whether it is a voter, where that is known.
    /// A replica that is to go is added to those that are leaving.
    pub(crate) async fn tend_seat(
        &self,
        opener: &Arc<Opener>,
        votes: Option<bool>,
        leaving: &mut Vec<Arc<Slot>>,
    ) -> Result<(), Error> {
        let directory = &self.directory;
        if let Some(joining) = directory.joining.load_full() {
            if directory.has_caught_up(&joining, self.me.number) {
                directory.seat.store(Some(joining));
                directory.joining.store(None);
                tracing::info!("this node votes in the directory now");
            } else if votes == Some(false) && directory.copy().is_some_and(|copy| copy.position() > 0) {
                directory.joining.store(None);
                leaving.push(joining);
            }
            return Ok(());
        }
        let forgotten = match directory.seat() {
            Some(seat) if votes == Some(true) => directory.is_forgotten(&seat).await,
            _ => false,
        };
        match (directory.seat(), directory.copy(), votes) {
            (Some(_), Some(_), Some(true)) if forgotten => Ok(()),
            (Some(_), Some(copy), Some(true)) => {
                directory.copy.store(None);
                close(opener, copy).await
            }
            (None, Some(_), Some(true)) => {
                let opening = Arc::clone(opener);
                let opened = tokio::task::spawn_blocking(move || place(&opening, GROUP, "directory", false)).await;
                let slot = opened.map_err(|error| internal(&error))?;
                let slot = slot.map_err(|error| internal(&format!("open a replica of the directory: {error:#}")))?;
                directory.joining.store(Some(slot));
                Ok(())
            }
            (Some(_), None, Some(voting)) if forgotten || !voting => {
                let opening = Arc::clone(opener);
                let opened = tokio::task::spawn_blocking(move || Copy::open(&opening.copy_directory(), opening.options()));
                let copy = opened.await.map_err(|error| internal(&error))?;
                let copy = copy.map_err(|error| internal(&format!("open a copy of the directory: {error:#}")))?;
                directory.copy.store(Some(Arc::new(copy)));
                Ok(())
            }
            (Some(seat), Some(copy), Some(false)) => {
                let reached = seat.get().map_or(0, |replica| {
                    changes::position(&replica.store.begin_read()).unwrap_or_default()
                });
                if copy.position() == 0 || copy.position() < reached {
                    return Ok(());
                }
                directory.seat.store(None);
                tracing::info!("this node does not vote in the directory any more; it keeps a copy");
                leaving.push(seat);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Closes a replica for good and removes what it had. Where it fails it may be called again.
    pub(crate) async fn leave(&self, opener: &Arc<Opener>, slot: Arc<Slot>) -> Result<(), Error> {
        // From here on nobody repairs it, and nobody is about to open it.
        slot.retire();
        let _opening = slot.opening().await;
        if let Some(replica) = slot.get() {
            self.host
                .close_group(&replica.group)
                .await
                .map_err(|error| internal(&error))?;
            let (store, seeker) = (replica.store.clone(), replica.seeker.clone());
            let close = move || {
                seeker.iter().for_each(Seeker::stop);
                store.close()
            };
            let closed = tokio::task::spawn_blocking(close).await.map_err(|error| internal(&error))?;
            if let Err(error) = closed {
                // A disk that failed or is full does not keep what is to be removed from it.
                tracing::warn!(cell = %slot.name, %error, "a store that is removed could not be closed");
            }
        }
        // That of the directory stays: at the next start it tells that this node has voted.
        if slot.number != GROUP {
            let left = self.host.leave_group(GroupId(slot.number)).await;
            left.map_err(|error| internal(&error))?;
        }
        remove(opener.directory(&slot)).await
    }
}

async fn close(opener: &Arc<Opener>, copy: Arc<Copy>) -> Result<(), Error> {
    if let Some(store) = copy.take() {
        let closed = tokio::task::spawn_blocking(move || Store::clone(&store).close()).await;
        closed.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
    }
    remove(opener.copy_directory()).await
}

/// Removes a directory that no store is open in.
async fn remove(directory: std::path::PathBuf) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(&directory).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(internal(&format!("remove {}: {error}", directory.display())))
        }
        _ => Ok(()),
    }
}
