//! Decisions above the log: pure functions of a request and a snapshot that end in a command, or in an error.
//!
//! A batch is decided operation by operation; later operations see what earlier ones will have done, so that a record can
//! be created and patched in one batch. Whoever calls has given every new record its id: decisions make nothing up.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::body::record::{BatchOperation, BatchVerb, Fields};
use api::error::{Code, Error, FieldError};
use storage::{Snapshot, Space};
use uuid::Uuid;

use super::admit::operate;
use super::change::RecordsChange;
use super::convert::{self, Mode};
use super::entries::Place;
use super::guard::{Asker, Guard};
use super::schema::Collection;
use super::value::{Doc, Record};
use super::write::{Expect, Operation, RecordsWrite};
use crate::machine::catalog::Catalog;
use crate::machine::limits::COMMAND_BYTES;
use crate::machine::refusal::Fault;
use crate::service::error::internal;

/// What is decided on: one tenant at one moment.
pub(crate) struct View<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) catalog: &'a Catalog,
    pub(crate) space: Space,
    /// Who asks; none: the platform itself.
    pub(crate) asker: Option<Asker<'a>>,
}

/// Documents that earlier operations of the same batch will have stored; none: deleted.
pub(super) type Pending = BTreeMap<(u32, Uuid), Option<Doc>>;

impl View<'_> {
    /// A collection by its name.
    pub(crate) fn collection(&self, name: &str) -> Result<&Arc<Collection>, Error> {
        self.catalog
            .named(name)
            .ok_or_else(|| Error::new(Code::NotFound, format!("there is no collection {name:?}")))
    }

    /// The guard that stands before a collection, and who it asks; none: there is none.
    pub(super) fn guard(&self, collection: &Collection) -> Option<(&Guard, &Asker<'_>)> {
        Some((self.catalog.guard(collection)?, self.asker.as_ref()?))
    }

    /// A record that is there.
    pub(super) fn stored(&self, collection: &Collection, id: Uuid) -> Result<Option<Record>, Error> {
        let read = self.place(collection, id).read(self.snapshot);
        read.map_err(|fault: Fault| internal(&fault))
    }

    pub(super) fn place(&self, collection: &Collection, id: Uuid) -> Place {
        Place {
            space: self.space,
            collection: collection.number,
            id,
        }
    }
}

/// Decides one request about one record. Pointers of errors start at `/fields`.
pub(crate) fn single(view: &View<'_>, operation: &BatchOperation) -> Result<RecordsChange, Error> {
    let decided = operate(view, operation, &mut Pending::new(), "/fields")?;
    Ok(change(vec![decided]))
}

/// Decides a batch.
pub(crate) fn batch(view: &View<'_>, operations: &[BatchOperation]) -> Result<RecordsChange, Error> {
    let mut pending = Pending::new();
    let mut decided = Vec::with_capacity(operations.len());
    check_duplicates(operations)?;
    let mut bytes = 0;
    for (number, operation) in operations.iter().enumerate() {
        let at = format!("/operations/{number}/fields");
        let done = operate(view, operation, &mut pending, &at).map_err(|error| located(error, number))?;
        if let Operation::Store { doc, .. } = &done {
            bytes += doc.bytes();
        }
        if bytes > COMMAND_BYTES {
            let detail = format!("the batch stores more than {COMMAND_BYTES} bytes of documents: split it at operation {number}");
            return Err(Error::new(Code::TooLarge, detail));
        }
        decided.push(done);
    }
    Ok(change(decided))
}

/// Says of the new record of a decided request that its id was made for it.
pub(crate) fn fresh(mut decided: RecordsChange) -> RecordsChange {
    for operation in &mut decided.0.operations {
        if let Operation::Store { expect, .. } = operation
            && *expect == Expect::Absent
        {
            *expect = Expect::Fresh;
        }
    }
    decided
}

/// The command that does some operations.
pub(super) fn change(operations: Vec<Operation>) -> RecordsChange {
    RecordsChange(RecordsWrite { operations })
}

