//! A new index over a million records while clients go on writing: how long it takes, and what the clients notice.
//!
//! Creates and patches, half and half, fall due at a fixed rate. After a while the schema is put with one index more, which the server
//! answers with an operation; once it is done the load goes on for a few seconds. Each request counts for the phase in which it was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::body::control::Operation;
use rig::cluster::Cluster;
use rig::http::{Request, find, get, send};
use rig::load::{self, Pacing, Plan, Script};
use rig::random::Random;
use rig::tenant::Tenant;
use tokio::sync::Notify;

use crate::report::{Latency, Measured, Row};
use crate::setup;
use crate::tasks::{COLLECTION, Create, Place, expect, id_of};

/// Load before the measured window.
const WARMUP: Duration = Duration::from_secs(3);
/// How long the load goes on when the index is there.
const AFTER: Duration = Duration::from_secs(10);
/// How long the index may take.
const WITHIN: Duration = Duration::from_secs(300);
/// Between two questions how far it is.
const POLL: Duration = Duration::from_millis(200);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The phases, which are the classes of the requests.
const PHASES: [&str; 3] = ["before", "during", "after"];

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Records that are there
    #[arg(long, default_value_t = 1_000_000)]
    pub records: u64,
    /// Writes a second, open loop
    #[arg(long, default_value_t = 2_000.0)]
    pub rate: f64,
    /// Seconds of load before the index is asked for
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Connections: bounds what is outstanding
    #[arg(long, default_value_t = 256)]
    pub outstanding: usize,
}

/// What the conductor of a run has seen.
struct Seen {
    /// From the request for the index until the operation was done.
    took: Duration,
    operation: Operation,
}

