//! Values of fields as they are stored: typed, by the number of the field, nulls left out.
//!
//! Numbers instead of names make a record small and renaming a field a change of the schema alone.
//!
//! Texts are a parameter: of their own in what is changed and kept, borrowed from the row where it is only looked at and shown, as lists do.
//! Both are read from the same bytes.

use serde::{Deserialize, Serialize};
use storage::Element;
use uuid::Uuid;

/// The value of a field. Append only: it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value<S = String> {
    /// `bool`.
    Bool(bool),
    /// `integer`, `sequence`.
    Integer(i64),
    /// `number`: finite.
    Number(f64),
    /// `text`, `select`, `user`.
    Text(S),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `timestamp`: microseconds since the epoch.
    Timestamp(i64),
    /// `multi_select`, `tags`.
    List(Vec<S>),
    /// `reference`.
    Reference(Uuid),
    /// `json`: compact text.
    Json(S),
}

impl<S: AsRef<str>> Value<S> {
    /// The value inside index keys, so that keys order as values do. Lists and JSON cannot be indexed.
    pub(crate) fn element(&self) -> Element {
        match self {
            Value::Bool(value) => Element::Bool(*value),
            Value::Integer(value) | Value::Timestamp(value) => Element::Integer(*value),
            Value::Number(value) => Element::Number(*value),
            Value::Text(value) => Element::Text(value.as_ref().to_owned()),
            Value::Date(value) => Element::Integer(i64::from(*value)),
            Value::Reference(value) => Element::Uuid(value.into_bytes()),
            Value::List(_) | Value::Json(_) => Element::Null,
        }
    }
}

/// The fields of a record, sorted by the number of the field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Doc<S = String>(Vec<(u16, Value<S>)>);

impl<S> Default for Doc<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S> Doc<S> {
    /// The value of a field.
    pub(crate) fn get(&self, field: u16) -> Option<&Value<S>> {
        self.0
            .binary_search_by_key(&field, |(number, _)| *number)
            .ok()
            .map(|at| &self.0[at].1)
    }
}

impl Doc {
    /// About how many bytes it takes when it is stored.
    pub(crate) fn bytes(&self) -> usize {
        let value = |value: &Value| match value {
            Value::Text(text) | Value::Json(text) => text.len() + 3,
            Value::List(items) => items.iter().map(|item| item.len() + 2).sum::<usize>() + 2,
            Value::Reference(_) => 17,
            _ => 9,
        };
        self.0.iter().map(|(_, stored)| value(stored) + 3).sum()
    }

    /// All values with the numbers of their fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u16, Value)> {
        self.0.iter()
    }

    /// Sets or, with none, removes the value of a field.
    pub(crate) fn set(&mut self, field: u16, value: Option<Value>) {
        match (self.0.binary_search_by_key(&field, |(number, _)| *number), value) {
            (Ok(at), Some(value)) => self.0[at].1 = value,
            (Ok(at), None) => {
                self.0.remove(at);
            }
            (Err(at), Some(value)) => self.0.insert(at, (field, value)),
            (Err(_), None) => {}
        }
    }
}

/// A record as it is stored. Its collection and id are its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<S = String> {
    /// From 1, raised by each change.
    pub(crate) version: u64,
    /// Microseconds since the epoch.
    pub(crate) created: u64,
    /// Microseconds since the epoch.
    pub(crate) updated: u64,
    /// Who created it.
    pub(crate) by: crate::machine::rows::Actor,
    /// Its fields.
    pub(crate) doc: Doc<S>,
}

/// Versions of [`Record`].
#[derive(Serialize, Deserialize)]
pub(crate) enum RecordRow<S = String> {
    /// The first.
    V1(Record<S>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doc_stays_sorted_and_keeps_no_nulls() {
        let mut doc = Doc::default();
        doc.set(3, Some(Value::Bool(true)));
        doc.set(1, Some(Value::Integer(1)));
        doc.set(2, None);
        doc.set(3, Some(Value::Bool(false)));
        assert_eq!(doc, Doc(vec![(1, Value::Integer(1)), (3, Value::Bool(false))]));
        doc.set(1, None);
        assert_eq!(doc.get(1), None);
        assert_eq!(doc.get(3), Some(&Value::Bool(false)));
    }
}
