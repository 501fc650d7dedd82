//! Other topologies brought about, and taken back: a cell on one node and on three again, cells that come and go, another plan, other
//! voters of the directory. Some are called off while they are under way, and taken back from wherever they stand.
//!
//! What must hold after each: a second apply says that there is nothing to do, and every node shows what was wanted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::body::topology::{NewTopology, Topology, TopologyCell};
use rig::random::Random;

use super::{DEEDS, DIRECTORY, Deed, Prey, Whom, done};
use crate::field::Field;
use crate::regions::desk::Desk;
use crate::regions::reaper::Reaper;

/// How long one may take.
const WITHIN: Duration = Duration::from_secs(180);
/// One in so many is called off.
const CALLED_OFF_OF: u64 = 5;
/// What is said of one that was.
pub(super) const CALLED_OFF: &str = "called off";

/// A topology on its way.
struct Task {
    what: String,
    wanted: Topology,
    /// The cell that it changes.
    cell: Option<String>,
    /// It has been seen under way.
    has_begun: bool,
    /// It is to be called off, once it is under way.
    calls_off: bool,
    is_called_off: bool,
    /// Kills that are still to come.
    hits: u64,
    /// Why it was not taken last.
    refused: String,
    at_us: u64,
    until: Instant,
}

/// See the module.
pub(super) struct Applies {
    desk: Desk,
    random: Random,
    home: String,
    /// What there was at first, and is at the end.
    base: Topology,
    left: usize,
    /// The directory gets other voters, too.
    voters: bool,
    /// Something else than the base was wanted last.
    is_changed: bool,
    /// The number of the next cell: numbers are not used again.
    number: u64,
    task: Option<Task>,
}

impl Applies {
    pub(super) fn new(field: &Field<'_>, seed: u64, count: usize, voters: bool) -> Result<Self> {
        let desk = Desk::everywhere(field.cluster);
        let base = desk.cluster().context("ask what there is")?.topology;
        Ok(Self {
            random: Random::new(seed ^ 0x6170_706C_6965),
            home: format!("{}-shared", field.cluster.layout().regions()[0]),
            number: base.cells.iter().map(|cell| cell.number).max().unwrap_or(1) + 1,
            desk,
            base,
            left: count,
            voters,
            is_changed: false,
            task: None,
        })
    }

    fn one_of(&mut self, names: &[String]) -> String {
        // The remainder of a length fits.
        names[self.random.below(names.len() as u64) as usize].clone()
    }

    /// What is wanted next, in words and as a topology, and the cell that it changes.
    fn draw(&mut self) -> (String, Topology, Option<String>) {
        let mut wanted = self.base.clone();
        if self.is_changed {
            return ("what there was at first".to_owned(), wanted, Some(self.home.clone()));
        }
        match self.random.below(4 + u64::from(self.voters)) {
            0 | 1 => {
                let at = wanted.cells.iter().position(|cell| cell.name == self.home).unwrap_or(0);
                let one = self.one_of(&wanted.cells[at].nodes.clone());
                let what = format!("{} on {one} alone", self.home);
                wanted.cells[at].nodes = vec![one];
                (what, wanted, Some(self.home.clone()))
            }
            2 => {
                let region = self.one_of(&wanted.regions.clone());
                let nodes = wanted.nodes.iter().filter(|node| node.region == region);
                let nodes: Vec<_> = nodes
                    .map(|node| node.name.clone())
                    .take(1 + 2 * self.random.below(2) as usize)
                    .collect();
                let name = format!("{region}-extra-{}", self.number);
                let what = format!("a new cell {name} on {}", nodes.join(", "));
                wanted.cells.push(TopologyCell {
                    name: name.clone(),
                    number: self.number,
                    region,
                    kind: "shared".to_owned(),
                    nodes,
                    state: "serving".to_owned(),
                    made: false,
                });
                self.number += 1;
                (what, wanted, Some(name))
            }
            3 => {
                let weight = 2 + self.random.below(8);
                wanted.plans.iter_mut().for_each(|plan| plan.weight = weight);
                (format!("plans of weight {weight}"), wanted, None)
            }
            _ => {
                let voters = &self.base.directory_voters;
                let others = voters.iter().filter_map(|voter| another(&self.base, voter)).collect();
                wanted.directory_voters = match self.random.below(2) {
                    0 => others,
                    _ => vec![self.one_of(&voters.clone())],
                };
                let what = format!("the directory on {}", wanted.directory_voters.join(", "));
                (what, wanted, None)
            }
        }
    }

