//! All nodes brought from the level before to the newest, one after the other, as an operator does it: asked to end, started as the newer one.
//!
//! All but the last time one node of each region stays behind, which holds the level of every group back, and the others are taken back.
//! The last time all go: then the level of every group must rise.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rig::cluster::Own;
use rig::random::Random;
use rig::{http, nursery};
use serde_json::Value;

use super::{DEEDS, DIRECTORY, Deed, Prey, Whom, done};
use crate::field::Field;
use crate::regions::desk::Desk;
use crate::regions::reaper::Reaper;

/// The option that makes a node run at a level.
const OPTION: &str = "--compat-level";
/// How long a node may take to end, and to be ready again; and groups, to rise.
const WITHIN: Duration = Duration::from_secs(120);
/// How long a node may take to be asked whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// The levels that a program can run at: the one before, and the newest.
fn levels(binary: &Path) -> Result<[u32; 2]> {
    let mut command = nursery::command(binary);
    let output = command.args(["version", "--json"]).output().context("ask for the version")?;
    let version: Value = serde_json::from_slice(&output.stdout).context("read the version")?;
    serde_json::from_value(version["formats"]["levels"].clone()).context("read the levels")
}

/// The arguments that make a node run at the level before.
pub(super) fn before(binary: &Path) -> Result<Vec<String>> {
    let [before, newest] = levels(binary)?;
    ensure!(
        before < newest,
        "the program has no level before its newest: there is nothing to upgrade from"
    );
    Ok(vec![OPTION.to_owned(), before.to_string()])
}

/// One thing to do.
#[derive(Clone, Copy)]
enum Task {
    /// Bring a node, by its place, to the newest level or to the one before.
    Bring { place: usize, up: bool },
    /// See that no level has risen.
    Held,
    /// Wait until all have.
    Risen,
}

/// A node on its way.
struct Turn {
    place: usize,
    up: bool,
    is_started: bool,
    /// Kills that are still to come.
    hits: u64,
    at_us: u64,
}

/// See the module.
pub(super) struct Upgrades {
    desk: Desk,
    random: Random,
    /// The level before, and the newest.
    levels: [u32; 2],
    /// Those whose leaders are killed.
    groups: Vec<String>,
    tasks: VecDeque<Task>,
    turn: Option<Turn>,
    /// When what is under way has to be done.
    until: Instant,
}

impl Upgrades {
    pub(super) fn new(field: &Field<'_>, seed: u64, times: usize) -> Result<Self> {
        let mut random = Random::new(seed ^ 0x7570_6772_6164);
        let cells = field
            .cluster
            .layout()
            .regions()
            .into_iter()
            .map(|region| format!("{region}-shared"));
        let regions: Vec<_> = field.cluster.nodes().iter().map(|node| node.region.clone()).collect();
        Ok(Self {
            desk: Desk::everywhere(field.cluster),
            levels: levels(field.cluster.binary())?,
            groups: cells.chain([DIRECTORY.to_owned()]).collect(),
            tasks: tasks(&regions, times, &mut random),
            random,
            turn: None,
            until: Instant::now() + WITHIN,
        })
    }

    /// The levels of all groups, as all nodes show them; none: not all of them answer.
    fn seen(&self) -> Option<Vec<u32>> {
        let mut all = Vec::new();
        for node in self.desk.each() {
            let before = all.len();
            // Of what it has no replica of it does not say.
            all.extend(node.cells().into_iter().filter_map(|cell| cell.level));
            if all.len() == before {
                return None;
            }
        }
        Some(all)
    }

    /// Goes on with the node that is on its way. True: it is ready again.
    fn go_on(&mut self, field: &mut Field<'_>) -> Result<bool> {
        let Some(turn) = &mut self.turn else { return Ok(true) };
        let name = field.name(turn.place);
        if !turn.is_started {
            if field.runs(turn.place) {
                return Ok(false);
            }
            if !field.cluster.wait_ended(&name, WITHIN)? {
                let words = field.last_words(turn.place);
                let finding = format!("{name} was asked to end, and its exit code is not 0; the end of its log: {words}");
                field.findings.push(finding);
            }
            let arguments = turn.up.then(Vec::new);
            let given = field.cluster.given(&name);
            field.cluster.give(&name, Own { arguments, ..given });
            field.start(&[turn.place])?;
            turn.is_started = true;
        }
        let address = field.cluster.nodes()[turn.place].api;
        Ok(matches!(http::status(address, "/readyz", "", READY_TIMEOUT), Ok((200, _))))
    }

