//! A record goes from state to state only as its workflow allows.
//!
//! How it works: the tasks of this check are changed by one client each, one request after the other. The states that a task may be in
//! are followed through what that client was told: a change that was acknowledged leads to one state, one of which nobody knows may
//! have happened or not. A change that was acknowledged must be allowed from one of them, one that was refused must not be allowed
//! from all of them, and the state at the end must be among them.
//!
//! CAVEATS: what happened to a task whose making was not acknowledged is not followed. Roles and guards of transitions are tried in
//! unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, of_each, text, when};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History, Operation, Outcome};
use crate::verdict::Verdict;

/// The promise.
pub struct States;

impl Invariant for States {
    fn name(&self) -> &'static str {
        "states"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, judge)
    }

    /// A change that was refused as illegal counts as done.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut history = history.clone();
        let refused = history
            .operations
            .iter_mut()
            .find_map(|operation| match &mut operation.action {
                Action::Go { refused, .. } if *refused && operation.outcome == Outcome::Failed => {
                    *refused = false;
                    Some(&mut operation.outcome)
                }
                _ => None,
            });
        *refused? = Outcome::Ok;
        Some((history, ending.clone()))
    }
}

fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let mut states: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for operation in view.operations() {
        if let Action::Go { task, to, refused } = &operation.action {
            let may = states.entry(task).or_insert_with(|| BTreeSet::from([names::STATES[0]]));
            follow(slug, operation, (task, to, *refused), may, findings);
        }
    }
    for (task, may) in states {
        let held = view
            .record(names::TASKS, task)
            .and_then(|record| text(record, names::TASK_STATUS));
        if !held.is_some_and(|held| may.contains(held)) {
            findings.add(format!("{slug}: task {task} ended in {held:?}; it can only be in {may:?}"));
        }
    }
}

/// Takes one request into account.
fn follow<'a>(
    slug: &str,
    operation: &'a Operation,
    (task, to, refused): (&str, &'a str, bool),
    may: &mut BTreeSet<&'a str>,
    findings: &mut Findings,
) {
    let told = when(operation);
    let can = may.iter().any(|from| names::may_follow(from, to));
    let must = may.iter().all(|from| names::may_follow(from, to));
    match operation.outcome {
        Outcome::Ok if acknowledged(operation) && !can => {
            findings.add(format!(
                "{slug}: task {task} went from {may:?} to {to:?}, which is not allowed ({told})"
            ));
        }
        Outcome::Failed if refused && must => {
            findings.add(format!(
                "{slug}: task {task} was not let from {may:?} to {to:?}, which is allowed ({told})"
            ));
        }
        _ => {}
    }
    match operation.outcome {
        Outcome::Ok => *may = BTreeSet::from([to]),
        Outcome::Unknown if can => {
            may.insert(to);
        }
        Outcome::Failed if refused => may.retain(|from| !names::may_follow(from, to)),
        Outcome::Unknown | Outcome::Failed => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, go};

    const CHECKER: States = States;

    /// A task that ended so.
    fn story(end: &str) -> Story {
        let mut story = Story::new();
        story.holds("tasks", "t", json!({ "status": end }));
        story
    }

    #[test]
    fn what_is_allowed_is_green() {
        let mut story = story("in_progress");
        story.ok(0, 10, go("t", "todo", false));
        story.failed(20, 30, go("t", "in_review", true));
        story.ok(40, 50, go("t", "in_progress", false));
        story.ok(60, 70, go("t", "in_progress", false));
        story.assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn what_is_not_allowed_or_not_let_is_found() {
        let mut leapt = story("in_review");
        leapt.ok(0, 10, go("t", "in_review", false));
        leapt.assert_finds(&CHECKER, &["from {\"backlog\"} to \"in_review\"", "not allowed"]);
        let mut held = story("backlog");
        held.failed(0, 10, go("t", "todo", true));
        held.assert_finds(&CHECKER, &["was not let", "which is allowed"]);
        let mut elsewhere = story("done");
        elsewhere.ok(0, 10, go("t", "todo", false));
        elsewhere.assert_finds(&CHECKER, &["ended in Some(\"done\")"]);
    }

    #[test]
    fn what_nobody_knows_may_have_happened_or_not() {
        for end in ["backlog", "todo"] {
            let mut story = story(end);
            story.unknown(0, 10, go("t", "todo", false));
            story.assert_green(&CHECKER);
        }
        let mut after = story("in_progress");
        after.unknown(0, 10, go("t", "todo", false));
        after.ok(20, 30, go("t", "in_progress", false));
        after.assert_green(&CHECKER);
        let mut never = story("in_review");
        never.unknown(0, 10, go("t", "in_review", false));
        never.assert_finds(&CHECKER, &["ended in"]);
    }
}
