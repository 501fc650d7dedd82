//! A noisy tenant: beside the load of a run, one that floods and imports as fast as it is answered, for as long as the run lasts.
//!
//! What it gets is nobody's business here; that nothing of the others breaks while it does so is the run's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rig::cluster::Cluster;
use rig::import;
use rig::load::{self, Pacing, Plan, Refused, Script};
use rig::tasks::{BODY_BYTES, COLLECTION, Create, Place, write_line};
use rig::tenant::{self, Tenant};
use tokio::sync::Notify;

/// The tenant.
const SLUG: &str = "noisy";
/// Connections that create, each with the next as soon as the last was answered.
const CONNECTIONS: usize = 48;
/// Records of one import.
const LINES: u64 = 2_000;
/// How long an import may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(60);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The flood ends when it is told to.
const OPEN_END: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub struct Noise {
    flood: JoinHandle<Result<u64>>,
    imports: JoinHandle<Result<()>>,
    stop: Arc<Notify>,
    stopped: Arc<AtomicBool>,
    imported: Arc<AtomicU64>,
}

impl Noise {
    /// Makes the tenant and lets it loose.
    pub fn start(cluster: &Cluster, runtime: &tokio::runtime::Runtime) -> Result<Self> {
        let tenant = runtime.block_on(async {
            let tenant = tenant::create(cluster, SLUG, None).await?;
            let schema = tenant::task_schema()?;
            let put = tenant.client.collection_put(SLUG, COLLECTION, &schema, None).await;
            put.context("make the noisy tenant's collection")?;
            anyhow::Ok(tenant)
        })?;
        let (stop, stopped, imported) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)), Arc::default());
        let place = Place {
            tenant: SLUG.to_owned(),
            token: tenant.token.clone(),
        };
        let (targets, told) = (cluster.addresses(), Arc::clone(&stop));
        let flood = std::thread::spawn(move || flood(targets, &place, &told));
        let (flag, count) = (Arc::clone(&stopped), Arc::clone(&imported));
        let imports = std::thread::spawn(move || imports(&tenant, &flag, &count));
        Ok(Self {
            flood,
            imports,
            stop,
            stopped,
            imported,
        })
    }

    /// Ends it; how many creates and imported lines were acknowledged. It must have been heard at all.
    pub fn end(self) -> Result<(u64, u64)> {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop.notify_one();
        let created = self.flood.join().map_err(|_| anyhow::anyhow!("the flood panicked"))??;
        self.imports
            .join()
            .map_err(|_| anyhow::anyhow!("the noisy imports panicked"))??;
        anyhow::ensure!(created > 0, "nothing of the noisy tenant was served");
        Ok((created, self.imported.load(Ordering::Relaxed)))
    }
}

/// A noisy tenant until it is quiet, and what it got done by then: creates, and lines of imports.
pub struct Quiet {
    noise: Option<Noise>,
    /// None: there was no noise, or there still is.
    pub done: Option<(u64, u64)>,
}

impl Quiet {
    /// Will be quiet after this noise, if there is any.
    pub fn after(noise: Option<Noise>) -> Self {
        Self { noise, done: None }
    }

    /// Ends the noise.
    pub fn end(&mut self) -> Result<()> {
        self.done = self.noise.take().map(Noise::end).transpose()?;
        Ok(())
    }
}

fn flood(targets: Vec<SocketAddr>, place: &Place, stop: &Notify) -> Result<u64> {
    let plan = Plan {
        targets,
        refused: Refused::Fails,
        connections: CONNECTIONS,
        pacing: Pacing::Closed,
        warmup: Duration::ZERO,
        window: OPEN_END,
        timeout: TIMEOUT,
        classes: vec!["create"],
        probe: None,
        slot: None,
    };
    let script = |connection| -> Box<dyn Script> { Box::new(Create::new(place.clone(), format!("noise-{connection}"), 0)) };
    Ok(load::drive_until(&plan, script, stop)?.successes)
}

/// Imports without a pause. What fails under faults is begun anew by the import itself, or left.
fn imports(tenant: &Tenant, stopped: &AtomicBool, imported: &AtomicU64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    for piece in 0.. {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("noise-{piece}");
        let mut lines = Vec::new();
        (0..LINES).for_each(|number| write_line(&mut lines, &format!("{id}-{number}"), number, BODY_BYTES, false));
        let done = runtime.block_on(import::import(&tenant.client, SLUG, COLLECTION, &id, &lines, IMPORT_WITHIN));
        if let Ok(done) = done {
            imported.fetch_add(done.summary.imported, Ordering::Relaxed);
        }
    }
    Ok(())
}
