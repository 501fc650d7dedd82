//! What the leader of a cell does for files by itself: it ends uploads that have expired, goes on taking away files that were deleted, and forgets
//! chunks that nothing has named for a day.
//!
//! It can stop anywhere: what there is to do is seen from what is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::Error;
use api::service::Timing;
use storage::table::{self, ChunkUse, FileTotals};
use storage::{Direction, Space, Table};
use uuid::Uuid;

use super::super::platform::Platform;
use super::super::replica::{Proposal, Replica};
use crate::directory::GROUP;
use crate::files::abort::UploadAbort;
use crate::files::delete::FileSweep;
use crate::files::forget::{ChunksForget, STEP, UNUSED_MICROS};
use crate::files::rows::{FileRow, UseRow, totals};
use crate::files::upload::expired;
use crate::machine::dispatch::Command;
use crate::machine::reader::{Reader, decode};
use crate::machine::rows::{Actor, Place, SpaceStatus};
use crate::records::time::now_micros;
use crate::service::error::internal;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two looks for chunks that nothing names.
const FORGET: Duration = Duration::from_secs(1_800);
/// Commands for one tenant in one look: other tenants wait no longer than that.
const STEPS: usize = 50;

/// Looks every few seconds, for as long as the platform is there.
pub(super) async fn run(platform: Arc<Platform>) {
    let mut forgot = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let forgets = forgot.elapsed() >= FORGET;
        if forgets {
            forgot = Instant::now();
        }
        for replica in platform
            .replicas()
            .filter(|replica| replica.number != GROUP && replica.group.is_leader())
        {
            if let Err(error) = look(&replica, forgets).await {
                tracing::debug!(cell = %replica.name, %error, "a look at files ended early; the next one goes on");
            }
        }
    }
}

async fn look(replica: &Replica, forgets: bool) -> Result<(), Error> {
    let spaces: Result<Vec<Space>, _> = replica.store.begin_read().spaces().collect();
    for space in spaces.map_err(|error| internal(&error))? {
        let snapshot = replica.store.begin_read();
        if snapshot
            .get(&FileTotals { space })
            .map_err(|error| internal(&error))?
            .is_none()
        {
            continue;
        }
        let placed = snapshot.placed(space).map_err(|fault| internal(&fault))?;
        // One that moves is looked after where it goes.
        if placed.is_none_or(|(header, place)| header.status != SpaceStatus::Live || place != Place::Here) {
            continue;
        }
        let totals = totals(&snapshot, space).map_err(|fault| internal(&fault))?;
        drop(snapshot);
        if totals.uploads > 0 {
            let found = expired(&replica.store.begin_read(), space, now_micros(), STEPS).map_err(|fault| internal(&fault))?;
            for id in found {
                propose(replica, space, UploadAbort { id, expired: true }).await?;
            }
        }
        if totals.leaving > 0 {
            for id in leaving(replica, space)? {
                propose(replica, space, FileSweep { id }).await?;
            }
        }
        if forgets {
            let chunks = unused(replica, space)?;
            for some in chunks.chunks(STEP) {
                let chunks = some.to_vec();
                propose(replica, space, ChunksForget { chunks }).await?;
            }
        }
    }
    Ok(())
}

/// Files that are being taken away, some of them.
fn leaving(replica: &Replica, space: Space) -> Result<Vec<Uuid>, Error> {
    let mut found = Vec::new();
    for row in replica.store.begin_read().scan(table::File::range(space), Direction::Forward) {
        let (raw, bytes) = row.map_err(|error| internal(&error))?;
        let key = table::File::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
        let FileRow::V1(file) = decode(&key, &bytes).map_err(|fault| internal(&fault))?;
        if file.leaves {
            found.push(Uuid::from_bytes(key.id));
        }
        if found.len() == STEPS {
            break;
        }
    }
    Ok(found)
}

/// Chunks that nothing has named for long enough, some of them.
fn unused(replica: &Replica, space: Space) -> Result<Vec<[u8; 32]>, Error> {
    let before = now_micros().saturating_sub(UNUSED_MICROS);
    let mut found = Vec::new();
    for row in replica.store.begin_read().scan(ChunkUse::range(space), Direction::Forward) {
        let (raw, bytes) = row.map_err(|error| internal(&error))?;
        let key = ChunkUse::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
        let UseRow::V1(used) = decode(&key, &bytes).map_err(|fault| internal(&fault))?;
        if used.count == 0 && used.since < before {
            found.push(key.hash);
        }
        if found.len() == STEPS * STEP {
            break;
        }
    }
    Ok(found)
}

async fn propose<C: Command>(replica: &Replica, space: Space, command: C) -> Result<(), Error> {
    let proposal = Proposal {
        command,
        schema: None,
        access: None,
    };
    let proposed = replica
        .propose(space, Actor::System, None, proposal, &Timing::default())
        .await;
    proposed.map(drop)
}
