//! Errors as the public sees them: RFC 9457 problems with a stable code and an outcome.
//!
//! [`Code`] is the one table that maps what went wrong to a status and a title. The detail says what and where; it never
//! carries the inside of the system (paths, addresses, tenants of others).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether a request that failed may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It had no effect and will have none.
    NotApplied,
    /// It may have been applied, or may yet be.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $code:literal $status:literal $title:literal;)*) => {
        /// What went wrong: stable, in snake case on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Code { $($(#[$doc])* #[serde(rename = $code)] $variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];
            /// The code's name on the wire.
            pub const fn name(self) -> &'static str { match self { $(Code::$variant => $code,)* } }
            /// The code of a name on the wire; none: there is no such code.
            pub fn named(name: &str) -> Option<Self> { match name { $($code => Some(Code::$variant),)* _ => None } }
            /// The HTTP status.
            pub const fn status(self) -> u16 { match self { $(Code::$variant => $status,)* } }
            /// The problem's title: the same for every problem of this code.
            pub const fn title(self) -> &'static str { match self { $(Code::$variant => $title,)* } }
        }
    };
}

codes! {
    /// The body is not JSON, or not UTF-8, or nested too deeply.
    MalformedBody "malformed_body" 400 "The body cannot be read";
    /// The request's head is not well-formed HTTP.
    MalformedRequest "malformed_request" 400 "The request cannot be read";
    /// A path, query or header parameter is wrong.
    InvalidParameter "invalid_parameter" 400 "A parameter is wrong";
    /// The filter or order would read too much: the detail names the index that would help.
    FilterTooBroad "filter_too_broad" 400 "The list would read too much";
    /// The cursor is not one of this list.
    InvalidCursor "invalid_cursor" 400 "The cursor does not belong to this list";
    /// No token, or one that is not known here.
    Unauthenticated "unauthenticated" 401 "A valid token is needed";
    /// The token's role may not do this.
    Forbidden "forbidden" 403 "Not allowed";
    /// There is no such thing, or it is hidden.
    NotFound "not_found" 404 "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed "method_not_allowed" 405 "Method not allowed";
    /// A client took too long to send its request.
    RequestTimeout "request_timeout" 408 "The request took too long to arrive";
    /// A record with this id, or a tenant with this name, exists.
    AlreadyExists "already_exists" 409 "It exists already";
    /// Another record has this unique value.
    UniqueViolation "unique_violation" 409 "A unique value is taken";
    /// A referenced record does not exist, or still has references.
    ReferenceViolation "reference_violation" 409 "A reference does not hold";
    /// Other writers were faster, three times in a row.
    Contention "contention" 409 "Too many concurrent changes of the same records";
    /// The upload is elsewhere than the request says.
    OffsetMismatch "offset_mismatch" 409 "The upload goes on elsewhere";
    /// Another change is under way: of the collection's schema, or of the tenant's place.
    ChangeUnderWay "change_under_way" 409 "Another change is under way";
    /// The position is older than what is kept.
    PositionTrimmed "position_trimmed" 410 "That position is no longer kept";
    /// The workflow does not allow the change of state.
    TransitionRefused "transition_refused" 409 "The workflow does not allow it";
    /// `If-Match` names another version.
    VersionMismatch "version_mismatch" 412 "The record has changed";
    /// The request speaks another version of a protocol.
    ProtocolVersion "protocol_version" 412 "That version of the protocol is not spoken here";
    /// The body or a value is larger than allowed.
    TooLarge "too_large" 413 "Too large";
    /// The path and query are longer than allowed.
    UriTooLong "uri_too_long" 414 "The path and query are too long";
    /// The body is of a kind that this call does not take.
    UnsupportedMediaType "unsupported_media_type" 415 "Unsupported media type";
    /// The content has none of the bytes that are asked for.
    RangeNotSatisfiable "range_not_satisfiable" 416 "The content does not have these bytes";
    /// The tenant lives in another region.
    WrongRegion "wrong_region" 421 "The tenant lives in another region";
    /// The change of the cluster would lose data, a quorum, or the meaning of a number.
    TopologyRefused "topology_refused" 422 "The cluster cannot be changed like this";
    /// The values do not fit the schema.
    InvalidFields "invalid_fields" 422 "The values do not fit";
    /// The idempotency key was used with another request.
    IdempotencyMismatch "idempotency_mismatch" 422 "The idempotency key belongs to another request";
    /// Limits of the plan or the node are reached.
    TooManyRequests "too_many_requests" 429 "Too many requests";
    /// The headers are larger than allowed.
    HeadersTooLarge "headers_too_large" 431 "The headers are too large";
    /// What came does not have the hash that it was to have.
    ChecksumMismatch "checksum_mismatch" 460 "The checksum is another";
    /// A defect of the server.
    Internal "internal" 500 "Internal error";
    /// Nobody can answer now: no leader, starting, or draining.
    Unavailable "unavailable" 503 "Not available now";
    /// This replica is not the leader. Only nodes see it, never a client.
    NotLeader "not_leader" 503 "Not the leader";
    /// It took too long.
    Timeout "timeout" 504 "It took too long";
    /// The disk is full.
    StorageFull "storage_full" 507 "The storage is full";
}

/// One wrong place in a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// Where a tenant of another region is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The region.
    pub region: String,
    /// The base URL of its API.
    pub endpoint: String,
}

/// A failed request, before it becomes a problem on the wire.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {detail}", code.name())]
pub struct Error {
    /// What went wrong.
    pub code: Code,
    /// What and where, for the one who sent the request.
    pub detail: String,
    /// Whether it may have had an effect.
    pub outcome: Outcome,
    /// The wrong places of the body.
    pub errors: Vec<FieldError>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// For [`Code::WrongRegion`].
    pub elsewhere: Option<Elsewhere>,
    /// For [`Code::NotLeader`]: the node that leads, where known.
    pub leader: Option<crate::ids::NodeNumber>,
}

/// The result of a call of the service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure without effect.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            outcome: Outcome::NotApplied,
            errors: Vec::new(),
            retry_after: None,
            elsewhere: None,
            leader: None,
        }
    }

    /// The same failure, but its effect is not known.
    pub fn unknown(mut self) -> Self {
        self.outcome = Outcome::Unknown;
        self
    }

    /// The same failure with a time after which to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Values that do not fit, one [`FieldError`] each.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.message),
            many => format!("{} values do not fit; errors lists them", many.len()),
        };
        Self {
            errors,
            ..Self::new(Code::InvalidFields, detail)
        }
    }
}
