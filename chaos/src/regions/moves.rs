//! Tenants that move back and forth between two cells of their region, under the load and the checkers of every run, while leaders are
//! killed: of the cell that a tenant leaves, of the one that it goes to, of the directory.
//!
//! Each tenant moves all the time. A kill waits until a move is at a phase that is drawn, and hits whoever leads one of the three groups
//! then; the node is started again after a while, and the next kill waits until it is ready. At the end all tenants go to one cell, so
//! that the other one must hold nothing (`invariants/owners.rs`).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rig::http;
use rig::random::Random;
use serde::Serialize;

use super::desk::Desk;
use super::layout;
use crate::field::Field;
use crate::plan::Plan;
use crate::run::{self, Done};
use crate::stage::Stage;
use crate::stop;
use crate::timeline::Fired;
use crate::verdict::Verdict;
use crate::workload::slugs;

/// The name under which moves stand in a timeline.
const MOVE: &str = "move";
/// The name under which kills do.
const KILL: &str = "kill";
/// The group of all regions.
const DIRECTORY: &str = "directory";
/// What a move goes through.
const PHASES: [&str; 6] = ["waiting", "clearing", "copying", "following", "holding", "erasing"];
/// Kills that one move has to bear. Raised: a large tenant never arrives, for an attempt takes longer than the calm between two kills.
const MOST_HITS: usize = 3;
/// How many times as long as usual clients pause. Raised: fewer operations meet a move. Lowered: tenants are not small any more.
const EASE: u32 = 4;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(15);
/// How long a kill waits for the phase that was drawn for it.
const PHASE_WITHIN: Duration = Duration::from_millis(1_500);
/// How long a killed node stays away at most, in milliseconds.
const AWAY_MS: u64 = 1_200;
/// How long a calm between two kills is at most, in milliseconds.
const CALM_MS: u64 = 500;
/// How long a move may take.
const MOVE_WITHIN: Duration = Duration::from_secs(180);
/// How long a node may take to be asked whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// The bug to put back.
    pub mutant: Option<String>,
    /// What load and kills are drawn from.
    pub seed: u64,
    /// Moves.
    pub count: usize,
    /// One way between regions.
    pub distance: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Moves that were done.
    pub moves: usize,
    /// Kills.
    pub kills: usize,
    /// Of those, of the leader of the directory.
    pub of_the_directory: usize,
    /// The middle of how long moves took, in milliseconds.
    pub median_ms: u64,
    /// The longest.
    pub longest_ms: u64,
    /// Operations of clients that were acknowledged.
    pub acknowledged: u64,
    /// What the checkers said.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Runs.
pub fn run(options: &Options) -> Result<Done> {
    let start = Instant::now();
    let stage = Stage::over(
        layout(2)?,
        options.binary.clone(),
        options.mutant.as_deref(),
        options.distance,
    )
    .context("bring the regions up")?;
    let plan = Plan {
        seed: options.seed,
        run_ms: 0,
        steps: Vec::new(),
    };
    let reproduce = format!("cloudnest-chaos moves --seed {} --count {}", options.seed, options.count);
    let what = run::Options {
        seed: options.seed,
        seconds: 0,
        faults: None,
        binary: options.binary.clone(),
        mutant: options.mutant.clone(),
    };
    let count = options.count;
    let mut done = run::perform(&what, stage, plan, start, &|field, plan, idle| {
        Conductor::new(field, plan.seed)?.conduct(count, idle)
    })?;
    done.account.reproduce = reproduce;
    Ok(done)
}

/// The figures of a run.
pub fn row(done: &Done) -> Row {
    let of = |name: &'static str| done.account.fired.iter().filter(move |one| one.fault == name);
    let mut took: Vec<u64> = of(MOVE).map(|one| one.healed_us.saturating_sub(one.at_us) / 1_000).collect();
    took.sort_unstable();
    Row {
        moves: took.len(),
        kills: of(KILL).count(),
        of_the_directory: of(KILL).filter(|one| one.said.contains(DIRECTORY)).count(),
        median_ms: crate::measure::median(&took),
        longest_ms: took.last().copied().unwrap_or(0),
        acknowledged: done.account.acknowledged,
        verdict: done.account.verdict.clone(),
        seconds: done.account.took_seconds,
    }
}

