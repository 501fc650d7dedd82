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

/// Where a space stands while its tenant moves between cells; `placement` has the whole story. Each but the first belongs to one
/// attempt of a move: what an earlier one sends late is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// Nothing moves: the space is served here, if it is served at all.
    #[default]
    Here,
    /// It is about to leave: reads are served, writes wait.
    Held {
        /// The attempt.
        attempt: u64,
    },
    /// It has left, and is served elsewhere.
    Departed {
        /// The attempt.
        attempt: u64,
    },
    /// It is to come; what is left of an earlier stay is being erased.
    Clearing {
        /// The attempt.
        attempt: u64,
    },
    /// Its rows come.
    Copying {
        /// The attempt.
        attempt: u64,
        /// Chunks that have come.
        chunks: u64,
    },
    /// Its rows have come; what was changed meanwhile is repeated.
    Following {
        /// The attempt.
        attempt: u64,
        /// The last position of the other cell's log that is repeated here.
        index: u64,
    },
    /// All of it is here: reads are served, writes wait until the other cell serves none any more.
    Arrived {
        /// The attempt.
        attempt: u64,
        /// The epoch that the tenant has here: who was led here by an older one knows nothing of this move.
        epoch: u64,
    },
}

impl Place {
    /// Whether reads are served.
    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Place::Here | Place::Held { .. } | Place::Arrived { .. })
    }

    /// Whether reads are served to who was led here by a placement of this epoch. Where a space has arrived before the directory says so,
    /// and perhaps never will, an older placement is from an earlier stay.
    pub(crate) const fn is_read_in(self, led_by: u64) -> bool {
        match self {
            Place::Arrived { epoch, .. } => led_by >= epoch,
            place => place.is_read(),
        }
    }

    /// Whether writes wait: soon they are served here, or elsewhere.
    pub(crate) const fn waits(self) -> bool {
        matches!(self, Place::Held { .. } | Place::Arrived { .. })
    }

    /// The attempt that it belongs to.
    pub(crate) const fn attempt(self) -> Option<u64> {
        match self {
            Place::Here => None,
            Place::Held { attempt }
            | Place::Departed { attempt }
            | Place::Clearing { attempt }
            | Place::Copying { attempt, .. }
            | Place::Following { attempt, .. }
            | Place::Arrived { attempt, .. } => Some(attempt),
        }
    }
}

/// Versions of [`Header`].
#[derive(Serialize, Deserialize)]
pub(crate) enum HeaderRow {
    /// The first: the space is not part of a move.
    V1(Header),
    /// It is part of a move.
    V2(Header, Place),
}

impl HeaderRow {
    /// The row of a header: the first version wherever that says all, so that a move leaves no trace in it.
    pub(crate) fn new(header: Header, place: Place) -> Self {
        match place {
            Place::Here => Self::V1(header),
            place => Self::V2(header, place),
        }
    }

    /// The header, and where the space stands.
    pub(crate) fn open(self) -> (Header, Place) {
        match self {
            Self::V1(header) => (header, Place::Here),
            Self::V2(header, place) => (header, place),
        }
    }
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
    FileCreated,
    FileUpdated,
    FileDeleted,
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
            EventKind::FileCreated => "file.created",
            EventKind::FileUpdated => "file.updated",
            EventKind::FileDeleted => "file.deleted",
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
    /// A file: its id, its current version, and the record that it is attached to.
    File(Uuid, u64, Option<(u32, Uuid)>),
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
