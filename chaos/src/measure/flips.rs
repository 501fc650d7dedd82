//! Flipped bits in the store of one replica: is each found, and is the replica rebuilt from the others?
//!
//! Again and again: the node is killed, one bit of its store's file is turned over where there is something, it starts, every record
//! is read from it as it has them, and its cell is scrubbed. Then all replicas must hold the same again. What neither a read nor the
//! scrub met lies in bytes that nobody needs, and is counted apart: that the replicas agree afterwards, and that not one read was
//! wrong, shows it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::body::control::Cell;
use api::body::record::ListQuery;
use api::service::Consistency;
use rig::cluster::{Cluster, Options, poll};
use rig::layout::Layout;
use rig::random::Random;
use rig::tenant::{self, Tenant};
use rig::{http, import, verify};
use serde::Serialize;

use crate::faults::flip_bits::{data_files, flip_one};
use crate::stop;

/// Records in the store.
const RECORDS: u64 = 10_000;
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long one answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Records of a page.
const PAGE: usize = 500;
const SLUG: &str = "flips";
const DAMAGE: &str = "cloudnest_cell_damage_total";
const REPAIRS: &str = "cloudnest_cell_repairs_total";

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Bits that were flipped.
    pub flips: u64,
    /// Found when the store was opened or read.
    pub found_on_read: u64,
    /// Found by the scrub.
    pub found_by_scrub: u64,
    /// In bytes that nobody needs.
    pub unused: u64,
    /// Rebuilt from another replica.
    pub repaired: u64,
    /// Reads that were answered with something else than what was written.
    pub wrong_answers: u64,
    /// From the start of the node until all replicas agreed, in milliseconds.
    pub took_ms: Vec<u64>,
}

/// Measures on a cluster of its own.
pub fn measure(binary: PathBuf, flips: u64, seed: u64) -> Result<Row> {
    let mut cluster = Cluster::up(Options::new(Layout::one_region(crate::stage::NODES)?, binary))?;
    cluster.detach()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let (made, written) = runtime.block_on(fill(&cluster))?;
    let mut random = Random::new(seed);
    let mut row = Row::default();
    for number in 0..flips {
        ensure!(!stop::is_asked(), "interrupted");
        runtime
            .block_on(one(&mut cluster, &made, &written, &mut random, &mut row))
            .with_context(|| format!("flip {number}"))?;
    }
    Ok(row)
}

/// A tenant with records, and what they hold.
async fn fill(cluster: &Cluster) -> Result<(Tenant, BTreeMap<String, String>)> {
    let made = tenant::create(cluster, SLUG, Some("workspace")).await?;
    let lines: Vec<u8> = (0..RECORDS)
        .flat_map(|number| format!("{{\"title\":\"record {number} with a few words more\"}}\n").into_bytes())
        .collect();
    let done = import::import(&made.client, SLUG, "tasks", "fill", &lines, WITHIN).await?;
    ensure!(
        done.summary.imported == RECORDS,
        "{} of {RECORDS} records were imported",
        done.summary.imported
    );
    let written = read_all(&made.client, Consistency::Strong).await?;
    ensure!(
        written.len() as u64 == RECORDS,
        "{} of {RECORDS} records are there",
        written.len()
    );
    Ok((made, written))
}

