//! The schema that a collection is to have, beside the one that it has.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::convert;
use super::super::indexed::too_long_for_an_index;
use super::super::policy::Policy;
use super::super::schema::{Collection, FieldSpec, Kind};
use super::super::schema_change::narrows;
use super::super::value::Doc;
use super::retype::retype;

/// A change under way. Stored: see [`ChangeRow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The operation that brings the records along.
    pub(crate) operation: Uuid,
    /// The schema that the collection is to have.
    pub(crate) target: Collection,
    /// The policy that it is to have.
    pub(crate) policy: Policy,
    /// Fields of it that take over the values of another: their numbers, and the numbers of those.
    pub(crate) moved: Vec<(u16, u16)>,
}

/// Versions of [`Change`].
#[derive(Serialize, Deserialize)]
pub(crate) enum ChangeRow {
    /// The first.
    V1(Change),
}

/// A [`Change`] as it is used.
#[derive(Debug)]
pub(crate) struct Pending {
    /// As it is stored.
    pub(crate) change: Change,
    /// All fields of the target, and those of its indexes that the collection does not have yet.
    pub(super) extra: Collection,
    fits: Vec<Fit>,
}

/// What a field asks of a record.
#[derive(Debug)]
enum Fit {
    /// Its value must be one of the field.
    Check(FieldSpec),
    /// It takes over the value of another.
    Move(u16, FieldSpec),
    /// It gets its default.
    Fill(FieldSpec),
}

/// Why a record does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// The field.
    pub(crate) field: String,
    /// What is wrong with its value.
    pub(crate) message: String,
}

impl Pending {
    /// A change of a collection.
    pub(crate) fn new(change: Change, current: &Collection) -> Self {
        let target = &change.target;
        let mut extra = target.clone();
        extra
            .indexes
            .retain(|index| current.indexes.iter().all(|kept| kept.number != index.number));
        let mut fits = Vec::new();
        for field in &target.fields {
            let from = change.moved.iter().find(|(number, _)| *number == field.number);
            let fit = match (from, current.field_numbered(field.number)) {
                (Some((_, from)), _) => Some(Fit::Move(*from, field.clone())),
                (None, Some(old)) => narrows(old, field).then(|| Fit::Check(field.clone())),
                (None, None) => (field.required || matches!(field.kind, Kind::Sequence { .. })).then(|| Fit::Fill(field.clone())),
            };
            fits.extend(fit);
        }
        Self { change, extra, fits }
    }

    /// Whether records must be looked at before the target can be the schema.
    pub(crate) fn asks_records(&self) -> bool {
        !self.fits.is_empty() || !self.extra.indexes.is_empty()
    }

    /// Makes a document fit the target as well.
    pub(super) fn fit(&self, doc: &mut Doc) -> Result<(), Unfit> {
        for fit in &self.fits {
            let (field, value) = match fit {
                Fit::Check(field) => (field, doc.get(field.number).map(|value| retype(field, value))),
                Fit::Move(from, field) => (field, doc.get(*from).map(|value| retype(field, value))),
                Fit::Fill(field) => (field, doc.get(field.number).map(|value| retype(field, value))),
            };
            let unfit = |message: String| Unfit {
                field: field.name.clone(),
                message,
            };
            let value = value.transpose().map_err(unfit)?.flatten();
            let value = match (value, fit) {
                (None, Fit::Move(..) | Fit::Fill(_)) if field.required => convert::default_value(field),
                (value, _) => value,
            };
            // A sequence is given its number where it is stored.
            let missing = value.is_none() && field.required && !matches!(field.kind, Kind::Sequence { .. });
            if missing {
                return Err(unfit("is required, and the record has no value".to_owned()));
            }
            doc.set(field.number, value);
        }
        match too_long_for_an_index(&self.change.target, doc) {
            Some((field, message)) => Err(Unfit { field, message }),
            None => Ok(()),
        }
    }

    /// The target, without the indexes that the collection has already.
    pub(crate) fn extra(&self) -> &Collection {
        &self.extra
    }

    /// The target.
    pub(crate) fn target(&self) -> &Collection {
        &self.change.target
    }
}

/// What is not used any more once `kept` is the schema and `gone` is not.
pub(super) fn leftovers(gone: &Collection, kept: &Collection) -> (Vec<u32>, Vec<FieldSpec>) {
    let indexes = gone.indexes.iter().map(|index| index.number);
    let indexes = indexes
        .filter(|number| kept.indexes.iter().all(|index| index.number != *number))
        .collect();
    let fields = gone.fields.iter().filter(|field| kept.field_numbered(field.number).is_none());
    (indexes, fields.cloned().collect())
}

/// Pendings are shared by decide and apply.
pub(crate) type Shared = Arc<Pending>;
