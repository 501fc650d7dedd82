//! Facets: how often each value comes among what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::body::search::FacetCount;
use api::error::{Code, Error};

use crate::records::schema::{Collection, Kind};
use crate::records::value::{Record, Value};

/// Most facets of a search.
const FACETS: usize = 10;
/// Most values of a facet that are answered.
const VALUES: usize = 100;
/// The facet that every record has.
const COLLECTION: &str = "collection";

/// The counts of one search.
pub(super) struct Facets<'q> {
    names: &'q [String],
    counts: Vec<BTreeMap<String, u64>>,
}

impl<'q> Facets<'q> {
    /// Nothing is counted yet. Each name must be one of a field of choices, in one of the collections at least.
    pub(super) fn new<'c>(
        names: &'q [String],
        collections: impl Iterator<Item = &'c Arc<Collection>> + Clone,
    ) -> Result<Self, Error> {
        let wrong = |what: String| Err(Error::new(Code::InvalidParameter, format!("facets: {what}")));
        if names.len() > FACETS {
            return wrong(format!("at most {FACETS} are allowed"));
        }
        for name in names.iter().filter(|name| *name != COLLECTION) {
            let mut fields = collections.clone().filter_map(|collection| collection.field(name));
            if !fields.any(|field| is_counted(&field.kind)) {
                return wrong(format!(
                    "{name:?} is neither \"collection\" nor a field of choices, tags, users or bools of what is searched"
                ));
            }
        }
        Ok(Self {
            names,
            counts: vec![BTreeMap::new(); names.len()],
        })
    }

    /// Whether anything is to be counted.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Counts a record.
    pub(super) fn count(&mut self, collection: &Collection, record: &Record) {
        for (name, counts) in self.names.iter().zip(&mut self.counts) {
            if name == COLLECTION {
                *counts.entry(collection.name.clone()).or_default() += 1;
                continue;
            }
            let field = collection.field(name).filter(|field| is_counted(&field.kind));
            match field.and_then(|field| record.doc.get(field.number)) {
                Some(Value::Text(value)) => *counts.entry(value.clone()).or_default() += 1,
                Some(Value::Bool(value)) => *counts.entry(value.to_string()).or_default() += 1,
                Some(Value::List(values)) => values.iter().for_each(|value| *counts.entry(value.clone()).or_default() += 1),
                _ => {}
            }
        }
    }

    /// The counts, the most frequent first.
    pub(super) fn answer(self) -> BTreeMap<String, Vec<FacetCount>> {
        let sorted = self.counts.into_iter().map(|counts| {
            let mut counts: Vec<_> = counts.into_iter().map(|(value, count)| FacetCount { value, count }).collect();
            counts.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
            counts.truncate(VALUES);
            counts
        });
        self.names.iter().cloned().zip(sorted).collect()
    }
}

fn is_counted(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Select(_) | Kind::MultiSelect(_) | Kind::Tags | Kind::User | Kind::Bool
    )
}
