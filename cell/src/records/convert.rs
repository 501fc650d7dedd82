//! From JSON to stored values: every rule that a value of a field must keep, with a message that says what would be right.

use api::body::record::Fields;
use api::error::FieldError;
use serde_json::Value as Json;
use uuid::Uuid;

use super::indexed::check_indexed;
use super::merge::merge;
use super::schema::{Collection, FieldSpec, Kind};
use super::time;
use super::value::{Doc, Value};

/// Longest text where the schema names no limit, in characters.
const TEXT_CHARS: usize = 100_000;
/// Longest `select`, tag or `user`, in characters.
const SHORT_CHARS: usize = 200;
/// Most tags where the schema names no limit.
const TAGS: usize = 100;
/// Longest JSON value where the schema names no limit, in bytes.
const JSON_BYTES: usize = 65_536;
/// Largest number that a request may give to a sequence: the counter goes on from there and must never reach its end.
const SEQUENCE_MAX: i64 = 1 << 53;
/// Integers beyond this are not exact in every JSON reader; epoch seconds beyond it are no time.
const EPOCH_SECONDS_MAX: f64 = 253_402_300_799.0;

/// What a record's fields are checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A whole record: defaults are filled in, required fields must be there.
    Whole,
    /// A patch over a whole record: what is left out stays, null removes.
    Patch,
    /// What is given of a record that is not at hand: nothing has to be there.
    Part,
}

/// Turns fields into a document. `base` is what a patch merges into.
pub(crate) fn document(
    collection: &Collection,
    fields: &Fields,
    base: Doc,
    mode: Mode,
    at: &str,
) -> Result<Doc, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut doc = base.clone();
    for (name, json) in fields {
        let Some(field) = collection.field(name) else {
            errors.push(error(at, name, unknown_field(collection, name)));
            continue;
        };
        match value(field, json, base.get(field.number)) {
            Ok(value) => doc.set(field.number, value),
            Err(message) => errors.push(error(at, name, message)),
        }
    }
    for field in &collection.fields {
        if mode == Mode::Whole && !fields.contains_key(&field.name) {
            doc.set(field.number, default_value(field));
        }
        let missing = doc.get(field.number).is_none() && !matches!(field.kind, Kind::Sequence { .. });
        if field.required
            && mode != Mode::Part
            && missing
            && !errors
                .iter()
                .any(|error| error.pointer.ends_with(&format!("/{}", escape(&field.name))))
        {
            errors.push(error(at, &field.name, "is required".to_owned()));
        }
    }
    check_indexed(collection, &doc, at, &mut errors);
    if errors.is_empty() { Ok(doc) } else { Err(errors) }
}

/// One value; `None` for null. `old` is what a merge patch of a `json` field merges into.
pub(super) fn value(field: &FieldSpec, json: &Json, old: Option<&Value>) -> Result<Option<Value>, String> {
    if json.is_null() {
        return Ok(None);
    }
    let value = match &field.kind {
        Kind::Text => Value::Text(text(json, field.max_length.map_or(TEXT_CHARS, |max| max as usize))?),
        Kind::User => Value::Text(text(json, field.max_length.map_or(SHORT_CHARS, |max| max as usize))?),
        Kind::Bool => Value::Bool(json.as_bool().ok_or_else(|| expected("true or false", json))?),
        Kind::Integer | Kind::Sequence { .. } => Value::Integer(integer(field, json)?),
        Kind::Number => Value::Number(number(field, json)?),
        Kind::Date => Value::Date(date(json)?),
        Kind::Timestamp => Value::Timestamp(timestamp(json)?),
        Kind::Select(options) => Value::Text(option(options, json)?),
        Kind::MultiSelect(options) => Value::List(list(json, options.len(), |item| option(options, item))?),
        Kind::Tags => {
            let most = field.max_length.map_or(TAGS, |max| max as usize);
            Value::List(list(json, most, |item| text(item, SHORT_CHARS))?)
        }
        Kind::Reference { .. } => Value::Reference(reference(json)?),
        Kind::Json => Value::Json(document_json(field, json, old)?),
        Kind::Document => {
            let what = "is a document that is written together: leave it out here, and edit it through GET …/documents (docs/realtime.md)";
            return Err(what.to_owned());
        }
    };
    Ok(Some(value))
}

/// The default of a field, which was checked when the schema was stored.
pub(crate) fn default_value(field: &FieldSpec) -> Option<Value> {
    let json: Json = serde_json::from_str(field.default.as_ref()?).ok()?;
    value(field, &json, None).ok().flatten()
}

/// Checks a default of a schema.
pub(crate) fn check_default(field: &FieldSpec, json: &Json) -> Result<(), String> {
    value(field, json, None).map(|_| ())
}

/// The value that a text of a query stands for.
pub(crate) fn query_value(field: &FieldSpec, text: &str) -> Result<Option<Value>, String> {
    let json = match &field.kind {
        Kind::Bool | Kind::Integer | Kind::Number | Kind::Sequence { .. } => {
            serde_json::from_str(text).map_err(|_| format!("{text:?} is not a value of this field"))?
        }
        _ if text == "null" => Json::Null,
        _ => Json::String(text.to_owned()),
    };
    value(field, &json, None)
}

