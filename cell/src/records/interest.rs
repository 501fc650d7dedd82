//! What of a tenant's events somebody has asked for: of some collections, of one record, or of records for which an expression is true.
//!
//! The expression is asked about the record as the change left it (of what was deleted: as it was at last), so that a reader who comes
//! back to a position gets the same again. Expressions are compiled once a text, collection and version of the schema.
//!
//! CAVEATS: of a version that history has forgotten nothing is known: a filter leaves it out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::body::event::{Event, EventQuery};
use api::error::{Code, Error};
use storage::Space;
use uuid::Uuid;

use super::schema::Collection;
use super::value::Record;
use crate::expr::{Expression, Facts, Scope};
use crate::machine::catalog::Catalog;

/// Most expressions that are kept. Raised: more memory. Lowered: those of followers that take turns are compiled again.
const FILTERS: usize = 256;

/// What an expression was compiled for.
type Compiled = BTreeMap<(Space, u32, String), (u64, Option<Arc<Expression>>)>;

/// The expressions of those who follow spaces of one replica.
#[derive(Default)]
pub(crate) struct Filters(Mutex<Compiled>);

impl Filters {
    /// An expression over a collection's fields; none: it has none by these names.
    pub(super) fn get(&self, space: Space, schema: u64, collection: &Collection, text: &str) -> Option<Arc<Expression>> {
        let key = (space, collection.number, text.to_owned());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, filter)) = lock().get(&key)
            && *known == schema
        {
            return filter.clone();
        }
        let filter = Expression::compile(text, Scope::Filter(collection)).ok().map(Arc::new);
        let mut compiled = lock();
        if compiled.len() >= FILTERS {
            compiled.pop_first();
        }
        compiled.insert(key, (schema, filter.clone()));
        filter
    }
}

/// Whether an event is about what a query names, as far as its attributes say.
pub(super) fn names(query: &EventQuery, event: &Event) -> bool {
    let of_collections = query.collections.as_ref().is_none_or(|wanted| {
        let collection = event.collection.as_deref();
        collection.is_some_and(|collection| wanted.iter().any(|name| name.as_str() == collection))
    });
    let of_record = query.record.as_ref().is_none_or(|(collection, id)| {
        event.collection.as_deref() == Some(collection.as_str()) && event.record.as_ref() == Some(&id.to_string())
    });
    of_collections && of_record
}

/// Whether an expression is true of a record.
pub(super) fn holds(filter: &Expression, id: Uuid, record: &Record, now: u64) -> bool {
    filter.holds(&Facts {
        record: Some((id, record)),
        now,
        ..Facts::default()
    })
}

/// Refuses what names no collection, and a filter that no collection has the fields of.
pub(crate) fn check(catalog: &Catalog, query: &EventQuery, in_scope: impl Fn(&str) -> bool) -> Result<(), Error> {
    let wrong = |parameter: &str, what: String| Error::new(Code::InvalidParameter, format!("{parameter}: {what}"));
    let record = query.record.as_ref().map(|(collection, _)| collection);
    let named: Vec<_> = query.collections.iter().flatten().chain(record).collect();
    for name in &named {
        let name = name.as_str();
        if catalog.named(name).is_none() || !in_scope(name) {
            let parameter = if record.is_some_and(|record| record.as_str() == name) {
                "record"
            } else {
                "collections"
            };
            return Err(wrong(parameter, format!("there is no collection {name:?}")));
        }
    }
    let Some(filter) = &query.filter else { return Ok(()) };
    let (mut fits, mut unfit) = (false, None);
    for collection in catalog.iter().filter(|collection| in_scope(&collection.name)) {
        if !named.is_empty() && !named.iter().any(|name| name.as_str() == collection.name) {
            continue;
        }
        match Expression::compile(filter, Scope::Filter(collection)) {
            Ok(_) => fits = true,
            Err(message) if named.is_empty() => unfit = Some(message),
            Err(message) => return Err(wrong("filter", format!("{}: {message}", collection.name))),
        }
    }
    match unfit.filter(|_| !fits) {
        Some(message) => Err(wrong("filter", message)),
        None => Ok(()),
    }
}
