//! Proposals a second, and how long they take: three hosts on loopback, with TLS, log and fsync, without a real state machine.
//!
//! `cargo run --release -p cloudnest-raft --example propose_bench [seconds] [directory]`. All three hosts are in this process, each
//! with its own raft, log and apply threads; the CPU that is printed is that of all three and of the proposers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft::{
    Entry, Group, GroupId, GroupOptions, Host, HostConfig, LogOptions, Mark, NodeId, Peer, SnapshotSink, SnapshotSource,
    StateMachine, Timing, make_authority,
};

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 256;

/// A machine that does nothing, durably.
#[derive(Default)]
struct Nothing(Mutex<Mark>);

impl StateMachine for Nothing {
    fn applied(&self) -> io::Result<Mark> {
        Ok(self.durable())
    }

    fn apply(&self, entries: Vec<Entry>, mark: Mark) -> io::Result<Vec<Bytes>> {
        *self.0.lock().unwrap() = mark;
        Ok(vec![Bytes::new(); entries.len()])
    }

    fn durable(&self) -> Mark {
        self.0.lock().unwrap().clone()
    }

    fn persist(&self) -> io::Result<Mark> {
        Ok(self.durable())
    }

    fn snapshot(&self) -> io::Result<Box<dyn SnapshotSource>> {
        Err(io::Error::other("not in this benchmark"))
    }

    fn receive(&self) -> io::Result<Box<dyn SnapshotSink>> {
        Err(io::Error::other("not in this benchmark"))
    }
}

/// The latencies of a run, µs, and the sums of the stages.
#[derive(Default)]
struct Run {
    latencies: Vec<u32>,
    stages: [u64; 4],
}

fn start(dir: &std::path::Path) -> (Vec<Host>, Vec<Group>) {
    let authority = make_authority("bench").unwrap();
    let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let peer = |listener: &TcpListener| Peer {
        address: listener.local_addr().unwrap().to_string(),
        region: "here".to_owned(),
        linked: true,
    };
    let peers: BTreeMap<NodeId, Peer> = (1..).map(NodeId).zip(listeners.iter().map(peer)).collect();
    let hosts: Vec<Host> = listeners
        .into_iter()
        .zip(1..)
        .map(|(listener, id)| {
            let config = HostConfig {
                node: NodeId(id),
                cluster: "bench".to_owned(),
                region: "here".to_owned(),
                dir: dir.join(id.to_string()),
                listener,
                peers: peers.clone(),
                identity: authority.issue(NodeId(id), "here", 1).unwrap(),
                timing: Timing::default(),
                on_stream: None,
                log: LogOptions::default(),
            };
            Host::start(config).unwrap()
        })
        .collect();
    let groups = hosts
        .iter()
        .map(|host| {
            host.open_group(GroupId(1), Arc::new(Nothing::default()), GroupOptions::default())
                .unwrap()
        })
        .collect();
    (hosts, groups)
}

async fn run(group: &Group, proposers: usize, time: Duration) -> Run {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..proposers)
        .map(|_| {
            let (group, stop) = (group.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
                let mut run = Run::default();
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let done = group.propose(payload.clone()).await.unwrap();
                    run.latencies
                        .push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
                    let stages = [done.propose_us, done.fsync_us, done.commit_us, done.apply_us];
                    run.stages
                        .iter_mut()
                        .zip(stages)
                        .for_each(|(sum, stage)| *sum += u64::from(stage));
                }
                run
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Run::default();
    for task in tasks {
        let one = task.await.unwrap();
        all.latencies.extend(one.latencies);
        all.stages.iter_mut().zip(one.stages).for_each(|(sum, stage)| *sum += stage);
    }
    all.latencies.sort_unstable();
    all
}

/// CPU time of this process, µs; the kernel counts in hundredths of a second.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum::<u64>()
        * 10_000
}

async fn measure(hosts: &[Host], group: &Group, proposers: usize, time: Duration) {
    run(group, proposers, time / 5).await;
    let (cpu, fsyncs, begin) = (cpu_us(), fsyncs(hosts), Instant::now());
    let done = run(group, proposers, time).await;
    let (elapsed, cpu, fsyncs) = (begin.elapsed(), cpu_us() - cpu, fsyncs_since(hosts, fsyncs));
    let count = done.latencies.len().max(1);
    let at = |share: f64| f64::from(done.latencies[((count - 1) as f64 * share) as usize]) / 1_000.0;
    let stage = |number: usize| done.stages[number] / count as u64;
    println!(
        "{proposers:>4} | {:>7.0}/s | p50 {:>6.2} p99 {:>6.2} p99.9 {:>6.2} max {:>7.2} ms | {:>5.1} µs CPU | {:.3} fsyncs | {} {} {} {} µs",
        count as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        cpu as f64 / count as f64,
        fsyncs as f64 / count as f64,
        stage(0),
        stage(1),
        stage(2),
        stage(3),
    );
}

fn fsyncs(hosts: &[Host]) -> u64 {
    hosts.iter().map(|host| host.log_stats().fsyncs).sum()
}

fn fsyncs_since(hosts: &[Host], before: u64) -> u64 {
    fsyncs(hosts).saturating_sub(before)
}

async fn leader(groups: &[Group]) -> Group {
    loop {
        if let Some(leader) = groups.iter().find(|group| group.is_leader()) {
            return leader.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads through the barrier, on the leader and on a follower.
async fn measure_reads(group: &Group, what: &str, time: Duration) {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let group = group.clone();
            tokio::spawn(async move {
                let mut reads = 0u64;
                while begin.elapsed() < time {
                    group.read_barrier().await.unwrap();
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let mut reads = 0;
    for task in tasks {
        reads += task.await.unwrap();
    }
    println!("64 readers on {what}: {:.0}/s", reads as f64 / begin.elapsed().as_secs_f64());
}

/// How long no proposal went through when the leader ended without a word.
async fn measure_failover(hosts: &mut Vec<Host>, groups: &mut Vec<Group>) {
    let old = leader(groups).await;
    let place = groups.iter().position(Group::is_leader).unwrap();
    old.propose(Bytes::from_static(b"x")).await.unwrap();
    let begin = Instant::now();
    groups.remove(place);
    drop(old);
    hosts.remove(place).shutdown().await.unwrap();
    let gone = begin.elapsed();
    loop {
        let next = leader(groups).await;
        if next.propose(Bytes::from_static(b"x")).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "leader stopped: next proposal after {:?} (of which stopping took {gone:?})",
        begin.elapsed()
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let time = Duration::from_secs(seconds);
    let base = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).unwrap();
    let (mut hosts, mut groups) = start(dir.path());
    groups[0]
        .initialize(&(1..=3).map(NodeId).collect::<BTreeSet<_>>())
        .await
        .unwrap();
    let lead = leader(&groups).await;
    let term = lead.status().term;
    println!("proposers | throughput | latency | CPU of all | fsyncs of all per proposal | propose, fsync, commit, apply");
    for proposers in [1, 16, 64, 256] {
        measure(&hosts, &lead, proposers, time).await;
    }
    measure_reads(&lead, "the leader", time).await;
    let follower = groups.iter().find(|group| !group.is_leader()).unwrap().clone();
    measure_reads(&follower, "a follower", time).await;
    println!("terms begun meanwhile: {}", lead.status().term - term);
    drop((lead, follower));
    measure_failover(&mut hosts, &mut groups).await;
    groups.clear();
    for host in hosts {
        host.shutdown().await.unwrap();
    }
}
