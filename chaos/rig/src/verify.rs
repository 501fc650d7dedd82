//! Checks after a run: every replica holds the same, and what was acknowledged is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::body::control::{Cell, CellHash};
use api::body::record::{ListQuery, Page, Record};
use api::client::Client;
use api::service::Consistency;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::tenant::{Tenant, client_of};

/// Records of a page.
const PAGE: usize = 500;
/// Pause between two looks at the replicas.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What all replicas of a cell agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The cell.
    pub cell: String,
    /// The log position.
    pub applied: u64,
    /// The hash of all that they hold there.
    pub hash: String,
    /// Keys.
    pub keys: u64,
}

/// Waits until all replicas of every cell have applied the same, then compares their hashes. Nobody may write meanwhile.
pub async fn replicas_agree(cluster: &Cluster, within: Duration) -> Result<Vec<Agreement>> {
    let mut agreements = Vec::new();
    for (cell, addresses) in cells(cluster).await? {
        let deadline = Instant::now() + within;
        loop {
            match compare(&cell, &addresses, cluster.operator_token()).await {
                Ok(agreement) => {
                    agreements.push(agreement);
                    break;
                }
                Err(Disagreement::Hashes(text)) => bail!("the replicas of {cell} differ: {text}"),
                Err(Disagreement::NotYet(text)) if Instant::now() >= deadline => {
                    bail!("the replicas of {cell} did not reach one position within {within:?}: {text}")
                }
                Err(Disagreement::NotYet(_)) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
    ensure!(!agreements.is_empty(), "there is no cell to compare");
    Ok(agreements)
}

/// The hashes of all replicas of every cell on these nodes, once they stand at one position in each cell. Equal or not: that is
/// for the caller to say. Nobody may write meanwhile.
pub async fn hashes(cluster: &Cluster, nodes: &[String], within: Duration) -> Result<BTreeMap<String, Vec<CellHash>>> {
    let deadline = Instant::now() + within;
    let mut all = BTreeMap::new();
    for (cell, addresses) in cells(cluster).await? {
        let asked = cluster.nodes().iter().filter(|node| nodes.contains(&node.name));
        let asked: Vec<_> = asked.map(|node| node.api).filter(|api| addresses.contains(api)).collect();
        loop {
            let seen = match ask(&cell, &asked, cluster.operator_token()).await {
                Ok(hashes) if hashes.windows(2).all(|pair| pair[0].applied == pair[1].applied) => {
                    all.insert(cell, hashes);
                    break;
                }
                Ok(hashes) => shown(&hashes),
                Err(Disagreement::NotYet(text) | Disagreement::Hashes(text)) => text,
            };
            ensure!(
                Instant::now() < deadline,
                "the replicas of {cell} did not reach one position within {within:?}: {seen}"
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(all)
}

enum Disagreement {
    /// A replica is behind, or does not answer.
    NotYet(String),
    /// The same position and another hash.
    Hashes(String),
}

async fn ask(cell: &str, addresses: &[SocketAddr], token: &str) -> Result<Vec<CellHash>, Disagreement> {
    let mut hashes = Vec::new();
    for address in addresses {
        let client = client_of(*address, token).map_err(|error| Disagreement::NotYet(error.to_string()))?;
        let hash = client
            .cell_hash(cell)
            .await
            .map_err(|error| Disagreement::NotYet(format!("{address}: {error}")))?;
        hashes.push(hash);
    }
    Ok(hashes)
}

fn shown(hashes: &[CellHash]) -> String {
    let shown = hashes
        .iter()
        .map(|hash| format!("{} at {}: {} ({} keys)", hash.node, hash.applied, hash.hash, hash.keys));
    shown.collect::<Vec<_>>().join(", ")
}

async fn compare(cell: &str, addresses: &[SocketAddr], token: &str) -> Result<Agreement, Disagreement> {
    let hashes = ask(cell, addresses, token).await?;
    let shown = shown(&hashes);
    let Some(first) = hashes.first() else {
        return Err(Disagreement::NotYet("no replica".to_owned()));
    };
    // Two replicas at one position must have one hash, whatever the third is doing.
    for (at, one) in hashes.iter().enumerate() {
        if hashes[..at]
            .iter()
            .any(|other| other.applied == one.applied && (&other.hash, other.keys) != (&one.hash, one.keys))
        {
            return Err(Disagreement::Hashes(shown));
        }
    }
    if hashes.iter().any(|hash| hash.applied != first.applied) {
        return Err(Disagreement::NotYet(shown));
    }
    Ok(Agreement {
        cell: cell.to_owned(),
        applied: first.applied,
        hash: first.hash.clone(),
        keys: first.keys,
    })
}

/// The cells of a region as one of its nodes sees them. Blocks.
pub fn cells_of(node: SocketAddr, token: &str, within: Duration) -> Result<Vec<Cell>> {
    let body = crate::http::get(node, "/v1/cells", token, within)?;
    let page: Page<Cell> = serde_json::from_slice(&body).context("read the list of cells")?;
    Ok(page.items)
}

/// Every cell with the addresses of its replicas, as a node of each region reports them.
async fn cells(cluster: &Cluster) -> Result<BTreeMap<String, Vec<SocketAddr>>> {
    let mut all = BTreeMap::new();
    for region in cluster.layout().regions() {
        let nodes = cluster
            .nodes()
            .iter()
            .filter(|node| node.region == region)
            .map(|node| node.api);
        let client = crate::tenant::client(&nodes.collect::<Vec<_>>(), cluster.operator_token())?;
        for cell in client.cells().await.context("list the cells")? {
            let replicas = cell
                .replicas
                .iter()
                .map(|replica| Ok(cluster.layout().node(&replica.node)?.api));
            all.insert(cell.name, replicas.collect::<Result<_>>()?);
        }
    }
    Ok(all)
}

/// A tenant's export from each node of its region, which must be the same line by line and at one position. Returns how many
/// lines there are.
pub async fn exports_agree(cluster: &Cluster, tenant: &Tenant) -> Result<usize> {
    let region = cluster.layout().regions()[0];
    let mut first: Option<(String, Vec<u8>)> = None;
    for node in cluster.nodes().iter().filter(|node| node.region == region) {
        let export = export(&client_of(node.api, &tenant.token)?, &tenant.slug)
            .await
            .with_context(|| format!("export from {}", node.name))?;
        match &first {
            None => first = Some((node.name.clone(), export)),
            Some((other, bytes)) => ensure!(
                *bytes == export,
                "the exports of {} from {other} and {} differ from line {} on",
                tenant.slug,
                node.name,
                first_difference(bytes, &export)
            ),
        }
    }
    let (_, bytes) = first.context("there is no node to export from")?;
    Ok(bytes.iter().filter(|byte| **byte == b'\n').count())
}

async fn export(client: &Client, tenant: &str) -> Result<Vec<u8>> {
    let mut stream = client.export(tenant).await?;
    let mut bytes = Vec::new();
    while let Some(line) = stream.next_raw().await? {
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The number, from 1, of the first line that is not the same.
fn first_difference(one: &[u8], other: &[u8]) -> usize {
    let same = one
        .split(|byte| *byte == b'\n')
        .zip(other.split(|byte| *byte == b'\n'))
        .take_while(|(a, b)| a == b);
    same.count() + 1
}

/// All records of a collection, page by page, strongly consistent.
pub async fn records(tenant: &Tenant, collection: &str) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    let mut query = ListQuery {
        limit: PAGE,
        ..ListQuery::default()
    };
    loop {
        let page = tenant
            .client
            .records(&tenant.slug, collection, &query, Consistency::Strong)
            .await
            .context("list records")?
            .body;
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// How many records a collection has, as the server counts them.
pub async fn count(tenant: &Tenant, collection: &str) -> Result<u64> {
    let query = ListQuery {
        limit: 1,
        count: true,
        ..ListQuery::default()
    };
    let page = tenant
        .client
        .records(&tenant.slug, collection, &query, Consistency::Strong)
        .await
        .context("count records")?;
    page.body.count.context("the list came without its count")
}

/// Compares what was imported with what is there: each line exactly once, `key` and `title` unchanged.
pub fn matches_lines(lines: &[u8], records: &[Record]) -> Result<()> {
    let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
    for line in lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
    {
        *wanted
            .entry(identity(serde_json::from_slice(line).context("read a line")?))
            .or_default() += 1;
    }
    for record in records {
        *wanted
            .entry(identity(serde_json::from_str(record.fields.get()).context("read a record")?))
            .or_default() -= 1;
    }
    let missing = wanted.iter().filter(|(_, count)| **count > 0).collect::<Vec<_>>();
    let surplus = wanted.iter().filter(|(_, count)| **count < 0).collect::<Vec<_>>();
    let first = |list: &[(&(String, String), &i64)]| {
        list.first()
            .map_or(String::new(), |((key, title), _)| format!(", such as {key} {title:?}"))
    };
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "{} lines are not there{}; {} records are there that no line gave{}",
        missing.len(),
        first(&missing),
        surplus.len(),
        first(&surplus)
    );
    Ok(())
}

fn identity(fields: Value) -> (String, String) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("key"), text("title"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> Record {
        let text = format!(
            r#"{{"id":"0198c0de-0000-7000-8000-000000000001","collection":"tasks","version":1,"created_at":"","updated_at":"","created_by":"import","fields":{fields}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_missing_and_a_doubled_record_are_both_found() {
        let lines = b"{\"key\":\"a\",\"title\":\"one\"}\n{\"key\":\"b\",\"title\":\"two\"}\n";
        let (a, b) = (
            record(r#"{"key":"a","title":"one"}"#),
            record(r#"{"key":"b","title":"two","points":3}"#),
        );
        matches_lines(lines, &[b.clone(), a.clone()]).unwrap();
        let missing = matches_lines(lines, std::slice::from_ref(&a)).unwrap_err().to_string();
        assert!(
            missing.starts_with("1 lines are not there, such as b \"two\"; 0 records"),
            "{missing}"
        );
        let doubled = matches_lines(lines, &[a.clone(), a, b]).unwrap_err().to_string();
        assert!(
            doubled.contains("1 records are there that no line gave, such as a"),
            "{doubled}"
        );
    }

    #[test]
    fn the_first_difference_is_told_by_its_line() {
        assert_eq!(first_difference(b"a\nb\nc", b"a\nb\nd"), 3);
        assert_eq!(first_difference(b"x", b"y"), 1);
    }
}
