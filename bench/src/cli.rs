//! The command line.

use std::path::PathBuf;

use bench::setup::ClusterArgs;
use bench::{backfill, company, files, idle, isolation, live, memory, moving, peers, scaling, speed};
use clap::{Parser, Subcommand};

/// Measure the built cloudnest binary with three replicas on this machine.
#[derive(Parser)]
#[command(
    name = "cloudnest-bench",
    version,
    after_help = "Example:\n  cloudnest-bench run --workload w1,w2 --seconds 5 --runs 5 --clients 1,16,64,256 --out bench-out"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// All experiments one after the other, each with a cluster of its own, and one report of all
    #[command(after_help = "Examples:\n  cloudnest-bench all --data-dir DIR\n  cloudnest-bench all --short --only load,live")]
    All(crate::all::Args),
    /// Workloads W1 to W5 with several numbers of clients
    #[command(after_help = "Example:\n  cloudnest-bench run --workload w1,w5 --seconds 5 --runs 5 --clients 1,16,64,256")]
    Run {
        /// w1 create, w2 point reads, w3 90/10, w4 lists of 50, w5 bulk import
        #[arg(long, value_delimiter = ',', default_value = "w1,w2,w3,w4,w5")]
        workload: Vec<String>,
        /// Seconds of a run
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Runs of each row
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Numbers of keep-alive connections
        #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
        clients: Vec<usize>,
        /// The collections have a rule for each verb and a workflow, and a member asks, whom they bind (w5 goes on without)
        #[arg(long)]
        rules: bool,
        #[command(flatten)]
        bulk: BulkArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Creates at a fixed rate over a full store: p99.9 and the longest gap
    #[command(after_help = "Example:\n  cloudnest-bench stall --records 1000000 --rate 5000 --seconds 120")]
    Stall {
        #[command(flatten)]
        fixed: Fixed,
        #[command(flatten)]
        bulk: BulkArgs,
        #[command(flatten)]
        common: Common,
    },
    /// A new index over a full collection while creates and patches go on at a fixed rate
    #[command(after_help = "Example:\n  cloudnest-bench backfill --records 1000000 --rate 2000 --rules")]
    Backfill {
        #[command(flatten)]
        size: backfill::Size,
        /// The collection has rules and a workflow, and a member writes
        #[arg(long)]
        rules: bool,
        #[command(flatten)]
        common: Common,
    },
    /// A tenant that moves to a dedicated cell and back under load: failed requests, latency, holds; then compare all replicas
    #[command(
        after_help = "Example:\n  cloudnest-bench move --megabytes 1000 --rate 500\n\nExit code 1: a request failed, or replicas differ."
    )]
    Move {
        #[command(flatten)]
        size: moving::Size,
        #[command(flatten)]
        common: Common,
    },
    /// Many tenants of very different size, nine reads for a write, at a fixed rate
    #[command(after_help = "Example:\n  cloudnest-bench company --tenants 500 --records 1000000 --rate 7500 --seconds 300")]
    Company {
        #[command(flatten)]
        size: company::Size,
        #[command(flatten)]
        common: Common,
    },
    /// What tenants notice of one that imports, floods, asks what is expensive, or keeps connections
    #[command(after_help = "Example:\n  cloudnest-bench isolation --seconds 20 --runs 3\n  cloudnest-bench isolation --control")]
    Isolation {
        #[command(flatten)]
        size: isolation::Size,
        #[command(flatten)]
        common: Common,
    },
    /// What nobody asks: many empty tenants (time to create, memory, disk, processor time at rest), and many cells (processor time at rest)
    #[command(after_help = "Example:\n  cloudnest-bench idle --tenants 1000 --cells 20 --seconds 60")]
    Idle {
        #[command(flatten)]
        size: idle::Size,
        #[command(flatten)]
        common: Common,
    },
    /// Open streams: memory of each; and changes that go to many subscribers: how soon
    #[command(after_help = "Example:\n  cloudnest-bench live --streams 10000 --subscribers 1000")]
    Live {
        #[command(flatten)]
        size: live::Size,
        #[command(flatten)]
        common: Common,
    },
    /// A large file that comes and goes, and small ones: bytes and files a second, and what a node's memory grows meanwhile
    #[command(after_help = "Example:\n  cloudnest-bench files --megabytes 1024")]
    Files {
        #[command(flatten)]
        size: files::Size,
        #[command(flatten)]
        common: Common,
    },
    /// What a node keeps in memory when thousands of tenants have millions of records
    #[command(after_help = "Example:\n  cloudnest-bench memory --tenants 10000 --records 5000000")]
    Memory {
        #[command(flatten)]
        size: memory::Size,
        #[command(flatten)]
        common: Common,
    },
    /// CloudNest beside Postgres with two synchronous standbys and etcd with three members, in turns: rates, and their ratios round by round
    #[command(
        after_help = "Example:\n  cloudnest-bench peers --runs 5 --clients 64\n\nWhat is not installed is left out, and the report says so: apt-get install postgresql etcd-server"
    )]
    Peers {
        #[command(flatten)]
        size: peers::Size,
        #[command(flatten)]
        common: Common,
    },
    /// Creates, point reads and the memory of a node with more and more cells, records, and tenants; each point is a cluster of its own
    #[command(
        after_help = "Example:\n  cloudnest-bench scaling\n  cloudnest-bench scaling --axes records --records 1000,1000000 --clients 16"
    )]
    Scaling {
        #[command(flatten)]
        size: scaling::Size,
        #[command(flatten)]
        common: Common,
    },
    /// Import every *.jsonl.gz of a directory, each into a tenant of its own, and verify it
    #[command(after_help = "Example:\n  cloudnest-bench data --data-dir DIR")]
    Data {
        /// The directory
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Import every *.jsonl.gz of a directory and search it: time and size of the index, queries, and how well they find (nDCG@10)
    #[command(after_help = "Example:\n  cloudnest-bench search --data-dir DIR")]
    Search {
        /// The directory
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Searches over many made-up documents: time and size of the index, questions a second, and how soon what is written is found
    #[command(
        after_help = "Example:\n  cloudnest-bench search-speed --documents 1000000\n  cloudnest-bench search-speed --write DIR && python3 bench/peers/search.py DIR"
    )]
    SearchSpeed {
        #[command(flatten)]
        size: speed::Size,
        #[command(flatten)]
        common: Common,
    },
    /// Like `data`, while random nodes are killed with SIGKILL; then compare all replicas
    #[command(after_help = "Example:\n  cloudnest-bench kill-import --data-dir DIR --seed 7 --kills 20")]
    KillImport {
        /// The directory
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The same seed kills the same nodes in the same order
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// At least so many kills
        #[arg(long, default_value_t = 20)]
        kills: usize,
        /// Imports that each file is cut into
        #[arg(long, default_value_t = 8)]
        pieces: usize,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Ratios of two reports
    #[command(after_help = "Example:\n  cloudnest-bench compare before/report.json after/report.json")]
    Compare {
        /// The first report.json
        a: PathBuf,
        /// The second report.json
        b: PathBuf,
    },
}

/// A load at a fixed rate.
#[derive(Clone, clap::Args)]
pub(crate) struct Fixed {
    /// Creates a second, open loop
    #[arg(long, default_value_t = 5_000.0)]
    pub(crate) rate: f64,
    /// Seconds of a run
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// Runs, one after the other over the same store
    #[arg(long, default_value_t = 1)]
    pub(crate) runs: usize,
    /// Connections: bounds what is outstanding
    #[arg(long, default_value_t = 256)]
    pub(crate) outstanding: usize,
}

#[derive(Clone, clap::Args)]
pub(crate) struct BulkArgs {
    /// Records of the bulk import
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) records: u64,
    /// Connections of the bulk import
    #[arg(long, default_value_t = 4)]
    pub(crate) import_connections: u64,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Where the report goes
    #[arg(long, default_value = "bench-out", value_name = "DIR")]
    pub(crate) out: PathBuf,
}
