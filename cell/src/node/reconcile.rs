//! What the leader of a cell does by itself: it makes the spaces that the directory has placed in its cell, and erases those
//! that the directory has given up. And what the leader of the directory does: it lets the operator in.
//!
//! All of it can be interrupted anywhere: the state is in the directory and in the cells, and the next leader goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::error::Error;
use api::service::Timing;
use storage::Space;
use storage::table::OperatorToken;

use super::arriving::{Watched, clearing};
use super::platform::Platform;
use super::replica::{Proposal, Replica};
use crate::backup::turn;
use crate::cluster::limited::TopologyChange;
use crate::directory::operation_update::OperationUpdate;
use crate::directory::operator_put::OperatorPut;
use crate::directory::rows::{Status, Tenant};
use crate::directory::tenant_forget::TenantForget;
use crate::directory::topology::{self, TopologyPut};
use crate::directory::{GROUP, query};
use crate::machine::dispatch::{Command, answer};
use crate::machine::reader::Reader;
use crate::machine::rows::{Actor, Place, SpaceStatus};
use crate::placement::clear::SpaceClear;
use crate::records::template::{self, Template};
use crate::records::time::now_micros;
use crate::records::totals;
use crate::service::error::internal;
use crate::space::erase::SpaceErase;
use crate::space::open::{SpaceOpen, SpaceOpenCounted};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the request that enters a tenant has to make the space itself, with the first token in it.
const GRACE_MICROS: u64 = 10_000_000;
/// Tenants that are read at a time.
const PAGE: usize = 1_000;
/// Steps of an erasure in one look: other tenants wait no longer than that.
const STEPS: usize = 20;

/// How far the erasure of a space is.
#[derive(Default)]
struct Erasing {
    /// Keys removed so far by this node.
    keys: u64,
    /// The last of them.
    last: Option<Vec<u8>>,
}

/// What has been looked at already.
#[derive(Default)]
struct Seen {
    /// The directory's position at the last look; none: look again.
    position: Option<u64>,
    /// Spaces that are there.
    made: BTreeSet<u64>,
    /// Spaces that are being erased.
    erasing: BTreeMap<u64, Erasing>,
    /// Tenants that come from archives.
    arriving: Watched,
    /// The cells that were led at the last look.
    led: BTreeSet<u64>,
}

