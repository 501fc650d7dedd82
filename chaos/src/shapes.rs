//! Reads back what changes of schemas left: once they have ended, the schema and its operations on every node, lists that an index
//! serves, and the history of every record that a client wrote one by one.
//!
//! Whether the run left the collection with its index is chance. So one more change gives it that before the lists are asked for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::http::{Connection, Request};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::ending::{Shape, TenantEnding, Version, Work};
use crate::field::Field;
use crate::invariants::names;
use crate::liveness;
use crate::workload::{Controls, Workspace};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A node that is asked as the admin of a tenant.
struct Desk<'a> {
    node: SocketAddr,
    workspace: &'a Workspace,
}

/// Looks at the collection whose schema changed.
pub async fn read(field: &Field<'_>, workspace: &Workspace, controls: &Controls, ending: &mut TenantEnding) -> Result<()> {
    let live = liveness::homes(field);
    let nodes = field.cluster.nodes().iter().filter(|node| live.contains(&node.name));
    let desks: Vec<_> = nodes
        .map(|node| {
            (
                node.name.clone(),
                Desk {
                    node: node.api,
                    workspace,
                },
            )
        })
        .collect();
    let (_, first) = desks.first().context("there is no node to ask")?;
    first.settle().await?;
    let left = first.get(&format!("/collections/{}", names::SHAPED)).await?;
    ending.left = Some(schema_of(&left));
    first.index(&left).await?;
    for (name, desk) in &desks {
        ending.shapes.push(desk.shape(name).await?);
    }
    for (place, id) in controls.crafted(workspace.place, names::SHAPED).into_iter().enumerate() {
        let (_, desk) = &desks[place % desks.len()];
        ending.versions.insert(id.clone(), desk.versions(&id).await?);
    }
    Ok(())
}

/// The schema alone, of a collection as it is answered.
fn schema_of(collection: &Value) -> Value {
    let parts = collection.as_object().into_iter().flatten();
    let own = parts.filter(|(name, _)| !matches!(name.as_str(), "name" | "version" | "change" | "created_at" | "updated_at"));
    Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect())
}

impl Desk<'_> {
    /// Waits until no operation has anything left to do, as long as a cluster may take to come back. What is still at it then, is told
    /// by whoever judges.
    async fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + liveness::WITHIN;
        loop {
            let operations = self.operations().await?;
            let over = operations.iter().all(|one| one.phase.is_none() && one.status != "running");
            if over || Instant::now() > deadline {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Gives the collection its index, if it has none.
    async fn index(&self, left: &Value) -> Result<()> {
        if !left["indexes"][names::BY_GROUP].is_null() || !left["change"].is_null() {
            return Ok(());
        }
        let mut schema = schema_of(left);
        schema["indexes"] = json!({ names::BY_GROUP: { "fields": [names::SHAPED_GROUP] } });
        let path = format!("/collections/{}", names::SHAPED);
        let (status, body) = self.ask("PUT", &path, schema.to_string().as_bytes()).await?;
        ensure!(matches!(status, 200 | 202), "an index more: {status} {body}");
        self.settle().await
    }

    async fn shape(&self, node: &str) -> Result<Shape> {
        let collection = self.get(&format!("/collections/{}", names::SHAPED)).await?;
        let mut lists = Vec::new();
        for group in 0..names::GROUPS {
            let path = format!(
                "/records/{}?{}={group}&fields={}",
                names::SHAPED,
                names::SHAPED_GROUP,
                names::SHAPED_GROUP
            );
            let ids = self.all(&path).await?;
            let ids = ids.iter().filter_map(|item| item["id"].as_str().map(str::to_owned));
            lists.push((names::SHAPED_GROUP.to_owned(), json!(group), ids.collect()));
        }
        Ok(Shape {
            node: node.to_owned(),
            schema: schema_of(&collection),
            operations: self.operations().await?,
            lists,
        })
    }

    async fn operations(&self) -> Result<Vec<Work>> {
        let all = self.all("/operations?").await?;
        let text = |one: &Value, name: &str| one[name].as_str().map(str::to_owned);
        let work = |one: &Value| Work {
            id: text(one, "id").unwrap_or_default(),
            status: text(one, "status").unwrap_or_default(),
            phase: text(one, "phase"),
        };
        Ok(all.iter().map(work).collect())
    }

    async fn versions(&self, id: &str) -> Result<Vec<Version>> {
        let path = format!("/records/{}/{id}/history?", names::SHAPED);
        let all = self.all(&path).await?;
        let version = |one: &Value| Version {
            version: one["version"].as_u64().unwrap_or(0),
            deleted: one["deleted"] == true,
            fields: one["fields"].as_object().cloned().unwrap_or_default(),
        };
        Ok(all.iter().map(version).collect())
    }

    /// All pages of a list; nothing where there is nothing of that name.
    async fn all(&self, path: &str) -> Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, body) = self.ask("GET", &format!("{path}&limit=500{cursor}"), b"").await?;
            if status == 404 {
                return Ok(all);
            }
            ensure!(status == 200, "{path}: {status} {body}");
            all.extend(body["items"].as_array().into_iter().flatten().cloned());
            match body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.ask("GET", path, b"").await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }

    /// One request, and the answer that is not "later".
    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<(u16, Value)> {
        let deadline = Instant::now() + liveness::WITHIN;
        loop {
            let said = timeout(ANSWER, self.attempt(method, path, body)).await;
            match said {
                Ok(Ok((status, body))) if status < 500 && status != 429 => return Ok((status, body)),
                _ if Instant::now() < deadline && !crate::stop::is_asked() => sleep(PAUSE).await,
                Ok(said) => return said.with_context(|| format!("ask {} for {method} {path}", self.node)),
                Err(_) => anyhow::bail!("{} did not answer {method} {path}", self.node),
            }
        }
    }

    async fn attempt(&self, method: &str, path: &str, body: &[u8]) -> Result<(u16, Value)> {
        let mut connection = Connection::open(self.node).await?;
        let mut bytes = Vec::new();
        Request {
            method,
            path: &format!("/v1/tenants/{}{path}", self.workspace.slug),
            token: &self.workspace.token,
            headers: "",
            body,
        }
        .write(&mut bytes);
        let reply = connection.exchange(&bytes).await?;
        Ok((reply.status, serde_json::from_slice(reply.body).unwrap_or_default()))
    }
}