fn text(json: &Json, most: usize) -> Result<String, String> {
    let text = json.as_str().ok_or_else(|| expected("a text", json))?;
    let chars = text.chars().count();
    if chars > most {
        return Err(format!("is {chars} characters long, at most {most} are allowed"));
    }
    if text.contains('\0') {
        return Err("must not contain the character U+0000".to_owned());
    }
    Ok(text.to_owned())
}

fn integer(field: &FieldSpec, json: &Json) -> Result<i64, String> {
    let whole = json.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9.0e15);
    #[allow(clippy::cast_possible_truncation, reason = "a whole number below 9e15 is exact")]
    let integer = json
        .as_i64()
        .or(whole.map(|number| number as i64))
        .ok_or_else(|| expected("an integer of 64 bits", json))?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "limits are doubles; the comparison is as exact as they are"
    )]
    range(field, integer as f64)?;
    if matches!(field.kind, Kind::Sequence { .. }) && !(1..=SEQUENCE_MAX).contains(&integer) {
        return Err(format!("must be 1 to {SEQUENCE_MAX}"));
    }
    Ok(integer)
}

fn number(field: &FieldSpec, json: &Json) -> Result<f64, String> {
    let number = json
        .as_f64()
        .filter(|number| number.is_finite())
        .ok_or_else(|| expected("a finite number", json))?;
    range(field, number)?;
    Ok(number)
}

fn range(field: &FieldSpec, number: f64) -> Result<(), String> {
    match (field.min, field.max) {
        (Some(min), _) if number < min => Err(format!("is {number}, at least {min} is needed")),
        (_, Some(max)) if number > max => Err(format!("is {number}, at most {max} is allowed")),
        _ => Ok(()),
    }
}

fn date(json: &Json) -> Result<i32, String> {
    json.as_str()
        .and_then(time::parse_date)
        .ok_or_else(|| expected("a date such as \"2026-11-22\"", json))
}

/// RFC 3339, or epoch seconds.
pub(crate) fn timestamp(json: &Json) -> Result<i64, String> {
    if let Some(seconds) = json.as_f64().filter(|seconds| seconds.abs() <= EPOCH_SECONDS_MAX) {
        #[allow(clippy::cast_possible_truncation, reason = "bounded by the largest year")]
        return Ok((seconds * 1e6).round() as i64);
    }
    json.as_str()
        .and_then(time::parse_timestamp)
        .ok_or_else(|| expected("a time such as \"2026-11-22T21:17:00Z\", or seconds since 1970", json))
}

fn option(options: &[String], json: &Json) -> Result<String, String> {
    let text = json.as_str().ok_or_else(|| expected("a text", json))?;
    if options.iter().any(|option| option == text) {
        return Ok(text.to_owned());
    }
    Err(format!("is {}, which is none of: {}", shorten(json), options.join(", ")))
}

fn list(json: &Json, most: usize, item: impl Fn(&Json) -> Result<String, String>) -> Result<Vec<String>, String> {
    let items = json.as_array().ok_or_else(|| expected("a list of texts", json))?;
    let mut texts: Vec<String> = Vec::with_capacity(items.len().min(most));
    for (at, json) in items.iter().enumerate() {
        let text = item(json).map_err(|message| format!("item {at} {message}"))?;
        if text.is_empty() {
            return Err(format!("item {at} is empty"));
        }
        if texts.contains(&text) {
            continue;
        }
        if texts.len() == most {
            return Err(format!("has more than {most} different items"));
        }
        texts.push(text);
    }
    Ok(texts)
}

fn reference(json: &Json) -> Result<Uuid, String> {
    let id: Option<api::ids::Id> = json.as_str().and_then(|text| text.parse().ok());
    id.map(|id| id.0).ok_or_else(|| expected("the id of a record", json))
}

fn document_json(field: &FieldSpec, json: &Json, old: Option<&Value>) -> Result<String, String> {
    let merged = match old {
        Some(Value::Json(old)) if json.is_object() => {
            let mut base = serde_json::from_str(old).unwrap_or(Json::Null);
            merge(&mut base, json);
            base
        }
        _ => json.clone(),
    };
    let text = merged.to_string();
    let most = field.max_length.map_or(JSON_BYTES, |max| max as usize);
    if text.len() > most {
        return Err(format!("is {} bytes of JSON, at most {most} are allowed", text.len()));
    }
    Ok(text)
}

fn unknown_field(collection: &Collection, name: &str) -> String {
    let near = collection
        .fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name) || field.name.starts_with(name));
    let hint = near.map_or(String::new(), |field| format!("; did you mean {:?}?", field.name));
    format!("is not a field of {}{hint}", collection.name)
}

fn expected(what: &str, json: &Json) -> String {
    format!("must be {what}, not {}", shorten(json))
}

/// A value in a message: its first 40 characters.
fn shorten(json: &Json) -> String {
    match json {
        Json::Object(_) => "an object".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        other => other.to_string().chars().take(40).collect(),
    }
}

pub(super) fn error(at: &str, name: &str, message: String) -> FieldError {
    FieldError {
        pointer: format!("{at}/{}", escape(name)),
        message,
    }
}

/// A name inside a JSON pointer (RFC 6901), at most 60 characters of it.
pub(super) fn escape(name: &str) -> String {
    name.chars()
        .take(60)
        .collect::<String>()
        .replace('~', "~0")
        .replace('/', "~1")
}
