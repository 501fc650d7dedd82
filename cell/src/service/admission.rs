//! How requests are let in: within the budget of their tenant, and in their turn (`fair/`).

use std::sync::Arc;
use std::time::Duration;

use api::body::usage::{Usage, UsageLimits, UsedStorage, UsedUnits};
use api::error::{Code, Error, Result};
use api::ids::Slug;
use api::service::{Admission, Admitted, Budget, Counted, Following, Kind, Placement, RequestContext, Stage, Timing};
use async_trait::async_trait;
use storage::Space;

use super::Front;
use super::error::internal;
use super::room::Stored;
use crate::config::Plan;
use crate::fair::account::{Account, Limits, Place};
use crate::fair::bucket::Level;
use crate::fair::turns::{Crowded, Turn};
use crate::fair::unit::{self, Units, Work};
use crate::node::platform::Platform;

/// When a request that found no room is worth trying again.
const CROWDED: Duration = Duration::from_secs(1);

/// A request of a tenant that has been let in.
struct Request {
    platform: Arc<Platform>,
    account: Arc<Account>,
    limits: Arc<Limits>,
    timing: Arc<Timing>,
    turn: Option<Turn>,
    level: Level,
    body_bytes: u64,
    /// Whether its time says how long interactive work waits.
    is_interactive: bool,
    _place: Option<Place>,
}

impl Platform {
    /// A tenant's account on this node, and what its plan gives.
    pub(crate) fn account(&self, placement: &Placement) -> (Arc<Account>, Arc<Limits>) {
        self.fair
            .accounts
            .of(placement.uid, || self.limits_of(placement.slug.as_str()))
    }

    /// What the plan of a tenant gives. A plan that the topology has no longer, and a directory that cannot be read, give what the first plan does.
    fn limits_of(&self, slug: &str) -> Limits {
        let topology = self.topology();
        let plan = self.tenant(slug).ok().flatten().map(|tenant| tenant.plan);
        let named = |name: &String| topology.plans.iter().find(|plan| plan.name == *name);
        let plan = plan.as_ref().and_then(named).or(topology.plans.first());
        plan.map_or_else(|| Limits::of(&Plan::default()), Limits::of)
    }
}

#[async_trait]
impl Admission for Front {
    async fn admit(&self, ctx: &RequestContext, kind: Kind) -> Result<Box<dyn Admitted>> {
        let fair = &self.platform.fair;
        let (account, limits) = self.platform.account(&ctx.placement);
        let level = account.level(&limits);
        let request = |place, turn| Request {
            platform: Arc::clone(&self.platform),
            account: Arc::clone(&account),
            limits: Arc::clone(&limits),
            timing: Arc::clone(&ctx.timing),
            turn,
            level,
            body_bytes: if let Kind::Write(bytes) = kind { bytes as u64 } else { 0 },
            is_interactive: !matches!(kind, Kind::Stream | Kind::Free),
            _place: place,
        };
        let place = account.request(&limits);
        if kind == Kind::Free || !fair.is_on {
            return Ok(Box::new(request(place, None)));
        }
        account.asked();
        if let Some(wait) = level.empty_for {
            account.refused();
            let detail = format!(
                "the tenant has used up the request units of its plan {:?}: {} a second, {} at once; GET …/usage shows what it uses",
                limits.plan, limits.budget.rate, limits.budget.burst
            );
            return Err(Error::new(Code::TooManyRequests, detail).retry_after(wait));
        }
        if place.is_none() {
            account.refused();
            let detail = format!(
                "the tenant has {} requests under way at this node, as many as its plan {:?} allows",
                limits.at_once, limits.plan
            );
            return Err(Error::new(Code::TooManyRequests, detail).retry_after(CROWDED));
        }
        let turn = match thought(kind) {
            Some(cost) => {
                let turns = Arc::clone(&self.platform.replica(&ctx.placement)?.turns);
                let turn = turns.enter(ctx.placement.uid, limits.weight, cost).await;
                Some(turn.map_err(crowded)?)
            }
            None => None,
        };
        Ok(Box::new(request(place, turn)))
    }

    fn follow(&self, ctx: &RequestContext) -> Result<Box<dyn Following>> {
        let (account, limits) = self.platform.account(&ctx.placement);
        match account.follower(&limits) {
            Some(place) => Ok(Box::new(place)),
            None => {
                account.refused();
                let detail = format!(
                    "the tenant has {} streams of events open at this node, as many as its plan {:?} allows",
                    limits.followers, limits.plan
                );
                Err(Error::new(Code::TooManyRequests, detail).retry_after(CROWDED))
            }
        }
    }

    fn may_connect(&self, slug: &Slug) -> Result<()> {
        match self.connections_of(slug) {
            Some((account, limits)) if account.connections() >= limits.connections && self.platform.fair.is_on => {
                Err(self.too_many_connections())
            }
            _ => Ok(()),
        }
    }

