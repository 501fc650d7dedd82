//! From what was recorded to a verdict: every checker on the record, and every checker on a damaged copy of it, which it must
//! reject. What a run was too weak to show makes it INVALID.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ending::Ending;
use crate::history::History;
use crate::invariants;
use crate::timeline::Fired;
use crate::verdict::Verdict;

/// How long one checker may take on one record.
const BUDGET: Duration = Duration::from_secs(10);
/// Operations that must have been acknowledged, for each second of load. A run of nothing but outages has about as many.
const MIN_ACKNOWLEDGED_PER_SECOND: u64 = 40;
/// Findings of one checker that are kept.
const FINDINGS: usize = 40;

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The checker, or what else was required.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether it rejected the damaged copy; none: there was none to try.
    pub rejects_damage: Option<bool>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Judged {
    /// A verdict that no checker gave.
    pub fn of(name: &str, verdict: Verdict) -> Self {
        Self {
            name: name.to_owned(),
            verdict,
            rejects_damage: None,
            took_ms: 0,
        }
    }
}

/// Runs every checker.
pub fn judge(history: &History, ending: &Ending) -> Vec<Judged> {
    invariants::all()
        .iter()
        .map(|invariant| {
            let start = Instant::now();
            let verdict = shorten(invariant.check(history, ending, BUDGET));
            let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let damaged = invariant.damage(history, ending);
            let rejects =
                damaged.map(|(history, ending)| matches!(invariant.check(&history, &ending, BUDGET), Verdict::Violated { .. }));
            let verdict = match (verdict, rejects) {
                (Verdict::Green, None) => invalid("the run has nothing that could be damaged"),
                (Verdict::Green, Some(false)) => invalid("it does not reject a damaged copy of the run"),
                (verdict, _) => verdict,
            };
            Judged {
                name: invariant.name().to_owned(),
                verdict,
                rejects_damage: rejects,
                took_ms,
            }
        })
        .collect()
}

/// Whether the faults fired.
pub fn faults(fired: &[Fired]) -> Verdict {
    if fired.is_empty() {
        return invalid("no fault fired");
    }
    match fired.iter().find(|one| one.trouble.is_some()) {
        Some(one) => invalid(&format!(
            "{} did not fire: {}",
            one.fault,
            one.trouble.as_deref().unwrap_or_default()
        )),
        None => Verdict::Green,
    }
}

/// Whether there was enough load.
pub fn load(acknowledged: u64, run_ms: u64) -> Verdict {
    let least = run_ms * MIN_ACKNOWLEDGED_PER_SECOND / 1_000;
    if acknowledged < least {
        return invalid(&format!(
            "{acknowledged} operations were acknowledged; at least {least} must be"
        ));
    }
    Verdict::Green
}

/// The worst of all: what is violated is violated, however little else was shown.
pub fn worst(all: &[Judged]) -> Verdict {
    let mut findings = Vec::new();
    let mut reason = None;
    for one in all {
        match &one.verdict {
            Verdict::Green => {}
            Verdict::Violated { findings: own } => findings.extend(own.iter().map(|finding| format!("{}: {finding}", one.name))),
            Verdict::Invalid { reason: own } => reason = reason.or_else(|| Some(format!("{}: {own}", one.name))),
        }
    }
    match reason {
        _ if !findings.is_empty() => Verdict::Violated { findings },
        Some(reason) => Verdict::Invalid { reason },
        None => Verdict::Green,
    }
}

fn invalid(reason: &str) -> Verdict {
    Verdict::Invalid {
        reason: reason.to_owned(),
    }
}

fn shorten(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Violated { mut findings } => {
            let more = findings.len().saturating_sub(FINDINGS);
            findings.truncate(FINDINGS);
            if more > 0 {
                findings.push(format!("and {more} more"));
            }
            Verdict::Violated { findings }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violated_beats_invalid_beats_green() {
        let green = Judged::of("a", Verdict::Green);
        let invalid = Judged::of("b", invalid("because"));
        let violated = Judged::of("c", Verdict::of(vec!["seen".to_owned()]));
        assert_eq!(worst(std::slice::from_ref(&green)), Verdict::Green);
        assert_eq!(
            worst(&[green.clone(), invalid.clone()]),
            Verdict::Invalid {
                reason: "b: because".to_owned()
            }
        );
        assert_eq!(worst(&[green, invalid, violated]), Verdict::of(vec!["c: seen".to_owned()]));
    }

    #[test]
    fn little_load_and_no_fault_say_nothing() {
        assert!(!load(10, 20_000).is_green());
        assert!(load(10_000, 20_000).is_green());
        assert!(!faults(&[]).is_green());
    }
}
