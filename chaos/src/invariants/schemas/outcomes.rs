//! Whether an operation may have ended as it did.

use std::collections::{BTreeMap, BTreeSet};

use super::super::lives::{Life, ballast_of, lives};
use super::super::names;
use super::super::support::{Findings, View, when};
use super::Change;

/// Failures that an operation lists.
const LISTED: usize = 100;

/// Holds each operation against what was written meanwhile.
pub(super) fn judge(view: View<'_>, changes: &[Change<'_>], findings: &mut Findings) {
    let scene = Scene {
        view,
        lives: lives(view, names::SHAPED),
        ballast: ballast(view),
    };
    for change in changes.iter().filter(|change| change.id.is_some()) {
        let told = format!("{}: {} ({})", view.tenant.slug, change.what, when(change.request));
        if change.status == Some("cancelled") && !change.cancelled {
            findings.add(format!("{told} is cancelled, and nobody asked for that"));
        }
        if change.status != Some("failed") && !change.listed.is_empty() {
            findings.add(format!("{told} lists {:?}, and is {:?}", change.listed, change.status));
        }
        let misfits = scene.misfits(change);
        match change.status {
            Some("done") => {
                for group in misfits.all_along {
                    findings.add(format!("{told} is done although {group:?} did not fit all along"));
                }
            }
            // What nobody saw, nobody has the list of.
            Some("failed") if change.seen => {
                for id in change.listed.iter().filter(|id| !misfits.perhaps.contains(id.as_str())) {
                    findings.add(format!("{told} failed at {id}, which fitted"));
                }
                if change.listed.is_empty() {
                    findings.add(format!("{told} failed without a record that does not fit"));
                }
                let is_listed = |id: &&&str| change.listed.iter().any(|listed| listed == **id);
                for group in misfits.all_along.iter().filter(|_| change.listed.len() < LISTED) {
                    // All of them but one, of records with one value; the one, of one that is alone.
                    let wanted = group.len().saturating_sub(1).max(1);
                    if group.iter().filter(is_listed).count() < wanted {
                        findings.add(format!(
                            "{told} failed, and does not list {group:?}, which did not fit all along"
                        ));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The ids of the records that are there from the beginning, by their number.
fn ballast(view: View<'_>) -> BTreeMap<u64, &str> {
    let number = |fields: &serde_json::Map<String, serde_json::Value>| {
        let mark = fields.get(names::SHAPED_MARK)?.as_str()?;
        mark.strip_prefix(&format!("{}-ballast-", view.tenant.tag))?.parse().ok()
    };
    view.records(names::SHAPED)
        .filter_map(|(id, record)| Some((number(&record.fields)?, id)))
        .collect()
}

struct Scene<'a> {
    view: View<'a>,
    lives: BTreeMap<&'a str, Life<'a>>,
    ballast: BTreeMap<u64, &'a str>,
}

/// Records that a change cannot have.
#[derive(Default)]
struct Misfits<'a> {
    /// Those that did not fit all the time, together with those that they do not fit with.
    all_along: Vec<BTreeSet<&'a str>>,
    /// Those that may not have fitted at some moment.
    perhaps: BTreeSet<&'a str>,
}

impl<'a> Scene<'a> {
    fn misfits(&self, change: &Change<'_>) -> Misfits<'a> {
        let from = change.request.invoked_us;
        let to = if change.seen { change.request.completed_us } else { u64::MAX };
        match change.what {
            "add-unique" => self.duplicates(from, to),
            "to-integer" => self.no_integers(from, to),
            _ => Misfits::default(),
        }
    }

    fn no_integers(&self, from: u64, to: u64) -> Misfits<'a> {
        let mut misfits = Misfits::default();
        for (id, life) in &self.lives {
            if life.must_hold(names::SHAPED_AMOUNT, from, to) == Some(names::NO_INTEGER) {
                misfits.all_along.push(BTreeSet::from([*id]));
            }
            if life.may_hold(names::SHAPED_AMOUNT, from, to).contains(&names::NO_INTEGER) {
                misfits.perhaps.insert(*id);
            }
        }
        misfits
    }

    fn duplicates(&self, from: u64, to: u64) -> Misfits<'a> {
        let (mut surely, mut perhaps) = (BTreeMap::new(), BTreeMap::new());
        let add = |all: &mut BTreeMap<&'a str, BTreeSet<&'a str>>, code: &'a str, id: &'a str| {
            let holders = all.entry(code).or_default();
            holders.insert(id);
            let first = ballast_of(self.view, code).and_then(|number| self.ballast.get(&number).copied());
            holders.extend(first);
        };
        for (id, life) in &self.lives {
            if let Some(code) = life.must_hold(names::SHAPED_CODE, from, to) {
                add(&mut surely, code, id);
            }
            for code in life.may_hold(names::SHAPED_CODE, from, to) {
                add(&mut perhaps, code, id);
            }
        }
        let several = |holders: &BTreeSet<&str>| holders.len() > 1;
        Misfits {
            all_along: surely.into_values().filter(|holders| several(holders)).collect(),
            perhaps: perhaps.into_values().filter(|holders| several(holders)).flatten().collect(),
        }
    }
}
