//! The lives of records that one client each writes, one request after the other: which versions they must have, and what they may hold
//! or must hold between two moments.
//!
//! After a request of which nobody knows what became of it, a record is left alone: only the last one of a life can be of that kind.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::names;
use super::support::{View, acknowledged, possible};
use crate::history::{Act, Action, Operation};

/// The fields of a version.
pub(super) type Fields = Map<String, Value>;

/// One request about a record.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) operation: &'a Operation,
    act: &'a Act,
    told: Option<u64>,
}

/// A version that a request made, or may have made.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    /// Its number.
    pub(super) version: u64,
    /// Its fields; none: it is a deletion, or what was restored is not known.
    pub(super) fields: Option<&'a Fields>,
    /// The record was deleted.
    pub(super) deleted: bool,
    /// The fields are those of an earlier version: what had been dropped by then is not among them.
    pub(super) restored: bool,
    /// What made it.
    pub(super) operation: &'a Operation,
}

/// A record.
#[derive(Default)]
pub(super) struct Life<'a> {
    steps: Vec<Step<'a>>,
}

/// All records of a collection that were written so, by id.
pub(super) fn lives<'a>(view: View<'a>, wanted: &str) -> BTreeMap<&'a str, Life<'a>> {
    let mut all: BTreeMap<&str, Life<'_>> = BTreeMap::new();
    for operation in view.operations().filter(|operation| possible(operation)) {
        let Action::Craft {
            collection,
            id,
            act,
            version,
            ..
        } = &operation.action
        else {
            continue;
        };
        if collection == wanted {
            let told = *version;
            all.entry(id).or_default().steps.push(Step { operation, act, told });
        }
    }
    all
}

impl<'a> Life<'a> {
    /// What it became, version by version: those that were acknowledged, and, last, one that may be.
    pub(super) fn made(&self) -> Vec<Made<'a>> {
        let mut all: Vec<Made<'a>> = Vec::new();
        for step in &self.steps {
            let version = all.last().map_or(0, |last| last.version) + 1;
            let of = |wanted: u64| all.iter().find(|made| made.version == wanted).and_then(|made| made.fields);
            let fields = match step.act {
                Act::Create(fields) | Act::Patch(fields) => Some(fields),
                Act::Delete => None,
                Act::Restore(wanted) => of(*wanted),
            };
            all.push(Made {
                version,
                fields,
                deleted: *step.act == Act::Delete,
                restored: matches!(step.act, Act::Restore(_)),
                operation: step.operation,
            });
        }
        all
    }

    /// Versions that an answer gave another number than the one after the last.
    pub(super) fn miscounted(&self) -> impl Iterator<Item = (u64, u64, &'a Operation)> {
        let told: Vec<_> = self.steps.iter().map(|step| (step.told, step.operation)).collect();
        let counted = self.made().into_iter().zip(told);
        counted.filter_map(|(made, (told, operation))| {
            let told = told.filter(|_| acknowledged(operation))?;
            (told != made.version).then_some((told, made.version, operation))
        })
    }

    /// Every value of a text field that it may have had at some moment from `from` to `to`.
    pub(super) fn may_hold(&self, field: &str, from: u64, to: u64) -> Vec<&'a str> {
        let made = self.made();
        let in_force = made.iter().enumerate().filter(|(place, one)| {
            let next = made[place + 1..].iter().find(|next| acknowledged(next.operation));
            one.operation.invoked_us <= to && next.is_none_or(|next| next.operation.completed_us >= from)
        });
        in_force.filter_map(|(_, one)| one.fields?.get(field)?.as_str()).collect()
    }

    /// The value of a text field that it had all the time from `from` to `to`, for certain.
    pub(super) fn must_hold(&self, field: &str, from: u64, to: u64) -> Option<&'a str> {
        let made = self.made();
        let place = made
            .iter()
            .rposition(|one| acknowledged(one.operation) && one.operation.completed_us < from)?;
        let changes = made.get(place + 1).is_some_and(|next| next.operation.invoked_us <= to);
        // What was restored may lack an amount of another type.
        if changes || (made[place].restored && field == names::SHAPED_AMOUNT) {
            return None;
        }
        made[place].fields?.get(field)?.as_str()
    }
}

/// The number of the record of the ballast that has this code all along.
pub(super) fn ballast_of(view: View<'_>, code: &str) -> Option<u64> {
    let number: u64 = code.strip_prefix(&format!("{}-code-", view.tenant.tag))?.parse().ok()?;
    (number < names::BALLAST).then_some(number)
}

/// A value of the amount, whichever type it has.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
