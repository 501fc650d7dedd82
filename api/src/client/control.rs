//! Calls of operators, and those that need no token.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::tenant::{JSON, json};
use super::{Answer, Call, Client, ClientError};
use crate::body::backup::{CellRestore, TenantRestore};
use crate::body::balance::Balance;
use crate::body::control::{Cell, CellHash, Initialized, NewTenant, Operation, Region, Scrub, Tenant, TenantMove, TenantPatch};
use crate::body::node::{Node, NodeChange};
use crate::body::record::Page;
use crate::body::topology::{Cluster, NewTopology};
use crate::ids::Id;

impl Client {
    /// Whether the process is alive.
    pub async fn livez(&self) -> Result<(), ClientError> {
        self.checked(Call::new(Method::GET, "/livez")).await.map(drop)
    }

    /// Whether the node is ready to serve; a problem says why not.
    pub async fn readyz(&self) -> Result<(), ClientError> {
        self.checked(Call::new(Method::GET, "/readyz")).await.map(drop)
    }

    /// The node's metrics, in the Prometheus text format.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let answer = self.checked(Call::new(Method::GET, "/metrics")).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Result<Value, ClientError> {
        Ok(self.typed(Call::new(Method::GET, "/openapi.json")).await?.body)
    }

    /// A new tenant; the reply has its first admin token.
    pub async fn tenant_create(&self, new: &NewTenant, key: Option<&str>) -> Result<Answer<Tenant>, ClientError> {
        self.typed(Call::new(Method::POST, "/v1/tenants").body(JSON, json(new)?).keyed(key))
            .await
    }

    /// A page of tenants by slug, after the cursor.
    pub async fn tenants(&self, limit: usize, cursor: Option<&str>) -> Result<Answer<Page<Tenant>>, ClientError> {
        let mut path = format!("/v1/tenants?limit={limit}");
        if let Some(cursor) = cursor {
            super::tenant::push_parameter(&mut path, "cursor", cursor);
        }
        self.typed(Call::new(Method::GET, path)).await
    }

    /// One tenant, as operators see it. [`Client::tenant`] is what its application sees.
    pub async fn tenant_show(&self, slug: &str) -> Result<Answer<Tenant>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{slug}"))).await
    }

    /// Changes a tenant.
    pub async fn tenant_patch(&self, slug: &str, patch: &TenantPatch) -> Result<Answer<Tenant>, ClientError> {
        self.typed(Call::new(Method::PATCH, format!("/v1/tenants/{slug}")).body(JSON, json(patch)?))
            .await
    }

    /// Erases a tenant: long work.
    pub async fn tenant_delete(&self, slug: &str) -> Result<Answer<Operation>, ClientError> {
        self.typed(Call::new(Method::DELETE, format!("/v1/tenants/{slug}"))).await
    }

    /// Moves a tenant to another cell of its region: long work. Where a move is under way, its operation.
    pub async fn tenant_move(&self, slug: &str, to: &TenantMove, key: Option<&str>) -> Result<Answer<Operation>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/tenants/{slug}/move")).body(JSON, json(to)?);
        self.typed(call.keyed(key)).await
    }

    /// Makes a tenant out of what another one was at a time: long work.
    pub async fn tenant_restore(
        &self,
        slug: &str,
        wanted: &TenantRestore,
        key: Option<&str>,
    ) -> Result<Answer<Operation>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/tenants/{slug}/restore")).body(JSON, json(wanted)?);
        self.typed(call.keyed(key)).await
    }

    /// Brings the tenants of a cell that was lost back from its backup: long work.
    pub async fn cell_restore(
        &self,
        cell: &str,
        wanted: &CellRestore,
        key: Option<&str>,
    ) -> Result<Answer<Operation>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/cells/{cell}/restore")).body(JSON, json(wanted)?);
        self.typed(call.keyed(key)).await
    }

    /// Calls a move off, while it still can be.
    pub async fn operation_call_off(&self, id: Id) -> Result<Answer<Operation>, ClientError> {
        self.typed(Call::new(Method::POST, format!("/v1/operations/{id}/cancel")))
            .await
    }

    /// How far an operation is.
    pub async fn operation(&self, id: Id) -> Result<Answer<Operation>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/operations/{id}"))).await
    }

    /// All regions.
    pub async fn regions(&self) -> Result<Vec<Region>, ClientError> {
        self.items("/v1/regions").await
    }

    /// The cells of the region, as the asked node sees them.
    pub async fn cells(&self) -> Result<Vec<Cell>, ClientError> {
        self.items("/v1/cells").await
    }

    /// The hash of the asked node's replica of a cell.
    pub async fn cell_hash(&self, cell: &str) -> Result<CellHash, ClientError> {
        Ok(self
            .typed(Call::new(Method::GET, format!("/v1/cells/{cell}/hash")))
            .await?
            .body)
    }

    /// The last scrub of a cell, as its leader knows it.
    pub async fn cell_scrub(&self, cell: &str) -> Result<Scrub, ClientError> {
        let path = format!("/v1/cells/{cell}/scrub");
        Ok(self.typed(Call::new(Method::GET, path)).await?.body)
    }

    /// Begins a scrub of a cell, unless one is under way.
    pub async fn scrub_begin(&self, cell: &str) -> Result<Scrub, ClientError> {
        let path = format!("/v1/cells/{cell}/scrub");
        Ok(self.typed(Call::new(Method::POST, path)).await?.body)
    }

    /// The nodes of the region, as the asked node sees them.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        self.items("/v1/nodes").await
    }

    /// Has a node drain, serve again, or end in order to be started again.
    pub async fn node_change(&self, node: &str, change: NodeChange) -> Result<(), ClientError> {
        let (method, what) = match change {
            NodeChange::Drain => (Method::POST, "drain"),
            NodeChange::Undrain => (Method::DELETE, "drain"),
            NodeChange::Restart => (Method::POST, "restart"),
        };
        self.checked(Call::new(method, format!("/v1/nodes/{node}/{what}")))
            .await
            .map(drop)
    }

    /// How busy the cells of the server's region are, and which tenants to move.
    pub async fn balance(&self) -> Result<Balance, ClientError> {
        Ok(self.typed(Call::new(Method::GET, "/v1/balance")).await?.body)
    }

    /// What the cluster consists of, and the change of it that is under way.
    pub async fn cluster(&self) -> Result<Cluster, ClientError> {
        Ok(self.typed(Call::new(Method::GET, "/v1/cluster")).await?.body)
    }

    /// Begins to bring a topology about; none: there is nothing to do. One change is under way at a time.
    pub async fn cluster_apply(&self, wanted: &NewTopology) -> Result<Option<Operation>, ClientError> {
        let answer = self
            .checked(Call::new(Method::POST, "/v1/cluster/apply").body(JSON, json(wanted)?))
            .await?;
        if answer.status == http::StatusCode::OK {
            return Ok(None);
        }
        Ok(Some(answer.parse()?.body))
    }

    /// Calls the change of the topology that is under way off. What was done stays.
    pub async fn cluster_cancel(&self) -> Result<Operation, ClientError> {
        Ok(self.typed(Call::new(Method::DELETE, "/v1/cluster/apply")).await?.body)
    }

    /// Initialises the groups of the asked node's region, once; true: it was done now.
    pub async fn initialize(&self, alone: bool) -> Result<bool, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/cluster/initialize?alone={alone}"));
        let answer: Answer<Initialized> = self.typed(call).await?;
        Ok(answer.body.initialized)
    }

    async fn items<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        let page: Answer<Page<T>> = self.typed(Call::new(Method::GET, path)).await?;
        Ok(page.body.items)
    }
}
