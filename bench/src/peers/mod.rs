//! CloudNest beside what users would pick instead, on one machine and in one sitting: Postgres with two synchronous standbys, and
//! etcd with three members.
//!
//! How it works. All programs are up at once, three processes each with a data directory of its own, and take turns (`turns`): in each
//! round every workload is measured on one program after the other, and the round begins with another program than the last.
//! So the moods of a machine (neighbours, a disk that is busy) meet all of them. A turn begins when the servers of all programs are
//! quiet again (`quiet`): a checkpoint or flush that the turn before has left behind is waited for, for twenty seconds at most. What
//! the others take of a core meanwhile is in each row. From the rates of a round come ratios (`ratios`); rates of different rounds are
//! never compared.
//!
//! What is compared is what a client gets that asks for a durable write and for a read that is not stale:
//! - **Postgres**: `synchronous_standby_names = 'ANY 1 (s2,s3)'`, the task's fields in a table with the same two indexes, driven by
//!   `pgbench -M prepared` over TCP: prepared statements, no HTTP. Any HTTP service before it would be slower than what is
//!   measured here. Reads go to the primary and confirm no quorum: a primary that was replaced would not notice.
//! - **etcd**: the JSON gateway, which is etcd's HTTP interface, with our own loader. gRPC is faster. It keeps no secondary index: its
//!   list is a range of fifty keys in a row.
//!
//! What is not installed is left out, and a note says so; what is installed and does not start is an error.
//!
//! CAVEATS: servers that are up take something of a core while another has its turn. CloudNest's take the most, to the disadvantage of
//! the others; the share is in their rows, and in an unoptimised build it is far too large to compare anything. CloudNest checks a schema,
//! and keeps history and a feed of changes, which neither of the others does. Postgres' answers are not checked one by one: it is checked
//! beforehand that each read has its answer, and after each turn that every write is in the table.

mod etcd;
mod files;
mod ours;
mod postgres;
mod processes;
mod quiet;
mod ratios;
mod server;
mod turns;

use anyhow::{Context, Result};
use rig::cluster::Cluster;

use crate::report::{Findings, Measured};
use crate::run::Workload;

/// Programs that CloudNest can be measured beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// Postgres with two synchronous standbys.
    Postgres,
    /// etcd with three members.
    Etcd,
}

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Programs to measure beside CloudNest
    #[arg(long, value_delimiter = ',', default_value = "postgres,etcd")]
    pub peers: Vec<Which>,
    /// w1 durable write of 300 bytes, w2 strong point read, w3 90/10, w4 list of 50
    #[arg(long, value_delimiter = ',', default_value = "w1,w2,w3,w4")]
    pub workload: Vec<String>,
    /// Seconds of a turn
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Rounds: in each every program has a turn with every workload
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "64")]
    pub clients: Vec<usize>,
}

/// One turn of a program.
#[derive(Clone, Copy, Debug)]
struct Turn {
    workload: Workload,
    clients: usize,
    seconds: u64,
    round: usize,
}

/// A program that takes turns.
trait Peer {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// The processes of its servers; those that a server has started come on top.
    fn pids(&self) -> Result<Vec<u32>>;

    /// Loads it for one turn.
    fn take(&mut self, turn: Turn) -> Result<Measured>;
}

/// Starts what is installed beside a cluster that is up, lets them take turns, and ends what it started. A row for each workload, number
/// of connections and program, and the ratios of CloudNest over the others.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Findings> {
    let workloads = workloads(&size.workload)?;
    let mut notes = notes();
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(ours::Ours::prepare(cluster)?)];
    for which in &size.peers {
        let (name, started) = match which {
            Which::Postgres => (postgres::NAME, postgres::start()?),
            Which::Etcd => (etcd::NAME, etcd::start()?),
        };
        match started {
            Ok(peer) => peers.push(peer),
            Err(missing) => {
                let note = format!("NOT MEASURED: {name}: {missing}");
                println!("{note}");
                notes.push(note);
            }
        }
    }
    let taken = turns::take(&mut peers, &workloads, size)?;
    Ok(Findings { notes, ..taken })
}

/// What is installed, or why it cannot be measured here.
type Started = Result<Result<Box<dyn Peer>, String>>;

/// The one workload of each name: reads are strong, and lists go by an index.
fn workloads(names: &[String]) -> Result<Vec<Workload>> {
    let first = |name: &String| Workload::named(name).and_then(|several| several.first().copied());
    let found = names
        .iter()
        .map(|name| first(name).with_context(|| format!("there is no workload {name}: use w1, w2, w3, w4")));
    found.collect()
}

/// What a workload is called where all programs have it.
fn title(workload: Workload) -> &'static str {
    match workload {
        Workload::Create => "W1 durable write of 300 bytes",
        Workload::ReadStrong | Workload::ReadLocal => "W2 point read, not stale",
        Workload::Mix => "W3 90 % point reads, 10 % writes",
        Workload::List | Workload::Filtered => "W4 list of 50",
    }
}

fn notes() -> Vec<String> {
    [
        "All programs were up at once, three processes each, and took turns round by round; a ratio is of two turns of one round.",
        "Postgres is driven by pgbench with prepared statements, without HTTP: better for it than any HTTP service before it. Its primary answers reads \
         without asking a quorum.",
        "etcd is asked through its JSON gateway; it keeps no secondary index, and its list is a range of 50 keys in a row.",
        "Idle servers take something of a core while another has its turn, CloudNest's the most: each row says how much the others took.",
        "CloudNest checks a schema, and keeps history and a feed of changes, which the others do not.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_workload_that_all_programs_have() {
        let names = |names: &[&str]| workloads(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let all = names(&["w1", "w2", "w3", "w4"]).unwrap();
        assert_eq!(all, [Workload::Create, Workload::ReadStrong, Workload::Mix, Workload::List]);
        assert!(names(&["w5"]).unwrap_err().to_string().contains("w5"));
    }
}
