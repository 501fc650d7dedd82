//! The schema of a collection as it is stored and used: fields and indexes by number.
//!
//! Numbers are given once and never used again, so that rows and index keys of a dropped field cannot be mistaken for
//! those of a later one.

use std::collections::BTreeMap;

use api::body::collection::{CollectionSchema, Field, FieldType, IndexSchema, OnDelete};
use serde::{Deserialize, Serialize};
use storage::Element;

use super::policy::Policy;
use super::value::Record;

/// A collection. Stored: see [`CollectionRow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Collection {
    /// Its number in the tenant.
    pub(crate) number: u32,
    /// Its name.
    pub(crate) name: String,
    /// From 1, raised by each change of the schema.
    pub(crate) version: u64,
    /// It is gone; only its name is kept, for the events that speak of it.
    pub(crate) dropped: bool,
    /// The fields by name.
    pub(crate) fields: Vec<FieldSpec>,
    /// The indexes by name.
    pub(crate) indexes: Vec<IndexSpec>,
    /// The numbers of the fields that search looks into.
    pub(crate) search: Vec<u16>,
    /// The number of the next field.
    pub(crate) next_field: u16,
    /// The number of the next index.
    pub(crate) next_index: u32,
}

/// Versions of [`Collection`].
#[derive(Serialize, Deserialize)]
pub(crate) enum CollectionRow {
    /// The first.
    V1(Collection),
}

/// One field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FieldSpec {
    /// Its number in the collection.
    pub(crate) number: u16,
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) kind: Kind,
    /// Whether a record must have it.
    pub(crate) required: bool,
    /// What a new record gets that leaves it out: JSON.
    pub(crate) default: Option<String>,
    /// The unique index that keeps it unique.
    pub(crate) unique: Option<u32>,
    /// Longest text (characters), most items, or longest JSON (bytes).
    pub(crate) max_length: Option<u32>,
    /// Smallest number.
    pub(crate) min: Option<f64>,
    /// Largest number.
    pub(crate) max: Option<f64>,
}

/// The type of a field with what belongs to it. Append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Text,
    Number,
    Integer,
    Bool,
    Date,
    Timestamp,
    Select(Vec<String>),
    MultiSelect(Vec<String>),
    Tags,
    Reference {
        /// The number of the collection that it points to.
        collection: u32,
        /// That collection's name.
        name: String,
        /// What happens when the target is deleted.
        on_delete: Deletion,
    },
    User,
    Json,
    Sequence {
        /// The number of the reference field that it counts within.
        per: Option<u16>,
    },
    /// Written through updates (`documents/`); a record has its text.
    Document,
}

/// What happens to a record when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deletion {
    Restrict,
    SetNull,
    Cascade,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexSpec {
    /// Its number in the collection.
    pub(crate) number: u32,
    /// Its name; none: it keeps one field unique.
    pub(crate) name: Option<String>,
    /// What it is made of.
    pub(crate) parts: Vec<Part>,
    /// Whether no two records may have the same values. Values with a null are not compared.
    pub(crate) unique: bool,
}

/// A part of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// A field by its number.
    Field(u16),
    /// When the record was created.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
}

impl Collection {
    /// A field by its name.
    pub(crate) fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// A field by its number.
    pub(crate) fn field_numbered(&self, number: u16) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// The name of a part of an index.
    pub(crate) fn part_name(&self, part: Part) -> &str {
        match part {
            Part::Field(number) => self.field_numbered(number).map_or("", |field| &field.name),
            Part::CreatedAt => "created_at",
            Part::UpdatedAt => "updated_at",
        }
    }

