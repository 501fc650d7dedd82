//! Carries out a plan: fires each fault at its time, heals it at its time, and writes down what came of it.
//!
//! Between the two it looks at who runs: a node that ends without having been asked to is a finding, whatever else is going on,
//! unless a fault that it is under explains it.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::faults::{self, Hold};
use crate::field::Field;
use crate::plan::{Plan, Step};
use crate::stop;

/// How often a wait looks up: to see whether it is to stop, and what the nodes use.
const LOOK_UP: Duration = Duration::from_millis(100);

/// A fault as it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// Its name.
    pub fault: String,
    /// Whom it hit.
    pub nodes: Vec<String>,
    /// When it was done, in microseconds since the run began.
    pub at_us: u64,
    /// When it was undone.
    pub healed_us: u64,
    /// What was done, and what happened.
    pub said: String,
    /// Why it counts as not fired.
    pub trouble: Option<String>,
}

struct Moment {
    at_ms: u64,
    step: usize,
    heals: bool,
}

/// Plays a plan to its end. `idle` is called while nothing is due.
pub fn play(field: &mut Field<'_>, plan: &Plan, idle: &mut dyn FnMut(&mut Field<'_>)) -> Result<Vec<Fired>> {
    let mut moments: Vec<_> = plan
        .steps
        .iter()
        .enumerate()
        .flat_map(|(step, one)| {
            let moment = |at_ms, heals| Moment { at_ms, step, heals };
            [moment(one.at_ms, false), moment(one.at_ms + one.for_ms, true)]
        })
        .collect();
    moments.sort_by_key(|moment| (moment.at_ms, !moment.heals));
    let mut fired: Vec<Option<Fired>> = plan.steps.iter().map(|_| None).collect();
    let mut holds: Vec<Option<Hold>> = plan.steps.iter().map(|_| None).collect();
    for moment in moments {
        wait(field, moment.at_ms, idle)?;
        look(field, &holds)?;
        let step = &plan.steps[moment.step];
        if moment.heals {
            if let Some(mut hold) = holds[moment.step].take() {
                heal(field, step, &mut hold, fired[moment.step].as_mut());
            }
        } else {
            let (one, hold) = inject(field, step);
            fired[moment.step] = Some(one);
            holds[moment.step] = hold;
        }
    }
    wait(field, plan.run_ms, idle)?;
    field.network.heal();
    field.controls.set_times(1);
    look(field, &holds)?;
    Ok(fired.into_iter().flatten().collect())
}

fn inject(field: &mut Field<'_>, step: &Step) -> (Fired, Option<Hold>) {
    let mut one = Fired {
        fault: step.fault.clone(),
        nodes: Vec::new(),
        at_us: field.controls.now_us(),
        healed_us: 0,
        said: String::new(),
        trouble: None,
    };
    let done = match faults::find(&step.fault) {
        Some(fault) => fault.inject(field, step),
        None => Err(anyhow::anyhow!("there is no such fault")),
    };
    match done {
        Ok(hold) => {
            one.nodes = field.names(&hold.nodes);
            one.said.clone_from(&hold.said);
            (one, Some(hold))
        }
        Err(error) => {
            one.trouble = Some(format!("{error:#}"));
            one.healed_us = one.at_us;
            (one, None)
        }
    }
}

fn heal(field: &mut Field<'_>, step: &Step, hold: &mut Hold, fired: Option<&mut Fired>) {
    let done = match faults::find(&step.fault) {
        Some(fault) => fault.heal(field, step, hold),
        None => Ok(String::new()),
    };
    let Some(fired) = fired else { return };
    fired.healed_us = field.controls.now_us();
    match done {
        Ok(said) => fired.said = format!("{}; {said}", fired.said),
        Err(error) => fired.trouble = Some(format!("{error:#}")),
    }
}

fn wait(field: &mut Field<'_>, until_ms: u64, idle: &mut dyn FnMut(&mut Field<'_>)) -> Result<()> {
    loop {
        if stop::is_asked() {
            bail!("interrupted");
        }
        let left = (until_ms * 1_000).saturating_sub(field.controls.now_us());
        if left == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(left).min(LOOK_UP));
        idle(field);
    }
}

/// Whoever has ended without being asked to is written down, and started again.
fn look(field: &mut Field<'_>, holds: &[Option<Hold>]) -> Result<()> {
    for place in 0..field.network.nodes() {
        let held = holds.iter().flatten().any(|hold| hold.nodes.contains(&place));
        if !held && !field.lost.contains(&place) && !field.runs(place) {
            let name = field.name(place);
            if field.doubtful.contains(&place) {
                field.lost.push(place);
                continue;
            }
            field.findings.push(format!(
                "{name} ended by itself before {} ms of the run; the end of its log: {}",
                field.controls.now_us() / 1_000,
                field.last_words(place)
            ));
            field.start(&[place])?;
        }
    }
    Ok(())
}
