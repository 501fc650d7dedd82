//! The policy of a collection as it is stored: its rules and its workflow.
//!
//! It is a row of its own beside the schema. Expressions are stored as they were sent, and compiled where they are used
//! ([`super::guard`]): the language may grow without a new format.

use api::body::policy::{Rules, Transition, Workflow};
use api::body::token::Role;
use serde::{Deserialize, Serialize};

use super::guard::Guard;
use super::schema::{Collection, Kind};
use super::schema_check::Errors;
use crate::access::token_row::StoredRole;

/// Most transitions of a workflow.
const TRANSITIONS: usize = 200;

/// A policy. Stored: see [`PolicyRow`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// Who may read.
    pub(crate) read: Option<String>,
    /// Who may create.
    pub(crate) create: Option<String>,
    /// Who may change.
    pub(crate) update: Option<String>,
    /// Who may delete.
    pub(crate) delete: Option<String>,
    /// The workflow.
    pub(crate) workflow: Option<WorkflowSpec>,
}

/// Versions of [`Policy`].
#[derive(Serialize, Deserialize)]
pub(crate) enum PolicyRow {
    /// The first.
    V1(Policy),
}

/// A workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkflowSpec {
    /// The number of the field that holds the state.
    pub(crate) field: u16,
    /// The states of new records; empty: all.
    pub(crate) initial: Vec<String>,
    /// What is allowed.
    pub(crate) transitions: Vec<TransitionSpec>,
}

/// A change of state that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TransitionSpec {
    /// From any of these.
    pub(crate) from: Vec<String>,
    /// To this.
    pub(crate) to: String,
    /// For these roles; empty: for all.
    pub(crate) roles: Vec<StoredRole>,
    /// What must be true.
    pub(crate) guard: Option<String>,
}

impl Policy {
    /// Whether it allows everything.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules as users see them.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            read: self.read.clone(),
            create: self.create.clone(),
            update: self.update.clone(),
            delete: self.delete.clone(),
        }
    }

    /// The workflow as users see it.
    pub(crate) fn workflow(&self, collection: &Collection) -> Option<Workflow> {
        let workflow = self.workflow.as_ref()?;
        let transitions = workflow.transitions.iter().map(|one| Transition {
            from: one.from.clone(),
            to: one.to.clone(),
            roles: one.roles.iter().map(|role| Role::from(*role)).collect(),
            guard: one.guard.clone(),
        });
        Some(Workflow {
            field: collection.field_numbered(workflow.field)?.name.parse().ok()?,
            initial: workflow.initial.clone(),
            transitions: transitions.collect(),
        })
    }
}

/// Checks a policy against the schema that it goes with.
pub(super) fn check(rules: &Rules, workflow: Option<&Workflow>, collection: &Collection, errors: &mut Errors) -> Policy {
    let policy = Policy {
        read: rules.read.clone(),
        create: rules.create.clone(),
        update: rules.update.clone(),
        delete: rules.delete.clone(),
        workflow: workflow.and_then(|workflow| check_workflow(workflow, collection, errors)),
    };
    for (pointer, message) in Guard::compile(&policy, collection).wrong {
        errors.add(&pointer, message);
    }
    policy
}

fn check_workflow(workflow: &Workflow, collection: &Collection, errors: &mut Errors) -> Option<WorkflowSpec> {
    let field = collection.field(workflow.field.as_str());
    let Some((field, Kind::Select(states))) = field.map(|field| (field, &field.kind)) else {
        errors.add(
            "/workflow/field",
            format!("{:?} is not a select of the collection", workflow.field.as_str()),
        );
        return None;
    };
    if workflow.transitions.len() > TRANSITIONS {
        errors.add("/workflow/transitions", format!("are more than {TRANSITIONS}"));
        return None;
    }
    let mut known = |at: String, state: &String| {
        if !states.contains(state) {
            errors.add(&at, format!("{state:?} is not an option of {:?}", field.name));
        }
    };
    for (place, state) in workflow.initial.iter().enumerate() {
        known(format!("/workflow/initial/{place}"), state);
    }
    for (number, transition) in workflow.transitions.iter().enumerate() {
        for (place, state) in transition.from.iter().enumerate() {
            known(format!("/workflow/transitions/{number}/from/{place}"), state);
        }
        known(format!("/workflow/transitions/{number}/to"), &transition.to);
    }
    let transitions = workflow.transitions.iter().map(|one| TransitionSpec {
        from: one.from.clone(),
        to: one.to.clone(),
        roles: one.roles.iter().map(|role| StoredRole::from(*role)).collect(),
        guard: one.guard.clone(),
    });
    Some(WorkflowSpec {
        field: field.number,
        initial: workflow.initial.clone(),
        transitions: transitions.collect(),
    })
}
