//! From a value of one type to the same value of another, where there is one. Pure: apply does it.

use serde_json::Value as Json;

use super::super::convert;
use super::super::render;
use super::super::schema::{FieldSpec, Kind};
use super::super::value::Value;

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// The value as the field takes it; the message says why it does not.
pub(super) fn retype(field: &FieldSpec, value: &Value) -> Result<Option<Value>, String> {
    let near = match (&field.kind, value) {
        (Kind::Date, Value::Timestamp(micros)) => {
            Value::Date(i32::try_from(micros.div_euclid(DAY_MICROS)).map_err(|_| "is no date".to_owned())?)
        }
        (Kind::Timestamp, Value::Date(days)) => Value::Timestamp(i64::from(*days).saturating_mul(DAY_MICROS)),
        _ => value.clone(),
    };
    let json = render::value(&near).map_err(|error| error.to_string())?;
    convert::value(field, &read_as(&field.kind, json), None)
}

/// JSON of another type, read as a type would have it. What cannot be read stays as it is, and is refused as that.
fn read_as(kind: &Kind, json: Json) -> Json {
    match (kind, json) {
        (Kind::Text | Kind::User | Kind::Select(_), json @ (Json::Number(_) | Json::Bool(_))) => Json::String(json.to_string()),
        (Kind::Text, json @ Json::Object(_)) => Json::String(json.to_string()),
        (Kind::Text | Kind::User | Kind::Select(_), Json::Array(mut items)) if items.len() == 1 => items.remove(0),
        (Kind::Tags | Kind::MultiSelect(_), json @ Json::String(_)) => Json::Array(vec![json]),
        (Kind::Number | Kind::Integer | Kind::Sequence { .. } | Kind::Bool, Json::String(text)) => {
            serde_json::from_str(text.trim()).unwrap_or(Json::String(text))
        }
        (_, json) => json,
    }
}
