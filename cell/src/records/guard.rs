//! The guard of a collection: its policy, compiled, and held against what somebody wants to do.
//!
//! It stands in decide and in reads. What it lets through carries the versions of all that it looked at: of the record, the schema (a
//! policy is a part of it) and the tokens. If any of them has changed below the log, decide is asked again.
//!
//! Invariant: what cannot be said denies. A rule that does not compile any more lets nobody through.
//!
//! CAVEATS: rules bind who asks. What a write drags along (records that are deleted by a cascade, references that are let go of) is
//! not asked about. Numbers of sequences are given in apply: `new` does not have them.

use api::body::token::Role;
use api::error::{Code, Error};
use uuid::Uuid;

use super::policy::{Policy, WorkflowSpec};
use super::schema::Collection;
use super::value::{Doc, Record, Value};
use crate::expr::{Auth, Expression, Facts, Scope};
use crate::mutant::Mutant;

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) auth: Auth<'a>,
    /// Microseconds since the epoch.
    pub(crate) now: u64,
}

impl Asker<'_> {
    /// Whether rules bind it. Whoever can change them is not bound.
    pub(crate) fn is_bound(&self) -> bool {
        matches!(self.auth.role, Role::Member | Role::Guest)
    }

    fn facts<'a, S>(&'a self, record: Option<(Uuid, &'a Record<S>)>, new: Option<(Uuid, &'a Doc<S>)>) -> Facts<'a, S> {
        Facts {
            record,
            new,
            auth: Some(self.auth),
            now: self.now,
        }
    }
}

/// A rule or guard.
#[derive(Debug, Default)]
enum Gate {
    /// There is none.
    #[default]
    Open,
    /// It must be true.
    If(Expression),
    /// It cannot be read.
    Shut,
}

