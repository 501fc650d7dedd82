//! A tenant in each region, and a load on all of them at a fixed rate: point reads, creates and lists.
//!
//! The generator is the rig's, one a region, so that each region has its own schedule and its own figures, second by second. Requests are
//! sent once: a connection that is refused is tried at the next node of the region, and nothing else is tried again. What was acknowledged
//! is noted, and looked for at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;
use rig::import;
use rig::load::{self, Outcome, Pacing, Plan, Refused, Script, Slot};
use rig::tasks::{BODY_BYTES, COLLECTION, Create, Ledger, List, Mix, PRELOADED, Place, Read, write_line};
use rig::tenant::{self, Tenant};
use rig::verify;
use serde::Serialize;
use tokio::sync::Notify;

/// Shares of reads, creates and lists.
const SHARES: [u64; 3] = [70, 20, 10];
/// Load before anything counts.
const WARMUP: Duration = Duration::from_secs(3);
/// The longest that a load may last.
const LONGEST: Duration = Duration::from_secs(4 * 3_600);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long an import may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(300);
/// A piece of the load that is told by itself.
pub const SLOT: Duration = Duration::from_secs(1);

/// A region and its tenant.
pub struct Town {
    /// The region.
    pub region: String,
    /// The nodes that are asked.
    pub targets: Vec<SocketAddr>,
    tenant: Tenant,
    ledger: Ledger,
}

/// Makes a tenant in each region. `asked` says which nodes the load goes to.
pub async fn found(cluster: &Cluster, asked: impl Fn(&str) -> bool) -> Result<Vec<Town>> {
    let mut towns = Vec::new();
    for region in cluster.layout().regions() {
        let slug = format!("town-{region}");
        let tenant = tenant::create_in(cluster, region, &slug, None).await?;
        let schema = tenant::task_schema()?;
        let put = tenant.client.collection_put(&slug, COLLECTION, &schema, None);
        put.await.with_context(|| format!("make the collection of {slug}"))?;
        let mut lines = Vec::new();
        (0..PRELOADED).for_each(|number| write_line(&mut lines, &format!("pre-{number}"), number, BODY_BYTES, true));
        let done = import::import(&tenant.client, &slug, COLLECTION, "preload", &lines, IMPORT_WITHIN).await?;
        ensure!(
            done.summary.imported == PRELOADED,
            "{} records were imported",
            done.summary.imported
        );
        let nodes = cluster
            .nodes()
            .iter()
            .filter(|node| node.region == region && asked(&node.name));
        towns.push(Town {
            region: region.to_owned(),
            targets: nodes.map(|node| node.api).collect(),
            tenant,
            ledger: Ledger::default(),
        });
    }
    Ok(towns)
}

impl Town {
    fn script(&self, connection: usize) -> Box<dyn Script> {
        let place = Place {
            tenant: self.tenant.slug.clone(),
            token: self.tenant.token.clone(),
        };
        let seed = connection as u64 + 1;
        let read = Read::new(place.clone(), "", PRELOADED, seed);
        let create = Create::new(place.clone(), format!("{}-{connection}", self.region), 0).noted(&self.ledger);
        let list = List::new(place, seed);
        let [reads, creates, lists] = SHARES;
        Box::new(Mix::new(
            vec![(reads, Box::new(read)), (creates, Box::new(create)), (lists, Box::new(list))],
            seed,
        ))
    }

    /// Holds what was acknowledged against what is there: how many creates were acknowledged, and what is wrong.
    pub async fn audit(&self) -> Result<(usize, Vec<String>)> {
        let keys = self.ledger.keys();
        let mut wanted: BTreeMap<String, u32> = keys.iter().map(|key| (key.clone(), 0)).collect();
        for record in verify::records(&self.tenant, COLLECTION).await? {
            let fields: serde_json::Value = serde_json::from_str(record.fields.get()).context("read a record")?;
            if let Some(seen) = fields["key"].as_str().and_then(|key| wanted.get_mut(key)) {
                *seen += 1;
            }
        }
        let wrong = wanted.iter().filter(|(_, seen)| **seen != 1);
        let findings = wrong.map(|(key, seen)| format!("{}: {key} was acknowledged and is there {seen} times", self.region));
        Ok((keys.len(), findings.collect()))
    }
}

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests a second, over all regions.
    pub rate: f64,
    /// Connections of each region.
    pub outstanding: usize,
}

/// The seconds of a load, counted from when its window opened.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Seconds so far.
    pub fn now(self) -> usize {
        usize::try_from(self.0.elapsed().as_secs()).unwrap_or(usize::MAX)
    }
}

/// Puts the load on, does the deed, and takes the load off. What each region's load came to, in the order of the towns.
pub fn drive<T>(towns: &[Town], load: Load, deed: impl FnOnce(Clock) -> Result<T>) -> Result<(Vec<Outcome>, T)> {
    let plan = |town: &Town| Plan {
        targets: town.targets.clone(),
        refused: Refused::Elsewhere { groups: 1 },
        connections: load.outstanding,
        pacing: Pacing::Open {
            rate: load.rate / towns.len() as f64,
        },
        warmup: WARMUP,
        window: LONGEST,
        timeout: TIMEOUT,
        classes: vec!["read", "create", "list"],
        probe: None,
        slot: Some(SLOT),
    };
    let stops: Vec<_> = towns.iter().map(|_| Notify::new()).collect();
    std::thread::scope(|scope| {
        let loads: Vec<_> = towns
            .iter()
            .zip(&stops)
            .map(|(town, stop)| scope.spawn(move || load::drive_until(&plan(town), |number| town.script(number), stop)))
            .collect();
        let clock = Clock(Instant::now() + WARMUP);
        std::thread::sleep(WARMUP);
        let done = deed(clock);
        stops.iter().for_each(Notify::notify_one);
        let outcomes = loads.into_iter().map(|load| match load.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
        Ok((outcomes, done?))
    })
}

/// What a piece of a load came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Requests that succeeded.
    pub done: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Those by kind.
    pub errors: BTreeMap<String, u64>,
    /// Latency from when a request was due, in milliseconds.
    pub p50_ms: f64,
    /// The same.
    pub p95_ms: f64,
    /// The same.
    pub p99_ms: f64,
}

impl Figures {
    /// Of the seconds of a load from one on, up to another.
    pub fn of(outcomes: &[&Outcome], from: usize, until: usize) -> Self {
        let mut sum = Slot::default();
        for outcome in outcomes {
            let slots = outcome.slots.iter().take(until).skip(from);
            slots.for_each(|slot| sum.add(slot));
        }
        let at = |quantile| sum.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            done: sum.latency.len(),
            failed: sum.failures(),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            errors: sum.errors,
        }
    }

    /// The share that succeeded, in percent.
    pub fn success_percent(&self) -> f64 {
        let all = self.done + self.failed;
        if all == 0 {
            0.0
        } else {
            self.done as f64 * 100.0 / all as f64
        }
    }

    /// A row of [`HEAD`].
    pub fn row(&self, what: &str) -> String {
        let errors: Vec<_> = self.errors.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        format!(
            "| {what} | {} | {} | {:.4} | {:.1} | {:.1} | {:.1} | {} |\n",
            self.done,
            self.failed,
            self.success_percent(),
            self.p50_ms,
            self.p95_ms,
            self.p99_ms,
            errors.join(", ")
        )
    }
}

/// The head of a table of [`Figures::row`].
pub const HEAD: &str =
    "| | done | failed | % done | p50 ms | p95 ms | p99 ms | what failed |\n|---|---|---|---|---|---|---|---|\n";
