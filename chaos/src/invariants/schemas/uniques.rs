//! While a unique constraint held, nobody got a value that another record had.

use std::collections::BTreeMap;

use super::super::lives::{ballast_of, lives};
use super::super::names;
use super::super::support::{Findings, View, acknowledged, text, when};
use super::Change;

/// Holds the writes against each time for which the constraint held for certain, and the end against it.
pub(super) fn judge(view: View<'_>, changes: &[Change<'_>], findings: &mut Findings) {
    for (place, change) in changes.iter().enumerate() {
        if (change.what, change.status, change.seen) == ("add-unique", Some("done"), true) {
            let later = &changes[place + 1..];
            let gone = later.iter().find(|later| later.what == "drop-unique");
            let until = gone.map_or(u64::MAX, |gone| gone.request.invoked_us);
            during(view, change.request.completed_us, until, findings);
        }
    }
    let unique = format!("/fields/{}/unique", names::SHAPED_CODE);
    let left = view.ending.left.as_ref().and_then(|left| left.pointer(&unique));
    if left.is_some_and(|unique| *unique == true) {
        at_the_end(view, findings);
    }
}

fn during(view: View<'_>, from: u64, until: u64, findings: &mut Findings) {
    let lives = lives(view, names::SHAPED);
    for (id, life) in &lives {
        for made in life.made() {
            let request = made.operation;
            let is_within = request.invoked_us > from && request.completed_us < until;
            let code = made.fields.and_then(|fields| fields.get(names::SHAPED_CODE)?.as_str());
            let Some(code) = code.filter(|_| acknowledged(request) && is_within) else {
                continue;
            };
            let holds = |life: &super::super::lives::Life<'_>| {
                life.must_hold(names::SHAPED_CODE, request.invoked_us, request.completed_us) == Some(code)
            };
            let other = lives
                .iter()
                .find(|(other, life)| *other != id && holds(life))
                .map(|(other, _)| (*other).to_owned());
            let other = other.or_else(|| Some(format!("number {} of the first", ballast_of(view, code)?)));
            if let Some(other) = other {
                let slug = &view.tenant.slug;
                findings.add(format!(
                    "{slug}: {id} got {code} ({}), which {other} has, while it was unique",
                    when(request)
                ));
            }
        }
    }
}

fn at_the_end(view: View<'_>, findings: &mut Findings) {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, record) in view.records(names::SHAPED) {
        let Some(code) = text(record, names::SHAPED_CODE) else {
            continue;
        };
        if let Some(other) = holders.insert(code, id) {
            findings.add(format!(
                "{}: {other} and {id} both have {code}, which is unique",
                view.tenant.slug
            ));
        }
    }
}
