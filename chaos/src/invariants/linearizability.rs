//! Registers are linearizable: each strong read sees the last value that was written before it, in one order that all agree on and
//! that keeps to real time (Herlihy and Wing, 1990). A set of registers is linearizable if and only if each register is, so each is
//! judged alone.
//!
//! How it works: `register` makes a register's history small and names reads that cannot be right whatever the order;
//! `zones` decides in O(n log n) and says why not; `search` finds the order in a way that shares nothing with
//! `zones`. If they disagree, one of them is wrong and the run is INVALID. [`closed`] adds what was read back at the end as a last
//! read of each register, so that a value that came back from the dead counts. [`lines`] writes the same history for checkers of
//! other people.
//!
//! CAVEATS: a write that a client sent again must take effect once: retries carry one idempotency key, or what a checker calls a
//! stale read is the client's own doing. Reads at less than strong consistency do not belong into the history.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::{Deadline, Findings, acknowledged, invalid, text};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History, Operation, Outcome};
use crate::verdict::Verdict;

pub mod lines;
mod register;
mod search;
#[cfg(test)]
mod tests;
mod zones;

use register::{Register, Unfit};
use search::Found;

/// The promise.
pub struct Linearizability;

impl Invariant for Linearizability {
    fn name(&self) -> &'static str {
        "linearizability"
    }

    fn check(&self, history: &History, ending: &Ending, budget: Duration) -> Verdict {
        let deadline = Deadline::after(budget);
        let history = closed(history, ending);
        let mut findings = Findings::default();
        let mut doubt = None;
        for ((tenant, key), operations) in registers(&history) {
            if deadline.is_over() {
                doubt.get_or_insert_with(|| deadline.verdict());
                break;
            }
            let slug = history.tenants.get(tenant).map_or("?", |tenant| tenant.slug.as_str());
            match judge(&operations, deadline) {
                Judgement::Linearizable => {}
                Judgement::Violated(why) => findings.add(format!("{slug}/{key}: {why}")),
                Judgement::Doubt(verdict) => doubt = Some(verdict),
            }
        }
        match doubt {
            Some(doubt) if findings.is_empty() => doubt,
            _ => findings.verdict(),
        }
    }

    /// One read is replaced by an older value: one that had been overwritten, for certain, before the read began.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut history = history.clone();
        let (at, value) = stale(&history)?;
        if let Action::Read { seen, .. } = &mut history.operations[at].action {
            *seen = Some(value);
        }
        Some((history, ending.clone()))
    }
}

/// What one register amounts to.
enum Judgement {
    Linearizable,
    Violated(String),
    Doubt(Verdict),
}

fn judge(operations: &[&Operation], deadline: Deadline) -> Judgement {
    let register = match Register::of(operations) {
        Ok(register) => register,
        Err(Unfit::Violated(why)) => return Judgement::Violated(why),
        Err(Unfit::Invalid(why)) => return Judgement::Doubt(invalid(why)),
    };
    if let Some(why) = zones::contradiction(&register) {
        return Judgement::Violated(why);
    }
    match search::search(&register, deadline) {
        Found::Order => Judgement::Linearizable,
        Found::NoOrder => Judgement::Doubt(invalid("the two deciders of linearizability disagree: one of them is wrong")),
        Found::OutOfTime => Judgement::Doubt(deadline.verdict()),
    }
}

/// A history with a last read of each register that was written: what the ending holds. Tenants that were not read back, and those
/// without any register, get none.
pub fn closed(history: &History, ending: &Ending) -> History {
    let mut closed = history.clone();
    let last = history.operations.iter().map(|operation| operation.completed_us).max();
    let mut process = history
        .operations
        .iter()
        .map(|operation| operation.process)
        .max()
        .unwrap_or(0);
    let at = last.unwrap_or(0) + 1;
    for (tenant, key) in registers(history).into_keys() {
        let records = ending
            .tenants
            .get(tenant)
            .and_then(|tenant| tenant.records.get(names::REGISTERS));
        let Some(records) = records else { continue };
        let seen = records.get(key).and_then(|record| text(record, names::REGISTER_VALUE));
        process += 1;
        closed.operations.push(Operation {
            process,
            tenant,
            action: Action::Read {
                key: key.to_owned(),
                seen: seen.map(str::to_owned),
            },
            invoked_us: at,
            completed_us: at,
            outcome: Outcome::Ok,
            position: None,
        });
    }
    closed
}

/// The operations on each register.
fn registers(history: &History) -> BTreeMap<(usize, &str), Vec<&Operation>> {
    let mut registers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for operation in &history.operations {
        if let Action::Write { key, .. } | Action::Read { key, .. } = &operation.action {
            registers.entry((operation.tenant, key.as_str())).or_default().push(operation);
        }
    }
    registers
}

/// A read, and a value of its register that was overwritten before it began.
fn stale(history: &History) -> Option<(usize, String)> {
    // For each register its writes that were acknowledged one after the other, without overlap.
    let mut chains: BTreeMap<(usize, &str), Vec<&Operation>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| acknowledged(operation)) {
        if let Action::Write { key, .. } = &operation.action {
            let chain = chains.entry((operation.tenant, key)).or_default();
            if chain.last().is_none_or(|last| last.completed_us < operation.invoked_us) {
                chain.push(operation);
            }
        }
    }
    history.operations.iter().enumerate().find_map(|(at, operation)| {
        let Action::Read { key, .. } = &operation.action else {
            return None;
        };
        let [older, newer, ..] = chains.get(&(operation.tenant, key.as_str()))?.as_slice() else {
            return None;
        };
        let is_stale = acknowledged(operation) && newer.completed_us < operation.invoked_us;
        match &older.action {
            Action::Write { value, .. } if is_stale => Some((at, value.clone())),
            _ => None,
        }
    })
}
