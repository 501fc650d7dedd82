//! Which changes of a schema existing records could break: those need an empty collection.

use api::error::{Code, Error};

use super::schema::{Collection, Deletion, FieldSpec, IndexSpec, Kind};

/// Why a change of the schema does not fit records that are there.
pub(super) fn incompatible(old: &Collection, new: &Collection) -> Option<String> {
    for index in &new.indexes {
        if !old.indexes.iter().any(|kept| kept.number == index.number) {
            return Some(format!("the index over {} is new", parts(new, index)));
        }
    }
    for index in &old.indexes {
        if !new.indexes.iter().any(|kept| kept.number == index.number) {
            return Some(format!("the index over {} is dropped", parts(old, index)));
        }
    }
    for field in &old.fields {
        let Some(now) = new.field_numbered(field.number) else {
            return Some(format!("the field {:?} is dropped", field.name));
        };
        if narrows(field, now) {
            return Some(format!(
                "the field {:?} allows less than before, or has another type",
                field.name
            ));
        }
    }
    let required = new
        .fields
        .iter()
        .find(|field| field.required && old.field_numbered(field.number).is_none());
    required.map(|field| format!("the field {:?} is new and required", field.name))
}

/// Whether a record that was right may be wrong now.
fn narrows(old: &FieldSpec, new: &FieldSpec) -> bool {
    let kind = match (&old.kind, &new.kind) {
        (Kind::Select(old), Kind::Select(new)) | (Kind::MultiSelect(old), Kind::MultiSelect(new)) => {
            old.iter().any(|option| !new.contains(option))
        }
        (
            Kind::Reference {
                collection: old,
                on_delete: before,
                ..
            },
            Kind::Reference {
                collection: new,
                on_delete: after,
                ..
            },
        ) => old != new || (before != after && *after == Deletion::SetNull),
        (old, new) => old != new,
    };
    let limit = |old: Option<f64>, new: Option<f64>, above: bool| match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => {
            if above {
                new > old
            } else {
                new < old
            }
        }
    };
    kind || (new.required && !old.required)
        || limit(old.min, new.min, true)
        || limit(old.max, new.max, false)
        || limit(old.max_length.map(f64::from), new.max_length.map(f64::from), false)
}

fn parts(collection: &Collection, index: &IndexSpec) -> String {
    index
        .parts
        .iter()
        .map(|part| collection.part_name(*part))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The answer where a change needs an empty collection that is not empty.
pub(crate) fn not_empty(collection: &str, why: &str) -> Error {
    let detail = format!("{collection} has records, and {why}: such a change needs an empty collection in this version");
    Error::new(Code::AlreadyExists, detail)
}
