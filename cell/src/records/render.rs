//! From stored rows to the JSON that users see.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::body::record::Record as Body;
use api::ids::Id;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::schema::Collection;
use super::time::{TimeText, format_date, format_stamp};
use super::value::{Record, Value};

/// The largest double below which every whole number is exact: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Fields that a reply is limited to; none: all.
pub(crate) type Wanted<'a> = Option<&'a [String]>;

/// A record's fields as JSON, in the order of the schema.
pub(super) struct Shown<'a, S> {
    pub(super) collection: &'a Collection,
    pub(super) record: &'a Record<S>,
    pub(super) wanted: Wanted<'a>,
}

/// One value as JSON.
struct ShownValue<'a, S>(&'a Value<S>);

/// A record as it is answered, to be written where it goes to: the same JSON as [`Body`], without its copies.
#[derive(Serialize)]
#[serde(bound = "S: AsRef<str>")]
pub(super) struct Answered<'a, S: AsRef<str>> {
    pub(super) id: Id,
    collection: &'a str,
    version: u64,
    created_at: Stamp,
    updated_at: Stamp,
    created_by: By<'a>,
    fields: Shown<'a, S>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) expand: BTreeMap<String, Body>,
}

/// A stamp as RFC 3339.
struct Stamp(u64);

/// Who created a record, as text.
struct By<'a>(&'a crate::machine::rows::Actor);

impl<'a, S: AsRef<str>> Answered<'a, S> {
    /// What is answered of a record, and nothing that it refers to.
    pub(super) fn new(collection: &'a Collection, id: Uuid, record: &'a Record<S>, wanted: Wanted<'a>) -> Self {
        Self {
            id: Id(id),
            collection: &collection.name,
            version: record.version,
            created_at: Stamp(record.created),
            updated_at: Stamp(record.updated),
            created_by: By(&record.by),
            fields: Shown {
                collection,
                record,
                wanted,
            },
            expand: BTreeMap::new(),
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(TimeText::stamp(self.0).as_str())
    }
}

impl Serialize for By<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

impl<T: AsRef<str>> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in &self.collection.fields {
            if self.wanted.is_some_and(|wanted| !wanted.contains(&field.name)) {
                continue;
            }
            if let Some(value) = self.record.doc.get(field.number) {
                map.serialize_entry(&field.name, &ShownValue(value))?;
            }
        }
        map.end()
    }
}

impl<T: AsRef<str>> Serialize for ShownValue<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Number(value) => number(*value, serializer),
            Value::Text(value) => serializer.serialize_str(value.as_ref()),
            Value::Date(days) => serializer.serialize_str(&format_date(*days)),
            Value::Timestamp(micros) => serializer.serialize_str(TimeText::micros(*micros).as_str()),
            Value::List(items) => serializer.collect_seq(items.iter().map(AsRef::as_ref)),
            Value::Reference(id) => serializer.serialize_str(id.hyphenated().encode_lower(&mut [0; 36])),
            Value::Json(text) => match serde_json::from_str::<&RawValue>(text.as_ref()) {
                Ok(raw) => raw.serialize(serializer),
                Err(error) => Err(serde::ser::Error::custom(error)),
            },
        }
    }
}

/// A whole number is shown as it was most likely sent: 3, not 3.0.
fn number<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number of this size is exact")]
        return serializer.serialize_i64(value as i64);
    }
    serializer.serialize_f64(value)
}

/// One value as JSON.
pub(super) fn value(value: &Value) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::to_value(ShownValue(value))
}

/// All fields of a record.
pub(crate) fn fields(collection: &Collection, record: &Record) -> Result<Box<RawValue>, serde_json::Error> {
    to_raw_value(&Shown {
        collection,
        record,
        wanted: None,
    })
}

/// A record as it is answered.
pub(crate) fn record(
    collection: &Arc<Collection>,
    id: Uuid,
    record: &Record,
    wanted: Wanted<'_>,
) -> Result<Body, serde_json::Error> {
    Ok(Body {
        id: Id(id),
        collection: collection.name.clone(),
        version: record.version,
        created_at: format_stamp(record.created),
        updated_at: format_stamp(record.updated),
        created_by: record.by.to_string(),
        fields: to_raw_value(&Shown {
            collection,
            record,
            wanted,
        })?,
        expand: BTreeMap::new(),
    })
}
