//! One line of an import, from JSON to what is stored.
//!
//! A line is a flat JSON object of fields, with `id` and `created_at` where it brings its own. Where lines may change records (upsert), it
//! is read twice: as the whole record that it makes where there is none yet, and as what it changes where there is one.

use api::body::record::Fields;
use api::error::{Code, Error, FieldError};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use super::convert::{Mode, document, timestamp};
use super::schema::{Collection, Kind};
use super::value::{Doc, Value};
use super::write::Expect;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The id that its record has, or is to have if it is new.
    pub(crate) id: Uuid,
    /// Whether the line says so itself.
    pub(crate) own_id: bool,
    /// When the record was created, in microseconds since the epoch, where the line says so.
    pub(crate) created: Option<u64>,
    /// The record that it makes; or what it lacks for that, as pointers and messages.
    pub(crate) whole: Result<Doc, Vec<(String, String)>>,
    /// What it changes of a record that is there; none: nothing, it may only make one.
    pub(crate) change: Option<Change>,
    /// What must hold of the record that is there, where rules were asked about it.
    pub(crate) expect: Expect,
}

/// What a line changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The values that it gives.
    set: Doc,
    /// The fields that it empties.
    clear: Vec<u16>,
}

/// How lines are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// All values are texts, as CSV has them.
    pub(crate) texts: bool,
    /// Lines may change records.
    pub(crate) upsert: bool,
}

impl Line {
    /// Reads a line. `fresh`: the id of its record where it does not say.
    pub(crate) fn read(collection: &Collection, number: u64, text: &[u8], fresh: Uuid, reading: Reading) -> Result<Self, Error> {
        let malformed = |error: serde_json::Error| Error::new(Code::MalformedBody, format!("not a JSON object: {error}"));
        let mut fields: Fields = serde_json::from_slice(text).map_err(malformed)?;
        let own = own_id(collection, &mut fields)?;
        let created = own_time(collection, &mut fields)?;
        if reading.texts {
            fields.iter_mut().for_each(|(name, value)| read_text(collection, name, value));
        }
        let whole = document(collection, &fields, Doc::default(), Mode::Whole, "");
        let (whole, change) = match (whole, reading.upsert) {
            (Err(errors), false) => return Err(Error::fields(errors)),
            (Ok(doc), false) => (Ok(doc), None),
            (whole, true) => {
                let change = Change::read(collection, &fields).map_err(Error::fields)?;
                let lacks = |errors: Vec<FieldError>| errors.into_iter().map(|error| (error.pointer, error.message)).collect();
                (whole.map_err(lacks), Some(change))
            }
        };
        Ok(Self {
            number,
            id: own.unwrap_or(fresh),
            own_id: own.is_some(),
            created,
            whole,
            change,
            expect: Expect::Any,
        })
    }

    /// About how many bytes it stores.
    pub(crate) fn bytes(&self) -> usize {
        self.whole.as_ref().map_or(0, Doc::bytes) + self.change.as_ref().map_or(0, |change| change.set.bytes())
    }
}

impl Change {
    fn read(collection: &Collection, fields: &Fields) -> Result<Self, Vec<FieldError>> {
        let set = document(collection, fields, Doc::default(), Mode::Part, "")?;
        let emptied = collection
            .fields
            .iter()
            .filter(|field| fields.get(&field.name).is_some_and(Json::is_null));
        let mut clear = Vec::new();
        for field in emptied {
            if field.required {
                return Err(vec![FieldError {
                    pointer: format!("/{}", field.name),
                    message: "is required".to_owned(),
                }]);
            }
            clear.push(field.number);
        }
        Ok(Self { set, clear })
    }

    /// The value that it gives to a field.
    pub(crate) fn value(&self, field: u16) -> Option<&Value> {
        self.set.get(field)
    }

    /// The document that it makes of one.
    pub(crate) fn apply(&self, old: &Doc) -> Doc {
        let mut doc = old.clone();
        self.set
            .iter()
            .for_each(|(field, value)| doc.set(*field, Some(value.clone())));
        self.clear.iter().for_each(|field| doc.set(*field, None));
        doc
    }
}

fn invalid(what: &str, message: &str) -> Error {
    Error::new(Code::InvalidFields, format!("/{what}: {message}"))
}

fn own_id(collection: &Collection, fields: &mut Fields) -> Result<Option<Uuid>, Error> {
    let own = collection.field("id").is_none();
    match own.then(|| fields.remove("id")).flatten() {
        None | Some(Json::Null) => Ok(None),
        Some(json) => {
            let id: Option<api::ids::Id> = json.as_str().and_then(|text| text.parse().ok());
            id.map(|id| Some(id.0)).ok_or_else(|| invalid("id", "must be a UUID"))
        }
    }
}

fn own_time(collection: &Collection, fields: &mut Fields) -> Result<Option<u64>, Error> {
    let own = collection.field("created_at").is_none();
    match own.then(|| fields.remove("created_at")).flatten() {
        None | Some(Json::Null) => Ok(None),
        Some(json) => {
            let micros = timestamp(&json).map_err(|message| invalid("created_at", &message))?;
            let micros = u64::try_from(micros).map_err(|_| invalid("created_at", "must not be before 1970"))?;
            Ok(Some(micros))
        }
    }
}

/// Reads a text by the type of its field. What is no value of it stays a text, and is refused as one.
fn read_text(collection: &Collection, name: &str, value: &mut Json) {
    let Json::String(text) = &*value else { return };
    let Some(field) = collection.field(name) else { return };
    let read = match &field.kind {
        Kind::Bool | Kind::Integer | Kind::Number | Kind::Sequence { .. } | Kind::Json => serde_json::from_str(text.trim()).ok(),
        Kind::Tags | Kind::MultiSelect(_) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
        Kind::Tags | Kind::MultiSelect(_) => Some(text.split(',').map(str::trim).collect()),
        _ => None,
    };
    if let Some(read) = read {
        *value = read;
    }
}