/// Refuses a batch that creates an id twice.
fn check_duplicates(operations: &[BatchOperation]) -> Result<(), Error> {
    let mut created: BTreeMap<(&str, Uuid), usize> = BTreeMap::new();
    for (number, operation) in operations.iter().enumerate() {
        let (BatchVerb::Create, Some(id)) = (operation.op, operation.id) else {
            continue;
        };
        if let Some(first) = created.insert((operation.collection.as_str(), id.0), number) {
            let pointer = format!("/operations/{number}/id");
            let message = format!("is created by operation {first} of the same batch already");
            return Err(Error::fields(vec![FieldError { pointer, message }]));
        }
    }
    Ok(())
}

/// What an operation does.
pub(super) fn intend(view: &View<'_>, operation: &BatchOperation, pending: &mut Pending, at: &str) -> Result<Operation, Error> {
    let collection = view.collection(operation.collection.as_str())?;
    let no_id = || Error::new(Code::InvalidFields, "the operation needs the id of a record");
    let id = operation.id.ok_or_else(no_id)?.0;
    let key = (collection.number, id);
    let earlier = pending.contains_key(&key);
    if earlier && operation.if_match.is_some() {
        let detail = "if_match is compared with the record before the batch: give it to the first operation on the record";
        return Err(Error::new(Code::InvalidFields, detail));
    }
    let expect = expectation(operation.op, operation.if_match);
    let none = Fields::new();
    let fields = operation.fields.as_ref().unwrap_or(&none);
    let number = collection.number;
    match operation.op {
        BatchVerb::Create | BatchVerb::Put => {
            let doc = whole(collection, fields, at)?;
            pending.insert(key, Some(doc.clone()));
            Ok(Operation::Store {
                collection: number,
                id,
                expect,
                doc,
                created: None,
            })
        }
        BatchVerb::Patch => {
            let (base, expect) = base(view, collection, id, operation.if_match, pending)?;
            let doc = convert::document(collection, fields, base, Mode::Patch, at).map_err(Error::fields)?;
            pending.insert(key, Some(doc.clone()));
            Ok(Operation::Store {
                collection: number,
                id,
                expect,
                doc,
                created: None,
            })
        }
        BatchVerb::Delete => {
            pending.insert(key, None);
            Ok(Operation::Delete {
                collection: number,
                id,
                expect,
            })
        }
        BatchVerb::Check => Ok(Operation::Check {
            collection: number,
            id,
            expect,
        }),
    }
}

/// A whole document.
pub(crate) fn whole(collection: &Collection, fields: &Fields, at: &str) -> Result<Doc, Error> {
    convert::document(collection, fields, Doc::default(), Mode::Whole, at).map_err(Error::fields)
}

fn expectation(verb: BatchVerb, if_match: Option<u64>) -> Expect {
    match (verb, if_match) {
        (_, Some(version)) => Expect::Match(version),
        (BatchVerb::Create, _) => Expect::Absent,
        (BatchVerb::Put, _) => Expect::Any,
        (BatchVerb::Patch | BatchVerb::Delete | BatchVerb::Check, _) => Expect::Present,
    }
}

/// What a patch merges into, and what must still hold of it when it is applied.
fn base(
    view: &View<'_>,
    collection: &Collection,
    id: Uuid,
    if_match: Option<u64>,
    pending: &Pending,
) -> Result<(Doc, Expect), Error> {
    let missing = || missing(collection, id);
    if let Some(earlier) = pending.get(&(collection.number, id)) {
        return earlier.clone().map(|doc| (doc, Expect::Present)).ok_or_else(missing);
    }
    let old = view.stored(collection, id)?.ok_or_else(missing)?;
    match if_match {
        Some(version) if version != old.version => Err(Error::new(
            Code::VersionMismatch,
            format!("the record has version {}, not {version}", old.version),
        )),
        Some(version) => Ok((old.doc, Expect::Match(version))),
        None => Ok((old.doc, Expect::Read(old.version))),
    }
}

pub(super) fn missing(collection: &Collection, id: Uuid) -> Error {
    Error::new(Code::NotFound, format!("there is no record {}/{id}", collection.name))
}

/// Says which operation of a batch an error is about.
fn located(error: Error, number: usize) -> Error {
    if error.errors.is_empty() {
        let detail = format!("operation {number}: {}", error.detail);
        let errors = vec![FieldError {
            pointer: format!("/operations/{number}"),
            message: error.detail.clone(),
        }];
        return Error { detail, errors, ..error };
    }
    error
}
