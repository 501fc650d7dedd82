//! Retention: the leader of a cell trims what its tenants' plans no longer keep, events and superseded versions.
//!
//! It can stop anywhere: what is due is seen from what is stored.

use std::sync::Arc;
use std::time::Duration;

use api::error::Error;
use api::service::Timing;
use storage::Space;

use super::platform::Platform;
use super::replica::{Proposal, Replica};
use crate::directory::query;
use crate::directory::rows::{Status, Tenant};
use crate::machine::dispatch::answer;
use crate::machine::reader::Reader;
use crate::machine::refusal::Refusal;
use crate::machine::rows::{Actor, Place};
use crate::records::time::now_micros;
use crate::records::trim::{SpaceTrim, Trimmed, is_due};
use crate::service::error::{internal, refused};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(60);
/// Between two looks while leaders change.
const REST: Duration = Duration::from_secs(1);
/// Tenants that are read at a time.
const PAGE: usize = 1_000;
/// Steps for one tenant in one look: other tenants wait no longer than that.
const STEPS: usize = 100;
/// What is kept is kept this part longer, so that one trim takes much instead of many trims little.
const SLACK: u64 = 50;
const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// Looks every minute, and when somebody begins to lead, for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    loop {
        if let Err(error) = look(&platform).await {
            tracing::debug!(%error, "a look for what is no longer kept ended early; the next one goes on");
        }
        tokio::time::sleep(REST).await;
        let _ = tokio::time::timeout(PAUSE, platform.leader_change()).await;
    }
}

async fn look(platform: &Platform) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        // Nothing is pinned while the log works.
        let page = query::tenants(&platform.directory.read()?, after.as_deref(), PAGE);
        let (tenants, more) = page.map_err(|fault| internal(&fault))?;
        for tenant in tenants.iter().filter(|tenant| tenant.status == Status::Active) {
            if let Some(replica) = platform.cell(tenant.cell).filter(|replica| replica.group.is_leader()) {
                trim(platform, &replica, tenant).await?;
            }
        }
        match tenants.last() {
            Some(last) if more => after = Some(last.slug.clone()),
            _ => return Ok(()),
        }
    }
}

async fn trim(platform: &Platform, replica: &Replica, tenant: &Tenant) -> Result<(), Error> {
    let (space, now) = (Space(tenant.uid), now_micros());
    let Some((events_days, history_days)) = kept_days(platform, &tenant.plan) else {
        return Ok(());
    };
    let (events, history) = (
        events_days.saturating_mul(DAY_MICROS),
        history_days.saturating_mul(DAY_MICROS),
    );
    let due = SpaceTrim {
        events_before: now.saturating_sub(events.saturating_add(events / SLACK)),
        history_before: now.saturating_sub(history.saturating_add(history / SLACK)),
    };
    let placed = replica.store.begin_read().placed(space).map_err(|fault| internal(&fault))?;
    // One that moves is trimmed where it goes.
    if placed.is_some_and(|(_, place)| place != Place::Here) {
        return Ok(());
    }
    if !is_due(&replica.store.begin_read(), space, &due).map_err(|fault| internal(&fault))? {
        return Ok(());
    }
    let command = SpaceTrim {
        events_before: now.saturating_sub(events),
        history_before: now.saturating_sub(history),
    };
    let (mut events, mut versions) = (0, 0);
    for _ in 0..STEPS {
        let proposal = Proposal {
            command: command.clone(),
            schema: None,
            access: None,
        };
        let bytes = replica
            .propose(space, Actor::System, None, proposal, &Timing::default())
            .await?;
        let step = answer::<Trimmed>(&bytes).map_err(|fault| internal(&fault))?.result;
        if step == Err(Refusal::Moving) {
            break;
        }
        let step = step.map_err(|refusal| refused(&refusal))?;
        events += step.events;
        versions += step.versions;
        if step.done {
            break;
        }
    }
    tracing::info!(tenant = tenant.slug, events, versions, "trimmed what is no longer kept");
    Ok(())
}

/// How long a plan keeps events and superseded versions; none: there is no plan at all.
fn kept_days(platform: &Platform, name: &str) -> Option<(u64, u64)> {
    let topology = platform.topology();
    let plans = &topology.plans;
    let plan = plans.iter().find(|plan| plan.name == name).or(plans.first())?;
    Some((plan.events_days, plan.history_days))
}