/// A run as a table.
pub fn table(row: &Row, done: &Done) -> String {
    let mut out = format!(
        "| moves | kills | of the directory's leader | median ms of a move | longest | acknowledged | verdict | s |\n\
         |---|---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} | {:.0} |\n\n| check | verdict |\n|---|---|\n",
        row.moves,
        row.kills,
        row.of_the_directory,
        row.median_ms,
        row.longest_ms,
        row.acknowledged,
        crate::report::verdict_word(&row.verdict),
        row.seconds
    );
    for one in &done.account.judged {
        out.push_str(&format!("| {} | {} |\n", one.name, crate::report::verdict_word(&one.verdict)));
    }
    out
}

/// A tenant on its way.
struct Journey {
    slug: &'static str,
    from: String,
    to: String,
    operation: String,
    phase: String,
    /// Kills while it was under way.
    hits: usize,
    at_us: u64,
    until: Instant,
}

/// A node that was killed.
struct Dead {
    place: usize,
    back: Instant,
    started: bool,
    /// Its place among what has fired.
    fired: usize,
}

/// Begins moves, looks how far they are, and kills.
struct Conductor<'a, 'b> {
    field: &'a mut Field<'b>,
    desk: Desk,
    random: Random,
    cells: [String; 2],
    /// Tenants that are at rest, with their cells.
    resting: Vec<(&'static str, String)>,
    under_way: Vec<Journey>,
    dead: Option<Dead>,
    /// The next kill: not before, and in which phase.
    next: (Instant, &'static str),
    fired: Vec<Fired>,
}

impl<'a, 'b> Conductor<'a, 'b> {
    fn new(field: &'a mut Field<'b>, seed: u64) -> Result<Self> {
        field.controls.ease(EASE);
        let region = field.cluster.layout().regions()[0].to_owned();
        let desk = Desk::of(field.cluster, &region);
        let resting = slugs().into_iter().map(|slug| Ok((slug, desk.cell_of(slug)?)));
        let resting = resting.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            field,
            desk,
            random: Random::new(seed ^ 0x006D_6F76_6573),
            cells: ["shared", "shared-1"].map(|name| format!("{region}-{name}")),
            resting,
            under_way: Vec::new(),
            dead: None,
            next: (Instant::now(), PHASES[2]),
            fired: Vec::new(),
        })
    }