/// Looks every second, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let mut seen = Seen::default();
    loop {
        if let Err(error) = look(&platform, &mut seen).await {
            tracing::debug!(%error, "a look at the directory ended early; the next one goes on");
            seen.position = None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(platform: &Platform, seen: &mut Seen) -> Result<(), Error> {
    if let Some(directory) = platform.directory.seat().and_then(|slot| slot.get())
        && directory.group.is_leader()
    {
        // What is there at all has a topology.
        enter_topology(platform, &directory).await?;
        admit_operator(platform, &directory).await?;
    }
    let led: BTreeSet<u64> = platform
        .replicas()
        .filter(|replica| replica.number != GROUP && replica.group.is_leader())
        .map(|replica| replica.number)
        .collect();
    let snapshot = platform.directory.read()?;
    let position = snapshot
        .header(Space::SYSTEM)
        .map_err(|fault| internal(&fault))?
        .map(|header| header.position);
    if led.is_empty() || (led == seen.led && position == seen.position) {
        return Ok(());
    }
    if led != seen.led {
        // What came to a cell while another node led it was not seen here.
        seen.arriving.clear();
    }
    let (mut waiting, mut arriving) = (false, BTreeSet::new());
    let mut after: Option<String> = None;
    loop {
        let (tenants, more) = query::tenants(&snapshot, after.as_deref(), PAGE).map_err(|fault| internal(&fault))?;
        for tenant in tenants.iter().filter(|tenant| led.contains(&tenant.cell)) {
            let Some(replica) = platform.cell(tenant.cell) else {
                continue;
            };
            let done = match tenant.status {
                Status::Active => make(&replica, tenant, &mut seen.made).await,
                Status::Arriving => {
                    arriving.insert(tenant.uid);
                    arrive(platform, &replica, tenant, &mut seen.arriving).await
                }
                Status::Deleting => erase(platform, &replica, tenant, seen.erasing.entry(tenant.uid).or_default()).await,
            };
            // One tenant that cannot be helped now must not keep the others waiting.
            waiting |= !done.unwrap_or_else(|error| {
                tracing::debug!(%error, tenant = tenant.slug, "a look at a tenant ended early; the next one goes on");
                false
            });
        }
        match tenants.last() {
            Some(last) if more => after = Some(last.slug.clone()),
            _ => break,
        }
    }
    seen.arriving.keep(&arriving);
    seen.position = if waiting { None } else { position };
    seen.led = led;
    Ok(())
}

/// Enters the token that this node was started with, where the directory does not have it.
async fn admit_operator(platform: &Platform, directory: &Replica) -> Result<(), Error> {
    let Some(hash) = platform.operator else { return Ok(()) };
    let key = OperatorToken {
        space: Space::SYSTEM,
        hash,
    };
    if directory
        .store
        .begin_read()
        .get(&key)
        .map_err(|error| internal(&error))?
        .is_some()
    {
        return Ok(());
    }
    let command = OperatorPut {
        hash,
        name: "bootstrap".to_owned(),
    };
    let proposal = Proposal {
        command,
        schema: None,
        access: None,
    };
    directory
        .propose(Space::SYSTEM, Actor::System, None, proposal, &Timing::default())
        .await?;
    Ok(())
}

/// Enters the topology of this node's file, where the directory has none: with the members that its groups have, as far as they are
/// known here. What the file wants beyond that, an apply brings about.
async fn enter_topology(platform: &Platform, directory: &Replica) -> Result<(), Error> {
    let stored = topology::read(&directory.store.begin_read()).map_err(|fault| internal(&fault))?;
    if stored.is_some() {
        return Ok(());
    }
    let mut topology = platform.config.topology.clone();
    let names = |replica: &Replica| -> Vec<String> {
        let voters = replica.group.status().voters;
        let nodes = voters.iter().filter_map(|node| platform.config.topology.numbered(node.0));
        nodes.map(|node| node.name.clone()).collect()
    };
    topology.directory_voters = names(directory);
    for cell in &mut topology.cells {
        let known = platform.cell(cell.number).map(|replica| names(&replica));
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            cell.nodes = known;
        }
    }
    let put = TopologyPut {
        after: 0,
        topology: (&topology).into(),
    };
    // With plans that need a level it waits for that.
    platform
        .change_topology(Actor::System, TopologyChange::Put(put), Some(&topology))
        .await?;
    Ok(())
}

/// Makes the space of a tenant whose creation was interrupted. False: it is too early to tell, or its cell was lost.
async fn make(replica: &Replica, tenant: &Tenant, made: &mut BTreeSet<u64>) -> Result<bool, Error> {
    if made.contains(&tenant.uid) {
        return Ok(true);
    }
    let space = Space(tenant.uid);
    if replica
        .store
        .begin_read()
        .header(space)
        .map_err(|fault| internal(&fault))?
        .is_some()
    {
        made.insert(tenant.uid);
        return Ok(true);
    }
    if !turn::may_make(replica, tenant.created)? || now_micros() < tenant.created.saturating_add(GRACE_MICROS) {
        return Ok(false);
    }
    let start = tenant.template.as_deref().map_or(Ok(Template::default()), template::find)?;
    let open = SpaceOpen::new(tenant, start);
    match replica.level.group() >= totals::LEVEL {
        true => propose(replica, space, SpaceOpenCounted(open)).await?,
        false => propose(replica, space, open).await?,
    };
    tracing::info!(tenant = tenant.slug, "made a space whose creation had been interrupted");
    Ok(true)
}

/// Looks after a tenant that somebody brings, or should. Never done: it is looked at until it is there, or given up.
async fn arrive(platform: &Platform, replica: &Replica, tenant: &Tenant, arriving: &mut Watched) -> Result<bool, Error> {
    let placed = replica.store.begin_read().placed(Space(tenant.uid));
    let place = placed.map_err(|fault| internal(&fault))?.map(|(_, place)| place);
    arriving.look(platform, tenant, place).await?;
    Ok(false)
}

/// Erases some of the space of a tenant, and in the end its entry in the directory. True: it is done.
async fn erase(platform: &Platform, replica: &Replica, tenant: &Tenant, erasing: &mut Erasing) -> Result<bool, Error> {
    let space = Space(tenant.uid);
    for _ in 0..STEPS {
        let placed = replica.store.begin_read().placed(space).map_err(|fault| internal(&fault))?;
        let (status, place) = placed.map(|(header, place)| (header.status, place)).unzip();
        if let Some(command) = clearing_half(tenant, place) {
            propose::<SpaceClear>(replica, space, command).await?;
            continue;
        }
        if status == Some(SpaceStatus::Erased) {
            let (uid, keys) = (tenant.uid, erasing.keys);
            platform.at_directory(Actor::System, TenantForget { uid, keys }).await?;
            tracing::info!(tenant = tenant.slug, keys = erasing.keys, "erased a tenant");
            return Ok(true);
        }
        let command = SpaceErase {
            tenant: tenant.id,
            after: erasing.last.take(),
        };
        if let Some(step) = propose(replica, space, command).await? {
            erasing.keys += step.keys;
            erasing.last = step.last;
        }
    }
    if let Some(id) = tenant.operation {
        let progress = erasing.keys;
        platform.at_directory(Actor::System, OperationUpdate { id, progress }).await?;
    }
    Ok(false)
}

/// The step that clears the space of a tenant that was to come from an archive and did not; none: it was there, or is cleared. Such a space
/// takes steps of a move only, of its own attempt: that of a cell's second restore is not the first. It keeps late ones out for good.
fn clearing_half(tenant: &Tenant, place: Option<Place>) -> Option<SpaceClear> {
    let first = clearing(tenant, false);
    match place {
        // Nobody asked for its erasure.
        None => tenant.operation.is_none().then_some(first),
        Some(Place::Here | Place::Held { .. } | Place::Departed { .. }) => None,
        Some(place) => place.attempt().map(|attempt| SpaceClear { attempt, ..first }),
    }
}

/// One command of a step; none: it was refused.
async fn propose<C: Command>(replica: &Replica, space: Space, command: C) -> Result<Option<C::Reply>, Error> {
    let proposal = Proposal {
        command,
        schema: None,
        access: None,
    };
    let bytes = replica
        .propose(space, Actor::System, None, proposal, &Timing::default())
        .await?;
    Ok(answer::<C::Reply>(&bytes).map_err(|fault| internal(&fault))?.result.ok())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::machine::refusal::Refusal;
    use crate::machine::stage::{SPACE, Stage};
    use crate::placement::arrive::SpaceArrive;

    fn tenant(operation: Option<Uuid>) -> Tenant {
        Tenant {
            id: Uuid::from_u128(1),
            uid: SPACE.0,
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: 2,
            epoch: 1,
            plan: "free".to_owned(),
            template: None,
            status: Status::Deleting,
            created: 5,
            operation,
        }
    }

    fn placed(stage: &Stage) -> Option<(SpaceStatus, Place)> {
        let placed = stage.snapshot().placed(SPACE).expect("no fault");
        placed.map(|(header, place)| (header.status, place))
    }

    #[test]
    fn a_tenant_whose_second_restore_broke_off_is_cleared_by_the_attempt_of_that_one() {
        let tenant = tenant(Some(Uuid::from_u128(9)));
        let mut stage = Stage::empty();
        for attempt in [1, 2] {
            let comes = SpaceClear {
                attempt,
                ..clearing(&tenant, true)
            };
            assert_eq!(stage.apply(comes).result, Ok(true));
        }
        let chunk = |chunk| SpaceArrive {
            attempt: 2,
            chunk,
            rows: Vec::new(),
            end: None,
        };
        stage.apply(chunk(0)).result.expect("taken");
        let place = placed(&stage).map(|(_, place)| place);
        assert_eq!(place, Some(Place::Copying { attempt: 2, chunks: 1 }));
        let command = clearing_half(&tenant, place).expect("half of it is there");
        assert_eq!(stage.apply(command).result, Ok(true), "nothing is left");
        let cleared = placed(&stage).expect("a header");
        assert_eq!(cleared, (SpaceStatus::Erased, Place::Departed { attempt: 2 }));
        assert_eq!(clearing_half(&tenant, Some(cleared.1)), None, "once");
        assert_eq!(stage.apply(chunk(1)).result, Err(Refusal::Stale), "late ones are kept out");
    }

    #[test]
    fn what_never_came_is_cleared_only_where_nobody_asked_for_its_erasure() {
        let (given_up, deleted) = (tenant(None), tenant(Some(Uuid::from_u128(9))));
        assert_eq!(clearing_half(&given_up, None), Some(clearing(&given_up, false)));
        assert_eq!(clearing_half(&deleted, None), None, "its space is erased");
        assert_eq!(clearing_half(&deleted, Some(Place::Here)), None);
    }
}
