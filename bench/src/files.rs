//! Files: how fast a large one comes and goes, what it costs a node in memory, and how many small ones are stored and read a second.
//!
//! The large one is an upload in one part, of content that cannot be compressed and repeats nowhere; what comes back is compared by its hash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::client::Client;
use api::ids::Id;
use bytes::Bytes;
use futures_util::stream;
use hdrhistogram::Histogram;
use rig::cluster::Cluster;
use rig::probe::resident_bytes;
use rig::random::Random;
use rig::tenant::{self, Tenant};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::report::{Latency, Measured, Row};
use crate::setup;

/// Bytes of a piece of an upload's body.
const PIECE_BYTES: usize = 64 * 1024;
/// How often the nodes' memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the large file may take, each way.
const WITHIN: Duration = Duration::from_secs(1_800);
const MIB: u64 = 1024 * 1024;
const TYPE: &str = "application/octet-stream";

/// How much.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Mebibytes of the large file
    #[arg(long, default_value_t = 1_024)]
    pub megabytes: u64,
    /// Small files of a row
    #[arg(long, default_value_t = 1_000)]
    pub small: u64,
    /// Bytes of a small file
    #[arg(long, default_value_t = 16_384)]
    pub small_bytes: usize,
    /// Connections that store and read small files
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pub clients: Vec<usize>,
}

/// Measures with the loader on all cores. A row each for the large file's two ways, and two for each number of clients.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    setup::runtime_of_all_cores()?.block_on(measure(cluster, size))
}

async fn measure(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    let tenant = tenant::create(cluster, "files", Some("workspace")).await?;
    let mut rows = large(cluster, &tenant, size.megabytes).await?;
    for clients in &size.clients {
        rows.extend(small(cluster, &tenant, size, *clients).await?);
    }
    Ok(rows)
}

/// The most that a node's memory grows while something is done, in bytes.
struct Growth {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    looking: tokio::task::JoinHandle<()>,
}

