//! What an operator asks the nodes of a region: where tenants are, to move them, who leads. Blocks; the next node is asked where one does
//! not answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::body::control::{Cell, Operation, Tenant, TenantMove};
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

    /// The body of the first answer of this status.
    fn ask(&self, method: &str, path: &str, body: &[u8], wanted: u16) -> Result<Vec<u8>> {
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
                Ok((status, body)) if status == wanted => return Ok(body),
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
