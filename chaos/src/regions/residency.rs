//! What a tenant wrote stays in its region: canaries of everything that a tenant can write, looked for on the disks, in the logs, in the
//! backups and on the links of the other regions.
//!
//! In each region a tenant gets a canary of its own in every place: its name, idempotency keys, names of a collection, fields and options,
//! values of every kind of field, changes, imports, batches, tokens. Then it moves to another cell and back while leaders are killed, and more
//! canaries are written meanwhile; its export is read, and the other regions' nodes are asked for what is not theirs. All the while its
//! region is backed up to a store of its own, from which it is restored under another name. Everything between two regions goes over a
//! proxy that listens in ([`crate::proxy::Network::listen_in`]). When all nodes have ended, in an orderly way, so that everything is
//! flushed, each canary must be in its own region and in that region's store, where it is kept at all, and nowhere else (`search`).

mod guest;
mod search;
mod stores;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::backup::TenantRestore;
use api::body::control::Cell;
use rig::cluster::{Cluster, poll};
use rig::http::{Request, send};
use rig::random::Random;
use serde::Serialize;
use serde_json::json;

use self::guest::{Guest, Pen};
use super::desk::Desk;
use super::{DIRECTORY, backup, layout, runtime};
use crate::proxy::Identities;
use crate::stage::Stage;
use crate::stop;

/// How long a move may take, or a node to come back.
const WITHIN: Duration = Duration::from_secs(90);
/// What is not kept as it is: keys are digests, and the others are asked or refused.
const NOT_KEPT: [&str; 4] = [
    "idempotency key of the tenant",
    "idempotency key of a record",
    "a filter",
    "a text sent to another region",
];
/// What is written while a tenant moves, and while a leader is dead.
const MEANWHILE: [&str; 4] = [
    "a text during a move",
    "a text while a leader was dead",
    "a text during the move back",
    "a text while another leader was dead",
];
/// Records that a tenant has beside those with canaries.
const BALLAST: usize = 500;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// The bug to put back.
    pub mutant: Option<String>,
    /// What canaries are drawn from.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Canaries.
    pub canaries: usize,
    /// Bytes of files of nodes that were looked at.
    pub disk_bytes: u64,
    /// Bytes that went between regions.
    pub link_bytes: u64,
    /// Bytes of the stores of backups.
    pub store_bytes: u64,
    /// Canaries that were found in their own region.
    pub at_home: usize,
    /// Canaries that were found in the store of their region.
    pub in_store: usize,
    /// Where one was that must not be there.
    pub leaks: Vec<String>,
    /// Why the search proves nothing, where it does not.
    pub doubts: Vec<String>,
}

impl Row {
    /// Whether everything held.
    pub fn is_green(&self) -> bool {
        self.leaks.is_empty() && self.doubts.is_empty()
    }
}

/// Does it.
pub fn measure(options: &Options) -> Result<Row> {
    let heard = tempfile::tempdir().context("make a directory")?;
    let store = tempfile::tempdir().context("make a directory for the backups")?;
    let mut layout = layout(2)?;
    layout.backup = Some(backup(store.path()));
    let mut stage = Stage::over(layout, options.binary.clone(), options.mutant.as_deref(), Duration::ZERO)?;
    listen_in(&mut stage, heard.path())?;
    let runtime = runtime()?;
    let mut random = Random::new(options.seed);
    let mut canaries = Vec::new();
    let regions: Vec<String> = stage
        .cluster
        .layout()
        .regions()
        .iter()
        .map(|region| (*region).to_owned())
        .collect();
    let mut guests = Vec::new();
    for region in &regions {
        let pen = Pen {
            region,
            random: &mut random,
            canaries: &mut canaries,
        };
        guests.push(runtime.block_on(Guest::settle(&stage.cluster, pen))?);
    }
    for (number, guest) in guests.iter().enumerate() {
        runtime.block_on(trouble(&stage.cluster, guest))?;
        let mut pen = Pen {
            region: &guest.region,
            random: &mut random,
            canaries: &mut canaries,
        };
        let mut write = |what| runtime.block_on(guest.note(&mut pen, what));
        there_and_back(&mut stage.cluster, guest, number, &mut write)?;
        restore(&stage.cluster, guest)?;
    }
    stage.cluster.stop().context("end in an orderly way")?;
    search::everywhere(&stage.cluster, [heard.path(), store.path()], &canaries, &guests)
}

/// Every node runs anew, so that all that it says to another region is heard.
fn listen_in(stage: &mut Stage, heard: &std::path::Path) -> Result<()> {
    let tls = stage.cluster.data().join("tls");
    let cluster = std::fs::read_to_string(tls.join("cluster")).context("read the cluster's name")?;
    let nodes = stage.cluster.nodes().iter().map(|node| (node.name.clone(), node.number));
    let identities = Identities {
        cluster: cluster.trim().to_owned(),
        nodes: nodes.collect(),
        directory: tls,
    };
    stage.network.listen_in(&identities, heard)?;
    stage.cluster.detach()
}

