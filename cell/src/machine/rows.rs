//! Rows that belong to the frame of every command: the header of a space, events and actors.
//!
//! Row types are stored: fields are never added, removed or reordered; a change is a new variant of the enum around them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How far a space's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SpaceStatus {
    /// Served.
    Live,
    /// Being erased: nothing is served any more.
    Erasing,
    /// Erased. The header stays, so that a late command cannot bring the space back.
    Erased,
}

/// The header of a space: what each of its commands reads and most write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The tenant's public id; nil in the directory.
    pub(crate) tenant: Uuid,
    /// Its slug.
    pub(crate) slug: String,
    /// Its display name.
    pub(crate) name: String,
    /// How far its life has come.
    pub(crate) status: SpaceStatus,
    /// The number of the last event.
    pub(crate) position: u64,
    /// Microseconds since the epoch; each command's is larger than the one before.
    pub(crate) stamp: u64,
    /// Raised by each change of a schema: a command that was decided under another one is stale.
    pub(crate) schema: u64,
    /// Raised by each change of a token: likewise.
    pub(crate) access: u64,
    /// The number for the next collection (in the directory: the next `TenantUid`).
    pub(crate) next: u64,
}

/// Versions of [`Header`].
#[derive(Serialize, Deserialize)]
pub(crate) enum HeaderRow {
    /// The first.
    V1(Header),
}

/// Who caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Actor {
    /// The platform itself.
    System,
    /// A tenant's API key.
    Token(Uuid),
    /// An operator, by the name of the token.
    Operator(String),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::System => f.write_str("system"),
            Actor::Token(id) => write!(f, "token:{id}"),
            Actor::Operator(name) => write!(f, "operator:{name}"),
        }
    }
}

impl std::str::FromStr for Actor {
    type Err = ();

    /// Reads what [`Display`](std::fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            None if text == "system" => Ok(Actor::System),
            Some(("token", id)) => Uuid::parse_str(id).map(Actor::Token).map_err(|_| ()),
            Some(("operator", name)) if !name.is_empty() && name.len() <= 200 => Ok(Actor::Operator(name.to_owned())),
            _ => Err(()),
        }
    }
}

/// What happened. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventKind {
    TenantCreated,
    RecordCreated,
    RecordUpdated,
    RecordDeleted,
    CollectionCreated,
    CollectionUpdated,
    CollectionDeleted,
    TokenCreated,
    TokenRevoked,
}

impl EventKind {
    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            EventKind::TenantCreated => "tenant.created",
            EventKind::RecordCreated => "record.created",
            EventKind::RecordUpdated => "record.updated",
            EventKind::RecordDeleted => "record.deleted",
            EventKind::CollectionCreated => "collection.created",
            EventKind::CollectionUpdated => "collection.updated",
            EventKind::CollectionDeleted => "collection.deleted",
            EventKind::TokenCreated => "token.created",
            EventKind::TokenRevoked => "token.revoked",
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// The tenant itself.
    Tenant,
    /// A record: collection, id and the version that the change made.
    Record(u32, Uuid, u64),
    /// A collection, by its name: it may be gone when the event is read.
    Collection(String, u64),
    /// An API key.
    Token(Uuid),
}

/// One change, as stored. Its position is its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// The command's stamp.
    pub(crate) stamp: u64,
    /// Who caused it.
    pub(crate) actor: Actor,
    /// What happened.
    pub(crate) kind: EventKind,
    /// To what.
    pub(crate) subject: Subject,
}

/// Versions of [`Event`].
#[derive(Serialize, Deserialize)]
pub(crate) enum EventRow {
    /// The first.
    V1(Event),
}
