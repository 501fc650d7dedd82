//! From the schema that a user sends to the one that is stored, and every rule in between.
//!
//! Numbers of fields and indexes that are there already are kept by name ([`super::schema_change`]).

use api::body::collection::{CollectionSchema, Field, FieldType};
use api::error::{Error, FieldError};
use api::ids::Name;

use super::convert;
use super::policy::{self, Policy};
use super::schema::{Collection, FieldSpec, Kind};
use super::schema_change::{check_renames, keeps, keeps_sequence, source};
use super::schema_index::{add_index, unique_fields};
use super::schema_kind::kind;
use crate::machine::catalog::Catalog;
use crate::machine::envelope::seal;

/// Largest schema, in bytes as it is stored. With [`COLLECTIONS`] of them a catalog stays small enough to be decoded in a write.
const SCHEMA_BYTES: usize = 16 * 1024;
/// Most collections of a tenant.
pub(crate) const COLLECTIONS: usize = 200;
/// Most fields of a collection.
const FIELDS: usize = 200;
/// Most indexes of a collection, those of unique fields included.
const INDEXES: usize = 16;
/// Most options of a select.
const OPTIONS: usize = 500;
/// Names that records have of themselves.
const RESERVED: [&str; 6] = ["id", "collection", "version", "created_at", "updated_at", "created_by"];
/// Names that parameters of lists have.
const PARAMETERS: [&str; 9] = [
    "limit",
    "cursor",
    "order",
    "fields",
    "count",
    "consistency",
    "filter",
    "expand",
    "q",
];

/// A checked schema.
pub(crate) struct Checked {
    /// What to store.
    pub(crate) collection: Collection,
    /// Its rules and workflow.
    pub(crate) policy: Policy,
    /// Fields that take over the values of another: their numbers, and the numbers of those.
    pub(crate) moved: Vec<(u16, u16)>,
}

/// Checks a schema against the rules and against what is stored.
pub(crate) fn check(
    name: &Name,
    schema: &CollectionSchema,
    old: Option<&Collection>,
    catalog: &Catalog,
    number: u32,
) -> Result<Checked, Error> {
    let mut errors = Errors(Vec::new());
    if schema.fields.len() > FIELDS {
        errors.add(
            "/fields",
            format!("has {} fields, at most {FIELDS} are allowed", schema.fields.len()),
        );
    }
    let mut collection = Collection {
        number,
        name: name.as_str().to_owned(),
        version: old.map_or(1, |old| old.version + 1),
        dropped: false,
        fields: Vec::with_capacity(schema.fields.len()),
        indexes: Vec::new(),
        search: Vec::new(),
        next_field: old.map_or(1, |old| old.next_field),
        next_index: old.map_or(1, |old| old.next_index),
    };
    if usize::from(u16::MAX - collection.next_field) <= schema.fields.len() {
        errors.add(
            "/fields",
            "the collection has used up its field numbers: make a new one".to_owned(),
        );
    }
    check_renames(schema, old, &mut errors);
    let moved = fields(&mut collection, schema, old, catalog, &mut errors);
    unique_fields(&mut collection, schema, old);
    for (name, index) in &schema.indexes {
        add_index(&mut collection, name, index, old, &mut errors);
    }
    if collection.indexes.len() > INDEXES {
        let message = format!(
            "has {} indexes with those of unique fields, at most {INDEXES} are allowed",
            collection.indexes.len()
        );
        errors.add("/indexes", message);
    }
    search_fields(&mut collection, schema, &mut errors);
    let policy = policy::check(&schema.rules, schema.workflow.as_ref(), &collection, &mut errors);
    let bytes = seal(&collection).len() + seal(&policy).len();
    if bytes > SCHEMA_BYTES {
        errors.add(
            "",
            format!("is {bytes} bytes as it is stored, at most {SCHEMA_BYTES} are allowed"),
        );
    }
    if !errors.0.is_empty() {
        return Err(Error::fields(errors.0));
    }
    Ok(Checked {
        collection,
        policy,
        moved,
    })
}

