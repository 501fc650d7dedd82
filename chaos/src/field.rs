//! What faults act on: the nodes, the network between them, their disks, and the load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::cluster::Cluster;

use crate::disks::Disk;
use crate::plan::Whom;
use crate::proxy::Network;
use crate::workload::Controls;

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How long whoever has to lead may take to be known.
const LEADER_WITHIN: Duration = Duration::from_secs(5);

/// What a node says when it is about to rebuild a replica.
const DAMAGED: &str = "store is damaged";
/// Lines of a log that a finding quotes.
const LAST_LINES: usize = 4;
/// Lines about something that an error quotes.
const LINES_ABOUT: usize = 60;
/// How long a node may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// All that a fault may touch.
pub struct Field<'a> {
    /// The nodes: a detached cluster.
    pub cluster: &'a mut Cluster,
    /// The network between them.
    pub network: &'a Network,
    /// A disk a node; empty: they share the host's.
    pub disks: &'a mut Vec<Disk>,
    /// What the load does, and whom it sees lead.
    pub controls: &'a Controls,
    /// Nodes that are gone for good, by place.
    pub lost: Vec<usize>,
    /// Nodes with a damaged disk, by place: they may refuse to serve, and are compared where they do not.
    pub doubtful: Vec<usize>,
    /// What a fault saw that must not be.
    pub findings: Vec<String>,
}

impl Field<'_> {
    /// A node's name.
    pub fn name(&self, place: usize) -> String {
        self.cluster.nodes()[place].name.clone()
    }

    /// Whom a step means at this moment: nodes that are not gone for good.
    pub fn pick(&self, whom: Whom) -> Result<Vec<usize>> {
        let mut nodes = match whom {
            Whom::Leader => {
                // The observer may not have noticed yet that whom it saw lead is dead.
                let leads = || self.controls.leader().is_some_and(|place| self.runs(place));
                let known = rig::cluster::poll(LEADER_WITHIN, leads);
                ensure!(known, "nobody was seen to lead within {LEADER_WITHIN:?}");
                self.controls.leader().into_iter().collect()
            }
            Whom::Node(place) => vec![place % self.network.nodes()],
            Whom::All => (0..self.network.nodes()).collect(),
        };
        nodes.retain(|place| !self.lost.contains(place));
        ensure!(!nodes.is_empty(), "whom it was to hit is gone already");
        Ok(nodes)
    }

    /// The one node that a step means.
    pub fn pick_one(&self, whom: Whom) -> Result<usize> {
        self.pick(whom)?.first().copied().context("nobody was drawn")
    }

    /// The one that a fault of the network means: where that one is down or paused, the next that runs, for it neither sends nor reads.
    pub fn pick_connected(&self, whom: Whom) -> Result<usize> {
        let drawn = self.pick_one(whom)?;
        let nodes = self.network.nodes();
        let mut from_drawn = (0..nodes).map(|step| (drawn + step) % nodes);
        let running = from_drawn.find(|place| !self.lost.contains(place) && self.runs(*place) && !self.is_stopped(*place));
        // With all of them down it hits those that come back.
        Ok(running.unwrap_or(drawn))
    }

    /// The other nodes.
    pub fn others(&self, place: usize) -> Vec<usize> {
        (0..self.network.nodes()).filter(|other| *other != place).collect()
    }

    /// Kills with SIGKILL, all before the first is waited for.
    pub fn kill(&mut self, nodes: &[usize]) -> Result<()> {
        for place in nodes {
            let name = self.name(*place);
            self.cluster.kill(&name).with_context(|| format!("kill {name}"))?;
        }
        for place in nodes {
            let name = self.name(*place);
            self.cluster.wait_ended(&name, GONE_WITHIN)?;
        }
        Ok(())
    }

    /// Whether a node's process runs.
    pub fn runs(&self, place: usize) -> bool {
        self.cluster.pid(&self.name(place)).is_ok_and(rig::cluster::is_alive)
    }

    /// Whether a node's process is stopped by a signal.
    pub fn is_stopped(&self, place: usize) -> bool {
        let pid = self.cluster.pid(&self.name(place)).unwrap_or(0);
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
    }

    /// Kills whoever of these runs.
    pub fn kill_running(&mut self, nodes: &[usize]) -> Result<()> {
        let running: Vec<_> = nodes.iter().copied().filter(|place| self.runs(*place)).collect();
        self.kill(&running)
    }

    /// Starts them; does not wait until they serve.
    pub fn start(&mut self, nodes: &[usize]) -> Result<()> {
        for place in nodes {
            let name = self.name(*place);
            self.cluster.start_node(&name).with_context(|| format!("start {name}"))?;
        }
        Ok(())
    }

    /// What shows that a node has a replica again: it has applied something.
    pub fn taken_back(&self, place: usize) -> Option<String> {
        let node = &self.cluster.nodes()[place];
        let cells = rig::verify::cells_of(node.api, self.cluster.operator_token(), ANSWERS_WITHIN).ok()?;
        let own = |cell: &api::body::control::Cell| cell.replicas.iter().any(|replica| replica.node == node.name);
        let cell = cells
            .iter()
            .find(|cell| own(cell) && cell.applied > 0 && cell.stopped.is_none())?;
        Some(format!("it has applied {} of {}", cell.applied, cell.name))
    }

    /// All that a node wrote, over all its lives.
    fn words(&self, place: usize) -> String {
        let config = self.cluster.config();
        let path = config.with_file_name(format!("{}.stderr", self.name(place)));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The first line in which a node says that its store is damaged.
    pub fn damage(&self, place: usize) -> Option<String> {
        self.says(place, DAMAGED)
    }

    /// The first line in which a node says something.
    pub fn says(&self, place: usize, what: &str) -> Option<String> {
        let words = self.words(place);
        let line = words.lines().find(|line| line.contains(what))?;
        Some(line.chars().take(500).collect())
    }

    /// The last line that a node wrote, with its cause if it told one.
    pub fn last_words(&self, place: usize) -> String {
        let text = self.words(place);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ")
    }

    /// The last lines in which nodes name something, in the order of their times.
    pub fn words_about(&self, what: &str) -> String {
        let all: Vec<_> = (0..self.network.nodes())
            .map(|place| (self.name(place), self.words(place)))
            .collect();
        let about = |(name, words): &(String, String)| {
            let lines = words.lines().filter(|line| line.contains(what));
            lines.map(|line| format!("{line} ({name})")).collect::<Vec<_>>()
        };
        let mut lines: Vec<_> = all.iter().flat_map(about).collect();
        // A line begins with its time.
        lines.sort_unstable();
        lines[lines.len().saturating_sub(LINES_ABOUT)..].join("\n")
    }

    /// The names of some nodes.
    pub fn names(&self, nodes: &[usize]) -> Vec<String> {
        nodes.iter().map(|place| self.name(*place)).collect()
    }
}