    fn conduct(mut self, count: usize, idle: &mut dyn FnMut(&mut Field<'_>)) -> Result<Vec<Fired>> {
        let mut begun = 0;
        while begun < count || !self.under_way.is_empty() || self.dead.is_some() {
            ensure!(!stop::is_asked(), "interrupted");
            // Nobody takes a move while the directory has no leader.
            while begun < count && self.dead.is_none() && self.depart(None)? {
                begun += 1;
            }
            self.look()?;
            self.tend()?;
            if begun < count && self.dead.is_none() {
                self.strike()?;
            }
            std::thread::sleep(LOOK);
            idle(self.field);
        }
        // Home, all of them.
        let home = self.cells[0].clone();
        while self.resting.iter().any(|(_, cell)| *cell != home) || !self.under_way.is_empty() {
            ensure!(!stop::is_asked(), "interrupted");
            while self.depart(Some(&home))? {}
            self.look()?;
            self.tend()?;
            std::thread::sleep(LOOK);
            idle(self.field);
        }
        Ok(self.fired)
    }

    /// Begins the move of a tenant that rests; where `to` is given, of one that is not there. False: there is none, or nobody takes it now.
    fn depart(&mut self, to: Option<&str>) -> Result<bool> {
        let goes = |(_, cell): &(&str, String)| to.is_none_or(|to| cell != to);
        let Some(place) = self.resting.iter().position(goes) else {
            return Ok(false);
        };
        let (slug, from) = self.resting[place].clone();
        let to = self
            .cells
            .iter()
            .find(|cell| **cell != from)
            .context("there are two cells")?
            .clone();
        let at_us = self.field.controls.now_us();
        // Without a leader of the directory nothing begins.
        let Ok(operation) = self.desk.begin(slug, &to) else {
            return Ok(false);
        };
        self.resting.remove(place);
        self.under_way.push(Journey {
            slug,
            from,
            to,
            operation: operation.id.to_string(),
            phase: PHASES[0].to_owned(),
            hits: 0,
            at_us,
            until: Instant::now() + MOVE_WITHIN,
        });
        Ok(true)
    }

    /// How far those under way are.
    fn look(&mut self) -> Result<()> {
        for mut journey in std::mem::take(&mut self.under_way) {
            let Ok(now) = self.desk.operation(&journey.operation) else {
                ensure!(
                    Instant::now() < journey.until,
                    "nobody says how far the move of {} is",
                    journey.slug
                );
                self.under_way.push(journey);
                continue;
            };
            match now.status.as_str() {
                "running" if Instant::now() > journey.until => {
                    let said = self.field.words_about(journey.slug);
                    bail!(
                        "the move of {} did not end within {MOVE_WITHIN:?}: {now:?}\n{said}",
                        journey.slug
                    );
                }
                "running" => {
                    journey.phase = now.phase.unwrap_or_default();
                    self.under_way.push(journey);
                }
                "done" => {
                    self.fired.push(Fired {
                        fault: MOVE.to_owned(),
                        nodes: Vec::new(),
                        at_us: journey.at_us,
                        healed_us: self.field.controls.now_us(),
                        said: format!("{} from {} to {}", journey.slug, journey.from, journey.to),
                        trouble: None,
                    });
                    self.resting.push((journey.slug, journey.to));
                }
                other => {
                    let finding = format!("the move of {} ended {other}: {now:?}", journey.slug);
                    self.field.findings.push(finding);
                    self.resting.push((journey.slug, journey.from));
                }
            }
        }
        Ok(())
    }

    /// Starts who was killed when it is time, and whoever has ended by itself.
    fn tend(&mut self) -> Result<()> {
        if let Some(dead) = &mut self.dead
            && Instant::now() >= dead.back
        {
            if !dead.started {
                self.field.start(&[dead.place])?;
                dead.started = true;
                self.fired[dead.fired].healed_us = self.field.controls.now_us();
            }
            let address = self.field.cluster.nodes()[dead.place].api;
            if matches!(http::status(address, "/readyz", "", READY_TIMEOUT), Ok((200, _))) {
                self.dead = None;
                let calm = Duration::from_millis(self.random.below(CALM_MS));
                // The remainder of a length fits.
                let phase = PHASES[self.random.below(PHASES.len() as u64) as usize];
                self.next = (Instant::now() + calm, phase);
            }
        }
        for place in 0..self.field.network.nodes() {
            let is_dead = self.dead.as_ref().is_some_and(|dead| dead.place == place && !dead.started);
            if !is_dead && !self.field.runs(place) {
                let (name, words) = (self.field.name(place), self.field.last_words(place));
                self.field
                    .findings
                    .push(format!("{name} ended by itself; the end of its log: {words}"));
                self.field.start(&[place])?;
            }
        }
        Ok(())
    }

    /// Kills a leader, if it is time.
    fn strike(&mut self) -> Result<()> {
        let (at, phase) = self.next;
        let now = Instant::now();
        // All share two cells: whatever is killed costs each of them an attempt.
        if self.under_way.iter().any(|journey| journey.hits >= MOST_HITS) {
            return Ok(());
        }
        let Some(journey) = self
            .under_way
            .iter()
            .find(|journey| journey.phase == phase || now > at + PHASE_WITHIN)
        else {
            return Ok(());
        };
        if now < at {
            return Ok(());
        }
        let (group, why) = match self.random.below(3) {
            0 => (journey.from.as_str(), "which a tenant leaves"),
            1 => (journey.to.as_str(), "which a tenant goes to"),
            _ => (DIRECTORY, "which switches"),
        };
        let said = format!("led {group}, {why}, while {} was {}", journey.slug, journey.phase);
        let Some(name) = self.desk.leader(group) else { return Ok(()) };
        let place = self.field.cluster.nodes().iter().position(|node| node.name == name);
        let place = place.with_context(|| format!("there is no node {name}"))?;
        let at_us = self.field.controls.now_us();
        self.under_way.iter_mut().for_each(|journey| journey.hits += 1);
        self.field.kill(&[place])?;
        self.dead = Some(Dead {
            place,
            back: Instant::now() + Duration::from_millis(self.random.below(AWAY_MS)),
            started: false,
            fired: self.fired.len(),
        });
        self.fired.push(Fired {
            fault: KILL.to_owned(),
            nodes: vec![name],
            at_us,
            healed_us: at_us,
            said,
            trouble: None,
        });
        Ok(())
    }
}
