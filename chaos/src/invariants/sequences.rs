//! The numbers of a sequence are given once, and in order.
//!
//! How it works, for each project: an acknowledged creation names a number; at the end its record has that number; no number
//! belongs to two records, whether acknowledged or read back; and an operation that began after another was acknowledged
//! has a larger number. The last is one sweep over the operations in order of their invocation, with the largest number that was
//! acknowledged so far.
//!
//! CAVEATS: gaps are legal (a refused batch may burn none, but that is not promised); a number that an unknown creation got is
//! known only if its record was read back.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, of_each, text, when};
use super::{Invariant, names};
use crate::ending::{Ending, Record};
use crate::history::{Action, History, Operation};
use crate::verdict::Verdict;

/// The promise.
pub struct Sequences;

impl Invariant for Sequences {
    fn name(&self) -> &'static str {
        "sequences"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let given = given(view, findings);
            given_once(view, &given, findings);
            for (project, given) in given {
                in_order(&format!("{}/{project}", view.tenant.slug), given, findings);
            }
        })
    }

    /// Of two numbers of a project the second becomes the first.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut history = history.clone();
        let mut first: HashMap<(usize, String), i64> = HashMap::new();
        let numbered = history.operations.iter_mut().filter(|operation| acknowledged(operation));
        for operation in numbered {
            let Action::Number { project, number, .. } = &mut operation.action else {
                continue;
            };
            let Some(given) = *number else { continue };
            match first.get(&(operation.tenant, project.clone())) {
                None => _ = first.insert((operation.tenant, project.clone()), given),
                Some(other) => {
                    *number = Some(*other);
                    return Some((history, ending.clone()));
                }
            }
        }
        None
    }
}

/// A number that was acknowledged.
struct Given<'a> {
    id: &'a str,
    number: i64,
    operation: &'a Operation,
}

/// The numbers of each project that were acknowledged, held against the records.
fn given<'a>(view: View<'a>, findings: &mut Findings) -> BTreeMap<&'a str, Vec<Given<'a>>> {
    let slug = &view.tenant.slug;
    let mut given: BTreeMap<&str, Vec<Given<'_>>> = BTreeMap::new();
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Action::Number { project, id, number } = &operation.action else {
            continue;
        };
        let Some(number) = *number else {
            findings.add(format!("{slug}/{project}: {id} got no number ({})", when(operation)));
            continue;
        };
        let held = view.record(names::NUMBERED, id).map(self::number);
        if held.is_some_and(|held| held != Some(number)) {
            findings.add(format!(
                "{slug}/{project}: {id} got {number} ({}) and has {:?} at the end",
                when(operation),
                held.flatten()
            ));
        }
        given.entry(project).or_default().push(Given { id, number, operation });
    }
    given
}

fn number(record: &Record) -> Option<i64> {
    record.fields.get(names::NUMBERED_NUMBER)?.as_i64()
}

/// No number of a project belongs to two records.
fn given_once(view: View<'_>, given: &BTreeMap<&str, Vec<Given<'_>>>, findings: &mut Findings) {
    let acknowledged = given
        .iter()
        .flat_map(|(project, given)| given.iter().map(|given| (*project, given.number, given.id)));
    let read_back = view.records(names::NUMBERED).filter_map(|(id, record)| {
        let project = text(record, names::NUMBERED_PROJECT)?;
        Some((project, number(record)?, id))
    });
    let mut owners: HashMap<(&str, i64), &str> = HashMap::new();
    for (project, number, id) in acknowledged.chain(read_back) {
        let owner = *owners.entry((project, number)).or_insert(id);
        if owner != id {
            let slug = &view.tenant.slug;
            findings.add(format!("{slug}/{project}: {number} belongs to {owner} and to {id}"));
        }
    }
}

/// Who began later has a larger number.
fn in_order(place: &str, mut given: Vec<Given<'_>>, findings: &mut Findings) {
    given.sort_by_key(|given| given.operation.invoked_us);
    let mut ended: Vec<&Given<'_>> = given.iter().collect();
    ended.sort_by_key(|given| given.operation.completed_us);
    let mut ended = ended.into_iter().peekable();
    let mut largest: Option<&Given<'_>> = None;
    for later in &given {
        while let Some(earlier) = ended.next_if(|earlier| earlier.operation.completed_us < later.operation.invoked_us) {
            if largest.is_none_or(|largest| earlier.number > largest.number) {
                largest = Some(earlier);
            }
        }
        if let Some(earlier) = largest.filter(|earlier| earlier.number >= later.number) {
            let (earlier_when, later_when) = (when(earlier.operation), when(later.operation));
            findings.add(format!(
                "{place}: {} got {} ({later_when}) after {} got {} ({earlier_when})",
                later.id, later.number, earlier.id, earlier.number
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories;
    use crate::invariants::stories::Story;

    const CHECKER: Sequences = Sequences;

    fn story() -> Story {
        let mut story = Story::new();
        story.ok(0, 30, stories::number("p", "a", 2));
        story.ok(10, 20, stories::number("p", "b", 1));
        story.unknown(25, 28, stories::number("p", "c", 0));
        story.failed(25, 28, stories::number("p", "x", 0));
        story.ok(40, 50, stories::number("p", "d", 4));
        story.ok(40, 50, stories::number("q", "e", 1));
        for (id, project, number) in [("a", "p", 2), ("b", "p", 1), ("c", "p", 3), ("d", "p", 4), ("e", "q", 1)] {
            story.holds("numbered", id, json!({ "project": project, "number": number }));
        }
        story
    }

    #[test]
    fn numbers_in_order_are_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn a_number_that_is_given_twice_is_found() {
        let mut acknowledged = story();
        acknowledged.ok(40, 50, stories::number("p", "f", 4));
        acknowledged.assert_finds(&CHECKER, &["4 belongs to d and to f"]);
        let mut read_back = story();
        read_back.holds("numbered", "c", json!({ "project": "p", "number": 2 }));
        read_back.assert_finds(&CHECKER, &["2 belongs to a and to c"]);
    }

    #[test]
    fn a_number_against_the_clock_is_found() {
        let mut story = story();
        story.ok(60, 70, stories::number("p", "f", 3));
        story.ending.tenants[0].records.get_mut("numbered").unwrap().remove("c");
        story.assert_finds(&CHECKER, &["f got 3 (process 6", "after d got 4 (process 4"]);
    }

    #[test]
    fn a_number_that_changed_and_one_that_is_missing_are_found() {
        let mut changed = story();
        changed.holds("numbered", "d", json!({ "project": "p", "number": 5 }));
        changed.assert_finds(&CHECKER, &["d got 4", "has Some(5) at the end"]);
        let mut missing = story();
        missing.ok(60, 70, stories::number("p", "f", 0));
        missing.assert_finds(&CHECKER, &["f got no number"]);
    }
}
