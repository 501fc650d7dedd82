//! Who may do what with the records of a collection, and which changes of their state are allowed. Expressions are CEL.

use serde::{Deserialize, Serialize};

use crate::body::token::Role;
use crate::ids::Name;

/// Rules by verb: CEL over `auth`, `record` and `new`. A verb without a rule is open to whoever has the role for it. Rules bind members
/// and guests; owners and admins, who can change them, are not bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Over `auth` and `record`. A record of which it is not true is hidden: from reads, lists, counts and events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<String>,
    /// Over `auth` and `new`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<String>,
    /// Over `auth`, `record` (as it is) and `new` (as it is to be).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// Over `auth` and `record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
}

impl Rules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The states of a record and how it may go from one to another. Binds everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// The field that holds the state: a select, whose options are the states.
    pub field: Name,
    /// The states that a new record may have; all where it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initial: Vec<String>,
    /// What is allowed. What is not among them is refused.
    pub transitions: Vec<Transition>,
}

/// A change of state that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// From any of these states.
    pub from: Vec<String>,
    /// To this one.
    pub to: String,
    /// For these roles; for all that may write where it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// CEL over `auth`, `record` and `new`, which must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
}
