//! What several checkers share: the list of findings, the time that is left, and how to look at operations and records.

use std::time::{Duration, Instant};

use super::names;
use crate::ending::{Ending, Record, TenantEnding};
use crate::history::{Action, History, Operation, Outcome, Tenant};
use crate::verdict::Verdict;

/// Most findings that a checker tells. One would do; some more show what they have in common. With more, a broken run fills the
/// report with one fault; with fewer, two faults hide each other.
const FINDINGS: usize = 25;

/// What a checker has found.
#[derive(Default)]
pub(super) struct Findings {
    told: Vec<String>,
    untold: usize,
}

impl Findings {
    /// One more.
    pub(super) fn add(&mut self, finding: String) {
        if self.told.len() < FINDINGS {
            self.told.push(finding);
        } else {
            self.untold += 1;
        }
    }

    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Green without any.
    pub(super) fn verdict(mut self) -> Verdict {
        if self.untold > 0 {
            self.told.push(format!("and {} more", self.untold));
        }
        Verdict::of(self.told)
    }
}

/// When a checker must have finished.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    started: Instant,
    budget: Duration,
}

impl Deadline {
    /// From now on.
    pub(super) fn after(budget: Duration) -> Self {
        Self {
            started: Instant::now(),
            budget,
        }
    }

    /// Whether the time is up.
    pub(super) fn is_over(self) -> bool {
        self.started.elapsed() >= self.budget
    }

    /// The verdict of a checker that did not finish.
    pub(super) fn verdict(self) -> Verdict {
        invalid(format!("not decided within {:?}", self.budget))
    }
}

/// A verdict that says nothing.
pub(super) fn invalid(reason: impl Into<String>) -> Verdict {
    Verdict::Invalid { reason: reason.into() }
}

/// One tenant as a checker sees it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Its place in the history and in the ending.
    pub(super) index: usize,
    /// Who it is.
    pub(super) tenant: &'a Tenant,
    /// What was read back of it.
    pub(super) ending: &'a TenantEnding,
    history: &'a History,
}

impl<'a> View<'a> {
    /// Its operations, in order of their invocation.
    pub(super) fn operations(self) -> impl Iterator<Item = &'a Operation> {
        let index = self.index;
        self.history
            .operations
            .iter()
            .filter(move |operation| operation.tenant == index)
    }

    /// Its records of one collection at the end, with their ids.
    pub(super) fn records(self, collection: &str) -> impl Iterator<Item = (&'a str, &'a Record)> {
        let records = self.ending.records.get(collection);
        records.into_iter().flatten().map(|(id, record)| (id.as_str(), record))
    }

    /// One record at the end.
    pub(super) fn record(self, collection: &str, id: &str) -> Option<&'a Record> {
        self.ending.records.get(collection)?.get(id)
    }
}

/// The tenants, one by one; INVALID when the ending is of other tenants.
pub(super) fn views<'a>(history: &'a History, ending: &'a Ending) -> Result<Vec<View<'a>>, Verdict> {
    let (known, read) = (history.tenants.len(), ending.tenants.len());
    if known != read {
        return Err(invalid(format!("{known} tenants in the history, {read} read back")));
    }
    let strange = history.operations.iter().find(|operation| operation.tenant >= known);
    if let Some(operation) = strange {
        return Err(invalid(format!("an operation of tenant {}, of {known}", operation.tenant)));
    }
    let pairs = history.tenants.iter().zip(&ending.tenants).enumerate();
    Ok(pairs
        .map(|(index, (tenant, ending))| View {
            index,
            tenant,
            ending,
            history,
        })
        .collect())
}

/// A field that holds text.
pub(super) fn text<'a>(record: &'a Record, field: &str) -> Option<&'a str> {
    record.fields.get(field)?.as_str()
}

/// The latest time at which an operation may have taken effect.
pub(super) const fn latest_us(operation: &Operation) -> u64 {
    match operation.outcome {
        Outcome::Unknown => u64::MAX,
        Outcome::Ok | Outcome::Failed => operation.completed_us,
    }
}

/// Whether it was acknowledged.
pub(super) fn acknowledged(operation: &Operation) -> bool {
    operation.outcome == Outcome::Ok
}

/// What is found in each tenant's view of a run.
pub(super) fn of_each<'a>(history: &'a History, ending: &'a Ending, mut judge: impl FnMut(View<'a>, &mut Findings)) -> Verdict {
    let views = match views(history, ending) {
        Ok(views) => views,
        Err(verdict) => return verdict,
    };
    let mut findings = Findings::default();
    for view in views {
        judge(view, &mut findings);
    }
    findings.verdict()
}

/// Whether it may have had an effect.
pub(super) fn possible(operation: &Operation) -> bool {
    operation.outcome != Outcome::Failed
}

/// The collection and the id of the record that an action creates under an id of the client's, once.
pub(super) fn created(action: &Action) -> Option<(&'static str, &str)> {
    match action {
        Action::Claim { id, .. } => Some((names::CLAIMS, id)),
        Action::Number { id, .. } => Some((names::NUMBERED, id)),
        Action::Comment { id, .. } => Some((names::COMMENTS, id)),
        _ => None,
    }
}

/// The collection and the id of the record that an action deletes.
pub(super) fn deleted(action: &Action) -> Option<(&'static str, &str)> {
    match action {
        Action::Release { id } => Some((names::CLAIMS, id)),
        Action::RemoveTask { task } => Some((names::TASKS, task)),
        _ => None,
    }
}

/// Who did it and when, for findings.
pub(super) fn when(operation: &Operation) -> String {
    let Operation {
        process,
        invoked_us,
        completed_us,
        ..
    } = operation;
    match operation.outcome {
        Outcome::Ok => format!("process {process}, {invoked_us}..{completed_us} us"),
        Outcome::Failed => format!("process {process}, {invoked_us}..{completed_us} us, failed"),
        Outcome::Unknown => format!("process {process}, {invoked_us} us on, unknown"),
    }
}
