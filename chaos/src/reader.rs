//! One node that is read from as the admin of a tenant, when everybody is quiet: waits until there is an answer that is not "later".

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::http::{Connection, Request};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::field::Field;
use crate::liveness;
use crate::workload::Workspace;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Reader<'a> {
    /// The node's name.
    pub(crate) name: String,
    pub(crate) node: SocketAddr,
    workspace: &'a Workspace,
    open: Option<Connection>,
}

/// One a node that takes part, of the tenants' region.
pub(crate) fn readers<'a>(field: &Field<'_>, workspace: &'a Workspace) -> Vec<Reader<'a>> {
    let live = liveness::homes(field);
    let nodes = field.cluster.nodes().iter().filter(|node| live.contains(&node.name));
    let reader = |node: &rig::layout::Node| Reader {
        name: node.name.clone(),
        node: node.api,
        workspace,
        open: None,
    };
    nodes.map(reader).collect()
}

impl Reader<'_> {
    /// All pages of a list; nothing where there is nothing of that name.
    pub(crate) async fn all(&mut self, path: &str) -> Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, bytes) = self.ask(&format!("{path}&limit=500{cursor}")).await?;
            if status == 404 {
                return Ok(all);
            }
            ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&bytes));
            let body: Value = serde_json::from_slice(&bytes).context("read a page")?;
            all.extend(body["items"].as_array().into_iter().flatten().cloned());
            match body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// One request, and the answer that is not "later", if there is one in time.
    pub(crate) async fn ask(&mut self, path: &str) -> Result<(u16, Vec<u8>)> {
        let deadline = Instant::now() + liveness::WITHIN;
        loop {
            let said = timeout(ANSWER, self.attempt(path)).await;
            match said {
                Ok(Ok((status, body))) if status < 500 && status != 429 => return Ok((status, body)),
                _ if Instant::now() < deadline && !crate::stop::is_asked() => sleep(PAUSE).await,
                Ok(Ok((status, body))) => {
                    let said = String::from_utf8_lossy(&body).into_owned();
                    anyhow::bail!("{} answers {path} with {status} {said}", self.name)
                }
                Ok(Err(error)) => return Err(error).with_context(|| format!("ask {} for {path}", self.name)),
                Err(_) => anyhow::bail!("{} did not answer {path}", self.name),
            }
        }
    }

    async fn attempt(&mut self, path: &str) -> Result<(u16, Vec<u8>)> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Connection::open(self.node).await?,
        };
        let mut bytes = Vec::new();
        Request {
            method: "GET",
            path: &format!("/v1/tenants/{}{path}", self.workspace.slug),
            token: &self.workspace.token,
            headers: "",
            body: b"",
        }
        .write(&mut bytes);
        let reply = open.exchange(&bytes).await?;
        let answer = (reply.status, reply.body.to_vec());
        if reply.keep_alive {
            self.open = Some(open);
        }
        Ok(answer)
    }
}
