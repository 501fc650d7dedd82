//! Which fields of a new schema go on from which of the one before: by name, or by the name that they had.
//!
//! A field keeps its number while what is stored under it keeps its meaning. One of another type has a new number, and so has one that
//! fills in a default from now on: its values are made beside the old ones, so that a change can be called back.

use api::body::collection::{CollectionSchema, Field, FieldType};
use api::ids::Name;

use super::schema::{Collection, Deletion, FieldSpec, Kind};
use super::schema_check::Errors;

/// The field of the schema before that a field goes on from.
pub(super) fn source<'o>(old: Option<&'o Collection>, name: &Name, field: &Field) -> Option<&'o FieldSpec> {
    let old = old?;
    let renamed = field.renamed_from.as_ref().and_then(|before| old.field(before.as_str()));
    renamed.or_else(|| old.field(name.as_str()))
}

/// Whether what is stored of a field means the same under its new description. Sequences: [`keeps_sequence`].
pub(super) fn keeps(old: &FieldSpec, field: &Field) -> bool {
    let fills = field.required && !old.required && field.default.is_some();
    let target = match &old.kind {
        Kind::Reference { name, .. } => field.collection.as_ref().is_some_and(|target| target.as_str() == name),
        _ => true,
    };
    old.kind.to_api() == field.kind && target && !fills
}

/// Whether a sequence counts within the same field as before.
pub(super) fn keeps_sequence(old: &FieldSpec, per: Option<u16>) -> bool {
    matches!(&old.kind, Kind::Sequence { per: before } if *before == per)
}

/// What is wrong with the names that fields had before.
pub(super) fn check_renames(schema: &CollectionSchema, old: Option<&Collection>, errors: &mut Errors) {
    for (name, field) in &schema.fields {
        let Some(before) = &field.renamed_from else { continue };
        let at = format!("/fields/{name}/renamed_from");
        let known = |name: &Name| old.is_some_and(|old| old.field(name.as_str()).is_some());
        if !known(before) && !known(name) {
            errors.add(&at, format!("there is no field {:?}", before.as_str()));
        }
        let stays = schema.fields.get(before).is_some_and(|other| other.renamed_from.is_none());
        if known(before) && stays {
            errors.add(
                &at,
                format!("{:?} is still a field: leave it out, or rename it too", before.as_str()),
            );
        }
        let twice = schema
            .fields
            .values()
            .filter(|other| other.renamed_from.as_ref() == Some(before));
        if twice.count() > 1 {
            errors.add(&at, format!("{:?} is the name before of two fields", before.as_str()));
        }
        if field.kind == FieldType::Sequence
            && old
                .and_then(|old| old.field(before.as_str()))
                .is_some_and(|old| old.kind.to_api() != field.kind)
        {
            errors.add(&at, "a field of another type does not become a sequence".to_owned());
        }
    }
}

/// Whether a record that was right may be wrong now.
pub(super) fn narrows(old: &FieldSpec, new: &FieldSpec) -> bool {
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
