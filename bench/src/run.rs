//! The workloads W1 to W4: closed loop, several numbers of clients, several runs each.

use std::time::Duration;

use anyhow::{Result, bail};
use rig::cluster::Cluster;
use rig::load::{self, Pacing, Plan, Refused, Script, summarize};

use crate::board::Filtered;
use crate::report::{Measured, Row};
use crate::setup;
use crate::tasks::{Create, List, Mix, PRELOADED, Place, Read};

/// Load before the window.
pub(crate) const WARMUP: Duration = Duration::from_secs(1);
/// How long a reply may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A workload over single requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// W1.
    Create,
    /// W2, linearizable.
    ReadStrong,
    /// W2, from the replica that was asked.
    ReadLocal,
    /// W3.
    Mix,
    /// W4, by equality alone: as it was measured first.
    List,
    /// W4, by filter and order.
    Filtered,
}

impl Workload {
    /// The workloads of a name on the command line: `w2` is two. `None`: it is not one of these.
    pub fn named(name: &str) -> Option<&'static [Workload]> {
        match name {
            "w1" => Some(&[Self::Create]),
            "w2" => Some(&[Self::ReadStrong, Self::ReadLocal]),
            "w3" => Some(&[Self::Mix]),
            "w4" => Some(&[Self::List, Self::Filtered]),
            _ => None,
        }
    }

    /// Its name in a report.
    pub fn title(self) -> &'static str {
        match self {
            Self::Create => "W1 create a 300-byte task, 2 indexes",
            Self::ReadStrong => "W2 point read, strong",
            Self::ReadLocal => "W2 point read, local",
            Self::Mix => "W3 90 % strong reads, 10 % creates",
            Self::List => "W4 list of 50 by an index",
            Self::Filtered => "W4 list of 50 by filter and order",
        }
    }

    fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Mix)
    }

    pub(crate) fn script(self, place: &Place, run: &str, connection: usize) -> Box<dyn Script> {
        let seed = connection as u64 + 1;
        let create = || Create::new(place.clone(), format!("{run}-{connection}"), 0);
        match self {
            Self::Create => Box::new(create()),
            Self::ReadStrong => Box::new(Read::new(place.clone(), "", PRELOADED, seed)),
            Self::ReadLocal => Box::new(Read::new(place.clone(), "?consistency=local", PRELOADED, seed)),
            Self::Mix => Box::new(Mix::new(
                vec![
                    (9, Box::new(Read::new(place.clone(), "", PRELOADED, seed))),
                    (1, Box::new(create())),
                ],
                seed,
            )),
            Self::List => Box::new(List::new(place.clone(), seed)),
            Self::Filtered => Box::new(Filtered::new(place.clone(), seed)),
        }
    }
}

/// How much to measure.
#[derive(Clone, Debug)]
pub struct Size {
    /// Seconds of a run.
    pub seconds: u64,
    /// Runs of each row.
    pub runs: usize,
    /// Numbers of connections.
    pub clients: Vec<usize>,
    /// Whether rules bind who asks.
    pub rules: bool,
}

/// Measures workloads one after the other, each with every number of clients. Prints a line a run.
pub fn measure(cluster: &Cluster, place: &Place, workloads: &[Workload], size: &Size) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for workload in workloads {
        let with = if size.rules { ", rules" } else { "" };
        let title = format!("{}{with}", workload.title());
        for clients in &size.clients {
            let mut runs = Vec::new();
            for run in 0..size.runs {
                let name = format!("{workload:?}-{clients}-{run}");
                runs.push(once(cluster, place, *workload, *clients, size.seconds, &name)?);
            }
            rows.push(Row::new(&title, Some(*clients), runs));
        }
    }
    Ok(rows)
}

/// One run. `name`: no other run of the cluster has it. Prints a line.
pub(crate) fn once(
    cluster: &Cluster,
    place: &Place,
    workload: Workload,
    clients: usize,
    seconds: u64,
    name: &str,
) -> Result<Measured> {
    closed(cluster, workload, clients, seconds, |connection| {
        workload.script(place, name, connection)
    })
}

/// One run of a workload with scripts that may ask for more than one place. Prints a line.
pub(crate) fn closed(
    cluster: &Cluster,
    workload: Workload,
    clients: usize,
    seconds: u64,
    script: impl FnMut(usize) -> Box<dyn Script>,
) -> Result<Measured> {
    let plan = Plan {
        targets: cluster.addresses(),
        refused: Refused::Fails,
        connections: clients,
        pacing: Pacing::Closed,
        warmup: WARMUP,
        window: Duration::from_secs(seconds),
        timeout: TIMEOUT,
        classes: if workload == Workload::Mix {
            vec!["read", "write"]
        } else {
            vec!["all"]
        },
        probe: Some(setup::probe(cluster)?),
        slot: None,
    };
    let outcome = load::drive(&plan, script)?;
    println!(
        "{:<40} {clients:>4} clients {:>9.0}/s  {}",
        workload.title(),
        outcome.rate(),
        summarize(&outcome.latency)
    );
    if outcome.failures() > 0 {
        println!("  failures: {:?}", outcome.errors);
    }
    if outcome.successes == 0 {
        bail!(
            "no request of {} succeeded: {:?}\n{}",
            workload.title(),
            outcome.errors,
            cluster.tails()
        );
    }
    Ok(Measured::of(&outcome, workload.writes()))
}

/// Creates at a fixed rate, open loop.
pub fn fixed_rate(cluster: &Cluster, place: &Place, rate: f64, connections: usize, seconds: u64, title: &str) -> Result<Row> {
    let plan = Plan {
        targets: cluster.addresses(),
        refused: Refused::Fails,
        connections,
        pacing: Pacing::Open { rate },
        warmup: WARMUP,
        window: Duration::from_secs(seconds),
        timeout: TIMEOUT,
        classes: vec!["all"],
        probe: Some(setup::probe(cluster)?),
        slot: None,
    };
    let outcome = load::drive(&plan, |connection| Workload::Create.script(place, "stall", connection))?;
    println!(
        "{title}: {:.0}/s  {}  longest gap {:.1} ms  failures {:?}",
        outcome.rate(),
        summarize(&outcome.latency),
        outcome.longest_gap.as_secs_f64() * 1e3,
        outcome.errors
    );
    Ok(Row::new(title, Some(connections), vec![Measured::of(&outcome, true)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_command_line_are_known() {
        for name in ["w1", "w2", "w3", "w4"] {
            assert!(Workload::named(name).is_some());
        }
        assert_eq!(Workload::named("w2").map(<[_]>::len), Some(2));
        assert_eq!(Workload::named("w4").map(<[_]>::len), Some(2));
        assert!(Workload::named("w5").is_none());
    }
}