/// The fields, first by number and then in full: one may name another. Returns those that take over the values of another number.
fn fields(
    collection: &mut Collection,
    schema: &CollectionSchema,
    old: Option<&Collection>,
    catalog: &Catalog,
    errors: &mut Errors,
) -> Vec<(u16, u16)> {
    let mut moved = Vec::new();
    let (sequences, others): (Vec<_>, Vec<_>) = schema.fields.iter().partition(|(_, field)| field.kind == FieldType::Sequence);
    for (name, field) in others.into_iter().chain(sequences) {
        let before = source(old, name, field);
        // The field that a sequence counts within has its number already.
        let per = field.per.as_ref().and_then(|per| collection.field(per.as_str()));
        let per = per.map(|per| per.number);
        let is_sequence = field.kind == FieldType::Sequence;
        let kept = before.filter(|before| keeps(before, field) && (!is_sequence || keeps_sequence(before, per)));
        let number = kept.map_or_else(|| take_field(collection), |kept| kept.number);
        if let (None, Some(before)) = (kept, before) {
            moved.push((number, before.number));
        }
        collection.fields.push(FieldSpec {
            number,
            ..plain(name, field)
        });
    }
    collection.fields.sort_by(|one, other| one.name.cmp(&other.name));
    for (name, field) in &schema.fields {
        complete(collection, name, field, catalog, errors);
    }
    moved
}

/// The fields that search looks into.
fn search_fields(collection: &mut Collection, schema: &CollectionSchema, errors: &mut Errors) {
    for (at, name) in schema.search.iter().enumerate() {
        match collection.field(name.as_str()).map(|field| (field.number, &field.kind)) {
            Some((number, Kind::Text | Kind::Tags | Kind::Select(_) | Kind::Document)) => collection.search.push(number),
            Some(_) => errors.add(&format!("/search/{at}"), "must be a field of texts".to_owned()),
            None => errors.add(&format!("/search/{at}"), format!("there is no field {:?}", name.as_str())),
        }
    }
}

/// What is wrong so far.
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    /// One more, at a pointer into the schema.
    pub(super) fn add(&mut self, pointer: &str, message: String) {
        self.0.push(FieldError {
            pointer: pointer.to_owned(),
            message,
        });
    }
}

fn take_field(collection: &mut Collection) -> u16 {
    let number = collection.next_field;
    collection.next_field = collection.next_field.saturating_add(1);
    number
}

/// A field without what depends on other fields and collections.
fn plain(name: &Name, field: &Field) -> FieldSpec {
    FieldSpec {
        number: 0,
        name: name.as_str().to_owned(),
        kind: Kind::Text,
        required: field.required,
        default: None,
        unique: None,
        max_length: field.max_length,
        min: field.min,
        max: field.max,
    }
}

/// Fills in the type of a field and its default, and checks that nothing is given that does not belong to the type.
fn complete(collection: &mut Collection, name: &Name, field: &Field, catalog: &Catalog, errors: &mut Errors) {
    let at = format!("/fields/{name}");
    let mut wrong = |what: &str, message: &str| errors.add(&format!("{at}{what}"), message.to_owned());
    if RESERVED.contains(&name.as_str()) || PARAMETERS.contains(&name.as_str()) {
        wrong("", "is a reserved name");
    }
    let selects = matches!(field.kind, FieldType::Select | FieldType::MultiSelect);
    if selects && (field.options.is_empty() || field.options.len() > OPTIONS) {
        wrong("/options", "needs 1 to 500 options");
    }
    let mut seen = field.options.clone();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() != field.options.len()
        || field
            .options
            .iter()
            .any(|option| option.is_empty() || option.chars().count() > 200)
    {
        wrong("/options", "must be different texts of 1 to 200 characters");
    }
    if !selects && !field.options.is_empty() {
        wrong("/options", "belongs to select and multi_select alone");
    }
    let reference = field.kind == FieldType::Reference;
    if !reference && (field.collection.is_some() || field.on_delete.is_some()) {
        wrong("/collection", "belongs to reference alone");
    }
    if field.per.is_some() && field.kind != FieldType::Sequence {
        wrong("/per", "belongs to sequence alone");
    }
    let numeric = matches!(field.kind, FieldType::Number | FieldType::Integer);
    if !numeric && (field.min.is_some() || field.max.is_some()) {
        wrong("/min", "min and max belong to number and integer alone");
    }
    if field.min.zip(field.max).is_some_and(|(min, max)| min > max) {
        wrong("/min", "is larger than max");
    }
    let kind = match kind(collection, field, catalog) {
        Ok(kind) => kind,
        Err((what, message)) => return errors.add(&format!("{at}{what}"), message),
    };
    let Some(spec) = collection.fields.iter_mut().find(|spec| spec.name == name.as_str()) else {
        return;
    };
    spec.kind = kind;
    if let Some(default) = &field.default {
        let no_default = matches!(spec.kind, Kind::Sequence { .. } | Kind::Reference { .. }) || field.unique;
        match convert::check_default(spec, default) {
            _ if no_default => errors.add(
                &format!("{at}/default"),
                "a sequence, reference or unique field has none".to_owned(),
            ),
            Ok(()) => spec.default = Some(default.to_string()),
            Err(message) => errors.add(&format!("{at}/default"), message),
        }
    }
}
