//! The collections that are measured: as they were from the first day on, or with a rule for each verb and a workflow.
//!
//! A rule has three clauses of which the last lets a member through, so that all three are looked at for every record.

use anyhow::{Context, Result};
use api::body::collection::{CollectionSchema, FieldType, IndexSchema};
use api::body::policy::{Rules, Transition, Workflow};
use rig::tenant::task_schema;

use crate::tasks::STATUSES;

/// Whoever is concerned, or any member.
const TOUCH: &str = r#"record.created_by == auth.id || record.assignee == auth.id || auth.role == "member""#;
const CREATE: &str = r#"size(new.title) > 0 && new.assignee != null && auth.role == "member""#;

/// The collection of tasks with its two indexes. `rules`: with rules for members, and a workflow of the status.
pub fn tasks(rules: bool) -> Result<CollectionSchema> {
    let mut schema = task_schema()?;
    if !rules {
        return Ok(schema);
    }
    let status = schema.fields.get_mut(&"status".parse()?).context("a task has a status")?;
    status.kind = FieldType::Select;
    status.options = STATUSES.map(str::to_owned).to_vec();
    schema.rules = Rules {
        read: Some(TOUCH.to_owned()),
        create: Some(CREATE.to_owned()),
        update: Some(TOUCH.to_owned()),
        delete: Some(TOUCH.to_owned()),
    };
    schema.workflow = Some(workflow()?);
    Ok(schema)
}

/// The same with an index that serves a filter over assignee and status, and the order of creation.
pub fn board(rules: bool) -> Result<CollectionSchema> {
    let mut schema = tasks(rules)?;
    schema
        .indexes
        .insert("by_assignee".parse()?, index(&["assignee", "status", "created_at"])?);
    Ok(schema)
}

/// An index over fields.
pub fn index(fields: &[&str]) -> Result<IndexSchema> {
    Ok(IndexSchema {
        fields: fields.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        unique: false,
    })
}

/// From each state to the next, and back by one.
fn workflow() -> Result<Workflow> {
    let steps = STATUSES.windows(2).flat_map(|pair| [(pair[0], pair[1]), (pair[1], pair[0])]);
    let transitions = steps.map(|(from, to)| Transition {
        from: vec![from.to_owned()],
        to: to.to_owned(),
        roles: Vec::new(),
        guard: (to == "done").then(|| "new.assignee != null".to_owned()),
    });
    Ok(Workflow {
        field: "status".parse()?,
        initial: Vec::new(),
        transitions: transitions.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_a_rule_of_three_clauses() {
        let rules = tasks(true).unwrap().rules;
        for rule in [rules.read, rules.create, rules.update, rules.delete] {
            let rule = rule.unwrap();
            assert_eq!(rule.split("||").flat_map(|part| part.split("&&")).count(), 3, "{rule}");
        }
        assert!(tasks(false).unwrap().rules.is_empty());
    }

    #[test]
    fn the_board_has_two_indexes_as_the_tasks_have() {
        assert_eq!(board(true).unwrap().indexes.len(), tasks(true).unwrap().indexes.len());
    }
}
