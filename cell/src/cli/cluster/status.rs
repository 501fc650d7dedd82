//! `cluster status`: cells with their leaders, terms and replication lag; nodes.
//!
//! A node knows how far the others are only of the cells that it leads. So every region is asked once at any node, and then
//! again at each node that leads something; of a cell, the leader's own words count.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use api::body::control::Cell;
use api::body::node::Node;
use api::client::ClientError;
use clap::Args;
use serde::Serialize;

use super::super::output::{self, Tone, plain};
use super::super::remote::Remote;
use super::super::{Failure, Result, node};
use super::backups;
use super::target::operator_token;

/// The kind of the control group: it comes first.
const DIRECTORY: &str = "directory";
/// Log entries that a replica may be behind before the table warns.
const LAG_WARNING: u64 = 1_000;

/// Show cells, leaders, replication lag and nodes
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster status --config cluster.toml                      every region; token from ./cloudnest-data/operator.token\n  cloudnest cluster status --url http://127.0.0.1:7421 --token cno_…  the region of one server"
)]
pub(crate) struct Status {
    /// Ask every region of this configuration instead of the server at --url
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: where `cluster up` left operator.token
    #[arg(long, default_value = node::DATA, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What `status` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    cells: Vec<CellReport>,
    nodes: Vec<Node>,
    /// Regions that did not answer, and why.
    unreachable: BTreeMap<String, String>,
}

/// A cell, and how far its replicas are behind its leader.
#[derive(Debug, Serialize)]
struct CellReport {
    #[serde(flatten)]
    cell: Cell,
    /// Log entries that each follower is behind; null: not known.
    lag: BTreeMap<String, Option<u64>>,
}

