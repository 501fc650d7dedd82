//! The indexes of a schema: those that the user names, and those that keep a field unique.

use api::body::collection::{CollectionSchema, IndexSchema};
use api::ids::Name;

use super::schema::{Collection, IndexSpec, Part};
use super::schema_check::Errors;

/// Most parts of an index.
const PARTS: usize = 4;

/// Gives each unique field its index.
pub(super) fn unique_fields(collection: &mut Collection, schema: &CollectionSchema, old: Option<&Collection>) {
    for at in 0..collection.fields.len() {
        let (name, number) = (collection.fields[at].name.clone(), collection.fields[at].number);
        let unique = schema
            .fields
            .iter()
            .any(|(other, field)| other.as_str() == name && field.unique);
        if !unique {
            continue;
        }
        let kept = old.and_then(|old| old.field_numbered(number)).and_then(|field| field.unique);
        let index = kept.unwrap_or_else(|| take_index(collection));
        collection.fields[at].unique = Some(index);
        collection.indexes.push(IndexSpec {
            number: index,
            name: None,
            parts: vec![Part::Field(number)],
            unique: true,
        });
    }
}

fn take_index(collection: &mut Collection) -> u32 {
    let number = collection.next_index;
    collection.next_index = collection.next_index.saturating_add(1);
    number
}

pub(super) fn add_index(
    collection: &mut Collection,
    name: &Name,
    index: &IndexSchema,
    old: Option<&Collection>,
    errors: &mut Errors,
) {
    let at = format!("/indexes/{name}/fields");
    if index.fields.is_empty() || index.fields.len() > PARTS {
        return errors.add(&at, format!("needs 1 to {PARTS} fields"));
    }
    let mut parts = Vec::with_capacity(index.fields.len());
    for field in &index.fields {
        match (field.as_str(), collection.field(field.as_str())) {
            ("created_at", _) => parts.push(Part::CreatedAt),
            ("updated_at", _) => parts.push(Part::UpdatedAt),
            (_, Some(spec)) if spec.kind.indexable() => parts.push(Part::Field(spec.number)),
            (_, Some(_)) => return errors.add(&at, format!("{field} is a list or json and cannot be indexed")),
            (_, None) => return errors.add(&at, format!("there is no field {:?}", field.as_str())),
        }
    }
    let same = |old: &&IndexSpec| old.name.as_deref() == Some(name.as_str()) && old.parts == parts && old.unique == index.unique;
    let number = old.and_then(|old| old.indexes.iter().find(same)).map(|old| old.number);
    let number = number.unwrap_or_else(|| take_index(collection));
    collection.indexes.push(IndexSpec {
        number,
        name: Some(name.as_str().to_owned()),
        parts,
        unique: index.unique,
    });
}