impl Gate {
    fn lets<S: AsRef<str> + Sync>(&self, facts: &Facts<'_, S>) -> bool {
        match self {
            Gate::Open => true,
            Gate::If(expression) => expression.holds(facts),
            Gate::Shut => false,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    read: Gate,
    create: Gate,
    update: Gate,
    delete: Gate,
    workflow: Option<WorkflowSpec>,
    /// The guards of its transitions.
    transitions: Vec<Gate>,
    /// What does not compile: pointer and message.
    pub(super) wrong: Vec<(String, String)>,
}

impl Guard {
    /// Compiles a policy.
    pub(crate) fn compile(policy: &Policy, collection: &Collection) -> Self {
        let mut guard = Self {
            workflow: policy.workflow.clone(),
            ..Self::default()
        };
        let mut wrong = Vec::new();
        let mut gate = |text: &Option<String>, at: &str, record: bool, new: bool| {
            let scope = Scope::Rule { collection, record, new };
            match text.as_ref().map(|text| Expression::compile(text, scope)) {
                None => Gate::Open,
                Some(Ok(expression)) => Gate::If(expression),
                Some(Err(message)) => {
                    wrong.push((at.to_owned(), message));
                    Gate::Shut
                }
            }
        };
        guard.read = gate(&policy.read, "/rules/read", true, false);
        guard.create = gate(&policy.create, "/rules/create", false, true);
        guard.update = gate(&policy.update, "/rules/update", true, true);
        guard.delete = gate(&policy.delete, "/rules/delete", true, false);
        let transitions = policy.workflow.iter().flat_map(|workflow| &workflow.transitions);
        for (number, transition) in transitions.enumerate() {
            let at = format!("/workflow/transitions/{number}/guard");
            guard.transitions.push(gate(&transition.guard, &at, true, true));
        }
        guard.wrong = wrong;
        guard
    }

    /// Whether what decides over a write must have read the record.
    pub(crate) fn looks_at_records(&self, asker: &Asker<'_>) -> bool {
        let bound = asker.is_bound();
        let open = |gate: &Gate| matches!(gate, Gate::Open);
        self.workflow.is_some() || (bound && !(open(&self.read) && open(&self.update) && open(&self.delete)))
    }

    /// Whether somebody may see every record.
    pub(crate) fn shows_all(&self, asker: &Asker<'_>) -> bool {
        !asker.is_bound() || matches!(self.read, Gate::Open)
    }

    /// Whether somebody may see a record.
    pub(crate) fn shows<S: AsRef<str> + Sync>(&self, asker: &Asker<'_>, id: Uuid, record: &Record<S>) -> bool {
        self.shows_all(asker) || self.read.lets(&asker.facts(Some((id, record)), None))
    }

    /// Refuses a record that may not be created.
    pub(crate) fn create(&self, asker: &Asker<'_>, collection: &Collection, id: Uuid, new: &Doc) -> Result<(), Error> {
        self.bring_back(asker, collection, id, new)?;
        let Some(workflow) = &self.workflow else { return Ok(()) };
        let state = state(workflow, new);
        let allowed = workflow.initial.is_empty() || state.is_some_and(|state| workflow.initial.iter().any(|one| one == state));
        if allowed {
            return Ok(());
        }
        Err(illegal(collection, workflow, None, state, &workflow.initial))
    }

    /// Refuses a record that may not be made again after it was deleted. Its state is the one that it had.
    pub(crate) fn bring_back(&self, asker: &Asker<'_>, collection: &Collection, id: Uuid, new: &Doc) -> Result<(), Error> {
        if asker.is_bound() && !self.create.lets(&asker.facts(None, Some((id, new)))) {
            return Err(forbidden(collection, "create"));
        }
        Ok(())
    }

    /// Refuses a line of an import. Whoever rules do not bind brings records in any state: it is where they come from.
    pub(crate) fn import(&self, asker: &Asker<'_>, collection: &Collection, id: Uuid, new: &Doc) -> Result<(), Error> {
        match asker.is_bound() {
            true => self.create(asker, collection, id, new),
            false => Ok(()),
        }
    }

    /// Refuses a change that may not be made.
    pub(crate) fn update(
        &self,
        asker: &Asker<'_>,
        collection: &Collection,
        id: Uuid,
        old: &Record,
        new: &Doc,
    ) -> Result<(), Error> {
        let facts = asker.facts(Some((id, old)), Some((id, new)));
        if asker.is_bound() && !self.update.lets(&facts) {
            return Err(forbidden(collection, "update"));
        }
        let Some(workflow) = &self.workflow else { return Ok(()) };
        let (from, to) = (state(workflow, &old.doc), state(workflow, new));
        // Mutant, at the end.
        if from == to || Mutant::TransitionNotChecked.active() {
            return Ok(());
        }
        let role = asker.auth.role;
        let mut allowed = Vec::new();
        for (transition, gate) in workflow.transitions.iter().zip(&self.transitions) {
            let starts = from.is_none() || transition.from.iter().any(|one| Some(one.as_str()) == from);
            let may = transition.roles.is_empty() || transition.roles.iter().any(|one| Role::from(*one) == role);
            if !(starts && may) {
                continue;
            }
            if Some(transition.to.as_str()) == to && gate.lets(&facts) {
                return Ok(());
            }
            if Some(transition.to.as_str()) != to && !allowed.contains(&transition.to) {
                allowed.push(transition.to.clone());
            }
        }
        Err(illegal(collection, workflow, from, to, &allowed))
    }

    /// Refuses a deletion that may not be.
    pub(crate) fn delete(&self, asker: &Asker<'_>, collection: &Collection, id: Uuid, old: &Record) -> Result<(), Error> {
        if asker.is_bound() && !self.delete.lets(&asker.facts(Some((id, old)), None)) {
            return Err(forbidden(collection, "delete"));
        }
        Ok(())
    }
}

/// What somebody may see of a collection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sight<'a>(Option<(&'a Guard, Asker<'a>)>);

impl<'a> Sight<'a> {
    /// What the guard of a collection lets somebody see. Without a guard: everything.
    pub(crate) fn new(guard: Option<&'a Guard>, asker: Asker<'a>) -> Self {
        Self(guard.filter(|guard| !guard.shows_all(&asker)).map(|guard| (guard, asker)))
    }

    /// Whether nothing is hidden.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a record is seen.
    pub(crate) fn shows<S: AsRef<str> + Sync>(&self, id: Uuid, record: &Record<S>) -> bool {
        self.0.as_ref().is_none_or(|(guard, asker)| guard.shows(asker, id, record))
    }
}

/// The state that a document is in.
fn state<'a>(workflow: &WorkflowSpec, doc: &'a Doc) -> Option<&'a str> {
    match doc.get(workflow.field) {
        Some(Value::Text(state)) => Some(state),
        _ => None,
    }
}

fn forbidden(collection: &Collection, verb: &str) -> Error {
    let detail = format!("the rule for {verb} of {} does not allow it", collection.name);
    Error::new(Code::Forbidden, detail)
}

/// The refusal of a change of state, with the states that could have been gone to.
fn illegal(collection: &Collection, workflow: &WorkflowSpec, from: Option<&str>, to: Option<&str>, allowed: &[String]) -> Error {
    let field = collection.field_numbered(workflow.field).map_or("", |field| &field.name);
    let shown = |state: Option<&str>| state.map_or_else(|| "nothing".to_owned(), |state| format!("{state:?}"));
    let what = match from {
        Some(_) => format!("{field} may not go from {} to {}", shown(from), shown(to)),
        None => format!("{field} may not be {} at first", shown(to)),
    };
    let instead = match allowed {
        [] => "there is no other state that it may go to".to_owned(),
        allowed => format!(
            "it may be {}",
            allowed
                .iter()
                .map(|state| format!("{state:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    Error::new(Code::TransitionRefused, format!("{}: {what}; {instead}", collection.name))
}
