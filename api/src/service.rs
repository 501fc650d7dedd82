//! What the HTTP front asks of the platform behind it. `cell` implements [`Service`]; tests implement it with a few lines.
//!
//! The front finds out *where* a tenant is served ([`Service::locate`]), *who* asks ([`Service::authenticate`]) and then
//! calls the one method that the route stands for. Methods are named after resources; all take a [`RequestContext`], so that
//! nothing behind the gate sees an unchecked tenant or principal.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::body::backup::{CellRestore, TenantRestore};
use crate::body::balance::Balance;
use crate::body::control::{Cell, CellHash, NewTenant, Operation, Region, Scrub, Tenant, TenantMove, TenantPatch};
use crate::body::node::{Node, NodeChange};
use crate::body::record::Page;
use crate::body::token::{Me, NewToken, Role, Token};
use crate::body::topology::{Cluster, NewTopology};
use crate::error::Result;
use crate::ids::{Id, Name, NodeNumber, Slug};
pub use crate::lines::{BoxStream, ByteSource, Line, LineSender, LineSource, Stream};

mod admission;
mod collections;
mod documents;
mod files;
mod live;
mod records;
mod timing;

pub use admission::{Admission, Admitted, Budget, Counted, Following, Kind};
pub use collections::{Changed, Collections};
pub use documents::{DocumentAt, Documents, Lacking};
pub use files::{Checksum, Claim, FileContent, FileList, Files, NewFile, NewUpload};
pub use live::Live;
pub use records::Records;
pub use timing::{Stage, Timing};

/// What a request needs of the node that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Writes: the leader of the tenant's cell.
    Leader,
    /// Reads: any replica of the tenant's cell (the read barrier makes them strong).
    Replica,
}

/// Where a tenant is served.
#[derive(Clone, Debug)]
pub enum Location {
    /// On this node.
    Here(Placement),
    /// On another node of the region: forward it there, once.
    Node(NodeNumber),
    /// In another region: 421.
    Region(crate::error::Elsewhere),
    /// There is no such tenant in this region.
    Nowhere,
    /// Its cell has no leader that this node knows: wait for [`Service::leader_change`], up to
    /// [`crate::limits::LEADER_WAIT_MILLIS`], then look again.
    NoLeader,
}

/// A tenant, and the cell and epoch that own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its public name.
    pub slug: Slug,
    /// The `TenantUid`: never reused.
    pub uid: u64,
    /// The number of its cell's group.
    pub cell: u64,
    /// Raised by each move.
    pub epoch: u64,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's id.
    pub token: Id,
    /// The version of the token's row that was read.
    pub version: u64,
    /// The token's name.
    pub name: Arc<str>,
    /// Its role.
    pub role: Role,
    /// Collections that it may touch; none: all.
    pub scopes: Option<Arc<[String]>>,
    /// Microseconds since the epoch; none: never.
    pub expires_at: Option<u64>,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It sees every write that was answered before it began.
    #[default]
    Strong,
    /// What this replica has.
    Local,
    /// At least the tenant's position N.
    AtLeast(u64),
}

/// An idempotency key with the request that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// BLAKE3-like digest of method, path and key. The service adds tenant and principal.
    pub scope: [u8; 32],
    /// Digest of the body.
    pub body: [u8; 32],
}

/// The key of a request that may have one.
pub type Key = Option<Idempotency>;

/// What every call behind the gate knows of its request.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The tenant.
    pub placement: Placement,
    /// Who asks.
    pub principal: Principal,
    /// Where the time goes.
    pub timing: Arc<Timing>,
}

/// A body with the position of the tenant that it reflects.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// The body.
    pub body: T,
    /// The number of the tenant's last event that it reflects.
    pub position: u64,
}

/// How lines are imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Names the import, so that a second attempt skips what is stored.
    pub id: Option<String>,
    /// The unique field by which lines find records to change; none: lines make records only.
    pub upsert: Option<Name>,
}

