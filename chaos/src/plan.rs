//! What a run does to whom and when: a function of its seed and of what the machine can do.
//!
//! Two lanes. The first holds what happens to processes and disks, one thing after the other, with a pause in between in which
//! the cluster should recover; the second, in half of all runs, what happens to the network and the load at the same time. A
//! fault that takes a node away for good, or its memory of what it promised, comes alone, last, and at most once a run: two of
//! them are more than a minority, which nobody promised to survive.
//!
//! Every second seed cuts the power of somebody, where the machine can.

use rig::random::Random;
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, Lane};

/// Nothing happens before: the first second shows how it is when all is well.
const CALM_BEFORE_MS: u64 = 1_500;
/// Nothing begins later than so long before the end.
const CALM_AFTER_MS: u64 = 1_500;
/// The shortest pause between two faults of a lane.
const PAUSE_MS: u64 = 700;
/// What the pause's random part is below.
const PAUSE_MORE_MS: u64 = 1_500;

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// The node that leads the tenants' cell when it fires.
    Leader,
    /// A node by its place.
    Node(usize),
    /// All of them at once.
    All,
}

/// One fault of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name: see [`crate::faults::all`].
    pub fault: String,
    /// When, in milliseconds since the load began.
    pub at_ms: u64,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// Whom.
    pub whom: Whom,
    /// A random number for what else the fault chooses.
    pub dice: u64,
}

/// The faults of a run, by the time at which they fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The seed that it is made of.
    pub seed: u64,
    /// How long the load runs, in milliseconds.
    pub run_ms: u64,
    /// The faults.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Draws a plan from `faults`: all that are covered, or those that were asked for.
    pub fn draw(seed: u64, run_ms: u64, nodes: usize, faults: &[&'static dyn Fault]) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(1));
        let mut steps = Vec::new();
        let body = |lane| -> Vec<&'static dyn Fault> { faults.iter().copied().filter(|fault| fault.lane() == lane).collect() };
        let (nodes_lane, side_lane, last_lane) = (body(Lane::Nodes), body(Lane::Side), body(Lane::Last));
        let end = run_ms.saturating_sub(CALM_AFTER_MS);
        // Somebody who takes a node away needs the last third for himself.
        let with_last = !last_lane.is_empty() && (nodes_lane.is_empty() && side_lane.is_empty() || random.below(4) == 0);
        let until = if with_last { end * 2 / 3 } else { end };
        let with_side = !side_lane.is_empty() && (nodes_lane.is_empty() || random.below(2) == 0);
        lane(&mut random, &nodes_lane, nodes, until, &mut steps);
        if seed.is_multiple_of(2) {
            cut_somebody(&mut random, &nodes_lane, nodes, &mut steps);
        }
        if with_side {
            let mut beside = Vec::new();
            lane(&mut random, &side_lane, nodes, until, &mut beside);
            beside.retain(|one| !steps.iter().any(|other| other.whom == Whom::All && overlap(one, other)));
            steps.extend(beside);
        }
        if with_last {
            let at = until.max(CALM_BEFORE_MS);
            // The remainder of a length fits.
            let fault = last_lane[random.below(last_lane.len() as u64) as usize];
            steps.push(step(&mut random, fault, nodes, at));
        }
        steps.sort_by_key(|step| step.at_ms);
        Self { seed, run_ms, steps }
    }
}

/// Whether two steps are under way at one time. While all nodes are down nothing goes over the network, and nobody leads.
fn overlap(one: &Step, other: &Step) -> bool {
    one.at_ms < other.at_ms + other.for_ms && other.at_ms < one.at_ms + one.for_ms
}