    fn begin(&mut self, field: &Field<'_>, reaper: &mut Reaper, (place, up): (usize, bool)) -> Result<()> {
        let at_us = field.controls.now_us();
        field.cluster.terminate(&field.name(place))?;
        reaper.calm();
        let hits = self.random.below(2);
        self.turn = Some(Turn {
            place,
            up,
            is_started: false,
            hits,
            at_us,
        });
        Ok(())
    }
}

/// The tasks, from the regions of the nodes.
fn tasks(regions: &[String], times: usize, random: &mut Random) -> VecDeque<Task> {
    let mut tasks = VecDeque::new();
    let mut shuffled = |mut places: Vec<usize>| {
        for at in (1..places.len()).rev() {
            // The remainder of a length fits.
            places.swap(at, random.below(at as u64 + 1) as usize);
        }
        places
    };
    let all: Vec<usize> = (0..regions.len()).collect();
    for _ in 1..times {
        // The last of each region, in an order that is drawn, stays behind.
        let drawn = shuffled(all.clone());
        let stays = |at: usize| !drawn[at + 1..].iter().any(|other| regions[*other] == regions[drawn[at]]);
        let goes: Vec<usize> = (0..drawn.len()).filter(|at| !stays(*at)).map(|at| drawn[at]).collect();
        tasks.extend(goes.iter().map(|place| Task::Bring { place: *place, up: true }));
        tasks.push_back(Task::Held);
        tasks.extend(shuffled(goes).into_iter().map(|place| Task::Bring { place, up: false }));
    }
    tasks.extend(shuffled(all).into_iter().map(|place| Task::Bring { place, up: true }));
    tasks.push_back(Task::Risen);
    tasks
}

impl Deed for Upgrades {
    fn step(&mut self, field: &mut Field<'_>, reaper: &mut Reaper) -> Result<bool> {
        let Some(task) = self.tasks.front().copied() else {
            return Ok(true);
        };
        if Instant::now() > self.until {
            let said = field.words_about("level");
            bail!("an upgrade did not go on within {WITHIN:?}: {:?}\n{said}", self.seen());
        }
        let [before, newest] = self.levels;
        let is_done = match task {
            // Whoever was killed is waited for, as an operator does who looks at what is ready.
            Task::Bring { place, up } if self.turn.is_none() => {
                if reaper.is_idle() {
                    self.begin(field, reaper, (place, up))?;
                    self.until = Instant::now() + WITHIN;
                }
                false
            }
            Task::Bring { .. } => self.go_on(field)?,
            Task::Held => match self.seen() {
                Some(seen) => {
                    if seen.iter().any(|level| *level != before) {
                        let finding = format!("nodes of each region stayed at level {before}, and groups rose: {seen:?}");
                        field.findings.push(finding);
                    }
                    true
                }
                None => false,
            },
            Task::Risen => self.seen().is_some_and(|seen| seen.iter().all(|level| *level == newest)),
        };
        if !is_done {
            return Ok(false);
        }
        if let Some(turn) = self.turn.take() {
            let said = format!("to level {}", if turn.up { newest } else { before });
            let times = (turn.at_us, field.controls.now_us());
            reaper.fired.push(done(DEEDS[0], vec![field.name(turn.place)], times, said));
        }
        self.tasks.pop_front();
        self.until = Instant::now() + WITHIN;
        Ok(self.tasks.is_empty())
    }

    fn prey(&mut self) -> Option<Prey> {
        let turn = self.turn.as_mut()?;
        turn.hits = turn.hits.checked_sub(1)?;
        // The remainder of a length fits.
        let group = self.groups[self.random.below(self.groups.len() as u64) as usize].clone();
        let why = format!("{}: led {group} while a node changed its version", DEEDS[0]);
        let whom = Whom::Leader(group);
        Some(Prey { whom, why })
    }

    fn ends(&self) -> Option<usize> {
        self.turn.as_ref().filter(|turn| !turn.is_started).map(|turn| turn.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_of_each_region_stays_behind_until_the_last_time() {
        let regions: Vec<String> = ["a", "a", "a", "b", "b", "c"].map(str::to_owned).to_vec();
        for seed in 0..20 {
            let mut up = [false; 6];
            let (mut held, mut risen) = (0, 0);
            for task in tasks(&regions, 3, &mut Random::new(seed)) {
                match task {
                    Task::Bring { place, up: to } => {
                        assert_ne!(up[place], to, "a node is brought where it is not");
                        up[place] = to;
                    }
                    Task::Held => {
                        held += 1;
                        let old = |region: &str| (0..6).filter(|at| regions[*at] == region && !up[*at]).count();
                        assert_eq!(["a", "b", "c"].map(old), [1, 1, 1]);
                    }
                    Task::Risen => {
                        risen += 1;
                        assert_eq!(up, [true; 6]);
                    }
                }
            }
            assert_eq!((held, risen), (2, 1));
        }
    }
}
