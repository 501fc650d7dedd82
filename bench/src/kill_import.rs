//! Imports while nodes are killed with SIGKILL at random; afterwards nothing that was acknowledged is missing, nothing is there
//! twice, and all replicas hold the same.
//!
//! Every file becomes a tenant. Its lines go in by pieces, each an import of its own that is repeated until the server says
//! that it is done; piece by piece falls due with the kills, so that there is work in every outage. Meanwhile one more tenant
//! gets single creates with idempotency keys, each remembered once it was acknowledged. The kills follow from a seed.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::record::NewRecord;
use api::ids::Id;
use api::service::Consistency;
use rig::cluster::Cluster;
use rig::killer::kill_until;
use rig::tenant::{self, Tenant};
use rig::verify::{self, Agreement};
use rig::{import, random::Random};
use serde_json::json;
use tokio::sync::watch;

use crate::data::{self, COLLECTION, Source};

/// How long one piece may take, repetitions included.
const PIECE_WITHIN: Duration = Duration::from_secs(180);
/// How long the replicas may take to reach one position afterwards.
const AGREE_WITHIN: Duration = Duration::from_secs(60);
/// The tenant of the single creates.
const LEDGER: &str = "ledger";

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files.
    pub sources: Vec<Source>,
    /// The same seed kills the same nodes in the same order.
    pub seed: u64,
    /// At least so many kills.
    pub kills: usize,
    /// Pieces of a file.
    pub pieces: usize,
}

/// What came of it. That it exists means that every check passed.
#[derive(Clone, Debug)]
pub struct Survived {
    /// Victims in order.
    pub victims: Vec<String>,
    /// Imported records.
    pub imported: u64,
    /// Attempts of all pieces; as many as there are pieces where no import broke.
    pub attempts: u32,
    /// Pieces of all files.
    pub pieces: usize,
    /// Single creates that were acknowledged.
    pub acknowledged: usize,
    /// Single creates whose outcome stayed unknown or that were refused.
    pub unacknowledged: usize,
    /// The longest time between two acknowledged creates.
    pub longest_gap: Duration,
    /// What the replicas of each cell agree on.
    pub agreements: Vec<Agreement>,
    /// Lines of all exports.
    pub export_lines: usize,
}

/// Imports, kills, verifies. Blocks; has a runtime of its own.
pub fn run(cluster: &Cluster, plan: &Plan) -> Result<Survived> {
    // One runtime for all of it: the clients' connections live on the runtime that opened them.
    let runtime = crate::setup::runtime()?;
    let (tenants, ledger) = runtime.block_on(prepare(cluster, plan))?;
    let (kills, killed) = watch::channel(0);
    let (stop, stopped) = sync_channel::<()>(1);
    let (victims, work) = std::thread::scope(|scope| {
        // The killer owns the sender of the kills: when it fails, nobody waits for the next one.
        let kill = move || {
            kill_until(cluster, plan.seed, plan.kills, &stopped, |count| {
                kills.send_replace(count);
            })
        };
        let killer = scope.spawn(kill);
        let work = runtime.block_on(work(plan, &tenants, &ledger, &killed));
        // The work is done, or has failed: either way the killer ends.
        drop(stop);
        (killer.join(), work)
    });
    let victims = victims.map_err(|_| anyhow::anyhow!("the killer panicked"))??;
    let (attempts, books) = work?;
    let (agreements, export_lines) = runtime.block_on(verify_all(cluster, plan, &tenants, &ledger, &books))?;
    Ok(Survived {
        victims,
        imported: plan.sources.iter().map(|source| import::count_lines(&source.lines)).sum(),
        attempts,
        pieces: plan.sources.len() * plan.pieces,
        acknowledged: books.acknowledged.len(),
        unacknowledged: books.unacknowledged,
        longest_gap: books.longest_gap,
        agreements,
        export_lines,
    })
}

/// A tenant for each file, and the ledger.
async fn prepare(cluster: &Cluster, plan: &Plan) -> Result<(Vec<Tenant>, Tenant)> {
    let mut tenants = Vec::new();
    for source in &plan.sources {
        tenants.push(tenant::create(cluster, &source.slug, Some("workspace")).await?);
    }
    Ok((tenants, tenant::create(cluster, LEDGER, Some("workspace")).await?))
}

/// Imports and creates until everything is in and the kills are done. Returns the imports' attempts and the ledger's books.
async fn work(plan: &Plan, tenants: &[Tenant], ledger: &Tenant, killed: &watch::Receiver<usize>) -> Result<(u32, Books)> {
    let mut over = killed.clone();
    let imports = async {
        let mut attempts = 0;
        for (source, tenant) in plan.sources.iter().zip(tenants) {
            attempts += import_by_pieces(source, tenant, plan, killed.clone()).await?;
        }
        // The ledger goes on until the last kill, whatever is imported by then.
        over.wait_for(|count| *count >= plan.kills)
            .await
            .context("wait for the kills")?;
        anyhow::Ok(attempts)
    };
    let mut books = Books::default();
    let attempts = tokio::select! {
        attempts = imports => attempts?,
        failed = keep_books(ledger, &mut books) => return Err(failed),
    };
    Ok((attempts, books))
}

