//! The tenant that takes all it can get.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rig::cluster::Cluster;
use rig::http::Request;
use rig::import;
use rig::load::{self, Pacing, Plan, Refused, Script};
use rig::tenant::Tenant;
use tokio::sync::Notify;

use super::noise::{self, Upload, Words};
use super::spin;
use crate::moving::move_to;
use crate::setup;
use crate::tasks::{BODY_BYTES, COLLECTION, Create, Mix, Place, Read, write_line};

/// Its slug.
const SLUG: &str = "aggressor";
/// Records that it has: expensive queries read them in vain.
const RECORDS: u64 = 50_000;
/// Records of one import.
const IMPORT_RECORDS: u64 = 1_000;
/// A flood asks so many times as often as a victim, over so many connections.
const FLOOD: f64 = 10.0;
const FLOOD_CONNECTIONS: usize = 256;
/// Connections with expensive queries, each with the next as soon as the last was answered.
const QUERY_CONNECTIONS: usize = 16;
/// Connections that say nothing.
const IDLE_CONNECTIONS: usize = 1_000;
/// Connections that store files.
const UPLOAD_CONNECTIONS: usize = 8;
/// How long one import, or one reply, may take.
const IMPORT_WITHIN: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(30);
/// A window that is ended from outside.
const OPEN_END: Duration = Duration::from_secs(3_600);
/// The lowest priority that Linux has for ordinary threads.
const LOWEST_PRIORITY: &str = "19";

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Imports over four connections, as fast as they are accepted.
    Import,
    /// Ten times the requests of a victim: half reads, half creates.
    Flood,
    /// Lists that read thousands of records in vain.
    Queries,
    /// A thousand connections that have asked once and say nothing more.
    Connections,
    /// Files of 256 KiB over eight connections, each the next once the last was stored.
    Uploads,
    /// Searches for words that each of its records has, over sixteen connections.
    Searches,
    /// Three hundred streams of its own events, while it writes.
    Streams,
    /// Nothing: beside the platform a process on each core computes, and gives way to everybody. What is noticed of it is the machine's.
    Machine,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Import => "a bulk import",
            Self::Flood => "a flood of ten times their requests",
            Self::Queries => "expensive queries",
            Self::Connections => "a thousand idle connections",
            Self::Uploads => "uploads",
            Self::Searches => "searches for what everything has",
            Self::Streams => "three hundred streams of events",
            Self::Machine => "processes that give way, outside the platform",
        })
    }
}

/// See the module.
pub(super) struct Aggressor {
    tenant: Tenant,
    place: Place,
    targets: Vec<SocketAddr>,
}

impl Aggressor {
    /// Made in the victims' cell, or, as their neighbour, in one of its own on the same nodes.
    pub(super) fn settle(cluster: &Cluster, neighbour: bool) -> Result<Self> {
        let (tenant, place) = setup::runtime()?.block_on(async {
            let tenant = setup::tenant(cluster, SLUG, false).await?;
            setup::import(&tenant, COLLECTION, RECORDS, BODY_BYTES).await?;
            let place = setup::place(&tenant, false).await?;
            anyhow::Ok((tenant, place))
        })?;
        let targets = cluster.addresses();
        if neighbour {
            let address = *targets.first().context("a cluster has a node")?;
            move_to(address, cluster.operator_token(), SLUG, None)?;
        }
        Ok(Self { tenant, place, targets })
    }

