//! A request that has not found its place yet: how long it waits, and what it looks at again.

use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;

use super::unavailable;
use crate::error::Result;
use crate::front::Front;
use crate::reply::{self, Reply};

/// The first pause between two looks at the directory, if no change of leader comes first; it doubles with each.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest such pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long the directory has to say whether a tenant has moved.
const REFRESH: Duration = Duration::from_millis(50);

/// A request that waits for a leader.
pub(super) struct Waiting<'a> {
    front: &'a Front,
    place: Option<(SemaphorePermit<'a>, Instant)>,
    pause: Duration,
    /// How often it came to a node that does not serve it.
    strayed: u32,
    /// Whether an attempt may have had an effect. A later attempt that had none does not take that back.
    pub(super) doubt: bool,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(front: &'a Front) -> Self {
        Self {
            front,
            place: None,
            pause: PAUSE,
            strayed: 0,
            doubt: false,
        }
    }

    /// It came to a node that does not serve it. A leader that has changed is found by a second look; where that fails too, its tenant
    /// may have moved to another cell, of which this node's copy of the directory does not know yet.
    pub(super) async fn look_again(&mut self) {
        self.strayed += 1;
        if self.strayed > 1 {
            // Without an answer the next look is as good as the last one.
            let _ = tokio::time::timeout(REFRESH, self.front.service.refresh()).await;
        }
    }

    /// The result of the last attempt in the light of those before it.
    pub(super) fn judge(&self, result: Result<Reply>) -> Result<Reply> {
        match result {
            Err(error) if self.doubt => Err(error.unknown()),
            Ok(reply) if self.doubt && reply.status().as_u16() >= 400 => Ok(reply::doubted(reply)),
            settled => settled,
        }
    }

    /// Waits for a change of leader, or a little. An error: it has waited long enough, or too many wait.
    pub(super) async fn pause(&mut self) -> Result<()> {
        let until = match &self.place {
            Some((_, until)) => *until,
            None => {
                let crowded = |_| unavailable("too many requests wait for a leader");
                let permit = self.front.waiters.try_acquire().map_err(crowded)?;
                let until = Instant::now() + self.front.config.leader_wait;
                self.place = Some((permit, until));
                until
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unavailable("no leader is known"));
        }
        // The change may have come between the look and the wait, so the wait is short and the look comes again.
        let _ = tokio::time::timeout(self.pause.min(left), self.front.service.leader_change()).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}
