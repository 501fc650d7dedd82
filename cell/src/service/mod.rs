//! The platform as the HTTP front sees it: [`Front`] implements [`api::service::Service`] with one short method a call.
//!
//! What a call does is in the file of its resource beside this one; what it decides and applies is in its domain.

mod admission;
mod archived;
mod archiving;
mod balance;
mod cluster;
mod collections;
pub(crate) mod control;
mod dedicated;
mod documents;
pub(crate) mod error;
mod files;
mod following;
pub(crate) mod gate;
pub(crate) mod health;
pub(crate) mod importing;
mod landing;
mod moving;
mod nodes;
mod pipeline;
mod placing;
mod records;
mod recovering;
mod recovering_cell;
mod recovery;
mod restoring;
mod room;
pub(crate) mod schema;
mod searching;
pub(crate) mod streams;
pub(crate) mod tenant_life;
pub(crate) mod tenants;
pub(crate) mod tokens;
mod toll;
pub(crate) mod versions;
pub(crate) mod view;
pub(crate) mod writing;

use std::fmt;
use std::sync::Arc;

use api::body::backup::{CellRestore, TenantRestore};
use api::body::balance::Balance;
use api::body::control::{Cell, CellHash, NewTenant, Operation, Region, Scrub, Tenant, TenantMove, TenantPatch};
use api::body::node::{Node, NodeChange};
use api::body::record::Page;
use api::body::token::{Me, NewToken, Token};
use api::body::topology::{Cluster, NewTopology};
use api::error::Result;
use api::ids::{Id, Name, NodeNumber, Slug};
use api::server::Certificates;
use api::service::{
    ArchivedTenant, BoxStream, ByteSource, Consistency, Import, Key, LineSender, LineSource, Location, Operator, Placement,
    Principal, Reach, Reply, RequestContext, Service, Timing,
};
use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::node::REQUESTS;
use crate::node::platform::Platform;

/// The platform behind the front.
#[derive(Clone)]
pub(crate) struct Front {
    platform: Arc<Platform>,
    /// The certificate for clients; none: they are served without TLS.
    certificates: Option<Arc<Certificates>>,
    /// Places for exports.
    exports: Arc<Semaphore>,
    /// Places for tenants that come from archives.
    arrivals: Arc<Semaphore>,
    /// Documents whose texts are to be worked out.
    settling: Arc<documents::Settling>,
    /// Turns to write large documents.
    writing: Arc<documents::Writing>,
}

impl Front {
    pub(crate) fn new(platform: Arc<Platform>, certificates: Option<Arc<Certificates>>) -> Self {
        Self {
            platform,
            certificates,
            exports: Arc::new(Semaphore::new(streams::EXPORTS)),
            arrivals: Arc::new(Semaphore::new(archiving::ARRIVALS)),
            settling: Arc::default(),
            writing: Arc::default(),
        }
    }
}

#[async_trait]
impl Service for Front {
    fn locate(&self, slug: &Slug, reach: Reach) -> Location {
        self.platform.locate(slug, reach)
    }

    fn locate_control(&self) -> Location {
        self.platform.locate_control()
    }

    async fn refresh(&self) -> bool {
        self.platform.freshen_directory().await
    }

    async fn leader_change(&self) {
        self.platform.leader_change().await;
    }

    fn leader_hint(&self, slug: Option<&Slug>, leader: Option<NodeNumber>) {
        self.platform.leader_hint(slug, leader);
    }

    fn cors_origins(&self, slug: &Slug) -> Vec<String> {
        let Ok(Some(tenant)) = self.platform.tenant(slug.as_str()) else {
            return Vec::new();
        };
        self.platform.cors_origins(tenant.uid).unwrap_or_default()
    }

    async fn dial(&self, node: NodeNumber) -> std::io::Result<BoxStream> {
        let mut stream = self.platform.host.dial(raft::NodeId(node.0)).await?;
        stream.write_u8(REQUESTS).await?;
        Ok(Box::new(stream))
    }

    async fn authenticate(&self, placement: &Placement, secret: &str, _: &Timing) -> Result<Principal> {
        self.tenant_principal(placement, secret).await
    }

    async fn authenticate_operator(&self, secret: &str) -> Result<Operator> {
        self.operator(secret).await
    }

    async fn barrier(&self, placement: &Placement, consistency: Consistency, _: &Timing) -> Result<()> {
        self.platform
            .replica(placement)?
            .barrier(storage::Space(placement.uid), consistency)
            .await
    }

    async fn me(&self, ctx: &RequestContext) -> Result<Reply<Me>> {
        self.whoami(ctx)
    }

    async fn tokens(&self, ctx: &RequestContext) -> Result<Reply<Vec<Token>>> {
        self.list_tokens(ctx)
    }