/// An export, events, and what the nodes of other regions answer to who comes to the wrong place.
async fn trouble(cluster: &Cluster, guest: &Guest) -> Result<()> {
    let mut export = guest.client.export(&guest.slug).await.context("export")?;
    let mut lines = 0;
    while export.next_raw().await.context("read an export")?.is_some() {
        lines += 1;
    }
    ensure!(lines > BALLAST, "an export has {lines} lines");
    let path = guest.path(&format!("records/{}", guest.collection));
    for node in cluster.nodes().iter().filter(|node| node.region != guest.region) {
        let body = json!({ "fields": { "any": guest.astray } }).to_string();
        let request = Request {
            method: "POST",
            path: &path,
            token: &guest.token,
            headers: "",
            body: body.as_bytes(),
        };
        let (status, _) = send(node.api, request, WITHIN)?;
        ensure!(
            status == 421,
            "{} answered {status} for a tenant of {}",
            node.name,
            guest.region
        );
    }
    Ok(())
}

/// The tenant moves to the other cell and back; the leader of the cell that it leaves is killed meanwhile, and that of the directory. It
/// writes while it moves, and while they are dead.
fn there_and_back(
    cluster: &mut Cluster,
    guest: &Guest,
    number: usize,
    write: &mut dyn FnMut(&'static str) -> Result<()>,
) -> Result<()> {
    let desk = Desk::of(cluster, &guest.region);
    for (turn, cell) in ["shared-1", "shared"].iter().enumerate() {
        ensure!(!stop::is_asked(), "interrupted");
        let (from, to) = (desk.cell_of(&guest.slug)?, format!("{}-{cell}", guest.region));
        ensure!(from != to, "{} is in {to} already", guest.slug);
        let begun = desk.begin(&guest.slug, &to)?.id.to_string();
        let group = if (turn + number).is_multiple_of(2) {
            from.as_str()
        } else {
            "directory"
        };
        let mut leader = None;
        poll(WITHIN, || {
            leader = desk.leader(group);
            leader.is_some()
        });
        let leader = leader.with_context(|| format!("nobody leads {group}"))?;
        write(MEANWHILE[2 * turn])?;
        cluster.kill(&leader)?;
        cluster.wait_ended(&leader, WITHIN)?;
        write(MEANWHILE[2 * turn + 1])?;
        cluster.start_node(&leader)?;
        cluster.wait_ready(&leader, WITHIN)?;
        let deadline = Instant::now() + WITHIN;
        let ended = poll(WITHIN, || desk.operation(&begun).is_ok_and(|now| now.status == "done"));
        ensure!(ended && Instant::now() <= deadline, "{} did not arrive in {to}", guest.slug);
    }
    Ok(())
}

/// The tenant is restored from its region's store under another name, once all of it is there; at a node of another region it is not.
fn restore(cluster: &Cluster, guest: &Guest) -> Result<()> {
    let desk = Desk::of(cluster, &guest.region);
    let own = |cell: &Cell| cell.region == guest.region && cell.kind != DIRECTORY;
    let applied: Vec<_> = desk
        .cells()
        .into_iter()
        .filter(own)
        .map(|cell| (cell.name, cell.applied))
        .collect();
    ensure!(!applied.is_empty(), "nobody tells of the cells of {}", guest.region);
    let is_archived = |(name, applied): &(String, u64)| {
        let backups = desk.each().flat_map(|node| node.cells()).filter(|cell| cell.name == *name);
        let mut archived = backups.filter_map(|cell| Some(cell.backup?.archived));
        archived.any(|archived| archived >= *applied)
    };
    ensure!(
        poll(WITHIN, || applied.iter().all(is_archived)),
        "what {} wrote did not come into its region's store",
        guest.slug
    );
    let wanted = TenantRestore {
        from: guest.slug.clone(),
        keep_tokens: true,
        ..TenantRestore::default()
    };
    let slug = format!("again-{}", guest.region);
    let body = serde_json::to_string(&wanted).context("write a restore")?;
    for node in cluster.nodes().iter().filter(|node| node.region != guest.region) {
        let request = Request {
            method: "POST",
            path: &format!("/v1/tenants/{slug}/restore"),
            token: cluster.operator_token(),
            headers: "",
            body: body.as_bytes(),
        };
        let (status, _) = send(node.api, request, WITHIN)?;
        ensure!(
            status == 421,
            "{} answered {status} for a restore of {}",
            node.name,
            guest.slug
        );
    }
    let mut begun = None;
    poll(WITHIN, || {
        begun = Some(desk.restore(&slug, &wanted));
        begun.as_ref().is_some_and(Result::is_ok)
    });
    let begun = begun.context("nobody was asked")??.id.to_string();
    let ended = poll(WITHIN, || desk.operation(&begun).is_ok_and(|now| now.status != "running"));
    let now = desk.operation(&begun)?;
    ensure!(ended && now.status == "done", "{slug} was not restored: {now:?}");
    Ok(())
}

/// All of it as a table.
pub fn table(row: &Row) -> String {
    let mut out = format!(
        "| canaries | found at home | in the store at home | bytes of disks and logs | of stores | between regions | leaks |\n\
         |---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} |\n\n",
        row.canaries,
        row.at_home,
        row.in_store,
        row.disk_bytes,
        row.store_bytes,
        row.link_bytes,
        row.leaks.len()
    );
    row.leaks.iter().for_each(|leak| out.push_str(&format!("- LEAK: {leak}\n")));
    row.doubts
        .iter()
        .for_each(|doubt| out.push_str(&format!("- PROVES NOTHING: {doubt}\n")));
    out
}
