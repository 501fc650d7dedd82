//! What a request needs before it is served: a budget, and a turn.

use std::time::Duration;

use async_trait::async_trait;

use super::RequestContext;
use crate::body::usage::Usage;
use crate::error::Result;
use crate::ids::Slug;

/// What a request is, as far as it can be told before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It asks what may be used: served whatever was.
    Free,
    /// It reads one thing.
    Read,
    /// It reads a page.
    List,
    /// It changes something; the length of its body, in bytes.
    Write(usize),
    /// Its request or its reply is a stream, which is charged as it goes.
    Stream,
}

/// What a tenant may use, as `RateLimit` headers say it: request units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most units that can be used at once.
    pub quota: u64,
    /// In how long as many come, at the rate of the plan.
    pub window: Duration,
    /// Units that are left.
    pub left: u64,
    /// Until the quota is there again.
    pub full_in: Duration,
}

/// A request that has been let in. When it is dropped its turn ends, and its tenant is charged.
pub trait Admitted: Send {
    /// What its tenant may use now; none: as much as it likes.
    fn budget(&self) -> Option<Budget>;
    /// It is answered with a body of so many bytes.
    fn answered(&mut self, bytes: u64);
}

/// A follower's place: it is free again when this is dropped.
pub trait Following: Send + Sync {}

/// A connection's place among those of its tenant: it is free again when this is dropped.
pub trait Counted: Send + Sync {}

/// What keeps tenants apart.
#[async_trait]
pub trait Admission {
    /// Lets a request of a tenant in: within its budget, and in its turn. 429 where its tenant has used up what it may, 503 where nobody
    /// could serve it in time; both before anything is done for it.
    async fn admit(&self, ctx: &RequestContext, kind: Kind) -> Result<Box<dyn Admitted>>;
    /// A place for one more follower of a tenant's events.
    fn follow(&self, ctx: &RequestContext) -> Result<Box<dyn Following>>;
    /// Whether one more connection of a client may ask for a tenant: 429 where the tenant has as many at this node as its plan gives it.
    fn may_connect(&self, slug: &Slug) -> Result<()>;
    /// A place for a connection whose client was let through; 429 as above. None: this node does not know the tenant now.
    fn connected(&self, slug: &Slug) -> Result<Option<Box<dyn Counted>>>;
    /// What a tenant may use and has used, as this node knows it.
    async fn usage(&self, ctx: &RequestContext) -> Result<Usage>;
}
