//! What open streams cost, and how soon a change reaches all who follow.
//!
//! All streams are opened at the node that leads the tenant's cell: that is where live connections end, wherever they come in. The
//! loader reads what the node sends on the same machine: its own time is in the figures of the fan-out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::live::{LiveAsk, LiveSaid, Subscribe};
use api::client::{Client, EventsFrom};
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use rig::cluster::Cluster;
use rig::probe::resident_bytes;
use rig::tenant::{self, Tenant};
use serde_json::json;
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;

use crate::report::{Measured, Row};
use crate::setup;

/// How long a subscriber may wait for one change.
const WITHIN: Duration = Duration::from_secs(30);
/// Streams that are opened at a time.
const AT_ONCE: usize = 64;

/// How much.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Open streams, half of them server-sent events, half live connections
    #[arg(long, default_value_t = 1_000)]
    pub streams: usize,
    /// Live connections that each change goes to
    #[arg(long, default_value_t = 1_000)]
    pub subscribers: usize,
    /// Changes, one after the other
    #[arg(long, default_value_t = 50)]
    pub changes: usize,
}

/// Measures with the loader on all cores.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    setup::runtime_of_all_cores()?.block_on(measure(cluster, size))
}

/// Opens streams and looks at the node's memory; then sends changes to subscribers. Two rows.
async fn measure(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    let tenant = tenant::create(cluster, "live", Some("workspace")).await?;
    let (client, pid) = leader(cluster, &tenant).await?;
    Ok(vec![
        streams(&tenant, &client, pid, size.streams).await?,
        fan_out(&tenant, &client, size).await?,
    ])
}

/// A client of the node that leads the tenant's cell, and its process.
async fn leader(cluster: &Cluster, tenant: &Tenant) -> Result<(Client, u32)> {
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token())?;
    let cell = operator
        .tenant_show(&tenant.slug)
        .await
        .context("look for the tenant")?
        .body
        .cell;
    let cells = operator.cells().await.context("look for its cell")?;
    let found = cells
        .into_iter()
        .find(|one| one.name == cell)
        .context("its cell is not listed")?;
    let name = found.leader.context("its cell has no leader")?;
    let node = cluster
        .nodes()
        .iter()
        .find(|node| node.name == name)
        .context("its node is not listed")?;
    Ok((tenant::client_of(node.api, &tenant.token)?, cluster.pid(&name)?))
}

async fn streams(tenant: &Tenant, client: &Client, pid: u32, count: usize) -> Result<Row> {
    let before = resident_bytes(pid)?;
    let started = Instant::now();
    let (mut opened, mut reading) = (0, JoinSet::new());
    let follow = EventsFrom {
        after: u64::MAX >> 1,
        follow: true,
        ..EventsFrom::default()
    };
    while opened < count / 2 {
        let some = (count / 2 - opened).min(AT_ONCE);
        let events = (0..some).map(|_| client.events(&tenant.slug, follow.clone()));
        for one in join_all(events).await {
            let mut one = one.context("open a stream of events")?;
            reading.spawn(async move { while let Ok(Some(_)) = one.next().await {} });
        }
        opened += some;
    }
    let between = resident_bytes(pid)?;
    while opened < count {
        let some = (count - opened).min(AT_ONCE);
        for one in join_all((0..some).map(|_| subscribed(client, tenant))).await {
            let mut one = one?;
            // Whoever reads answers when it is asked for a sign of life.
            reading.spawn(async move { while let Ok(Some(_)) = one.next().await {} });
        }
        opened += some;
    }
    ensure!(reading.try_join_next().is_none(), "a stream has ended");
    let seconds = started.elapsed().as_secs_f64();
    let after = resident_bytes(pid)?;
    let mut measured = Measured {
        rate: count as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    let kib = |bytes: u64| bytes as f64 / 1024.0;
    let each = |from: u64, to: u64| kib(to.saturating_sub(from)) / (count / 2).max(1) as f64;
    let more = [
        ("MiB of memory before", kib(before) / 1024.0),
        ("MiB of memory after", kib(after) / 1024.0),
        ("KiB of memory a stream of server-sent events", each(before, between)),
        ("KiB of memory a live connection", each(between, after)),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let title = format!("{count} open streams");
    println!("{title}: {:#?}", measured.more);
    Ok(Row::new(&title, None, vec![measured]))
}

async fn subscribed(client: &Client, tenant: &Tenant) -> Result<api::client::LiveConnection> {
    let mut live = client.live(&tenant.slug).await.context("open a live connection")?;
    let all = Subscribe {
        id: "all".to_owned(),
        ..Subscribe::default()
    };
    live.say(&LiveAsk::Subscribe(all)).await.context("subscribe")?;
    let said = live.next().await.context("hear of the subscription")?;
    ensure!(
        matches!(said, Some(LiveSaid::Subscribed { .. })),
        "a subscription is answered {said:?}"
    );
    Ok(live)
}

async fn fan_out(tenant: &Tenant, client: &Client, size: &Size) -> Result<Row> {
    let (sender, mut receiver) = mpsc::channel(1_024);
    let ready = Arc::new(Barrier::new(size.subscribers + 1));
    let mut tasks = Vec::new();
    for _ in 0..size.subscribers {
        let mut live = subscribed(client, tenant).await?;
        let (sender, ready) = (sender.clone(), Arc::clone(&ready));
        tasks.push(tokio::spawn(async move {
            ready.wait().await;
            while let Ok(Some(said)) = live.next().await {
                if let LiveSaid::Event { position, .. } = said
                    && sender.send((position, Instant::now())).await.is_err()
                {
                    return;
                }
            }
        }));
    }
    ready.wait().await;
    let mut times: Histogram<u64> = Histogram::new(3)?;
    let started = Instant::now();
    for number in 0..size.changes {
        let new = serde_json::from_value(json!({ "fields": { "title": format!("change {number}") } }))?;
        let sent = Instant::now();
        let made = tenant.client.record_create(&tenant.slug, "tasks", &new, None).await;
        let wanted = made.context("make a change")?.position().context("a change has a position")?;
        for _ in 0..size.subscribers {
            let (position, at) = tokio::time::timeout(WITHIN, receiver.recv())
                .await
                .context("a subscriber hears nothing")?
                .context("the subscribers have gone")?;
            ensure!(position == wanted, "position {position} came in place of {wanted}");
            times.record(u64::try_from(at.duration_since(sent).as_micros())?)?;
        }
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let seconds = started.elapsed().as_secs_f64();
    let mut measured = Measured {
        rate: (size.changes * size.subscribers) as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    let ms = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1_000.0;
    let more = [
        ("ms from sending a change to a subscriber's hearing of it, p50", ms(0.5)),
        ("ms from sending a change to a subscriber's hearing of it, p99", ms(0.99)),
        ("ms from sending a change to a subscriber's hearing of it, longest", ms(1.0)),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let title = format!("a change to {} subscribers", size.subscribers);
    println!("{title}: {:#?}", measured.more);
    Ok(Row::new(&title, None, vec![measured]))
}