    fn connected(&self, slug: &Slug) -> Result<Option<Box<dyn Counted>>> {
        let Some((account, limits)) = self.connections_of(slug) else {
            return Ok(None);
        };
        let most = if self.platform.fair.is_on {
            limits.connections
        } else {
            usize::MAX
        };
        match account.connection(most) {
            Some(place) => Ok(Some(Box::new(place))),
            None => {
                account.refused();
                Err(self.too_many_connections())
            }
        }
    }

    async fn usage(&self, ctx: &RequestContext) -> Result<Usage> {
        let (account, limits) = self.platform.account(&ctx.placement);
        let (used, elsewhere) = account.used();
        let (requests, refused) = account.counts();
        let (at_once, followers) = account.places();
        let stored = Stored::read(&self.moment(ctx)?.snapshot, Space(ctx.placement.uid)).map_err(|fault| internal(&fault))?;
        Ok(Usage {
            plan: limits.plan.to_string(),
            limits: UsageLimits {
                units_per_second: limits.budget.rate,
                burst_units: limits.budget.burst,
                weight: limits.weight,
                requests_at_once: limits.at_once as u64,
                event_streams: limits.followers as u64,
                connections: limits.connections as u64,
                records: limits.records,
                storage_bytes: limits.storage_bytes,
            },
            units: UsedUnits {
                left: account.level(&limits).left,
                used: used.as_f64(),
                used_elsewhere: elsewhere.as_f64(),
            },
            requests,
            refused,
            requests_at_once: at_once as u64,
            event_streams: followers as u64,
            connections: account.connections() as u64,
            stored: UsedStorage {
                records: stored.records.map(|records| records.records),
                records_bytes: stored.records.map(|records| records.bytes),
                versions_bytes: stored.records.map(|records| records.versions),
                files_bytes: stored.files,
            },
            counted_seconds: account.opened.elapsed().as_secs(),
        })
    }
}

impl Front {
    /// The account that counts the connections of a tenant; none: this node does not know it now.
    fn connections_of(&self, slug: &Slug) -> Option<(Arc<Account>, Arc<Limits>)> {
        let tenant = self.platform.tenant(slug.as_str()).ok().flatten()?;
        let accounts = &self.platform.fair.accounts;
        Some(accounts.of(tenant.uid, || self.platform.limits_of(slug.as_str())))
    }

    /// Who is told this has not been let through anywhere yet: it says nothing of the tenant's plan.
    fn too_many_connections(&self) -> Error {
        self.platform.fair.refused.connection();
        let detail = "the tenant has as many connections open at this node as its plan allows: close some, or send more requests over each; \
            GET …/usage shows them";
        Error::new(Code::TooManyRequests, detail).retry_after(CROWDED)
    }
}

impl Counted for Place {}

impl Following for Place {}

impl Admitted for Request {
    fn budget(&self) -> Option<Budget> {
        let Limits { budget, .. } = *self.limits;
        self.platform.fair.is_on.then(|| Budget {
            quota: budget.burst,
            window: Duration::from_secs(budget.burst / budget.rate.max(1)),
            left: self.level.left,
            full_in: self.level.full_in,
        })
    }

    fn answered(&mut self, bytes: u64) {
        self.body_bytes += bytes;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let taken = self.timing.taken();
        let units = Work {
            body_bytes: self.body_bytes,
            command_bytes: taken.command_bytes,
            commands: taken.commands,
            changes: taken.changes,
            rows: taken.rows,
            core: Duration::from_micros(taken.core_micros),
        }
        .units();
        self.account.charge(&self.limits, units);
        let mut is_own_wait = false;
        if let Some(turn) = self.turn.take() {
            is_own_wait = turn.is_own_wait();
            turn.end(units);
        }
        if self.is_interactive {
            // What a tenant beyond its share waits for itself is as it should be.
            let stages = [Stage::Queue, Stage::Propose, Stage::Apply];
            let waited = stages[usize::from(is_own_wait)..]
                .iter()
                .map(|stage| u64::from(self.timing.micros(*stage)));
            self.platform.fair.delays.record(Duration::from_micros(waited.sum()));
        }
    }
}

/// What a request is thought to cost; none: it takes no turn, because it is charged as it goes.
fn thought(kind: Kind) -> Option<Units> {
    match kind {
        Kind::Free | Kind::Stream => None,
        Kind::Read => Some(unit::READ),
        Kind::List => Some(unit::LIST),
        Kind::Write(bytes) => Some(unit::of_write(bytes)),
    }
}

/// A request whose turn did not come.
pub(super) fn crowded(crowded: Crowded) -> Error {
    let error = match crowded {
        Crowded::Own => Error::new(
            Code::TooManyRequests,
            "too many requests of the tenant wait at this node for their turn",
        ),
        Crowded::Late => Error::new(Code::Unavailable, "the node is busy: the request's turn did not come in time"),
    };
    error.retry_after(CROWDED)
}