/// Fills a lane, one fault after the other.
fn lane(random: &mut Random, faults: &[&'static dyn Fault], nodes: usize, until: u64, steps: &mut Vec<Step>) {
    // Whoever is here has been asked for.
    let weight = |fault: &&'static dyn Fault| fault.weight().max(1);
    let weights: u64 = faults.iter().map(weight).sum();
    if weights == 0 {
        return;
    }
    let mut at = CALM_BEFORE_MS;
    loop {
        let mut drawn = random.below(weights);
        let Some(fault) = faults.iter().find(|fault| {
            let hit = drawn < weight(*fault);
            drawn = drawn.saturating_sub(weight(*fault));
            hit
        }) else {
            return;
        };
        let step = step(random, *fault, nodes, at);
        if step.at_ms + step.for_ms > until {
            return;
        }
        at += step.for_ms + PAUSE_MS + random.below(PAUSE_MORE_MS);
        steps.push(step);
    }
}

fn step(random: &mut Random, fault: &dyn Fault, nodes: usize, at_ms: u64) -> Step {
    let (shortest, longest) = fault.lasts_ms();
    let whom = fault.whom(random, nodes);
    Step {
        fault: fault.name().to_owned(),
        at_ms,
        for_ms: shortest + random.below((longest - shortest).max(1)),
        whom,
        dice: random.draw(),
    }
}

/// Turns the first fault of the lane into a power cut, unless there is one.
fn cut_somebody(random: &mut Random, faults: &[&'static dyn Fault], nodes: usize, steps: &mut [Step]) {
    const NAME: &str = "power-loss";
    let Some(fault) = faults.iter().find(|fault| fault.name() == NAME) else {
        return;
    };
    if steps.is_empty() || steps.iter().any(|step| step.fault == NAME) {
        return;
    }
    // The remainder of a length fits.
    let place = random.below(steps.len() as u64) as usize;
    let (at_ms, for_ms) = (steps[place].at_ms, steps[place].for_ms);
    steps[place] = step(random, *fault, nodes, at_ms);
    steps[place].for_ms = steps[place].for_ms.min(for_ms.max(fault.lasts_ms().0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults;

    fn draw(seed: u64) -> Plan {
        Plan::draw(seed, 20_000, 3, faults::all())
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        for seed in 0..200 {
            assert_eq!(draw(seed), draw(seed));
        }
        assert_ne!(draw(1).steps, draw(2).steps);
    }

    #[test]
    fn every_second_seed_cuts_the_power() {
        for seed in (0..200).step_by(2) {
            let plan = draw(seed);
            assert!(plan.steps.iter().any(|step| step.fault == "power-loss"), "{plan:?}");
        }
    }

    #[test]
    fn a_plan_stays_inside_its_time_and_has_one_irreversible_fault_at_most() {
        for seed in 0..500 {
            let plan = draw(seed);
            assert!(!plan.steps.is_empty(), "{seed}");
            let mut last = 0;
            for step in &plan.steps {
                assert!(step.at_ms >= CALM_BEFORE_MS && step.at_ms < plan.run_ms, "{plan:?}");
            }
            for step in &plan.steps {
                let fault = faults::find(&step.fault).unwrap();
                last += u32::from(fault.lane() == Lane::Last);
                if fault.lane() == Lane::Last {
                    assert!(
                        plan.steps.iter().all(|other| other.at_ms <= step.at_ms),
                        "it comes last: {plan:?}"
                    );
                }
            }
            assert!(last <= 1, "{plan:?}");
        }
    }

    #[test]
    fn nothing_happens_to_the_network_while_all_nodes_are_down() {
        for seed in 0..500 {
            let plan = draw(seed);
            let is_side = |step: &&Step| faults::find(&step.fault).unwrap().lane() == Lane::Side;
            for side in plan.steps.iter().filter(is_side) {
                let all = |other: &&Step| other.whom == Whom::All && !is_side(other);
                assert!(!plan.steps.iter().filter(all).any(|other| overlap(side, other)), "{plan:?}");
            }
        }
    }

    #[test]
    fn only_what_is_asked_for_happens() {
        let one = [faults::find("pause").unwrap()];
        let plan = Plan::draw(3, 20_000, 3, &one);
        assert!(
            !plan.steps.is_empty() && plan.steps.iter().all(|step| step.fault == "pause"),
            "{plan:?}"
        );
    }
}
