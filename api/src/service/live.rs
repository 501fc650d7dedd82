//! What the front asks of the platform for those who follow a tenant.

use std::time::Duration;

use async_trait::async_trait;

use super::{Reply, RequestContext};
use crate::body::event::{EventQuery, Seen};
use crate::error::Result;

/// A tenant's events, as they come.
#[async_trait]
pub trait Live {
    /// Refuses a query that names what is not there, or whose filter cannot be read. What was let through stays good: a collection that is
    /// dropped later has no more events.
    fn events_check(&self, ctx: &RequestContext, query: &EventQuery) -> Result<()>;
    /// Events after a position; with `wait`, at least one event or an empty answer when the time is up. All that there are of these
    /// positions: what may not be seen, or was not asked for, is marked.
    async fn events(&self, ctx: &RequestContext, query: &EventQuery, wait: Duration) -> Result<Reply<Vec<Seen>>>;
    /// The tenant's position: once it is above `after`, or when the time is up.
    async fn position(&self, ctx: &RequestContext, after: u64, wait: Duration) -> Result<u64>;
}
