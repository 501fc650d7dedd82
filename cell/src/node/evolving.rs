//! Operations of tenants: the leader of a cell takes them on, step by step.
//!
//! What is under way is stored in the tenants; this only remembers where to look. Whoever begins to lead a cell looks through all its
//! tenants once, behind everything that was applied before; from then on it is told of each new operation.
//!
//! Tenants take turns of a few steps, so that a long operation of one does not keep a short one of another waiting.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::error::Error;
use api::service::Timing;
use storage::{Snapshot, Space};
use tokio::sync::Notify;

use super::platform::Platform;
use super::replica::{Proposal, Replica};
use crate::directory::query;
use crate::directory::rows::Status;
use crate::machine::dispatch::answer;
use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::machine::refusal::Refusal;
use crate::machine::rows::{Actor, Place, SpaceStatus};
use crate::records::evolve::step::{OperationStep, Stepped};
use crate::records::evolve::work::{self, Phase};
use crate::service::error::{barrier, internal, refused};

/// Between two looks at who leads what.
const PAUSE: Duration = Duration::from_secs(1);
/// Steps of one turn.
const STEPS: usize = 16;
/// The longest rest after a step. Raised: an operation on a busy cell leaves more of it to others, and takes longer.
const REST: Duration = Duration::from_millis(20);
/// Tenants that are read at a time.
const PAGE: usize = 1_000;

/// Where operations are under way: cells and spaces.
#[derive(Default)]
pub(crate) struct Works {
    places: Mutex<BTreeSet<(u64, Space)>>,
    added: Notify,
}

impl Works {
    /// There may be something to do in a space.
    pub(crate) fn add(&self, cell: u64, space: Space) {
        self.lock().insert((cell, space));
        self.added.notify_one();
    }

    fn all(&self) -> Vec<(u64, Space)> {
        self.lock().iter().copied().collect()
    }

    fn remove(&self, place: (u64, Space)) {
        self.lock().remove(&place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(u64, Space)>> {
        // A set of places is whole whatever panicked.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes on with operations for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let mut led = BTreeSet::new();
    loop {
        look(&platform, &mut led).await;
        let places = platform.works.all();
        let mut failed = false;
        for place in &places {
            failed |= !turn(&platform, *place).await;
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
        if places.is_empty() {
            // Nobody tells of a leadership that was gained: that is looked for.
            let _ = tokio::time::timeout(PAUSE, platform.works.added.notified()).await;
        }
    }
}

/// Looks through the cells that this node leads since the last look.
async fn look(platform: &Platform, led: &mut BTreeSet<u64>) {
    let now: BTreeSet<u64> = platform
        .places()
        .keys()
        .copied()
        .filter(|cell| leads(platform, *cell).is_some())
        .collect();
    led.retain(|cell| now.contains(cell));
    for replica in platform.replicas() {
        for space in replica.taps.take_landed() {
            platform.works.add(replica.number, space);
        }
    }
    for cell in now {
        if led.contains(&cell) {
            continue;
        }
        match find(platform, cell).await {
            Ok(()) => {
                led.insert(cell);
            }
            Err(error) => tracing::debug!(%error, cell, "a look for operations ended early; the next one goes on"),
        }
    }
}

fn leads(platform: &Platform, cell: u64) -> Option<Arc<Replica>> {
    platform.cell(cell).filter(|replica| replica.group.is_leader())
}

/// Finds the operations of a cell.
async fn find(platform: &Platform, cell: u64) -> Result<(), Error> {
    let Some(replica) = leads(platform, cell) else { return Ok(()) };
    replica.group.read_barrier().await.map_err(barrier)?;
    let tenants = platform.directory.read()?;
    let search = move || -> Result<Vec<Space>, Fault> {
        let cells = replica.store.begin_read();
        let (mut found, mut after): (Vec<Space>, Option<String>) = (Vec::new(), None);
        loop {
            let (page, more) = query::tenants(&tenants, after.as_deref(), PAGE)?;
            for tenant in page
                .iter()
                .filter(|tenant| tenant.cell == cell && tenant.status == Status::Active)
            {
                let space = Space(tenant.uid);
                if next(&cells, space)?.is_some() {
                    found.push(space);
                }
            }
            match page.last() {
                Some(last) if more => after = Some(last.slug.clone()),
                _ => return Ok(found),
            }
        }
    };
    let found = tokio::task::spawn_blocking(search).await.map_err(|error| internal(&error))?;
    for space in found.map_err(|fault| internal(&fault))? {
        platform.works.add(cell, space);
    }
    Ok(())
}

/// An operation of a space that has not ended. None is left in one that is being erased, or has left for another cell, whose leader goes
/// on with it; one that is held goes on here or there.
fn next(snapshot: &Snapshot, space: Space) -> Result<Option<uuid::Uuid>, Fault> {
    match snapshot.placed(space)? {
        Some((header, place)) if header.status == SpaceStatus::Live && (place == Place::Here || place.waits()) => {}
        _ => return Ok(None),
    }
    let works = work::list(snapshot, space)?;
    Ok(works.iter().find(|work| work.phase != Phase::Ended).map(|work| work.id))
}

/// Takes some steps in a space. False: that did not work, and is tried again.
async fn turn(platform: &Platform, place: (u64, Space)) -> bool {
    let (cell, space) = place;
    // What is added while this looks stays added.
    platform.works.remove(place);
    // Without the lead there is nothing to do: whoever leads now looks for itself.
    let Some(replica) = leads(platform, cell) else { return true };
    let done = steps(&replica, space).await;
    if !matches!(done, Ok(true)) {
        platform.works.add(cell, space);
    }
    if let Err(error) = &done {
        tracing::warn!(%error, cell = %replica.name, space = space.0, "an operation could not be taken further; it is tried again");
    }
    done.is_ok()
}

/// True: nothing is left to do.
async fn steps(replica: &Replica, space: Space) -> Result<bool, Error> {
    for _ in 0..STEPS {
        let next = next(&replica.store.begin_read(), space).map_err(|fault| internal(&fault))?;
        let Some(id) = next else { return Ok(true) };
        let proposal = Proposal {
            command: OperationStep { id },
            schema: None,
            access: None,
        };
        let began = Instant::now();
        let bytes = replica
            .propose(space, Actor::System, None, proposal, &Timing::default())
            .await?;
        // More than half of the time is for others: the busier the cell, the longer a step takes, and so does the rest.
        tokio::time::sleep((began.elapsed() * 5 / 4).min(REST)).await;
        let step = answer::<Stepped>(&bytes).map_err(|fault| internal(&fault))?.result;
        if step == Err(Refusal::Moving) {
            // It is held for a moment, and goes on here or in another cell.
            tokio::time::sleep(REST).await;
            return Ok(false);
        }
        if step.map_err(|refusal| refused(&refusal))?.ended {
            tracing::info!(operation = %id, "an operation has ended");
        }
    }
    Ok(false)
}
