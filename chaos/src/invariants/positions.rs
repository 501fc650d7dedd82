//! The position that a tenant's replies name never goes back.
//!
//! How it works: whoever began after another was answered reads a position at least as large; and none is larger than that of
//! the end. It is one sweep over the acknowledged operations in order of their invocation, with the largest position that was
//! answered so far. Reads at a position are not strong: they may be older than that, but never older than the position that was
//! asked for. All other operations of the workload are writes or strong reads; a reply without a position is passed over.

use std::collections::HashMap;
use std::time::Duration;

use super::Invariant;
use super::support::{Findings, View, acknowledged, of_each, when};
use crate::ending::Ending;
use crate::history::{Action, History, Operation};
use crate::verdict::Verdict;

/// The promise.
pub struct Positions;

impl Invariant for Positions {
    fn name(&self) -> &'static str {
        "positions"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, judge)
    }

    /// A reply names a position before that of an earlier one.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut history = history.clone();
        // For each tenant the first answer.
        let mut first: HashMap<usize, (u64, u64)> = HashMap::new();
        for operation in history.operations.iter().filter(|operation| strong(operation)) {
            let Some(position) = operation.position.filter(|position| *position > 0) else {
                continue;
            };
            let answer = (operation.completed_us, position);
            let known = first.entry(operation.tenant).or_insert(answer);
            *known = answer.min(*known);
        }
        let later = history.operations.iter_mut().find_map(|operation| {
            let (completed_us, position) = *first.get(&operation.tenant)?;
            let is_later = strong(operation) && completed_us < operation.invoked_us && operation.position.is_some();
            is_later.then_some((operation, position))
        });
        let (operation, position) = later?;
        operation.position = Some(position - 1);
        Some((history, ending.clone()))
    }
}

/// Acknowledged, and no read at a position.
fn strong(operation: &Operation) -> bool {
    acknowledged(operation) && !matches!(operation.action, Action::ReadAt { .. })
}

fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        if let (Action::ReadAt { asked, .. }, Some(position)) = (&operation.action, operation.position)
            && position < *asked
        {
            let told = when(operation);
            findings.add(format!(
                "{slug}: a read at position {asked} was answered from {position} ({told})"
            ));
        }
    }
    let answers = view.operations().filter(|operation| strong(operation));
    let mut by_call: Vec<(u64, &Operation)> = answers
        .filter_map(|operation| Some((operation.position?, operation)))
        .collect();
    let mut by_end = by_call.clone();
    by_call.sort_by_key(|(_, operation)| operation.invoked_us);
    by_end.sort_by_key(|(_, operation)| operation.completed_us);
    let mut ended = by_end.into_iter().peekable();
    let mut largest: Option<(u64, &Operation)> = None;
    for (position, later) in by_call {
        while let Some(answer) = ended.next_if(|(_, earlier)| earlier.completed_us < later.invoked_us) {
            if largest.is_none_or(|(largest, _)| answer.0 > largest) {
                largest = Some(answer);
            }
        }
        if let Some((before, earlier)) = largest.filter(|(before, _)| *before > position) {
            findings.add(format!(
                "{slug}: position {position} ({}) after {before} ({})",
                when(later),
                when(earlier)
            ));
        }
        if position > view.ending.position {
            let end = view.ending.position;
            findings.add(format!("{slug}: position {position} ({}), and at the end {end}", when(later)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;
    use crate::invariants::stories::{Story, read};

    const CHECKER: Positions = Positions;

    fn story() -> Story {
        let mut story = Story::new();
        story.ok(0, 30, read("k", "")).position = Some(5);
        story.ok(10, 20, read("k", "")).position = Some(4);
        story.did(Outcome::Failed, (40, 50), read("k", "")).position = Some(1);
        story.ok(40, 50, read("k", ""));
        story.ok(60, 70, read("k", "")).position = Some(5);
        story.ending.tenants[0].position = 5;
        story
    }

    #[test]
    fn positions_that_stay_or_grow_are_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn a_position_that_goes_back_is_found() {
        let mut story = story();
        story.ok(80, 90, read("k", "")).position = Some(4);
        story.assert_finds(&CHECKER, &["position 4 (process 5", "after 5 (process 0"]);
        story.history.operations[5].tenant = 1;
        story.ending.tenants[1].position = 4;
        story.assert_green(&CHECKER);
    }

    #[test]
    fn a_read_at_a_position_may_be_old_but_not_older_than_that() {
        let at = |asked| Action::ReadAt {
            key: "k".to_owned(),
            asked,
        };
        let mut story = story();
        story.ok(80, 90, at(3)).position = Some(3);
        story.assert_green(&CHECKER);
        story.ok(80, 90, at(4)).position = Some(3);
        story.assert_finds(&CHECKER, &["a read at position 4 was answered from 3"]);
    }

    #[test]
    fn a_position_that_the_end_forgot_is_found() {
        let mut story = story();
        story.ending.tenants[0].position = 4;
        story.assert_finds(&CHECKER, &["position 5", "at the end 4"]);
    }
}
