//! Following a tenant: its events as they come, and its position.
//!
//! Whoever waits is woken by what is applied to its own tenant alone (`machine/watches.rs`), and what a change brings is read once for
//! all who follow (`records/tail.rs`). Older events are read by the elastic class. Followers of a tenant that has far more than others are
//! slowed the same way: each then hears of several changes at once, which costs less.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::event::{EventQuery, Seen};
use api::error::Result;
use api::service::{Live, Reply, RequestContext};
use async_trait::async_trait;
use storage::Space;

use super::Front;
use super::error::internal;
use super::toll::Toll;
use super::view::in_scope;
use super::writing::{asker, principal};
use crate::fair::unit::{self, Units};
use crate::machine::watches::Watch;
use crate::node::moment::Moment;
use crate::node::replica::Replica;
use crate::records::events::{self, Reading};
use crate::records::interest;
use crate::records::tail::Shown;

/// How often whoever waits looks whether the replica has stopped: nothing is applied to it then, and nobody is told.
const LOOK: Duration = Duration::from_secs(2);
/// So many events are read from the store at once where they are not kept as they are told. Raised: followers from far behind are noticed by others.
/// Lowered: lists of few events wait on a busy node.
const FEW: u64 = 16;
/// How long a follower is slowed at a time at most.
const SLOWED: Duration = Duration::from_secs(1);

#[async_trait]
impl Live for Front {
    fn events_check(&self, ctx: &RequestContext, query: &EventQuery) -> Result<()> {
        let moment = self.moment(ctx)?;
        interest::check(&moment.catalog, query, |name| in_scope(ctx, name))
    }

    async fn events(&self, ctx: &RequestContext, query: &EventQuery, wait: Duration) -> Result<Reply<Vec<Seen>>> {
        let (replica, space, moment) = self.past(ctx, query.after, wait).await?;
        let position = moment.header.position;
        if query.after >= position {
            let body = Vec::new();
            return Ok(Reply { body, position });
        }
        let page = (position - query.after).min(query.limit as u64);
        let shown = || Shown {
            slug: ctx.placement.slug.as_str().to_owned(),
            schema: moment.header.schema,
        };
        let is_kept = page <= FEW || replica.tails.reaches(space, &shown(), query.after);
        let body = if is_kept {
            let cost = unit::of_events(page);
            let moment = match self.slow(ctx, &replica, cost).await {
                true => replica.moment(space)?,
                false => moment,
            };
            let body = read(ctx, &replica, &moment, query)?;
            let (account, limits) = self.platform.account(&ctx.placement);
            account.charge(&limits, unit::of_events(body.len() as u64));
            body
        } else {
            events::check_kept(&moment.snapshot, space, &moment.header, query.after)?;
            // Nothing is pinned while it waits for its turn.
            drop(moment);
            self.old_events(ctx, &replica, query, unit::of_old_events(page)).await?
        };
        Ok(Reply { body, position })
    }

    async fn position(&self, ctx: &RequestContext, after: u64, wait: Duration) -> Result<u64> {
        let (.., moment) = self.past(ctx, after, wait).await?;
        Ok(moment.header.position)
    }
}

/// Events after a position, as who asks may see them.
fn read(ctx: &RequestContext, replica: &Replica, moment: &Moment, query: &EventQuery) -> Result<Vec<Seen>> {
    events::check_kept(&moment.snapshot, Space(ctx.placement.uid), &moment.header, query.after)?;
    let principal = principal(ctx);
    let reading = Reading {
        snapshot: &moment.snapshot,
        header: &moment.header,
        catalog: &moment.catalog,
        space: Space(ctx.placement.uid),
        slug: ctx.placement.slug.as_str(),
        asker: asker(ctx, &principal),
        tails: &replica.tails,
        filters: &replica.filters,
    };
    reading.after(query)
}

impl Front {
    /// Slows a follower down whose tenant has had far more than others lately; says whether it did.
    async fn slow(&self, ctx: &RequestContext, replica: &Replica, cost: Units) -> bool {
        let (fair, (_, limits), tenant) = (&self.platform.fair, self.platform.account(&ctx.placement), ctx.placement.uid);
        if !fair.is_on || !replica.turns.is_far_beyond(tenant, limits.weight, cost) {
            return false;
        }
        // Where there is no time for it even then, it is told all the same.
        let _ = tokio::time::timeout(SLOWED, fair.elastic.take(tenant, limits.weight, cost)).await;
        true
    }

    /// Events that have to be read from the store: a follower that comes from far behind is no hurry of others.
    async fn old_events(
        &self,
        ctx: &RequestContext,
        replica: &Arc<Replica>,
        query: &EventQuery,
        cost: Units,
    ) -> Result<Vec<Seen>> {
        let advice = "go on after the last position that came";
        Toll::new(&self.platform, &ctx.placement, advice).pay(cost).await?;
        let (asking, replica, query) = (ctx.clone(), Arc::clone(replica), query.clone());
        let reading = async move {
            let moment = replica.moment(Space(asking.placement.uid))?;
            read(&asking, &replica, &moment, &query)
        };
        if !self.platform.fair.is_on {
            return reading.await;
        }
        let read = self.platform.fair.elastic.run(reading).await;
        read.map_err(|error| internal(&error))?
    }

    /// The tenant once its position is above `after`, or when the time is up.
    async fn past(&self, ctx: &RequestContext, after: u64, wait: Duration) -> Result<(Arc<Replica>, Space, Moment)> {
        let replica = self.platform.replica(&ctx.placement)?;
        let space = Space(ctx.placement.uid);
        let deadline = Instant::now() + wait;
        let mut watch: Option<Watch> = None;
        loop {
            if watch.is_none() && !wait.is_zero() {
                // Before the look: what comes after it is told.
                watch = Some(replica.watches.watch(space));
            }
            let moment = replica.moment(space)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if after < moment.header.position || left.is_zero() {
                return Ok((replica, space, moment));
            }
            // Nothing is pinned while it waits.
            drop(moment);
            if let Some(reason) = replica.group.stopped() {
                return Err(super::error::stopped(&reason));
            }
            if let Some(watch) = &mut watch {
                watch.changed(left.min(LOOK)).await;
            }
        }
    }
}