impl Status {
    pub(crate) async fn run(self) -> Result {
        let mut report = Report::default();
        for (region, remote) in self.regions()? {
            match region_status(&remote).await {
                Ok((cells, nodes)) => {
                    for cell in cells {
                        add(&mut report.cells, cell_report(cell));
                    }
                    report.nodes.extend(nodes);
                }
                Err(Reason::Client(error)) if self.config.is_none() => return Err(remote.failure("ask for the status", error)),
                Err(Reason::Client(error)) => {
                    report.unreachable.insert(region, remote.explain(&error));
                }
                Err(Reason::Other(failure)) => return Err(failure),
            }
        }
        if self.json {
            output::json(&report)?
        } else {
            print(&report)?
        }
        for warning in nodes::warnings(&report.nodes, jiff::Timestamp::now().as_second())
            .into_iter()
            .chain(report.cells.iter().flat_map(|report| backups::warnings(&report.cell)))
        {
            eprintln!("{warning}");
        }
        for (region, why) in &report.unreachable {
            eprintln!("{region}: {why}");
        }
        if report.unreachable.is_empty() {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }

    /// The regions to ask, and where.
    fn regions(&self) -> Result<Vec<(String, Remote)>> {
        let Some(path) = &self.config else {
            return Ok(vec![(String::new(), self.remote.clone())]);
        };
        let config = node::load(path)?;
        let token = operator_token(&self.remote, &config, &self.data)?;
        let region = |name: &str| {
            let urls = config.region_nodes(name).iter().map(|node| node.endpoint.clone()).collect();
            (name.to_owned(), Remote::new(urls, token.clone()))
        };
        Ok(config.topology.regions.iter().map(|found| region(&found.name)).collect())
    }
}

/// Adds a cell. The directory is seen from every region: who leads it knows most.
fn add(cells: &mut Vec<CellReport>, new: CellReport) {
    let knows = |report: &CellReport| report.lag.values().filter(|lag| lag.is_some()).count();
    let same = |known: &&mut CellReport| known.cell.name == new.cell.name && known.cell.region == new.cell.region;
    match cells.iter_mut().find(same) {
        Some(known) if (new.cell.term, knows(&new)) > (known.cell.term, knows(known)) => *known = new,
        Some(_) => {}
        None => cells.push(new),
    }
}

/// Why a region's status is not known.
enum Reason {
    Client(ClientError),
    Other(Failure),
}

impl From<ClientError> for Reason {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

async fn region_status(remote: &Remote) -> std::result::Result<(Vec<Cell>, Vec<Node>), Reason> {
    let client = remote.client()?;
    let mut cells = client.cells().await?;
    let nodes = client.nodes().await?;
    let leaders: BTreeSet<String> = cells.iter().filter_map(|cell| cell.leader.clone()).collect();
    for leader in nodes.iter().filter(|node| leaders.contains(&node.name)) {
        // A leader that does not answer just now leaves what the first node knew.
        let Ok(seen) = remote
            .client_of(std::slice::from_ref(&leader.endpoint))?
            .with_retries(0)
            .cells()
            .await
        else {
            continue;
        };
        for own in seen.into_iter().filter(|cell| cell.leader.as_ref() == Some(&leader.name)) {
            if let Some(known) = cells
                .iter_mut()
                .find(|cell| cell.name == own.name && cell.region == own.region && cell.term <= own.term)
            {
                *known = own;
            }
        }
    }
    cells.sort_by_key(|cell| (cell.kind != DIRECTORY, cell.name.clone()));
    Ok((cells, nodes))
}

fn cell_report(cell: Cell) -> CellReport {
    let followers = cell
        .replicas
        .iter()
        .filter(|replica| Some(&replica.node) != cell.leader.as_ref());
    let lag = followers.map(|replica| {
        (
            replica.node.clone(),
            replica.matched.map(|matched| cell.last_log.saturating_sub(matched)),
        )
    });
    CellReport {
        lag: lag.collect(),
        cell,
    }
}

fn print(report: &Report) -> Result {
    let now = jiff::Timestamp::now().as_second();
    if !report.cells.is_empty() {
        let head = [
            "CELL", "REGION", "KIND", "LEADER", "TERM", "LOG", "TENANTS", "LEVEL", "LAG", "",
        ];
        output::table(&head, report.cells.iter().map(cell_row).collect())?;
        output::line("")?;
    }
    if !report.nodes.is_empty() {
        output::table(&nodes::HEAD, report.nodes.iter().map(|node| nodes::row(node, now)).collect())?;
    }
    Ok(())
}

fn cell_row(report: &CellReport) -> Vec<(String, Tone)> {
    let cell = &report.cell;
    let leader = match &cell.leader {
        Some(leader) => (leader.clone(), Tone::Good),
        None => ("no leader".to_owned(), Tone::Bad),
    };
    let note = match &cell.stopped {
        Some(why) => (format!("stopped: {why}"), Tone::Bad),
        None if !cell.replicated => ("not replicated".to_owned(), Tone::Warning),
        None => backups::note(cell).unwrap_or_else(|| plain("")),
    };
    vec![
        plain(&*cell.name),
        plain(&*cell.region),
        plain(&*cell.kind),
        leader,
        plain(cell.term.to_string()),
        plain(cell.last_log.to_string()),
        plain(cell.tenants.to_string()),
        plain(nodes::known(cell.level)),
        lag(report),
        note,
    ]
}

/// The lag of every follower, in log entries.
fn lag(report: &CellReport) -> (String, Tone) {
    let words = report.lag.iter().map(|(node, lag)| match lag {
        Some(lag) => format!("{node} {lag}"),
        None => format!("{node} ?"),
    });
    let text = words.collect::<Vec<_>>().join(", ");
    let behind = report.lag.values().any(|lag| lag.is_none_or(|lag| lag > LAG_WARNING));
    (text, if behind { Tone::Warning } else { Tone::Plain })
}

#[cfg(test)]
mod tests {
    use api::body::control::Replica;
    use api::ids::NodeNumber;

    use super::*;

    fn cell(leader: Option<&str>, matched: [Option<u64>; 2]) -> Cell {
        let replica = |node: &str, matched| Replica {
            node: node.into(),
            number: NodeNumber(1),
            role: "follower".into(),
            matched,
        };
        Cell {
            name: "one".into(),
            region: "r".into(),
            kind: "shared".into(),
            replicated: true,
            leader: leader.map(str::to_owned),
            term: 3,
            last_log: 100,
            applied: 100,
            durable: 90,
            log_bytes: 7,
            tenants: 2,
            level: Some(2),
            replicas: vec![replica("a", matched[0]), replica("b", matched[1])],
            stopped: None,
            backup: None,
        }
    }

    #[test]
    fn lag_is_what_followers_are_behind_their_leader() {
        let report = cell_report(cell(Some("a"), [Some(100), Some(97)]));
        assert_eq!(lag(&report), ("b 3".to_owned(), Tone::Plain));
        let report = cell_report(cell(None, [None, Some(100)]));
        assert_eq!(lag(&report), ("a ?, b 0".to_owned(), Tone::Warning));
        assert_eq!(cell_row(&report)[3], ("no leader".to_owned(), Tone::Bad));
    }

    #[test]
    fn one_replica_is_called_not_replicated() {
        let mut alone = cell(Some("a"), [None, None]);
        alone.replicated = false;
        alone.replicas.truncate(1);
        let row = cell_row(&cell_report(alone));
        assert_eq!(row[9], ("not replicated".to_owned(), Tone::Warning));
        assert_eq!(row[8].0, "");
    }
}
