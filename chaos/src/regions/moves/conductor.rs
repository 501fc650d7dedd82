//! Begins moves, looks how far they are, and kills.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rig::random::Random;

use super::MOVE;
use crate::field::Field;
use crate::regions::DIRECTORY;
use crate::regions::desk::Desk;
use crate::regions::reaper::Reaper;
use crate::stop;
use crate::timeline::Fired;
use crate::workload::slugs;

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
/// How long a calm between two kills is at most, in milliseconds.
const CALM_MS: u64 = 500;
/// How long a move may take.
const MOVE_WITHIN: Duration = Duration::from_secs(180);

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

/// See the module.
pub(super) struct Conductor<'a, 'b> {
    field: &'a mut Field<'b>,
    desk: Desk,
    random: Random,
    cells: [String; 2],
    /// Tenants that are at rest, with their cells.
    resting: Vec<(&'static str, String)>,
    under_way: Vec<Journey>,
    reaper: Reaper,
    /// In which phase the next kill is.
    phase: &'static str,
}

impl<'a, 'b> Conductor<'a, 'b> {
    pub(super) fn new(field: &'a mut Field<'b>, seed: u64) -> Result<Self> {
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
            reaper: Reaper::new(seed ^ 0x0072_6561_7065, CALM_MS),
            phase: PHASES[2],
        })
    }

    pub(super) fn conduct(mut self, count: usize, idle: &mut dyn FnMut(&mut Field<'_>)) -> Result<Vec<Fired>> {
        let mut begun = 0;
        while begun < count || !self.under_way.is_empty() || !self.reaper.is_idle() {
            ensure!(!stop::is_asked(), "interrupted");
            // Nobody takes a move while the directory has no leader.
            while begun < count && self.reaper.is_idle() && self.depart(None)? {
                begun += 1;
            }
            self.look()?;
            self.tend()?;
            if begun < count && self.reaper.is_idle() {
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
        Ok(self.reaper.fired)
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
                    self.reaper.fired.push(Fired {
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

    /// Starts whoever does not run.
    fn tend(&mut self) -> Result<()> {
        if self.reaper.tend(self.field, None)? {
            // The remainder of a length fits.
            self.phase = PHASES[self.random.below(PHASES.len() as u64) as usize];
        }
        Ok(())
    }

    /// Kills a leader, if it is time.
    fn strike(&mut self) -> Result<()> {
        // All share two cells: whatever is killed costs each of them an attempt.
        if !self.reaper.is_due() || self.under_way.iter().any(|journey| journey.hits >= MOST_HITS) {
            return Ok(());
        }
        let Some(journey) = self
            .under_way
            .iter()
            .find(|journey| journey.phase == self.phase || self.reaper.overdue() > PHASE_WITHIN)
        else {
            return Ok(());
        };
        let (group, why) = match self.random.below(3) {
            0 => (journey.from.as_str(), "which a tenant leaves"),
            1 => (journey.to.as_str(), "which a tenant goes to"),
            _ => (DIRECTORY, "which switches"),
        };
        let said = format!("led {group}, {why}, while {} was {}", journey.slug, journey.phase);
        let Some(name) = self.desk.leader(group) else { return Ok(()) };
        self.under_way.iter_mut().for_each(|journey| journey.hits += 1);
        self.reaper.kill(self.field, &name, said)
    }
}