    /// Does its worst while something is watched; what was seen, and how much it got done.
    pub(super) fn beside<T>(&self, kind: Kind, share: f64, run: usize, watch: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        if kind == Kind::Searches {
            setup::runtime()?.block_on(noise::search_texts(&self.tenant))?;
        }
        let stop = Arc::new(Notify::new());
        let stopped = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (stops, flag, counted) = (Arc::clone(&stop), Arc::clone(&stopped), Arc::clone(&done));
            let attacking = scope.spawn(move || {
                lower_priority();
                match kind {
                    Kind::Import => self.import(run, &flag, &counted),
                    Kind::Flood => self.load(self.flood(share), &stops, &counted, |connection| {
                        self.flooding(run, connection)
                    }),
                    Kind::Queries => self.load(self.querying(), &stops, &counted, |_| Box::new(Query(self.place.clone()))),
                    Kind::Connections => self.connect(&flag, &counted),
                    Kind::Uploads => self.load(self.uploading(), &stops, &counted, |connection| {
                        Box::new(Upload::new(self.place.clone(), run, connection))
                    }),
                    Kind::Searches => self.load(self.querying(), &stops, &counted, |_| Box::new(Words(self.place.clone()))),
                    Kind::Streams => {
                        let following = noise::follow(&self.tenant, &self.targets, &flag, &counted);
                        setup::runtime()?.block_on(following)
                    }
                    Kind::Machine => spin::compute(&flag),
                }
            });
            let seen = watch();
            // What is done from here on is not beside what was watched.
            let result = done.load(Ordering::Relaxed);
            stopped.store(true, Ordering::Relaxed);
            stop.notify_one();
            let ended = attacking.join().map_err(|_| anyhow!("the aggressor panicked"))?;
            ended.context("the aggressor")?;
            let total = if matches!(kind, Kind::Flood | Kind::Queries | Kind::Uploads | Kind::Searches) {
                done.load(Ordering::Relaxed)
            } else {
                result
            };
            Ok((seen?, total as f64))
        })
    }

    /// Imports without a pause; counts records.
    fn import(&self, run: usize, stopped: &AtomicBool, done: &AtomicU64) -> Result<()> {
        let importing = async {
            let share = |importer: usize| async move {
                for piece in 0.. {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("worst-{run}-{importer}-{piece}");
                    let mut lines = Vec::new();
                    (0..IMPORT_RECORDS)
                        .for_each(|number| write_line(&mut lines, &format!("{id}-{number}"), number, BODY_BYTES, false));
                    import::import(&self.tenant.client, &self.tenant.slug, COLLECTION, &id, &lines, IMPORT_WITHIN).await?;
                    done.fetch_add(IMPORT_RECORDS, Ordering::Relaxed);
                }
                anyhow::Ok(())
            };
            tokio::try_join!(share(0), share(1), share(2), share(3))
        };
        setup::runtime()?.block_on(importing).map(drop)
    }

    fn flood(&self, share: f64) -> Plan {
        self.plan(Pacing::Open { rate: FLOOD * share }, FLOOD_CONNECTIONS)
    }

    fn querying(&self) -> Plan {
        self.plan(Pacing::Closed, QUERY_CONNECTIONS)
    }

    fn uploading(&self) -> Plan {
        self.plan(Pacing::Closed, UPLOAD_CONNECTIONS)
    }

    fn plan(&self, pacing: Pacing, connections: usize) -> Plan {
        Plan {
            targets: self.targets.clone(),
            refused: Refused::Fails,
            connections,
            pacing,
            warmup: Duration::ZERO,
            window: OPEN_END,
            timeout: TIMEOUT,
            classes: vec!["read", "create"],
            probe: None,
            slot: None,
        }
    }

    fn flooding(&self, run: usize, connection: usize) -> Box<dyn Script> {
        let seed = connection as u64 + 1;
        let read = Read::new(self.place.clone(), "", RECORDS, seed);
        let prefix = format!("flood-{run}-{connection}-{}", setup::moment());
        let create = Create::new(self.place.clone(), prefix, 0);
        Box::new(Mix::new(vec![(1, Box::new(read)), (1, Box::new(create))], seed))
    }

    fn load(&self, plan: Plan, stop: &Notify, done: &AtomicU64, script: impl FnMut(usize) -> Box<dyn Script>) -> Result<()> {
        let outcome = load::drive_until(&plan, script, stop)?;
        done.store(outcome.successes, Ordering::Relaxed);
        Ok(())
    }

    /// Opens connections, asks once over each, and keeps them.
    fn connect(&self, stopped: &AtomicBool, done: &AtomicU64) -> Result<()> {
        let mut kept = Vec::new();
        for number in 0..IDLE_CONNECTIONS {
            let target = self.targets[number % self.targets.len()];
            let mut stream = TcpStream::connect(target).context("connect")?;
            stream.set_read_timeout(Some(TIMEOUT)).context("set a timeout")?;
            let mut request = Vec::new();
            Request {
                method: "GET",
                path: &format!("/v1/tenants/{}/me", self.place.tenant),
                token: &self.place.token,
                headers: "",
                body: b"",
            }
            .write(&mut request);
            stream.write_all(&request).context("ask")?;
            stream.read_exact(&mut [0; 12]).context("read the answer")?;
            kept.push(stream);
            done.fetch_add(1, Ordering::Relaxed);
        }
        while !stopped.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// A list that no index serves and hardly a record fits: it reads until its budget is spent, or counts them all.
struct Query(Place);

impl Script for Query {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        Request {
            method: "GET",
            path: &format!("{}?filter=points%20%3E%2099&limit=50", self.0.path(COLLECTION)),
            token: &self.0.token,
            headers: "",
            body: b"",
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        // It is refused once its budget is spent: that is what it costs.
        match status {
            200 | 400 => Ok(()),
            other => crate::tasks::expect(other, 200, body),
        }
    }
}

/// Gives this thread, and those that it starts, the lowest priority.
fn lower_priority() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let Some(id) = thread.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
        return;
    };
    let lowered = std::process::Command::new("renice")
        .args(["-n", LOWEST_PRIORITY, "-p", &id])
        .output();
    if !lowered.is_ok_and(|output| output.status.success()) {
        eprintln!("the aggressor's clients keep their priority: renice (bsdutils) is not there");
    }
}