    async fn token_create(&self, ctx: &RequestContext, new: NewToken, key: Key) -> Result<Reply<Token>> {
        self.create_token(ctx, new, key).await
    }

    async fn token_delete(&self, ctx: &RequestContext, id: Id) -> Result<Reply<()>> {
        self.delete_token(ctx, id).await
    }

    async fn import(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        import: Import,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        self.import_lines(ctx, collection, import, lines, out).await
    }

    async fn tenant_import(
        &self,
        ctx: &RequestContext,
        import: Option<String>,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        self.restore_archive(ctx, import, lines, out).await
    }

    async fn export(&self, ctx: &RequestContext, out: LineSender) -> Result<Reply<()>> {
        self.export_all(ctx, out)
    }

    async fn archive(&self, placement: &Placement, out: LineSender) -> Result<Reply<()>> {
        self.write_archive(placement, out)
    }

    async fn tenant_create(&self, operator: &Operator, new: NewTenant, key: Key) -> Result<Tenant> {
        self.create_tenant(operator, new, key).await
    }

    async fn tenant_receive(&self, operator: &Operator, new: ArchivedTenant, body: Box<dyn ByteSource>) -> Result<Tenant> {
        self.receive_tenant(operator, new, body).await
    }

    async fn tenants(&self, _: &Operator, limit: usize, cursor: Option<String>) -> Result<Page<Tenant>> {
        self.list_tenants(limit, cursor).await
    }

    async fn tenant(&self, _: &Operator, slug: &Slug) -> Result<Tenant> {
        self.get_tenant(slug).await
    }

    async fn tenant_patch(&self, operator: &Operator, slug: &Slug, patch: TenantPatch) -> Result<Tenant> {
        self.patch_tenant(operator, slug, patch).await
    }

    async fn tenant_delete(&self, operator: &Operator, slug: &Slug) -> Result<Operation> {
        self.delete_tenant(operator, slug).await
    }

    async fn tenant_restore(&self, operator: &Operator, slug: &Slug, wanted: TenantRestore, key: Key) -> Result<Operation> {
        self.restore_tenant(operator, slug, wanted, key).await
    }

    async fn cell_restore(&self, operator: &Operator, cell: &str, wanted: CellRestore, key: Key) -> Result<Operation> {
        self.restore_cell(operator, cell, wanted, key).await
    }

    async fn tenant_move(&self, operator: &Operator, slug: &Slug, to: TenantMove, key: Key) -> Result<Operation> {
        self.move_tenant(operator, slug, to, key).await
    }

    async fn tenant_token(&self, operator: &Operator, placement: &Placement, new: NewToken, key: Key) -> Result<Token> {
        self.mint_token(operator, placement, new, key).await
    }

    async fn operation(&self, _: &Operator, id: Id) -> Result<Operation> {
        self.get_operation(id).await
    }

    async fn operation_call_off(&self, operator: &Operator, id: Id) -> Result<Operation> {
        self.call_off(operator, id).await
    }

    async fn regions(&self, _: &Operator) -> Result<Vec<Region>> {
        Ok(self.list_regions())
    }

    async fn cells(&self, _: &Operator) -> Result<Vec<Cell>> {
        self.list_cells()
    }

    async fn cell_hash(&self, _: &Operator, cell: &str) -> Result<CellHash> {
        self.hash_cell(cell).await
    }

    async fn cell_scrub(&self, _: &Operator, cell: &str, begin: bool) -> Result<Scrub> {
        self.scrub_cell(cell, begin).await
    }

    async fn nodes(&self, _: &Operator) -> Result<Vec<Node>> {
        Ok(self.list_nodes().await)
    }

    async fn initialize(&self, _: &Operator, alone: bool) -> Result<bool> {
        self.platform.initialize(alone).await
    }

    async fn node_change(&self, _: &Operator, node: &str, change: NodeChange) -> Result<()> {
        self.change_node(node, change).await
    }

    async fn balance(&self, _: &Operator) -> Result<Balance> {
        self.show_balance().await
    }

    async fn cluster(&self, _: &Operator) -> Result<Cluster> {
        self.show_cluster().await
    }

    async fn cluster_apply(&self, operator: &Operator, wanted: NewTopology) -> Result<Option<Operation>> {
        self.apply_topology(operator, wanted).await
    }

    async fn cluster_cancel(&self, operator: &Operator) -> Result<Operation> {
        self.cancel_apply(operator).await
    }

    fn ready(&self) -> Result<(), String> {
        self.readiness()
    }

    fn metrics(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.write_metrics(out)
    }

    fn identity(&self) -> (String, String) {
        (self.platform.me.name.clone(), self.platform.me.region.clone())
    }
}
