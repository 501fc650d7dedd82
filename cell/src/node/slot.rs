//! The place of a replica on this node: the replica, or why there is none just now.
//!
//! A place is empty while its replica is being repaired (`repair`). Who asks for the replica then is told so, and whoever still has it
//! from before has a group that has stopped and a store that answers nothing. Everything else of the node goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::body::control::Scrub;
use api::error::{Code, Error};
use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use uuid::Uuid;

use super::replica::Replica;
use crate::service::error;

/// What the reason of an empty place begins with.
pub(crate) const REPAIRING: &str = "repairing";

/// The place of one group's replica.
pub(crate) struct Slot {
    /// The number of the group.
    pub(crate) number: u64,
    /// The name of its cell; `directory` for the directory.
    pub(crate) name: Arc<str>,
    replica: ArcSwapOption<Replica>,
    /// Why the place is empty, or how its repair stands.
    empty: Mutex<Option<String>>,
    /// The turn to send its state to another node.
    pub(crate) sending: Semaphore,
    damages: AtomicU64,
    repairs: AtomicU64,
    retired: AtomicBool,
    /// The turn to open it, or to let it go.
    opening: Arc<tokio::sync::Mutex<()>>,
    /// The last scrub that this node led.
    scrub: Mutex<Option<Scrub>>,
    /// The scrub that the replica had come to when it was last taken out for damage, and the damage.
    taken_out: Mutex<Option<(Uuid, String)>>,
}

impl Slot {
    /// A place that is empty so far.
    pub(crate) fn new(number: u64, name: &str) -> Self {
        Self {
            number,
            name: Arc::from(name),
            replica: ArcSwapOption::empty(),
            empty: Mutex::new(Some("it is being opened".to_owned())),
            sending: Semaphore::new(1),
            damages: AtomicU64::new(0),
            repairs: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            opening: Arc::default(),
            scrub: Mutex::default(),
            taken_out: Mutex::default(),
        }
    }

    /// The replica, if it is there.
    pub(crate) fn get(&self) -> Option<Arc<Replica>> {
        self.replica.load_full()
    }

    /// The replica, or that it has stopped.
    pub(crate) fn take_part(&self) -> Result<Arc<Replica>, Error> {
        self.get().ok_or_else(|| {
            let reason = self.stopped().unwrap_or_default();
            tracing::debug!(cell = %self.name, reason, "a request met a replica that is not there");
            error::away()
        })
    }

    /// Why the replica serves nothing, where it does not.
    pub(crate) fn stopped(&self) -> Option<String> {
        match self.get() {
            Some(replica) => replica.group.stopped().or_else(|| replica.store.damaged()),
            None => self.lock().clone(),
        }
    }

    /// Whether the replica is on its way back.
    pub(crate) fn repairing(&self) -> bool {
        self.get().is_none()
    }

    /// Puts a replica in.
    pub(crate) fn fill(&self, replica: Replica) {
        *self.lock() = None;
        self.replica.store(Some(Arc::new(replica)));
    }

    /// Takes the replica out, if it is there, and says why.
    pub(crate) fn clear(&self, why: &str) {
        *self.lock() = Some(format!("{REPAIRING}: {why}"));
        self.replica.store(None);
    }

    /// The replica leaves its place for good.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether the replica has left, or leaves, for good.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// The turn to open the replica, or to let it go. Who opens looks in its turn whether it is retired.
    pub(crate) async fn opening(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.opening).lock_owned().await
    }

    /// Damage was found.
    pub(crate) fn count_damage(&self) {
        self.damages.fetch_add(1, Ordering::Relaxed);
    }

    /// The replica was rebuilt.
    pub(crate) fn count_repair(&self) {
        self.repairs.fetch_add(1, Ordering::Relaxed);
    }

    /// How often damage was found, and the replica was rebuilt, since the node started.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.damages, &self.repairs].map(|count| count.load(Ordering::Relaxed))
    }

    /// A scrub begins that this node leads; the one that is at work, if there is one.
    pub(crate) fn scrub_started(&self, scrub: &Scrub) -> Option<Scrub> {
        let mut last = self.scrubs();
        if let Some(running) = last.as_ref().filter(|last| last.ended_at.is_none()) {
            return Some(running.clone());
        }
        *last = Some(scrub.clone());
        None
    }

    /// A scrub did not begin after all.
    pub(crate) fn scrub_forgotten(&self, id: Uuid) {
        self.scrubs().take_if(|last| last.id.0 == id);
    }

    /// Changes what is known of a scrub.
    pub(crate) fn scrub_told(&self, id: Uuid, change: impl FnOnce(&mut Scrub)) {
        if let Some(scrub) = self.scrubs().as_mut().filter(|last| last.id.0 == id) {
            change(scrub);
        }
    }

    /// The last scrub that this node led.
    pub(crate) fn scrub(&self) -> Option<Scrub> {
        self.scrubs().clone()
    }

    /// The replica was taken out for damage after it had come to this scrub.
    pub(crate) fn taken_out_after(&self, scrub: Uuid, why: &str) {
        *self.taken_out.lock().unwrap_or_else(PoisonError::into_inner) = Some((scrub, why.to_owned()));
    }

    /// Why the replica was taken out after it had come to this scrub. The one that took its place knows nothing of it.
    pub(crate) fn why_taken_out(&self, scrub: Uuid) -> Option<String> {
        let taken_out = self.taken_out.lock().unwrap_or_else(PoisonError::into_inner);
        taken_out.as_ref().filter(|(id, _)| *id == scrub).map(|(_, why)| why.clone())
    }

    fn scrubs(&self) -> std::sync::MutexGuard<'_, Option<Scrub>> {
        self.scrub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.empty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A replica that this node does not have.
pub(crate) fn no_replica() -> Error {
    Error::new(Code::NotLeader, "this node has no replica of the tenant's cell")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrub_that_cost_a_replica_its_place_is_remembered_beyond_it() {
        let slot = Slot::new(7, "eu-1");
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(slot.why_taken_out(first), None);
        slot.taken_out_after(first, "block 9");
        slot.clear("block 9");
        assert_eq!(slot.why_taken_out(first).as_deref(), Some("block 9"));
        assert_eq!(slot.why_taken_out(second), None);
    }
}