    /// The schema as users see it.
    pub(crate) fn to_api(&self, policy: Option<&Policy>) -> api::body::collection::Collection {
        let name = |number: &u16| self.field_numbered(*number).and_then(|field| field.name.parse().ok());
        let fields = self
            .fields
            .iter()
            .filter_map(|field| Some((field.name.parse().ok()?, self.field_to_api(field))))
            .collect();
        let indexes: BTreeMap<_, _> = self
            .indexes
            .iter()
            .filter_map(|index| {
                let parts = index
                    .parts
                    .iter()
                    .filter_map(|part| self.part_name(*part).parse().ok())
                    .collect();
                Some((
                    index.name.as_ref()?.parse().ok()?,
                    IndexSchema {
                        fields: parts,
                        unique: index.unique,
                    },
                ))
            })
            .collect();
        let schema = CollectionSchema {
            fields,
            indexes,
            search: self.search.iter().filter_map(name).collect(),
            rules: policy.map(Policy::rules).unwrap_or_default(),
            workflow: policy.and_then(|policy| policy.workflow(self)),
        };
        api::body::collection::Collection {
            name: self.name.clone(),
            version: self.version,
            schema,
            change: None,
        }
    }

    fn field_to_api(&self, field: &FieldSpec) -> Field {
        let (options, collection, on_delete, per) = match &field.kind {
            Kind::Select(options) | Kind::MultiSelect(options) => (options.clone(), None, None, None),
            Kind::Reference { name, on_delete, .. } => (Vec::new(), name.parse().ok(), Some(on_delete.to_api()), None),
            Kind::Sequence { per } => {
                let per = per
                    .and_then(|number| self.field_numbered(number))
                    .and_then(|field| field.name.parse().ok());
                (Vec::new(), None, None, per)
            }
            _ => (Vec::new(), None, None, None),
        };
        Field {
            kind: field.kind.to_api(),
            required: field.required,
            default: field.default.as_ref().and_then(|json| serde_json::from_str(json).ok()),
            unique: field.unique.is_some(),
            max_length: field.max_length,
            min: field.min,
            max: field.max,
            options,
            collection,
            on_delete,
            per,
            renamed_from: None,
        }
    }
}

impl IndexSpec {
    /// The values of a record in this index.
    pub(crate) fn values(&self, record: &Record) -> Vec<Element> {
        self.parts.iter().map(|part| part.element(record)).collect()
    }
}

impl Part {
    /// The value of a record there.
    pub(crate) fn element<S: AsRef<str>>(self, record: &Record<S>) -> Element {
        let instant = |micros: u64| Element::Integer(i64::try_from(micros).unwrap_or(i64::MAX));
        match self {
            Part::Field(number) => record.doc.get(number).map_or(Element::Null, super::value::Value::element),
            Part::CreatedAt => instant(record.created),
            Part::UpdatedAt => instant(record.updated),
        }
    }
}

impl Kind {
    /// The type as users see it.
    pub(crate) fn to_api(&self) -> FieldType {
        match self {
            Kind::Text => FieldType::Text,
            Kind::Number => FieldType::Number,
            Kind::Integer => FieldType::Integer,
            Kind::Bool => FieldType::Bool,
            Kind::Date => FieldType::Date,
            Kind::Timestamp => FieldType::Timestamp,
            Kind::Select(_) => FieldType::Select,
            Kind::MultiSelect(_) => FieldType::MultiSelect,
            Kind::Tags => FieldType::Tags,
            Kind::Reference { .. } => FieldType::Reference,
            Kind::User => FieldType::User,
            Kind::Json => FieldType::Json,
            Kind::Sequence { .. } => FieldType::Sequence,
            Kind::Document => FieldType::Document,
        }
    }

    /// Whether an index may hold it: lists and documents have no one value.
    pub(crate) fn indexable(&self) -> bool {
        !matches!(self, Kind::MultiSelect(_) | Kind::Tags | Kind::Json | Kind::Document)
    }
}

impl Deletion {
    fn to_api(self) -> OnDelete {
        match self {
            Deletion::Restrict => OnDelete::Restrict,
            Deletion::SetNull => OnDelete::SetNull,
            Deletion::Cascade => OnDelete::Cascade,
        }
    }

    /// From what users say.
    pub(crate) fn from_api(on_delete: OnDelete) -> Self {
        match on_delete {
            OnDelete::Restrict => Deletion::Restrict,
            OnDelete::SetNull => Deletion::SetNull,
            OnDelete::Cascade => Deletion::Cascade,
        }
    }
}
