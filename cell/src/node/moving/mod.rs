//! Moves of tenants between cells: the leader of the cell that a tenant leaves drives them.
//!
//! What there is to do is in the directory (`directory::moves`), how far it is in the two cells (`placement`): this remembers nothing.
//! Whoever begins to lead the cell asks the directory for a new attempt and goes on from what that answers: a move that has switched is
//! finished, one that has not begins again, and what the attempt before it held is released. So whatever stops where it is, the tenant
//! has one cell that serves it.
//!
//! ```text
//!  look ─► an attempt of the directory ─┬─ not switched: release, clear, copy, follow, hold, switch ─┐   (`transfer`)
//!                   ▲                   ├─ switched ─────────────────────────────────────────────────┴─► depart, live, erase, end
//!                   │ anything fails    └─ called off: release, clear, end
//!                   └───────────────────────────────────────────────────────────────────────────────────
//! ```
//!
//! Where the cell that a tenant leaves was lost and came up empty, nothing is held there and nothing served. A move that has switched ends
//! all the same; one that has not waits until the tenant is brought back (`cell restore`), or is called off.
//!
//! CAVEATS: a tenant whose writes outrun the copy (an import at full speed) overflows the tap, and its move begins again, without rests
//! between the chunks, until the writes leave off. While the directory has no leader a hold cannot end: that it answers is asked right
//! before, and what remains is a window of some milliseconds in which its loss costs the tenant's writers an error.

mod across;
mod at;
mod chunks;
mod finish;
mod told;
mod transfer;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::error::Error;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) use self::told::Counts;
pub(super) use self::transfer::rest;
use super::platform::Platform;
use super::replica::Replica;
use crate::directory::move_turn::Turn;
use crate::directory::moves::{self, Move, Stage};
use crate::service::error::internal;

/// Between two looks at the directory.
const PAUSE: Duration = Duration::from_millis(200);
/// Most moves that this node drives at a time. Raised: they share the cell's log. Lowered: they wait for each other.
const AT_A_TIME: usize = 2;
/// Before an attempt that follows one that failed: doubles from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Before the next look at a move that did not get on: doubles from the first to the second. Writes may be held meanwhile: both are short.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// The moves that this node drives, and what it counts of them.
#[derive(Default)]
pub(crate) struct Moves {
    driven: Mutex<BTreeSet<u64>>,
    asked: Notify,
    /// What is counted.
    pub(crate) counts: Counts,
}

impl Moves {
    /// There may be a move to drive.
    pub(crate) fn look(&self) {
        self.asked.notify_one();
    }

    /// Takes a move on, unless it is driven already or enough are.
    fn take_on(self: &Moves, uid: u64) -> bool {
        let mut driven = self.lock();
        driven.len() < AT_A_TIME && driven.insert(uid)
    }

    fn lay_down(&self, uid: u64) {
        self.lock().remove(&uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        // A set of numbers is whole whatever panicked.
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drives moves for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let mut drivers = JoinSet::new();
    loop {
        if let Err(error) = look(&platform, &mut drivers) {
            tracing::debug!(%error, "a look for moves ended early; the next one goes on");
        }
        let _ = tokio::time::timeout(PAUSE, platform.moves.asked.notified()).await;
        while drivers.try_join_next().is_some() {}
    }
}

fn look(platform: &Arc<Platform>, drivers: &mut JoinSet<()>) -> Result<(), Error> {
    let mut found = moves::all(&platform.directory.read()?).map_err(|fault| internal(&fault))?;
    // One that only has to end comes first: it may be all that a tenant waits for, and those that begin may wait for their cell.
    found.sort_by_key(|moving| matches!(moving.stage, Stage::Copying));
    for moving in found {
        if led(platform, moving.from).is_none() || !platform.moves.take_on(moving.uid) {
            continue;
        }
        let driving = Driving {
            platform: Arc::clone(platform),
            uid: moving.uid,
        };
        drivers.spawn(drive(driving, moving));
    }
    Ok(())
}

/// This node's replica of a cell, if it leads it.
fn led(platform: &Platform, cell: u64) -> Option<Arc<Replica>> {
    platform.cell(cell).filter(|replica| replica.group.is_leader())
}

/// That a move is driven, until this is dropped.
struct Driving {
    platform: Arc<Platform>,
    uid: u64,
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.platform.moves.lay_down(self.uid);
    }
}

/// One move, while its cell is led here.
struct Mover<'a> {
    platform: &'a Arc<Platform>,
    source: Arc<Replica>,
    moving: Move,
    /// Whether chunks follow each other without rests.
    hurries: bool,
    /// How long the next attempt waits, if it is not the first.
    backoff: Option<Duration>,
    /// How long the last look waited, if it got nowhere.
    again: Option<Duration>,
}

/// How long to wait after such a wait: twice as long, from the first bound to the second.
fn longer(last: Option<Duration>, (first, most): (Duration, Duration)) -> Duration {
    last.map_or(first, |last| (last * 2).min(most))
}

/// Drives a move to its end, or until somebody else leads its cell.
async fn drive(driving: Driving, moving: Move) {
    let platform = &driving.platform;
    let Some(source) = led(platform, moving.from) else { return };
    let mut mover = Mover {
        platform,
        source,
        moving,
        hurries: false,
        backoff: None,
        again: None,
    };
    loop {
        let Err(error) = mover.go_on().await else { return };
        if led(platform, mover.moving.from).is_none() {
            return;
        }
        let tenant = &mover.moving.slug;
        tracing::warn!(%error, tenant, attempt = mover.moving.attempt, "a move did not get on; it is tried again");
        let again = longer(mover.again, AGAIN);
        mover.again = Some(again);
        tokio::time::sleep(again).await;
    }
}

impl Mover<'_> {
    /// Goes on from where the move is, to its end.
    async fn go_on(&mut self) -> Result<(), Error> {
        let Some(moving) = self.ask(Turn::Attempt).await? else {
            return Ok(());
        };
        self.moving = moving;
        match self.moving.stage {
            Stage::Copying => {
                self.release().await?;
                self.again = None;
                if let Some(backoff) = self.backoff {
                    self.platform.moves.counts.restarted();
                    tokio::time::sleep(backoff).await;
                }
                self.backoff = Some(longer(self.backoff, BACKOFF));
                let held = self.transfer().await?;
                self.finish(Some(held)).await
            }
            Stage::Departing => self.finish(None).await,
            Stage::CalledOff => self.call_off().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let bounds = (Duration::from_millis(50), Duration::from_millis(150));
        let mut last = None;
        for millis in [50, 100, 150, 150] {
            last = Some(longer(last, bounds));
            assert_eq!(last, Some(Duration::from_millis(millis)));
        }
    }
}
