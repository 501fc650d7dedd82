//! From what went wrong inside to what the public is told: one table.
//!
//! The message outside is not the message inside: what is inside goes to the operator's log.

use std::fmt::Display;
use std::time::Duration;

use api::error::{Code, Error, FieldError, Outcome};
use api::ids::NodeNumber;
use raft::{ProposeError, ReadError};

use crate::machine::refusal::Refusal;

/// When to come back to a node that is busy.
const BUSY: Duration = Duration::from_secs(1);

/// A defect or a fault of ours: logged here, not told outside.
pub(crate) fn internal(error: &dyn Display) -> Error {
    tracing::error!(%error, "a request failed inside");
    Error::new(Code::Internal, "the server failed; its log says why")
}

/// A command that had no effect.
pub(crate) fn refused(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::Stale => Error::new(
            Code::Contention,
            "others changed the same records at the same time; try again",
        ),
        Refusal::NoSpace => no_space(),
        Refusal::NotFound { what } => {
            let what = what.strip_prefix("the ").unwrap_or(what);
            Error::new(Code::NotFound, format!("there is no {what}"))
        }
        Refusal::AlreadyExists { what } => Error::new(Code::AlreadyExists, format!("there is {what} already")),
        Refusal::VersionMismatch { current } => Error::new(
            Code::VersionMismatch,
            format!("it has version {current} now; read it and decide again"),
        ),
        Refusal::Unique {
            collection,
            fields,
            holder,
        } => {
            let who = if holder.is_nil() {
                format!("another record of {collection}")
            } else {
                format!("{collection}/{holder}")
            };
            let detail = format!("{who} has the same {} already", fields.join(" and "));
            Error::new(Code::UniqueViolation, detail)
        }
        Refusal::ReferenceMissing { field, collection, id } => Error::new(
            Code::ReferenceViolation,
            format!("{field} refers to {collection}/{id}, which does not exist"),
        ),
        Refusal::Referenced { collection, id } if id.is_nil() => Error::new(
            Code::ReferenceViolation,
            format!("a record of {collection} still refers to it"),
        ),
        Refusal::Referenced { collection, id } => {
            Error::new(Code::ReferenceViolation, format!("{collection}/{id} still refers to it"))
        }
        Refusal::TooLarge { what } => Error::new(Code::TooLarge, what.clone()),
        Refusal::IdempotencyMismatch => Error::new(
            Code::IdempotencyMismatch,
            "the Idempotency-Key was used with another body: use a new key",
        ),
        Refusal::NotEmpty { collection } => Error::new(
            Code::AlreadyExists,
            format!("{collection} has records; the change needs an empty collection"),
        ),
        Refusal::Invalid { errors } => {
            let one = |(pointer, message): &(String, String)| FieldError {
                pointer: pointer.clone(),
                message: message.clone(),
            };
            Error::fields(errors.iter().map(one).collect())
        }
        Refusal::Unfit { field, message } => {
            let message = format!("{message} (for the schema that the collection is about to have)");
            let pointer = format!("/fields/{field}");
            Error::fields(vec![FieldError { pointer, message }])
        }
        Refusal::At { operation, refusal } => at(*operation, refused(refusal)),
        Refusal::Moving => moved(),
        Refusal::StorageFull { .. } | Refusal::OffsetMismatch { .. } | Refusal::CurrentVersion { .. } => of_file(refusal),
        Refusal::MoveUnderWay { operation } => Error::new(
            Code::ChangeUnderWay,
            format!("operation {operation} moves the tenant to another cell: wait for it, or cancel it"),
        ),
    }
}

/// A command about a file that had no effect.
fn of_file(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::StorageFull { used, quota } => Error::new(
            Code::StorageFull,
            format!(
                "the tenant's files have {used} bytes of the {quota} that its plan stores beside its records: delete files or versions, \
                 or take another plan; GET …/usage shows what is used"
            ),
        ),
        Refusal::OffsetMismatch { offset } => Error::new(
            Code::OffsetMismatch,
            format!("{offset} bytes of the upload have come: go on from there"),
        ),
        Refusal::CurrentVersion { version } => Error::new(
            Code::AlreadyExists,
            format!("version {version} is the current one: restore another one first, or delete the file"),
        ),
        other => internal(&format_args!("{other:?} is not about a file")),
    }
}

/// An error about one operation of a batch.
fn at(operation: usize, error: Error) -> Error {
    let pointer = format!("/operations/{operation}");
    let errors = vec![FieldError {
        pointer,
        message: error.detail.clone(),
    }];
    Error {
        detail: format!("operation {operation}: {}", error.detail),
        errors,
        ..error
    }
}

/// A tenant whose space is not made yet, or is being erased.
pub(crate) fn no_space() -> Error {
    Error::new(Code::Unavailable, "the tenant is being made or erased").retry_after(BUSY)
}

/// A proposal without a reply.
pub(crate) fn proposal(error: ProposeError) -> Error {
    match error {
        ProposeError::NotLeader(leader) => not_leader(leader.map(|node| node.0)),
        ProposeError::Overloaded => {
            Error::new(Code::Unavailable, "the cell has more writes waiting than it takes").retry_after(BUSY)
        }
        ProposeError::Full => full(),
        ProposeError::NotApplied(reason) => {
            tracing::info!(reason, "a proposal was not applied");
            Error::new(Code::Unavailable, "the write was not applied; try again").retry_after(BUSY)
        }
        ProposeError::Unknown(reason) => {
            tracing::info!(reason, "the outcome of a proposal is not known");
            let detail = "the write may or may not be applied; ask again with the same Idempotency-Key";
            Error {
                outcome: Outcome::Unknown,
                ..Error::new(Code::Unavailable, detail)
            }
        }
        ProposeError::Stopped(reason) => stopped(&reason),
    }
}

/// A read barrier that did not hold.
pub(crate) fn barrier(error: ReadError) -> Error {
    match error {
        ReadError::NoLeader => Error::new(Code::Unavailable, "the cell has no leader now").retry_after(BUSY),
        ReadError::Timeout => Error::new(Code::Timeout, "the cell's leader did not confirm the read in time").retry_after(BUSY),
        ReadError::Stopped(reason) => stopped(&reason),
    }
}

/// A replica that is not the leader.
pub(crate) fn not_leader(leader: Option<u64>) -> Error {
    let error = Error::new(Code::NotLeader, "this replica is not the leader of the tenant's cell");
    Error {
        leader: leader.map(NodeNumber),
        ..error
    }
}

/// A space that is served by another cell, as the directory says by now.
pub(crate) fn moved() -> Error {
    Error::new(Code::NotLeader, "this cell does not serve the tenant any more, or not yet")
}

/// Writes that have waited for a move for as long as they may, or too many of them.
pub(crate) fn held() -> Error {
    Error::new(
        Code::Unavailable,
        "the tenant's writes are held for a moment; send the request again",
    )
    .retry_after(BUSY)
}

/// A disk without room.
fn full() -> Error {
    Error::new(Code::StorageFull, "the disk of the cell's leader is full; nothing was stored").retry_after(BUSY)
}

/// A replica that is being repaired: its node has none of it to give.
pub(crate) fn away() -> Error {
    Error::new(Code::Unavailable, "this node's replica is being repaired; others serve").retry_after(BUSY)
}

/// A replica that has stopped.
pub(crate) fn stopped(reason: &str) -> Error {
    tracing::error!(reason, "a request met a stopped replica");
    if reason.to_ascii_lowercase().contains("no space left") {
        return full();
    }
    Error::new(Code::Unavailable, "this replica has stopped").retry_after(BUSY)
}
