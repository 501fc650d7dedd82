//! Why a command had no effect: a value in the reply, the same on every replica.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a command was refused. Append only: it travels in stored replies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// What decide had read has changed: decide again.
    Stale,
    /// The tenant's space is not here (not yet, or no longer).
    NoSpace,
    /// A record, token or collection is not there.
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// It is there already.
    AlreadyExists {
        /// What is there.
        what: String,
    },
    /// `If-Match` names another version.
    VersionMismatch {
        /// The version that it has.
        current: u64,
    },
    /// Another record has the value.
    Unique {
        /// The collection.
        collection: String,
        /// The fields of the constraint.
        fields: Vec<String>,
        /// The record that has it.
        holder: Uuid,
    },
    /// The referenced record does not exist.
    ReferenceMissing {
        /// The field.
        field: String,
        /// The collection that it points to.
        collection: String,
        /// The id that is not there.
        id: Uuid,
    },
    /// The record is still referred to by one that restricts its deletion.
    Referenced {
        /// The collection of that record.
        collection: String,
        /// That record.
        id: Uuid,
    },
    /// It would touch more than one command may.
    TooLarge {
        /// What is too large, and what to do.
        what: String,
    },
    /// The idempotency key belongs to another request.
    IdempotencyMismatch,
    /// The change needs an empty collection.
    NotEmpty {
        /// The collection.
        collection: String,
    },
    /// An operation of a batch was refused.
    At {
        /// Its number, from 0.
        operation: usize,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// A line lacks what a new record needs.
    Invalid {
        /// Pointers and messages.
        errors: Vec<(String, String)>,
    },
    /// A value does not fit the schema that the collection is about to have.
    Unfit {
        /// The field.
        field: String,
        /// What is wrong with its value.
        message: String,
    },
    /// The tenant moves: the write waits, or is for another cell.
    Moving,
    /// A move of the tenant is under way.
    MoveUnderWay {
        /// Its operation.
        operation: Uuid,
    },
    /// The tenant's files would be more than its plan stores.
    StorageFull {
        /// What they are, in bytes.
        used: u64,
        /// What the plan stores.
        quota: u64,
    },
    /// The upload is elsewhere than what comes says.
    OffsetMismatch {
        /// How far it is, in bytes.
        offset: u64,
    },
    /// The version is the current one of its file.
    CurrentVersion {
        /// It.
        version: u64,
    },
}

impl Refusal {
    /// The same without the ids of records of collections that hide some: nil stands for them.
    pub(crate) fn without_names(self, hides: &impl Fn(&str) -> bool) -> Self {
        match self {
            Refusal::Unique { collection, fields, .. } if hides(&collection) => Refusal::Unique {
                collection,
                fields,
                holder: Uuid::nil(),
            },
            Refusal::Referenced { collection, .. } if hides(&collection) => Refusal::Referenced {
                collection,
                id: Uuid::nil(),
            },
            Refusal::At { operation, refusal } => Refusal::At {
                operation,
                refusal: Box::new(refusal.without_names(hides)),
            },
            other => other,
        }
    }
}

/// Why applying a command ended without a reply of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The command has no effect; its reply says why.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The replica cannot go on.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The replica's store or log cannot be trusted: the group stops on this node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] storage::Error),
    /// A row or command is not what it should be.
    #[error("{0}: {1}")]
    Row(String, super::envelope::EnvelopeError),
    /// Something needs a newer version, or one that does not run as an older one.
    #[error("{what} is of level {level}, this node runs at level {own}: start it with a version that knows level {level}")]
    Level {
        /// What it is.
        what: String,
        /// The level that it needs.
        level: u32,
        /// The level of this process.
        own: u32,
    },
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<storage::Error> for Stop {
    fn from(error: storage::Error) -> Self {
        Self::Fault(Fault::Store(error))
    }
}
