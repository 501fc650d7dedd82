//! An import that was answered is there whole, and no line of any import is there twice.
//!
//! How it works: every line carries the id of its import and its number. Of an import that was answered all lines are there, each
//! once, and the answer counted them; of one that was not, lines may be missing, but only at its end: what is stored is stored in
//! order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, of_each, text, when};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History};
use crate::verdict::Verdict;

/// The promise.
pub struct Imports;

impl Invariant for Imports {
    fn name(&self) -> &'static str {
        "imports"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, judge)
    }

    /// A line in the middle of an import is gone.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let bulk = ending
            .tenants
            .iter_mut()
            .find_map(|tenant| tenant.records.get_mut(names::BULK))?;
        let first = bulk
            .iter()
            .find(|(_, record)| record.fields.get(names::BULK_LINE).and_then(serde_json::Value::as_u64) == Some(0));
        let id = first?.0.clone();
        bulk.remove(&id)?;
        // Whether it was answered or not: what came behind it is still there, or it was answered.
        Some((history.clone(), ending))
    }
}

fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let mut held: HashMap<&str, BTreeMap<u64, u32>> = HashMap::new();
    for (id, record) in view.records(names::BULK) {
        let line = record.fields.get(names::BULK_LINE).and_then(serde_json::Value::as_u64);
        match (text(record, names::BULK_IMPORT), line) {
            (Some(import), Some(line)) => *held.entry(import).or_default().entry(line).or_default() += 1,
            _ => findings.add(format!("{slug}: {id} in {} names no import or no line", names::BULK)),
        }
    }
    for operation in view.operations() {
        let Action::Import { id, lines, stored } = &operation.action else {
            continue;
        };
        let (told, lines) = (when(operation), u64::from(*lines));
        let there = held.remove(id.as_str()).unwrap_or_default();
        for (line, _) in there.iter().filter(|(_, times)| **times > 1) {
            findings.add(format!("{slug}: line {line} of {id} is there more than once ({told})"));
        }
        let hole = (0..)
            .zip(there.keys())
            .find(|(wanted, line)| wanted != *line)
            .map(|(wanted, _)| wanted);
        if let Some(line) = hole {
            findings.add(format!(
                "{slug}: line {line} of {id} is not there, but later ones are ({told})"
            ));
        }
        let count = there.len() as u64;
        if count > lines {
            findings.add(format!("{slug}: {id} has {count} lines, {lines} were sent ({told})"));
        }
        if acknowledged(operation) && (count < lines || *stored != Some(lines)) {
            findings.add(format!(
                "{slug}: {id} was answered with {stored:?} of {lines} lines, {count} are there ({told})"
            ));
        }
    }
    for id in held.keys() {
        findings.add(format!("{slug}: nobody imported {id}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, import};

    const CHECKER: Imports = Imports;

    fn story(lines: &[u64]) -> Story {
        let mut story = Story::new();
        for (place, line) in lines.iter().enumerate() {
            story.holds("bulk", &format!("r{place}"), json!({ "import": "acme-i", "line": line }));
        }
        story
    }

    #[test]
    fn a_whole_import_is_green() {
        let mut whole = story(&[0, 1, 2]);
        whole.ok(0, 10, import("acme-i", 3, Some(3)));
        whole.assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn an_import_that_was_not_answered_may_lack_its_end() {
        for lines in [&[][..], &[0], &[0, 1], &[0, 1, 2]] {
            let mut story = story(lines);
            story.unknown(0, 10, import("acme-i", 3, None));
            story.assert_green(&CHECKER);
        }
    }

    #[test]
    fn what_is_lost_twice_out_of_order_or_nobodys_is_found() {
        let mut lost = story(&[0, 1]);
        lost.ok(0, 10, import("acme-i", 3, Some(3)));
        lost.assert_finds(&CHECKER, &["2 are there"]);
        let mut miscounted = story(&[0, 1, 2]);
        miscounted.ok(0, 10, import("acme-i", 3, Some(2)));
        miscounted.assert_finds(&CHECKER, &["answered with Some(2)"]);
        let mut twice = story(&[0, 1, 1]);
        twice.unknown(0, 10, import("acme-i", 3, None));
        twice.assert_finds(&CHECKER, &["line 1 of acme-i", "more than once"]);
        let mut hole = story(&[0, 2]);
        hole.unknown(0, 10, import("acme-i", 3, None));
        hole.assert_finds(&CHECKER, &["line 1 of acme-i is not there"]);
        story(&[0]).assert_finds(&CHECKER, &["nobody imported acme-i"]);
    }
}
