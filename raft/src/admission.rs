//! How much may be in flight in a group: a bound on proposals and on their bytes.
//!
//! A permit travels with the proposal into raft and comes back when raft lets go of it. So a proposer that stops waiting does not
//! make room that is not there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::{ADMISSION_WAIT_MS, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_PROPOSALS_MAX};

/// The limits of one group, and what is left of them.
pub(crate) struct Admission {
    proposals: Semaphore,
    bytes: Semaphore,
}

/// A proposal's share.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    bytes: u32,
}

impl Admission {
    pub(crate) fn new() -> Arc<Admission> {
        Arc::new(Admission {
            proposals: Semaphore::new(IN_FLIGHT_PROPOSALS_MAX),
            bytes: Semaphore::new(IN_FLIGHT_BYTES_MAX as usize),
        })
    }

    /// Waits for room, first come first served; `None` when there was none in time.
    pub(crate) async fn enter(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        // An empty payload still costs a frame, and a payload never exceeds u32 because it is checked against its own limit before.
        let bytes = u32::try_from(bytes.max(1)).ok()?;
        if let Ok(one) = self.proposals.try_acquire()
            && let Ok(share) = self.bytes.try_acquire_many(bytes)
        {
            one.forget();
            share.forget();
            return Some(Permit {
                admission: Arc::clone(self),
                bytes,
            });
        }
        timeout(Duration::from_millis(ADMISSION_WAIT_MS), self.enter_slowly(bytes))
            .await
            .ok()
            .flatten()
    }

    async fn enter_slowly(self: &Arc<Self>, bytes: u32) -> Option<Permit> {
        let one = self.proposals.acquire().await.ok()?;
        let share = self.bytes.acquire_many(bytes).await.ok()?;
        one.forget();
        share.forget();
        Some(Permit {
            admission: Arc::clone(self),
            bytes,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.proposals.add_permits(1);
        self.admission.bytes.add_permits(self.bytes as usize);
    }
}