    fn begin(&mut self, at_us: u64) {
        let is_last = self.left == 0;
        let (what, wanted, cell) = self.draw();
        self.task = Some(Task {
            what,
            wanted,
            cell,
            has_begun: false,
            calls_off: !is_last && self.random.below(CALLED_OFF_OF) == 0,
            is_called_off: false,
            hits: 1 + self.random.below(2),
            refused: String::new(),
            at_us,
            until: Instant::now() + WITHIN,
        });
        self.left = self.left.saturating_sub(1);
        self.is_changed = !self.is_changed;
    }

    /// Whether all nodes show this, and nothing under way.
    fn is_shown(&self, wanted: &Topology) -> bool {
        let shows = |node: Desk| {
            node.cluster()
                .is_ok_and(|now| now.applying.is_none() && now.topology == *wanted)
        };
        self.desk.each().all(shows)
    }

    /// Goes on with what is wanted. True: it is there, or was called off.
    fn go_on(&mut self) -> bool {
        let (Some(task), Ok(now)) = (&mut self.task, self.desk.cluster()) else {
            return false;
        };
        if let Some(applying) = now.applying {
            task.has_begun |= applying.wanted == task.wanted;
            if task.calls_off && task.has_begun && !task.is_called_off {
                task.is_called_off = self.desk.call_off().is_ok();
            }
            return false;
        }
        if task.is_called_off {
            return true;
        }
        let wanted = NewTopology {
            after: now.version,
            topology: task.wanted.clone(),
        };
        match self.desk.apply(&wanted) {
            Ok(true) => task.has_begun = true,
            // Whoever asks the second time hears that there is nothing to do.
            Ok(false) => {
                task.hits = 0;
                let wanted = task.wanted.clone();
                return self.is_shown(&wanted);
            }
            Err(error) => task.refused = format!("{error:#}"),
        }
        false
    }
}

/// Another node of the region of one.
fn another(topology: &Topology, name: &str) -> Option<String> {
    let region = &topology.nodes.iter().find(|node| node.name == name)?.region;
    let other = topology.nodes.iter().find(|node| node.region == *region && node.name != name);
    other.map(|node| node.name.clone())
}

impl Deed for Applies {
    fn step(&mut self, field: &mut Field<'_>, reaper: &mut Reaper) -> Result<bool> {
        if self.task.is_none() {
            if self.left == 0 && !self.is_changed {
                return Ok(true);
            }
            self.begin(field.controls.now_us());
            reaper.calm();
        }
        let is_done = self.go_on();
        let Some(task) = &self.task else { return Ok(false) };
        if !is_done && Instant::now() > task.until {
            let (now, said) = (self.desk.cluster(), field.words_about("topology"));
            bail!(
                "{} was not brought about within {WITHIN:?}: {}\n{now:?}\n{said}",
                task.what,
                task.refused
            );
        }
        if is_done && let Some(task) = self.task.take() {
            // Whatever it has become of what was called off is taken back.
            self.is_changed |= task.is_called_off;
            let how = if task.is_called_off {
                CALLED_OFF
            } else {
                "done, and nothing to do"
            };
            let times = (task.at_us, field.controls.now_us());
            reaper
                .fired
                .push(done(DEEDS[1], Vec::new(), times, format!("{}: {how}", task.what)));
        }
        Ok(false)
    }

    fn prey(&mut self) -> Option<Prey> {
        let task = self.task.as_mut().filter(|task| task.has_begun)?;
        task.hits = task.hits.checked_sub(1)?;
        let group = match &task.cell {
            Some(cell) if self.random.below(2) == 0 => cell.clone(),
            _ => DIRECTORY.to_owned(),
        };
        let why = format!("{}: led {group} on the way to {}", DEEDS[1], task.what);
        let whom = Whom::Leader(group);
        Some(Prey { whom, why })
    }
}
