//! What a tenant wrote stays in its region: canaries of everything that a tenant can write, looked for on the disks, in the logs and on the
//! links of the other regions.
//!
//! In each region a tenant gets a canary of its own in every place: its name, idempotency keys, names of a collection, fields and options,
//! values of every kind of field, changes, imports, batches, tokens. Then it moves to another cell and back while leaders are killed, its
//! export is read, and the other regions' nodes are asked for what is not theirs. Everything between two regions goes over a proxy that
//! listens in ([`crate::proxy::Network::listen_in`]). When all nodes have ended, in an orderly way, so that everything is flushed, each
//! canary must be in its own region, where it is kept at all, and nowhere else; and slugs, which are public, must have been seen on the
//! links, or the search would prove nothing.

mod guest;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::{Cluster, poll};
use rig::http::{Request, send};
use rig::random::Random;
use serde::Serialize;
use serde_json::json;

use self::guest::{Guest, Pen};
use super::canary::{Canary, Search};
use super::desk::Desk;
use super::{layout, runtime};
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
    /// Canaries that were found in their own region.
    pub at_home: usize,
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
    let mut stage = Stage::over(layout(2)?, options.binary.clone(), options.mutant.as_deref(), Duration::ZERO)?;
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
        there_and_back(&mut stage.cluster, guest, number)?;
    }
    stage.cluster.stop().context("end in an orderly way")?;
    search(&stage, heard.path(), &canaries, &guests)
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

/// The tenant moves to the other cell and back; the leader of the cell that it leaves is killed meanwhile, and that of the directory.
fn there_and_back(cluster: &mut Cluster, guest: &Guest, number: usize) -> Result<()> {
    let desk = Desk::of(cluster, &guest.region);
    for (turn, cell) in ["shared-1", "shared"].iter().enumerate() {
        ensure!(!stop::is_asked(), "interrupted");
        let from = desk.cell_of(&guest.slug)?;
        let to = format!("{}-{cell}", guest.region);
        if from == to {
            continue;
        }
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
        cluster.kill(&leader)?;
        cluster.wait_ended(&leader, WITHIN)?;
        cluster.start_node(&leader)?;
        cluster.wait_ready(&leader, WITHIN)?;
        let deadline = Instant::now() + WITHIN;
        let ended = poll(WITHIN, || desk.operation(&begun).is_ok_and(|now| now.status == "done"));
        ensure!(ended && Instant::now() <= deadline, "{} did not arrive in {to}", guest.slug);
    }
    Ok(())
}

/// Looks everywhere.
fn search(stage: &Stage, heard: &std::path::Path, canaries: &[Canary], guests: &[Guest]) -> Result<Row> {
    let search = Search::new(canaries);
    let mut row = Row {
        canaries: canaries.len(),
        disk_bytes: 0,
        link_bytes: 0,
        at_home: 0,
        leaks: Vec::new(),
        doubts: Vec::new(),
    };
    let mut at_home = std::collections::BTreeSet::new();
    let beside = stage.cluster.config();
    for node in stage.cluster.nodes() {
        let logs = ["stderr", "stdout"].map(|kind| beside.with_file_name(format!("{}.{kind}", node.name)));
        for path in [stage.cluster.data().join(&node.name)].into_iter().chain(logs) {
            let (found, bytes) = search.below(&path)?;
            row.disk_bytes += bytes;
            for (canary, file) in found {
                if canary.region == node.region {
                    at_home.insert((&canary.region, canary.what));
                } else {
                    row.leaks.push(format!(
                        "{} of {} is on {} in {}",
                        canary.what,
                        canary.region,
                        node.name,
                        file.display()
                    ));
                }
            }
        }
    }
    let (found, bytes) = search.below(heard)?;
    row.link_bytes = bytes;
    for (canary, file) in found {
        let link = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        row.leaks.push(format!(
            "{} of {} went over a link between regions: {link}",
            canary.what, canary.region
        ));
    }
    row.at_home = at_home.len();
    row.doubts = doubts(canaries, &at_home, heard, guests)?;
    row.leaks.sort();
    Ok(row)
}

/// What would have had to be found.
fn doubts(
    canaries: &[Canary],
    at_home: &std::collections::BTreeSet<(&String, &'static str)>,
    heard: &std::path::Path,
    guests: &[Guest],
) -> Result<Vec<String>> {
    let kept = |canary: &&Canary| !NOT_KEPT.contains(&canary.what);
    let missing = canaries
        .iter()
        .filter(kept)
        .filter(|canary| !at_home.contains(&(&canary.region, canary.what)));
    let mut doubts: Vec<_> = missing
        .map(|canary| format!("{} of {} is not even in its own region", canary.what, canary.region))
        .collect();
    let slugs: Vec<_> = guests
        .iter()
        .map(|guest| Canary::of_text(&guest.region, "a slug", &guest.slug))
        .collect();
    let (heard, _) = Search::new(&slugs).below(heard)?;
    for guest in guests {
        if !heard.iter().any(|(slug, _)| slug.region == guest.region) {
            doubts.push(format!("{} was not heard on a link, though slugs are public", guest.slug));
        }
    }
    Ok(doubts)
}

/// All of it as a table.
pub fn table(row: &Row) -> String {
    let mut out = format!(
        "| canaries | found at home | bytes of disks and logs | bytes between regions | leaks |\n|---|---|---|---|---|\n| {} | {} | {} | {} | {} |\n\n",
        row.canaries,
        row.at_home,
        row.disk_bytes,
        row.link_bytes,
        row.leaks.len()
    );
    row.leaks.iter().for_each(|leak| out.push_str(&format!("- LEAK: {leak}\n")));
    row.doubts
        .iter()
        .for_each(|doubt| out.push_str(&format!("- PROVES NOTHING: {doubt}\n")));
    out
}
