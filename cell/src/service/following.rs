//! Following a tenant: its events as they come, and its position.
//!
//! Whoever waits is woken by what is applied to its own tenant alone (`machine/watches.rs`), and what a change brings is read once for
//! all who follow (`records/tail.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::event::{EventQuery, Seen};
use api::error::Result;
use api::service::{Live, Reply, RequestContext};
use async_trait::async_trait;
use storage::Space;

use super::Front;
use super::view::in_scope;
use super::writing::{asker, principal};
use crate::fair::unit;
use crate::machine::watches::Watch;
use crate::node::moment::Moment;
use crate::node::replica::Replica;
use crate::records::events::{self, Reading};
use crate::records::interest;

/// How often whoever waits looks whether the replica has stopped: nothing is applied to it then, and nobody is told.
const LOOK: Duration = Duration::from_secs(2);

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
        events::check_kept(&moment.snapshot, space, &moment.header, query.after)?;
        let principal = principal(ctx);
        let reading = Reading {
            snapshot: &moment.snapshot,
            header: &moment.header,
            catalog: &moment.catalog,
            space,
            slug: ctx.placement.slug.as_str(),
            asker: asker(ctx, &principal),
            tails: &replica.tails,
            filters: &replica.filters,
        };
        let body = reading.after(query)?;
        let (account, limits) = self.platform.account(&ctx.placement);
        account.charge(&limits, unit::of_events(body.len() as u64));
        Ok(Reply { body, position })
    }

    async fn position(&self, ctx: &RequestContext, after: u64, wait: Duration) -> Result<u64> {
        let (.., moment) = self.past(ctx, after, wait).await?;
        Ok(moment.header.position)
    }
}

impl Front {
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
