//! Counting: the leader of a cell counts the records of tenants of before there were totals (`records/count.rs`), one tenant after the other.
//!
//! The walk is elastic work: it pays for its steps as an export does, and computes where whoever else wakes up takes the core. It can stop
//! anywhere: what was there when counting began is the same for every leader.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::error::Error;
use api::service::Timing;
use storage::Space;

use super::platform::Platform;
use super::replica::{Proposal, Replica};
use crate::directory::query;
use crate::directory::rows::{Status, Tenant};
use crate::fair::unit;
use crate::machine::dispatch::{Command, answer};
use crate::machine::reader::Reader;
use crate::machine::rows::{Actor, Place};
use crate::records::count::{RecordsCount, Stepped, Walk};
use crate::records::totals::{self, Growth, TotalsRow};
use crate::service::error::{internal, refused};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two looks while leaders change, or where something could not be counted.
const REST: Duration = Duration::from_secs(1);
/// Tenants that are read at a time.
const PAGE: usize = 1_000;
/// Rows of one step of a walk. Raised: others wait longer for the thread. Lowered: more steps.
const STEP_ROWS: usize = 256;
/// Between two tries to pay for a step that had no turn.
const NO_TURN: Duration = Duration::from_secs(1);

/// Looks for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    let mut known = Known::default();
    loop {
        let pause = match look(&platform, &mut known).await {
            Ok(()) => PAUSE,
            Err(error) => {
                tracing::debug!(%error, "a look for records that are not counted ended early; the next one goes on");
                REST
            }
        };
        tokio::time::sleep(REST).await;
        let _ = tokio::time::timeout(pause, platform.leader_change()).await;
    }
}

/// What is counted, while this node leads the same cells: nothing takes that back.
#[derive(Default)]
struct Known {
    led: BTreeSet<u64>,
    /// Tenants whose records are counted.
    tenants: BTreeSet<u64>,
    /// The directory's position at which all of them were.
    all: Option<u64>,
}

async fn look(platform: &Platform, known: &mut Known) -> Result<(), Error> {
    let leads = |replica: &Replica| replica.group.is_leader() && replica.level.group() >= totals::LEVEL;
    let led = platform.replicas().filter(|replica| leads(replica));
    let led: BTreeSet<u64> = led.map(|replica| replica.number).collect();
    if led != known.led {
        *known = Known { led, ..Known::default() };
    }
    let position = platform.directory.read()?.header(Space::SYSTEM);
    let position = position.map_err(|fault| internal(&fault))?.map(|header| header.position);
    if known.led.is_empty() || (known.all.is_some() && known.all == position) {
        return Ok(());
    }
    let (mut after, mut all): (Option<String>, bool) = (None, true);
    loop {
        // Nothing is pinned while records are walked over.
        let page = query::tenants(&platform.directory.read()?, after.as_deref(), PAGE);
        let (tenants, more) = page.map_err(|fault| internal(&fault))?;
        for tenant in tenants.iter().filter(|tenant| tenant.status == Status::Active) {
            if !known.led.contains(&tenant.cell) || known.tenants.contains(&tenant.uid) {
                continue;
            }
            let Some(replica) = platform.cell(tenant.cell).filter(|replica| leads(replica)) else {
                all = false;
                continue;
            };
            // One that cannot be counted now must not keep the others waiting.
            match count(platform, &replica, tenant).await {
                Ok(true) => drop(known.tenants.insert(tenant.uid)),
                Ok(false) => all = false,
                Err(error) => {
                    tracing::debug!(%error, tenant = tenant.slug, "the records of a tenant are counted later");
                    all = false;
                }
            }
        }
        match tenants.last() {
            Some(last) if more => after = Some(last.slug.clone()),
            _ => break,
        }
    }
    known.all = position.filter(|_| all);
    Ok(())
}

/// Counts the records of a tenant. False: it moves, or is still to be made. True: they are counted, here and for good.
async fn count(platform: &Platform, replica: &Replica, tenant: &Tenant) -> Result<bool, Error> {
    let space = Space(tenant.uid);
    let row = {
        let snapshot = replica.store.begin_read();
        // One that moves is counted where it goes, one that is still to be made from the beginning.
        match snapshot.placed(space).map_err(|fault| internal(&fault))? {
            Some((_, Place::Here)) => totals::row(&snapshot, space).map_err(|fault| internal(&fault))?,
            _ => return Ok(false),
        }
    };
    match row {
        Some(TotalsRow::Known(_)) => return Ok(true),
        Some(TotalsRow::Counting { .. }) => {}
        None => propose(replica, space, RecordsCount::Begin).await?,
    }
    let snapshot = replica.store.begin_read();
    let row = totals::row(&snapshot, space).map_err(|fault| internal(&fault))?;
    let Some(TotalsRow::Counting { since, grown }) = row else {
        return Ok(false);
    };
    let found = walk(platform, tenant, Walk::new(snapshot, space)).await?;
    let base = found.minus(grown);
    propose(replica, space, RecordsCount::End { since, base }).await?;
    tracing::info!(
        tenant = tenant.slug,
        records = found.records,
        "counted the records of a tenant"
    );
    Ok(true)
}

/// Walks over all that counts, giving way after each step.
async fn walk(platform: &Platform, tenant: &Tenant, mut walk: Walk) -> Result<Growth, Error> {
    loop {
        let step = async move {
            let stepped = walk.step(STEP_ROWS);
            (stepped, walk)
        };
        let (stepped, next) = platform.fair.elastic.run(step).await.map_err(|error| internal(&error))?;
        walk = next;
        let bytes = match stepped.map_err(|error| internal(&error))? {
            Stepped::On { bytes } => bytes,
            Stepped::Ended(found) => return Ok(found),
        };
        // Nobody waits for it: one that had no turn in time asks again.
        while platform
            .fair
            .elastic
            .take(tenant.uid, 1, unit::of_export(bytes))
            .await
            .is_err()
        {
            tokio::time::sleep(NO_TURN).await;
        }
    }
}

async fn propose(replica: &Replica, space: Space, command: RecordsCount) -> Result<(), Error> {
    let proposal = Proposal {
        command,
        schema: None,
        access: None,
    };
    let bytes = replica
        .propose(space, Actor::System, None, proposal, &Timing::default())
        .await?;
    let counted = answer::<<RecordsCount as Command>::Reply>(&bytes).map_err(|fault| internal(&fault))?;
    counted.result.map_err(|refusal| refused(&refusal))
}
