//! The history of one register, made small before it is searched.
//!
//! Because every value is written once, a read says which write it follows. That allows, without changing what is linearizable:
//! an unknown write that nobody read never happened; a write took effect before the first reply that shows its value, so an
//! unknown one gets an end; values become small numbers, the state in which there is none being [`ABSENT`].

use std::collections::BTreeMap;

use crate::history::{Action, Operation, Outcome};
use crate::invariants::support::{latest_us, when};

/// The value of a register that was never written.
pub(super) const ABSENT: usize = 0;

/// One operation that took effect between two times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op<'a> {
    /// When it began.
    pub(super) call: u64,
    /// When it had taken effect for certain.
    pub(super) end: u64,
    /// Whether it writes.
    pub(super) writes: bool,
    /// What it wrote or saw.
    pub(super) value: usize,
    /// As it was recorded.
    pub(super) source: &'a Operation,
}

/// A register's history that can be searched.
pub(super) struct Register<'a> {
    /// In order of [`Op::call`].
    pub(super) ops: Vec<Op<'a>>,
    /// The values by their number; the first is that of [`ABSENT`].
    pub(super) values: Vec<&'a str>,
}

/// Why a history is not even one that could be searched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A read shows what it cannot have seen.
    Violated(String),
    /// The workload broke its own rules.
    Invalid(String),
}

impl<'a> Register<'a> {
    /// Of all operations on one register.
    pub(super) fn of(operations: &[&'a Operation]) -> Result<Self, Unfit> {
        let mut values = vec![""];
        let mut writes: BTreeMap<&str, (usize, &Operation)> = BTreeMap::new();
        for operation in operations {
            let Action::Write { value, .. } = &operation.action else {
                continue;
            };
            if value.is_empty() || writes.insert(value, (values.len(), operation)).is_some() {
                return Err(Unfit::Invalid(format!("{value:?} is written twice, or empty")));
            }
            values.push(value);
        }
        let mut ends = vec![u64::MAX; values.len()];
        let mut ops = reads(operations, &writes, &mut ends)?;
        for (value, operation) in writes.values() {
            // The end of an unknown write that nobody read stays open: it is left out.
            let end = ends[*value].min(latest_us(operation));
            if operation.outcome != Outcome::Failed && end != u64::MAX {
                ops.push(Op {
                    call: operation.invoked_us,
                    end,
                    writes: true,
                    value: *value,
                    source: operation,
                });
            }
        }
        ops.sort_by_key(|op| (op.call, op.end, !op.writes));
        Ok(Self { ops, values })
    }
}

/// The reads that were answered; `ends` learns of the first reply that shows each value.
fn reads<'a>(
    operations: &[&'a Operation],
    writes: &BTreeMap<&str, (usize, &Operation)>,
    ends: &mut [u64],
) -> Result<Vec<Op<'a>>, Unfit> {
    let mut ops = Vec::new();
    for operation in operations
        .iter()
        .copied()
        .filter(|operation| operation.outcome == Outcome::Ok)
    {
        let Action::Read { seen, .. } = &operation.action else {
            continue;
        };
        let value = match seen {
            None => ABSENT,
            Some(seen) => seen_value(operation, seen, writes)?,
        };
        ends[value] = ends[value].min(operation.completed_us);
        ops.push(Op {
            call: operation.invoked_us,
            end: operation.completed_us,
            writes: false,
            value,
            source: operation,
        });
    }
    Ok(ops)
}

/// The number of a value that a read saw, if it can have seen it.
fn seen_value(operation: &Operation, seen: &str, writes: &BTreeMap<&str, (usize, &Operation)>) -> Result<usize, Unfit> {
    let violated = |what: String| Unfit::Violated(format!("read of {seen:?} ({}) {what}", when(operation)));
    let Some((value, write)) = writes.get(seen) else {
        return Err(violated("which nobody wrote there: a phantom".to_owned()));
    };
    if write.outcome == Outcome::Failed {
        return Err(violated(format!("whose write failed ({}): a dirty read", when(write))));
    }
    if operation.completed_us < write.invoked_us {
        return Err(violated(format!("before it was written ({})", when(write))));
    }
    Ok(*value)
}