/// A tenant that is to come from an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedTenant {
    /// Its name in URLs.
    pub slug: Slug,
    /// Its region.
    pub region: String,
    /// Its plan; the first of the configuration where it is none.
    pub plan: Option<String>,
    /// Whether the tokens of the archive are its own; else it gets one, which the reply shows.
    pub keeps_tokens: bool,
}

/// What a PUT did.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// The result.
    pub body: T,
    /// Whether it is new.
    pub created: bool,
}

/// Who is behind an operator's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What the token is called.
    pub name: Arc<str>,
}

/// The platform behind the front.
#[async_trait]
pub trait Service: Admission + Collections + Documents + Files + Live + Records + Send + Sync + 'static {
    // ---- ingress ----

    /// Where a tenant is served, from this node's copy of the directory. Never blocks.
    fn locate(&self, slug: &Slug, reach: Reach) -> Location;
    /// Where the directory is led, for control calls that write. [`Location::Here`] carries a placement with an empty cell.
    fn locate_control(&self) -> Location;
    /// Makes this node's copy of the directory see what was answered before; false: nobody could be asked. Ingress calls it before
    /// it says that there is no such tenant, which anyone can make it say: calls at the same time should share one question.
    async fn refresh(&self) -> bool;
    /// Resolves when a leader of some group became known or changed.
    async fn leader_change(&self);
    /// Tells what a forwarded request was answered: the cell of `slug` is led by `leader` (none: not known).
    fn leader_hint(&self, slug: Option<&Slug>, leader: Option<NodeNumber>);
    /// The origins whose pages may use a tenant's API, from this node's copy of the directory. Never blocks.
    fn cors_origins(&self, slug: &Slug) -> Vec<String>;
    /// A stream to another node's front, authenticated both ways.
    async fn dial(&self, node: NodeNumber) -> std::io::Result<BoxStream>;

    // ---- gate ----

    /// Who a tenant's token belongs to. `strong`: with the read barrier before it.
    async fn authenticate(&self, placement: &Placement, secret: &str, timing: &Timing) -> Result<Principal>;
    /// Who an operator's token belongs to.
    async fn authenticate_operator(&self, secret: &str) -> Result<Operator>;
    /// Makes what follows see at least what `consistency` asks for. Called before [`Service::authenticate`] on reads.
    async fn barrier(&self, placement: &Placement, consistency: Consistency, timing: &Timing) -> Result<()>;

    // ---- a tenant: tokens ----

    /// Who this token is.
    async fn me(&self, ctx: &RequestContext) -> Result<Reply<Me>>;
    /// All API keys, without secrets.
    async fn tokens(&self, ctx: &RequestContext) -> Result<Reply<Vec<Token>>>;
    /// A new API key; its secret is in the reply and nowhere else.
    async fn token_create(&self, ctx: &RequestContext, new: NewToken, key: Key) -> Result<Reply<Token>>;
    /// Revokes an API key.
    async fn token_delete(&self, ctx: &RequestContext, id: Id) -> Result<Reply<()>>;

    // ---- a tenant: streams ----

    /// A streamed import. Lines go in order.
    async fn import(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        import: Import,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()>;
    /// The lines of an export, read back.
    async fn tenant_import(
        &self,
        ctx: &RequestContext,
        import: Option<String>,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()>;
    /// Everything that the tenant owns, at one position.
    async fn export(&self, ctx: &RequestContext, out: LineSender) -> Result<Reply<()>>;
    /// The tenant as one file, at one position. It is written after the reply has begun: a piece that is an error breaks it off.
    async fn archive(&self, placement: &Placement, out: LineSender) -> Result<Reply<()>>;

    // ---- control ----

    /// A new tenant with its first admin token.
    async fn tenant_create(&self, operator: &Operator, new: NewTenant, key: Key) -> Result<Tenant>;
    /// A new tenant out of an archive. Nothing of it is there where that fails.
    async fn tenant_receive(&self, operator: &Operator, new: ArchivedTenant, body: Box<dyn ByteSource>) -> Result<Tenant>;
    /// Tenants by slug, after the cursor.
    async fn tenants(&self, operator: &Operator, limit: usize, cursor: Option<String>) -> Result<Page<Tenant>>;
    /// One tenant.
    async fn tenant(&self, operator: &Operator, slug: &Slug) -> Result<Tenant>;
    /// Changes a tenant.
    async fn tenant_patch(&self, operator: &Operator, slug: &Slug, patch: TenantPatch) -> Result<Tenant>;
    /// Erases a tenant: long work.
    async fn tenant_delete(&self, operator: &Operator, slug: &Slug) -> Result<Operation>;
    /// Moves a tenant to another cell of its region: long work. Where a move is under way, its operation.
    async fn tenant_move(&self, operator: &Operator, slug: &Slug, to: TenantMove, key: Key) -> Result<Operation>;
    /// A new tenant out of what another one was at a time: long work.
    async fn tenant_restore(&self, operator: &Operator, slug: &Slug, wanted: TenantRestore, key: Key) -> Result<Operation>;
    /// The tenants of a cell that was lost, out of its backup: long work.
    async fn cell_restore(&self, operator: &Operator, cell: &str, wanted: CellRestore, key: Key) -> Result<Operation>;
    /// A token of a tenant, minted by an operator and audited in the tenant's events. Runs at the tenant's leader.
    async fn tenant_token(&self, operator: &Operator, placement: &Placement, new: NewToken, key: Key) -> Result<Token>;
    /// How far an operation is.
    async fn operation(&self, operator: &Operator, id: Id) -> Result<Operation>;
    /// Calls an operation off, while it still can be.
    async fn operation_call_off(&self, operator: &Operator, id: Id) -> Result<Operation>;
    /// All regions.
    async fn regions(&self, operator: &Operator) -> Result<Vec<Region>>;
    /// The cells of this region, as this node sees them.
    async fn cells(&self, operator: &Operator) -> Result<Vec<Cell>>;
    /// The hash of this node's replica of a cell.
    async fn cell_hash(&self, operator: &Operator, cell: &str) -> Result<CellHash>;
    /// How busy the shared cells of this region are, and which tenants to move.
    async fn balance(&self, operator: &Operator) -> Result<Balance>;
    /// What the cluster consists of, and the change of it that is under way.
    async fn cluster(&self, operator: &Operator) -> Result<Cluster>;
    /// Begins to bring a topology about; none: there is nothing to do.
    async fn cluster_apply(&self, operator: &Operator, wanted: NewTopology) -> Result<Option<Operation>>;
    /// Calls the change of the topology that is under way off: what was done stays.
    async fn cluster_cancel(&self, operator: &Operator) -> Result<Operation>;
    /// The last scrub of a cell, as its leader knows it; with `begin`, a new one, unless one is under way.
    async fn cell_scrub(&self, operator: &Operator, cell: &str, begin: bool) -> Result<Scrub>;
    /// The nodes of this region, as this node sees them.
    async fn nodes(&self, operator: &Operator) -> Result<Vec<Node>>;
    /// Asks a node to drain, to serve again, or to end in order to be started again.
    async fn node_change(&self, operator: &Operator, node: &str, change: NodeChange) -> Result<()>;
    /// Initialises the directory and the groups of this region, once; true: it was done now. `alone`: the directory gets the voters of
    /// this region only, because no other runs yet.
    async fn initialize(&self, operator: &Operator, alone: bool) -> Result<bool>;

    // ---- health ----

    /// Ready to serve; the error says why not.
    fn ready(&self) -> Result<(), String>;
    /// The platform's own metrics, in the Prometheus text format; the front adds its own.
    fn metrics(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// What `GET /` says of this node: name and region.
    fn identity(&self) -> (String, String);
}