impl Growth {
    fn watch(cluster: &Cluster) -> Result<Self> {
        let nodes = cluster.nodes().iter().map(|node| {
            let pid = cluster.pid(&node.name)?;
            Ok((pid, resident_bytes(pid)?))
        });
        let nodes: Vec<(u32, u64)> = nodes.collect::<Result<_>>()?;
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (grown, stopped) = (Arc::clone(&most), Arc::clone(&stop));
        let looking = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                for (pid, before) in &nodes {
                    let now = resident_bytes(*pid).unwrap_or(*before);
                    grown.fetch_max(now.saturating_sub(*before), Ordering::Relaxed);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Ok(Self { most, stop, looking })
    }

    async fn end(self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.await.context("the watch of the nodes' memory")?;
        Ok(self.most.load(Ordering::Relaxed) as f64 / MIB as f64)
    }
}

/// A file that comes in one part, and goes.
async fn large(cluster: &Cluster, tenant: &Tenant, megabytes: u64) -> Result<Vec<Row>> {
    let client = tenant.client.clone().with_timeout(WITHIN);
    let length = megabytes * MIB;
    let begun = client.upload_begin(&tenant.slug, length, "filename bGFyZS5iaW4=").await;
    let upload = begun.context("begin an upload")?.body;
    let hash = Arc::new(std::sync::Mutex::new(blake3::Hasher::new()));
    let hashing = Arc::clone(&hash);
    let mut random = Random::new(7);
    let pieces = (0..length / PIECE_BYTES as u64).map(move |_| {
        let piece: Vec<u8> = std::iter::repeat_with(|| random.draw().to_le_bytes())
            .flatten()
            .take(PIECE_BYTES)
            .collect();
        hashing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .update(&piece);
        Ok(Bytes::from(piece))
    });

    let (growth, started) = (Growth::watch(cluster)?, Instant::now());
    let sent = client.upload_send(&tenant.slug, upload, 0, stream::iter(pieces)).await;
    ensure!(sent.context("send it")? == length, "the upload is not whole");
    let up = moved(
        &format!("a file of {megabytes} MiB comes"),
        megabytes,
        started,
        growth.end().await?,
    );
    let sent = hash.lock().unwrap_or_else(std::sync::PoisonError::into_inner).finalize();

    let file = client
        .upload_state(&tenant.slug, upload)
        .await
        .context("ask for the upload")?
        .body
        .file;
    let file = file.context("the upload has made no file")?;
    let (growth, started) = (Growth::watch(cluster)?, Instant::now());
    let (got, bytes) = fetch(&client, tenant, file).await?;
    let down = moved(
        &format!("a file of {megabytes} MiB goes"),
        megabytes,
        started,
        growth.end().await?,
    );
    ensure!(bytes == length && got == sent, "what came back is not what was sent");
    Ok(vec![up, down])
}

/// Reads a content: its hash and its length.
async fn fetch(client: &Client, tenant: &Tenant, file: Id) -> Result<(blake3::Hash, u64)> {
    let mut content = client
        .file_content(&tenant.slug, file, None)
        .await
        .context("ask for a content")?;
    let (mut hash, mut bytes) = (blake3::Hasher::new(), 0);
    while let Some(piece) = content.next().await.context("read a content")? {
        hash.update(&piece);
        bytes += piece.len() as u64;
    }
    Ok((hash.finalize(), bytes))
}

fn moved(title: &str, megabytes: u64, started: Instant, grown: f64) -> Row {
    let seconds = started.elapsed().as_secs_f64();
    let mut measured = Measured {
        rate: megabytes as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    measured.more.insert("MiB a second".to_owned(), measured.rate);
    measured
        .more
        .insert("MiB that a node's memory grew at most".to_owned(), grown);
    println!("{title}: {:.0} MiB/s, {grown:.0} MiB of growth", measured.rate);
    Row::new(title, None, vec![measured])
}

/// Small files, stored and then read, each connection the next once the last was answered.
async fn small(cluster: &Cluster, tenant: &Tenant, size: &Size, clients: usize) -> Result<Vec<Row>> {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let mut rows = Vec::new();
    for stores in [true, false] {
        let (started, mut tasks) = (Instant::now(), JoinSet::new());
        for number in 0..clients {
            let address = cluster.addresses()[number % cluster.addresses().len()];
            let client = tenant::client_of(address, &tenant.token)?;
            let (tenant, stored, size) = (tenant.clone(), Arc::clone(&stored), size.clone());
            let share = (size.small / clients as u64).max(1);
            tasks.spawn(async move {
                let mut times: Histogram<u64> = Histogram::new(3)?;
                let mut random = Random::new((clients * 1_000 + number) as u64);
                for one in 0..share {
                    let content: Vec<u8> = (0..size.small_bytes).map(|_| random.draw().to_le_bytes()[0]).collect();
                    let began = Instant::now();
                    if stores {
                        let name = format!("small-{clients}-{number}-{one}.bin");
                        let made = client.file_create(&tenant.slug, &name, TYPE, None, content, None).await;
                        stored.lock().await.push(made.context("store a file")?.body.id);
                    } else {
                        let file = stored.lock().await.pop().context("there are not so many files")?;
                        let (_, bytes) = fetch(&client, &tenant, file).await?;
                        ensure!(bytes == size.small_bytes as u64, "a file has {bytes} bytes");
                    }
                    times.record(u64::try_from(began.elapsed().as_micros())?)?;
                }
                anyhow::Ok(times)
            });
        }
        let mut times: Histogram<u64> = Histogram::new(3)?;
        while let Some(done) = tasks.join_next().await {
            times.add(done.context("a client of files")??)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let measured = Measured {
            rate: times.len() as f64 / seconds,
            seconds,
            latency: Some(Latency::of(&times)),
            ..Measured::default()
        };
        let what = if stores { "stored" } else { "read" };
        let title = format!("files of {} KiB are {what}", size.small_bytes / 1024);
        println!("{title}, {clients} clients: {:.0}/s", measured.rate);
        rows.push(Row::new(&title, Some(clients), vec![measured]));
    }
    Ok(rows)
}
