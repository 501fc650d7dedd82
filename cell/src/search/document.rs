//! What is indexed of a record: the fields that its collection's `search` names, and what people call it by its number.
//!
//! The first text of `search` is what the record is called: it weighs most. Other texts are its body; tags and choices are labels. A sequence that
//! counts within another record is a label together with that record's key: number 12 of the project `CN` is found as `CN-12`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use storage::search::{Indexed, Language, Part};
use storage::{Snapshot, Space};
use uuid::Uuid;

use crate::machine::catalog::Catalog;
use crate::machine::refusal::Fault;
use crate::records::entries::Place;
use crate::records::schema::{Collection, FieldSpec, Kind};
use crate::records::value::{Record, Value};

/// Raised by each change of what is indexed of a record: what was indexed otherwise is indexed again.
const VERSION: u32 = 1;

/// What is indexed of the records of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The collection's number.
    pub(super) collection: u32,
    /// Fields, and the part that each belongs to.
    fields: Vec<(u16, Part)>,
    /// Sequences by which records are called.
    numbers: Vec<Number>,
}

/// What a space is to be indexed like.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) catalog: Arc<Catalog>,
    pub(super) language: Language,
    /// By the number of the collection.
    pub(super) shapes: BTreeMap<u32, Shape>,
    /// What stands for each shape.
    pub(super) digests: BTreeMap<u32, u64>,
    /// What stands for all of them; never zero, which is what was not indexed yet.
    pub(super) digest: u64,
}

impl Wanted {
    pub(super) fn of(catalog: Arc<Catalog>, language: Language) -> Self {
        let shapes = catalog.iter().filter_map(|collection| Shape::of(&catalog, collection));
        let shapes: BTreeMap<_, _> = shapes.map(|shape| (shape.collection, shape)).collect();
        let digests: BTreeMap<_, _> = shapes
            .iter()
            .map(|(number, shape)| (*number, shape.digest(language)))
            .collect();
        Self {
            digest: digest(&format!("{digests:?}")).max(1),
            catalog,
            language,
            shapes,
            digests,
        }
    }
}

/// What stands for something where it is compared.
fn digest(what: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(what.as_bytes()).as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// A sequence by which records are called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    field: u16,
    /// What it counts within: the field that refers to it, its collection, and the field that has its key.
    within: Option<(u16, u32, u16)>,
}

impl Shape {
    /// What is indexed of a collection; none: nothing is.
    pub(super) fn of(catalog: &Catalog, collection: &Collection) -> Option<Shape> {
        let searched = collection
            .search
            .iter()
            .filter_map(|number| collection.field_numbered(*number));
        let mut is_called = false;
        let part = |field: &FieldSpec| match field.kind {
            Kind::Text if !std::mem::replace(&mut is_called, true) => Part::Title,
            Kind::Text | Kind::Document => Part::Body,
            _ => Part::Label,
        };
        let fields: Vec<_> = searched.clone().map(|field| field.number).zip(searched.map(part)).collect();
        let numbers = collection
            .fields
            .iter()
            .filter_map(|field| number(catalog, collection, field));
        (!fields.is_empty() && !collection.dropped).then(|| Shape {
            collection: collection.number,
            fields,
            numbers: numbers.collect(),
        })
    }

    /// What stands for it where it is compared with what was indexed.
    fn digest(&self, language: Language) -> u64 {
        digest(&format!("{VERSION} {} {self:?}", language.code()))
    }

    /// The fields of another collection that records of this one are called after.
    pub(super) fn keys_in(&self, collection: u32) -> impl Iterator<Item = u16> {
        let within = self.numbers.iter().filter_map(|number| number.within);
        within
            .filter(move |(_, target, _)| *target == collection)
            .map(|(_, _, key)| key)
    }

    /// The field of a text, and which part it is.
    pub(super) fn fields(&self) -> impl Iterator<Item = (u16, Part)> {
        self.fields.iter().copied()
    }

    /// What is indexed of a record.
    pub(super) fn document<'r>(
        &self,
        snapshot: &Snapshot,
        place: Place,
        record: &'r Record,
        language: Language,
    ) -> Result<Indexed<'r>, Fault> {
        let mut texts = Vec::with_capacity(self.fields.len() + self.numbers.len());
        for (field, part) in &self.fields {
            texts.extend(record.doc.get(*field).and_then(text).map(|text| (*part, text)));
        }
        for number in &self.numbers {
            texts.extend(
                number
                    .label(snapshot, place.space, record)?
                    .map(|label| (Part::Label, label.into())),
            );
        }
        Ok(Indexed {
            space: place.space,
            collection: place.collection,
            id: place.id.into_bytes(),
            language,
            texts,
        })
    }
}

impl Number {
    /// What a record is called by it.
    fn label(&self, snapshot: &Snapshot, space: Space, record: &Record) -> Result<Option<String>, Fault> {
        let Some(Value::Integer(number)) = record.doc.get(self.field) else {
            return Ok(None);
        };
        let Some((reference, collection, key)) = self.within else {
            return Ok(Some(number.to_string()));
        };
        let Some(Value::Reference(id)) = record.doc.get(reference) else {
            return Ok(Some(number.to_string()));
        };
        let target = key_of(snapshot, space, collection, *id, key)?;
        Ok(Some(
            target.map_or_else(|| number.to_string(), |key| format!("{key}-{number}")),
        ))
    }
}

fn key_of(snapshot: &Snapshot, space: Space, collection: u32, id: Uuid, key: u16) -> Result<Option<String>, Fault> {
    let target = Place { space, collection, id }.read(snapshot)?;
    Ok(target.and_then(|target| match target.doc.get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }))
}

fn number(catalog: &Catalog, collection: &Collection, field: &FieldSpec) -> Option<Number> {
    let Kind::Sequence { per } = &field.kind else { return None };
    let within = per.and_then(|per| {
        let Kind::Reference { collection: target, .. } = collection.field_numbered(per)?.kind else {
            return None;
        };
        let mut fields = catalog.numbered(target)?.fields.iter();
        let key = fields.find(|field| field.kind == Kind::Text && field.unique.is_some())?;
        Some((per, target, key.number))
    });
    Some(Number {
        field: field.number,
        within,
    })
}

/// A value as it is read.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::List(items) => Some(Cow::Owned(items.join("\n"))),
        _ => None,
    }
}
