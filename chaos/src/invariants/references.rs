//! A reference never points at nothing.
//!
//! How it works: each comment that was read back names a task that was read back. A comment on a task whose removal had been
//! acknowledged before the comment was asked for is refused. An acknowledged comment is there, unless its task was removed, or
//! perhaps was: then it must have gone along, which the first rule sees.

use std::collections::HashMap;
use std::time::Duration;

use super::support::{Findings, View, acknowledged, of_each, possible, text, when};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History, Operation};
use crate::verdict::Verdict;

/// The promise.
pub struct References;

impl Invariant for References {
    fn name(&self) -> &'static str {
        "references"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            at_the_end(view, findings);
            during_the_run(view, findings);
        })
    }

    /// A task is gone, and its comment still there.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        for tenant in &mut ending.tenants {
            let comments = tenant.records.get(names::COMMENTS).into_iter().flatten();
            let targets: Vec<String> = comments
                .filter_map(|(_, comment)| text(comment, names::COMMENT_TASK).map(str::to_owned))
                .collect();
            let Some(tasks) = tenant.records.get_mut(names::TASKS) else {
                continue;
            };
            if targets.iter().any(|task| tasks.remove(task).is_some()) {
                return Some((history.clone(), ending));
            }
        }
        None
    }
}

fn at_the_end(view: View<'_>, findings: &mut Findings) {
    for (id, comment) in view.records(names::COMMENTS) {
        let task = text(comment, names::COMMENT_TASK).unwrap_or("");
        if view.record(names::TASKS, task).is_none() {
            findings.add(format!(
                "{}: comment {id} is on task {task:?}, which is not there",
                view.tenant.slug
            ));
        }
    }
}

fn during_the_run(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    // For each task that was removed, or perhaps was, the removal that was acknowledged first.
    let mut removals: HashMap<&str, Option<&Operation>> = HashMap::new();
    for operation in view.operations().filter(|operation| possible(operation)) {
        let Action::RemoveTask { task } = &operation.action else {
            continue;
        };
        let first = removals.entry(task).or_default();
        let is_earlier = first.is_none_or(|first| operation.completed_us < first.completed_us);
        if acknowledged(operation) && is_earlier {
            *first = Some(operation);
        }
    }
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Action::Comment { id, task } = &operation.action else {
            continue;
        };
        let removal = removals.get(task.as_str());
        if removal.is_none() && view.record(names::COMMENTS, id).is_none() {
            findings.add(format!(
                "{slug}: comment {id} is gone, and its task {task} was not removed ({})",
                when(operation)
            ));
        }
        let removal = removal.copied().flatten();
        if let Some(removal) = removal.filter(|removal| removal.completed_us < operation.invoked_us) {
            let (comment, removal) = (when(operation), when(removal));
            findings.add(format!(
                "{slug}: comment {id} ({comment}) on task {task}, which had been removed ({removal})"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, comment, remove_task};

    const CHECKER: References = References;

    fn story() -> Story {
        let mut story = Story::new();
        story.ok(0, 10, comment("c1", "t1"));
        story.ok(0, 10, comment("c2", "t2"));
        story.ok(5, 30, remove_task("t2"));
        story.ok(20, 40, comment("c3", "t2"));
        story.ok(0, 10, comment("c4", "t3"));
        story.unknown(20, 30, remove_task("t3"));
        story.failed(50, 60, comment("c5", "t2"));
        story.holds("tasks", "t1", json!({ "title": "acme-1" }));
        story.holds("comments", "c1", json!({ "task": "t1" }));
        story
    }

    #[test]
    fn comments_that_go_with_their_task_are_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn a_comment_on_nothing_is_found() {
        let mut story = story();
        story.holds("comments", "c2", json!({ "task": "t2" }));
        story.assert_finds(&CHECKER, &["comment c2 is on task \"t2\"", "not there"]);
    }

    #[test]
    fn a_comment_on_a_task_that_had_been_removed_is_found() {
        let mut story = story();
        story.ok(50, 60, comment("c6", "t2"));
        story.assert_finds(&CHECKER, &["comment c6 (process 7", "removed (process 2"]);
    }

    #[test]
    fn a_comment_that_went_without_its_task_is_found() {
        let mut story = story();
        story.ok(50, 60, comment("c7", "t1"));
        story.assert_finds(&CHECKER, &["comment c7 is gone"]);
    }
}
