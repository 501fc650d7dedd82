//! What an operator asks some nodes: where tenants are, to move and restore them, to change the cluster, who leads. Blocks; the next node
//! is asked where one does not answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::body::backup::TenantRestore;
use api::body::control::{Cell, Operation, Tenant, TenantMove};
use api::body::topology::{self, NewTopology};
use rig::cluster::Cluster;
use rig::http::{Request, send};
use rig::verify::cells_of;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Debug)]
pub struct Desk {
    nodes: Vec<SocketAddr>,
    token: String,
}

impl Desk {
    /// At the nodes of a region.
    pub fn of(cluster: &Cluster, region: &str) -> Self {
        let nodes = cluster.nodes().iter().filter(|node| node.region == region);
        Self {
            nodes: nodes.map(|node| node.api).collect(),
            token: cluster.operator_token().to_owned(),
        }
    }

    /// At all nodes.
    pub fn everywhere(cluster: &Cluster) -> Self {
        Self {
            nodes: cluster.addresses(),
            token: cluster.operator_token().to_owned(),
        }
    }

    /// At each of its nodes alone.
    pub fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.nodes.iter().map(|node| Self {
            nodes: vec![*node],
            token: self.token.clone(),
        })
    }

    /// The body of the first answer of this status.
    fn ask(&self, method: &str, path: &str, body: &[u8], wanted: u16) -> Result<Vec<u8>> {
        Ok(self.ask_for(method, path, body, &[wanted])?.1)
    }

    /// Status and body of the first answer of one of these.
    fn ask_for(&self, method: &str, path: &str, body: &[u8], wanted: &[u16]) -> Result<(u16, Vec<u8>)> {
        let mut last = String::new();
        for node in &self.nodes {
            let request = Request {
                method,
                path,
                token: &self.token,
                headers: "",
                body,
            };
            match send(*node, request, TIMEOUT) {
                Ok((status, body)) if wanted.contains(&status) => return Ok((status, body)),
                Ok((status, body)) => last = format!("{status} {}", String::from_utf8_lossy(&body)),
                Err(error) => last = format!("{error:#}"),
            }
        }
        bail!("{method} {path}: {last}")
    }

    /// The cell of a tenant.
    pub fn cell_of(&self, slug: &str) -> Result<String> {
        let body = self.ask("GET", &format!("/v1/tenants/{slug}"), b"", 200)?;
        let tenant: Tenant = serde_json::from_slice(&body).context("read a tenant")?;
        Ok(tenant.cell)
    }

    /// Begins a move.
    pub fn begin(&self, slug: &str, to: &str) -> Result<Operation> {
        let to = TenantMove {
            cell: Some(to.to_owned()),
            dedicated: false,
            ..TenantMove::default()
        };
        let body = serde_json::to_vec(&to).context("write a move")?;
        let body = self.ask("POST", &format!("/v1/tenants/{slug}/move"), &body, 202)?;
        serde_json::from_slice(&body).context("read an operation")
    }

    /// Makes a tenant of what another one was.
    pub fn restore(&self, slug: &str, wanted: &TenantRestore) -> Result<Operation> {
        let body = serde_json::to_vec(wanted).context("write a restore")?;
        let body = self.ask("POST", &format!("/v1/tenants/{slug}/restore"), &body, 202)?;
        serde_json::from_slice(&body).context("read an operation")
    }

    /// Whether there is a tenant of this name.
    pub fn has(&self, slug: &str) -> Result<bool> {
        let (status, _) = self.ask_for("GET", &format!("/v1/tenants/{slug}"), b"", &[200, 404])?;
        Ok(status == 200)
    }

    /// The archive of a tenant.
    pub fn archive(&self, slug: &str) -> Result<Vec<u8>> {
        self.ask("GET", &format!("/v1/tenants/{slug}/archive"), b"", 200)
    }

    /// Has a tenant erased.
    pub fn erase(&self, slug: &str) -> Result<()> {
        self.ask("DELETE", &format!("/v1/tenants/{slug}"), b"", 202).map(drop)
    }

    /// What the cluster consists of, and the change of it that is under way.
    pub fn cluster(&self) -> Result<topology::Cluster> {
        let body = self.ask("GET", "/v1/cluster", b"", 200)?;
        serde_json::from_slice(&body).context("read what the cluster consists of")
    }

    /// Has a topology brought about. False: there is nothing to do.
    pub fn apply(&self, wanted: &NewTopology) -> Result<bool> {
        let body = serde_json::to_vec(wanted).context("write a topology")?;
        let (status, _) = self.ask_for("POST", "/v1/cluster/apply", &body, &[200, 202])?;
        Ok(status == 202)
    }

    /// Calls the change of the cluster off that is under way.
    pub fn call_off(&self) -> Result<()> {
        self.ask("DELETE", "/v1/cluster/apply", b"", 202).map(drop)
    }

    /// How far an operation is.
    pub fn operation(&self, id: &str) -> Result<Operation> {
        let body = self.ask("GET", &format!("/v1/operations/{id}"), b"", 200)?;
        serde_json::from_slice(&body).context("read an operation")
    }

    /// The cells as the node sees them that knows the latest terms.
    pub fn cells(&self) -> Vec<Cell> {
        let mut best: Vec<Cell> = Vec::new();
        let asked = self
            .nodes
            .iter()
            .filter_map(|node| cells_of(*node, &self.token, TIMEOUT).ok());
        for cell in asked.flatten() {
            match best.iter_mut().find(|other| other.name == cell.name) {
                Some(other) if (cell.term, cell.leader.is_some()) > (other.term, other.leader.is_some()) => *other = cell,
                Some(_) => {}
                None => best.push(cell),
            }
        }
        best
    }

    /// Who leads a cell, where somebody knows.
    pub fn leader(&self, cell: &str) -> Option<String> {
        self.cells().into_iter().find(|one| one.name == cell)?.leader
    }
}