async fn read_all(client: &api::client::Client, consistency: Consistency) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut query = ListQuery {
        limit: PAGE,
        ..ListQuery::default()
    };
    loop {
        let page = client
            .records(SLUG, "tasks", &query, consistency)
            .await
            .context("list records")?
            .body;
        all.extend(
            page.items
                .into_iter()
                .map(|one| (one.id.0.to_string(), one.fields.get().to_owned())),
        );
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// One flip, from the kill until all is well.
async fn one(
    cluster: &mut Cluster,
    made: &Tenant,
    written: &BTreeMap<String, String>,
    random: &mut Random,
    row: &mut Row,
) -> Result<()> {
    let node = cluster.nodes()[1].clone();
    let cell = durable(cluster, node.api)?;
    cluster.kill(&node.name)?;
    cluster.wait_ended(&node.name, WITHIN)?;
    let directory = cluster.data().join(&node.name).join("store");
    let mut files = data_files(&directory)?;
    files.retain(|path| path.extension().is_some_and(|kind| kind == "redb"));
    files.sort_by_key(|path| std::fs::metadata(path).map_or(0, |seen| seen.len()));
    let file = files.last().context("the node has no store")?;
    ensure!(flip_one(file, random)?, "no bit of {} could be flipped", file.display());
    row.flips += 1;

    let start = Instant::now();
    cluster.start_node(&node.name)?;
    cluster.wait_ready(&node.name, WITHIN)?;
    let client = tenant::client_of(node.api, &made.token)?;
    // While the replica is being rebuilt it answers nothing, or another node does: that is no wrong answer.
    if let Ok(seen) = read_all(&client, Consistency::Local).await {
        let same = |(id, fields): (&String, &String)| written.get(id) == Some(fields);
        row.wrong_answers += seen.iter().filter(|one| !same(*one)).count() as u64;
        row.wrong_answers += (written.len() as u64).saturating_sub(seen.len() as u64);
    }
    // A replica that is rebuilt while a scrub begins is missing from it.
    healthy(cluster, node.api)?;
    let on_read = metric(cluster, node.api, DAMAGE)?;
    let status = scrub(cluster, &cell).await?;
    healthy(cluster, node.api)?;
    verify::replicas_agree(cluster, WITHIN).await?;
    row.took_ms
        .push(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    let repaired = metric(cluster, node.api, REPAIRS)?;
    row.repaired += u64::from(repaired > 0);
    match (on_read > 0, status.as_str()) {
        (true, _) => row.found_on_read += 1,
        (false, "damaged") => row.found_by_scrub += 1,
        (false, "equal") => row.unused += 1,
        (false, other) => bail!("the scrub of {cell} ended {other:?}"),
    }
    Ok(())
}

/// Waits until all replicas of a node take part, those that are rebuilt too.
fn healthy(cluster: &Cluster, node: SocketAddr) -> Result<()> {
    let is_healthy = || -> Result<bool> {
        let cells = verify::cells_of(node, cluster.operator_token(), ANSWERS_WITHIN)?;
        let whole = metric(cluster, node, DAMAGE)? == metric(cluster, node, REPAIRS)?;
        Ok(whole && !cells.is_empty() && cells.iter().all(|one| one.stopped.is_none()))
    };
    ensure!(
        poll(WITHIN, || is_healthy().unwrap_or(false)),
        "{node} did not take part again within {WITHIN:?}"
    );
    Ok(())
}

/// Waits until a replica has made all durable that was applied; returns the tenants' cell.
fn durable(cluster: &Cluster, node: SocketAddr) -> Result<String> {
    let mut found = None;
    let is_durable = |cell: &&Cell| cell.kind != "directory" && cell.durable == cell.applied && cell.stopped.is_none();
    poll(WITHIN, || {
        let cells = verify::cells_of(node, cluster.operator_token(), ANSWERS_WITHIN).unwrap_or_default();
        found = cells.iter().find(is_durable).map(|cell| cell.name.clone());
        found.is_some()
    });
    found.with_context(|| format!("nothing of the cell was durable within {WITHIN:?}"))
}

/// Scrubs a cell; returns how it ended.
async fn scrub(cluster: &Cluster, cell: &str) -> Result<String> {
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token())?;
    let deadline = Instant::now() + WITHIN;
    // A replica that is being rebuilt does not take part: again until all did.
    loop {
        let begun = operator.scrub_begin(cell).await;
        let ended = match begun {
            Ok(begun) => ended(&operator, cell, begun.id, deadline).await?,
            Err(error) if Instant::now() >= deadline => return Err(error).context("begin a scrub"),
            Err(_) => None,
        };
        match ended {
            Some(status) if status != "incomplete" => return Ok(status),
            _ => ensure!(Instant::now() < deadline, "{cell} was not scrubbed within {WITHIN:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ended(operator: &api::client::Client, cell: &str, id: api::ids::Id, deadline: Instant) -> Result<Option<String>> {
    loop {
        match operator.cell_scrub(cell).await {
            Ok(scrub) if scrub.id == id && scrub.ended_at.is_some() => return Ok(Some(scrub.status)),
            Ok(scrub) if scrub.id != id => return Ok(None),
            _ => ensure!(Instant::now() < deadline, "a scrub of {cell} did not end"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The sum of a counter over the cells of a node.
fn metric(cluster: &Cluster, node: SocketAddr, name: &str) -> Result<u64> {
    let text = http::get(node, "/metrics", cluster.operator_token(), ANSWERS_WITHIN)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.starts_with(name));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// The row as a table.
pub fn table(row: &Row) -> String {
    format!(
        "| bits flipped | found on opening or reading | found by the scrub | in bytes that nobody needs | rebuilt from another replica | \
         wrong answers | ms until all replicas agreed, median | longest |\n|---|---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        row.flips,
        row.found_on_read,
        row.found_by_scrub,
        row.unused,
        row.repaired,
        row.wrong_answers,
        super::median(&row.took_ms),
        row.took_ms.iter().max().copied().unwrap_or(0),
    )
}