/// Imports a file; its pieces begin with the first, the second, … of the kills. Returns the attempts.
async fn import_by_pieces(source: &Source, tenant: &Tenant, plan: &Plan, mut killed: watch::Receiver<usize>) -> Result<u32> {
    let mut attempts = 0;
    let file = plan.sources.iter().position(|one| one.slug == source.slug).unwrap_or(0);
    for (number, piece) in pieces(&source.lines, plan.pieces).into_iter().enumerate() {
        // Pieces of all files, one after the other, spread over the kills.
        let due = (file * plan.pieces + number) * plan.kills / (plan.sources.len() * plan.pieces);
        killed.wait_for(|count| *count >= due).await.context("wait for a kill")?;
        let id = format!("piece-{number}");
        let done = import::import(&tenant.client, &source.slug, COLLECTION, &id, piece, PIECE_WITHIN).await?;
        let wanted = import::count_lines(piece);
        ensure!(
            (done.summary.imported, done.summary.failed) == (wanted, 0),
            "{} {id}: the server says {:?} of {wanted} lines: {:?}",
            source.slug,
            done.summary,
            done.failures
        );
        attempts += done.attempts;
    }
    Ok(attempts)
}

/// Cuts NDJSON into so many parts of about the same number of lines.
fn pieces(lines: &[u8], count: usize) -> Vec<&[u8]> {
    let ends: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for part in 1..=count {
        let end = if part == count {
            lines.len()
        } else {
            (ends.len() * part / count).checked_sub(1).map_or(0, |line| ends[line])
        };
        parts.push(&lines[start..end.max(start)]);
        start = end.max(start);
    }
    parts
}

/// Single creates: what was acknowledged.
#[derive(Debug, Default)]
struct Books {
    acknowledged: Vec<(Id, String)>,
    unacknowledged: usize,
    longest_gap: Duration,
}

/// Creates records one after the other until it is dropped. Returns only when something is wrong that waiting does not mend.
async fn keep_books(ledger: &Tenant, books: &mut Books) -> anyhow::Error {
    let mut last = Instant::now();
    for number in 0_u64.. {
        let title = format!("entry {number}");
        let fields = json!({ "title": title, "key": format!("L-{number}") });
        let new = NewRecord {
            id: None,
            fields: fields.as_object().cloned().unwrap_or_default(),
        };
        match ledger
            .client
            .record_create(LEDGER, COLLECTION, &new, Some(&format!("ledger-{number}")))
            .await
        {
            Ok(answer) => {
                books.longest_gap = books.longest_gap.max(last.elapsed());
                last = Instant::now();
                books.acknowledged.push((answer.body.id, title));
            }
            Err(error) if error.is_transient() => books.unacknowledged += 1,
            Err(error) => return anyhow::Error::new(error).context(format!("create {title}")),
        }
    }
    anyhow::anyhow!("the numbers are used up")
}

async fn verify_all(
    cluster: &Cluster,
    plan: &Plan,
    tenants: &[Tenant],
    ledger: &Tenant,
    books: &Books,
) -> Result<(Vec<Agreement>, usize)> {
    for node in cluster.nodes() {
        cluster.wait_ready(&node.name, AGREE_WITHIN)?;
    }
    for (source, tenant) in plan.sources.iter().zip(tenants) {
        data::check(tenant, source).await?;
    }
    verify_books(cluster, plan.seed, ledger, books).await?;
    let agreements = verify::replicas_agree(cluster, AGREE_WITHIN).await?;
    let mut export_lines = 0;
    for tenant in tenants.iter().chain([ledger]) {
        export_lines += verify::exports_agree(cluster, tenant).await?;
    }
    Ok((agreements, export_lines))
}

/// Every acknowledged create reads back, each from a node of the seed's choice, and no key is there twice.
async fn verify_books(cluster: &Cluster, seed: u64, ledger: &Tenant, books: &Books) -> Result<()> {
    ensure!(!books.acknowledged.is_empty(), "no create was acknowledged during the kills");
    let mut random = Random::new(seed);
    let clients = cluster
        .addresses()
        .into_iter()
        .map(|address| tenant::client_of(address, &ledger.token))
        .collect::<Result<Vec<_>>>()?;
    for (id, title) in &books.acknowledged {
        let client = &clients[random.below(clients.len() as u64) as usize];
        let record = client.record(LEDGER, COLLECTION, *id, Consistency::Strong).await;
        let record = record
            .with_context(|| format!("read the acknowledged record {id} ({title})"))?
            .body;
        ensure!(
            record.fields.get().contains(&format!("\"{title}\"")),
            "{id} was acknowledged as {title:?} and is {}",
            record.fields
        );
    }
    let count = verify::count(ledger, COLLECTION).await?;
    let (least, most) = (
        books.acknowledged.len() as u64,
        (books.acknowledged.len() + books.unacknowledged + 1) as u64,
    );
    ensure!(
        (least..=most).contains(&count),
        "{count} records are in the ledger; {least} were acknowledged and at most {most} were sent"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_and_end_with_lines() {
        let lines: Vec<u8> = (0..37)
            .flat_map(|number| format!("{{\"n\":{number}}}\n").into_bytes())
            .collect();
        for count in [1, 2, 5, 36, 37, 50] {
            let parts = pieces(&lines, count);
            assert_eq!(parts.len(), count);
            assert_eq!(parts.concat(), lines, "{count} pieces");
            assert!(parts.iter().all(|part| part.is_empty() || part.ends_with(b"\n")));
        }
        assert_eq!(pieces(b"no line break", 2).concat(), b"no line break");
    }
}
