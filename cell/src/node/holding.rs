//! Writes that wait while their tenant moves from one cell to another.
//!
//! A write that meets a hold, where it is decided or where it is applied, had no effect. It waits here, in a bounded crowd and for a
//! bounded time, until the hold is released (then it is decided again) or the tenant has left (then it is for another cell, and whoever
//! sent it looks for that).

use std::time::{Duration, Instant};

use api::error::Error;
use storage::Space;

use super::replica::Replica;
use crate::machine::reader::Reader;
use crate::machine::rows::Place;
use crate::service::error::{self, internal};

/// Most writes that wait at a replica. Raised: more memory, and a longer crowd afterwards. Lowered: more is answered with 503.
pub(crate) const HELD: usize = 4_096;
/// How long a write waits. Longer than a move holds them, shorter than clients wait.
const PATIENCE: Duration = Duration::from_secs(2);

impl Replica {
    /// Waits until writes of a space are served here. An error: they are served elsewhere, or nobody knows yet.
    pub(crate) async fn settled(&self, space: Space) -> Result<(), Error> {
        let _place = self.held.try_acquire().map_err(|_| error::held())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = self.store.begin_read();
            let (applied, placed) = (snapshot.mark().index, snapshot.placed(space));
            // Nothing is pinned while it waits.
            drop(snapshot);
            match placed.map_err(|fault| internal(&fault))?.map(|(_, place)| place) {
                None | Some(Place::Here) => return Ok(()),
                Some(place) if place.waits() => {}
                Some(_) => return Err(error::moved()),
            }
            if !self.group.is_leader() {
                return Err(error::not_leader(self.group.leader().map(|node| node.0)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error::held());
            }
            // Without anything to apply the next look tells whether this replica still leads.
            self.group.wait_applied(applied + 1, left.min(LOOK)).await;
        }
    }
}

/// Between two looks where nothing is applied.
const LOOK: Duration = Duration::from_millis(100);