/// Adds an index over the named fields, under load. Three rows: before, during, after.
pub fn measure(cluster: &Cluster, tenant: &Tenant, place: &Place, size: &Size, schema: &[u8], order: &str) -> Result<Vec<Row>> {
    let before = Duration::from_secs(size.seconds);
    let plan = Plan {
        targets: cluster.addresses(),
        connections: size.outstanding,
        pacing: Pacing::Open { rate: size.rate },
        warmup: WARMUP,
        window: before + WITHIN + AFTER,
        timeout: TIMEOUT,
        classes: PHASES.to_vec(),
        probe: None,
    };
    let address = *plan.targets.first().context("a cluster has a node")?;
    let (phase, stop) = (Arc::new(AtomicUsize::new(0)), Notify::new());
    let script =
        |connection| -> Box<dyn Script> { Box::new(Writes::new(place.clone(), connection, size.records, Arc::clone(&phase))) };
    let (outcome, seen) = std::thread::scope(|scope| {
        let conductor = scope.spawn(|| {
            std::thread::sleep(WARMUP + before);
            phase.store(1, Ordering::SeqCst);
            let seen = add_index(address, tenant, schema);
            phase.store(2, Ordering::SeqCst);
            std::thread::sleep(if seen.is_ok() { AFTER } else { Duration::ZERO });
            stop.notify_one();
            seen
        });
        let outcome = load::drive_until(&plan, script, &stop);
        match conductor.join() {
            Ok(seen) => (outcome, seen),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let (outcome, seen) = (outcome?, seen?);
    serves(address, tenant, order)?;
    let seconds = [before, seen.took, AFTER].map(|time| time.as_secs_f64());
    let title = format!("index over {} records, {} writes/s", size.records, size.rate);
    let mut rows: Vec<Row> = Vec::new();
    for ((name, histogram), seconds) in outcome.by_class.iter().zip(seconds) {
        let mut measured = Measured {
            rate: histogram.len() as f64 / seconds,
            seconds,
            latency: Some(Latency::of(histogram)),
            ..Measured::default()
        };
        if *name == PHASES[1] {
            tell(&mut measured, &seen, size.records);
            measured.errors = outcome.errors.clone();
            measured.longest_gap_ms = Some(outcome.longest_gap.as_secs_f64() * 1e3);
        }
        println!("{title}, {name}: {:.0}/s  {}", measured.rate, load::summarize(histogram));
        rows.push(Row::new(&format!("{title}, {name}"), Some(size.outstanding), vec![measured]));
    }
    println!(
        "{title}: done in {:.1} s, failures {:?}",
        seen.took.as_secs_f64(),
        outcome.errors
    );
    Ok(rows)
}

/// The figures of the operation.
fn tell(measured: &mut Measured, seen: &Seen, records: u64) {
    let seconds = seen.took.as_secs_f64();
    let more = [
        ("seconds until the index was there", seconds),
        ("records that were there, a second", records as f64 / seconds),
        ("records of the operation's progress", seen.operation.progress as f64),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
}

/// Puts the schema and waits until its operation is done.
fn add_index(address: SocketAddr, tenant: &Tenant, schema: &[u8]) -> Result<Seen> {
    let started = Instant::now();
    let path = format!("/v1/tenants/{}/collections/{COLLECTION}", tenant.slug);
    let request = Request {
        method: "PUT",
        path: &path,
        token: &tenant.token,
        headers: "",
        body: schema,
    };
    let (status, body) = send(address, request, TIMEOUT)?;
    ensure!(status == 202, "PUT {path}: {status} {}", String::from_utf8_lossy(&body));
    let mut operation: Operation = serde_json::from_slice(&body).context("read the operation")?;
    let path = format!("/v1/tenants/{}/operations/{}", tenant.slug, operation.id);
    while operation.status == "running" && started.elapsed() < WITHIN {
        std::thread::sleep(POLL);
        let body = get(address, &path, &tenant.token, TIMEOUT)?;
        operation = serde_json::from_slice(&body).context("read the operation")?;
    }
    if operation.status != "done" {
        bail!("the index is not there: {operation:?}");
    }
    Ok(Seen {
        took: started.elapsed(),
        operation,
    })
}

/// A list in an order that only the new index serves.
fn serves(address: SocketAddr, tenant: &Tenant, order: &str) -> Result<()> {
    let path = format!("/v1/tenants/{}/records/{COLLECTION}?order={order}&limit=50", tenant.slug);
    let body = get(address, &path, &tenant.token, TIMEOUT)?;
    let page: serde_json::Value = serde_json::from_slice(&body).context("read the list")?;
    let items = page["items"].as_array().map_or(0, Vec::len);
    ensure!(items == 50, "the new index gave {items} records");
    Ok(())
}

/// Creates and patches of one connection.
struct Writes {
    create: Create,
    place: Place,
    path: String,
    records: u64,
    random: Random,
    phase: Arc<AtomicUsize>,
    /// The record that is patched and its new points; none: a create was sent.
    patched: Option<(String, u64)>,
}

impl Writes {
    fn new(place: Place, connection: usize, records: u64, phase: Arc<AtomicUsize>) -> Self {
        Self {
            create: Create::new(place.clone(), format!("backfill-{connection}"), 0),
            path: place.path(COLLECTION),
            place,
            records,
            random: Random::new(connection as u64 + 1),
            phase,
            patched: None,
        }
    }
}

impl Script for Writes {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let phase = self.phase.load(Ordering::SeqCst);
        if self.random.below(2) == 0 {
            self.patched = None;
            self.create.request(out);
            return phase;
        }
        let (id, points) = (id_of(self.random.below(self.records)), self.random.below(1_000));
        let (path, body) = (
            format!("{}/{id}", self.path),
            format!("{{\"fields\":{{\"points\":{points}}}}}"),
        );
        Request {
            method: "PATCH",
            path: &path,
            token: &self.place.token,
            headers: "",
            body: body.as_bytes(),
        }
        .write(out);
        self.patched = Some((id, points));
        phase
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        let Some((id, points)) = &self.patched else {
            return self.create.check(status, body);
        };
        expect(status, 200, body)?;
        let wanted = format!("\"points\":{points}");
        if find(body, id.as_bytes()).is_some() && find(body, wanted.as_bytes()).is_some() {
            Ok(())
        } else {
            Err("wrong_record".to_owned())
        }
    }
}

/// Brings the records in, creates the place that writes go to, and adds the index: what the command does.
pub fn run(cluster: &Cluster, size: &Size, rules: bool) -> Result<Vec<Row>> {
    let runtime = setup::runtime()?;
    let (tenant, place) = runtime.block_on(async {
        let tenant = setup::tenant(cluster, "backfill", rules).await?;
        setup::import(&tenant, COLLECTION, size.records).await?;
        crate::bulk::settled(cluster).await?;
        let place = setup::place(&tenant, rules).await?;
        anyhow::Ok((tenant, place))
    })?;
    let mut schema = crate::schema::tasks(rules)?;
    schema
        .indexes
        .insert("by_points".parse()?, crate::schema::index(&["points", "created_at"])?);
    let schema = serde_json::to_vec(&schema).context("write the schema")?;
    measure(cluster, &tenant, &place, size, &schema, "points,created_at")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_writes_are_patches_and_each_wants_its_own_record_back() {
        let place = Place {
            tenant: "bench".to_owned(),
            token: "secret".to_owned(),
        };
        let phase = Arc::new(AtomicUsize::new(0));
        let mut writes = Writes::new(place, 0, 1_000, Arc::clone(&phase));
        let mut patches = 0;
        for number in 0..1_000 {
            let mut out = Vec::new();
            phase.store(number % 3, Ordering::SeqCst);
            assert_eq!(writes.request(&mut out), number % 3);
            let Some((id, points)) = writes.patched.clone() else {
                continue;
            };
            patches += 1;
            let reply = format!("{{\"id\":\"{id}\",\"fields\":{{\"points\":{points}}}}}");
            assert_eq!(writes.check(200, reply.as_bytes()), Ok(()));
            assert_eq!(writes.check(200, b"{}"), Err("wrong_record".to_owned()));
        }
        assert!((400..600).contains(&patches), "{patches}");
    }
}
