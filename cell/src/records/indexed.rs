//! Texts in an index are part of its keys, and keys are short.

use api::error::FieldError;

use super::convert::{error, escape};
use super::schema::{Collection, Part};
use super::value::{Doc, Value};

/// Longest text in an index, in bytes: four of them, escaped, are shorter than the longest key.
const INDEXED_BYTES: usize = 1_024;

/// The first field whose text is too long for an index that it is in, and what is wrong.
pub(super) fn too_long_for_an_index(collection: &Collection, doc: &Doc) -> Option<(String, String)> {
    let mut errors = Vec::new();
    check_indexed(collection, doc, "", &mut errors);
    let first = errors.into_iter().next()?;
    Some((first.pointer.trim_start_matches('/').to_owned(), first.message))
}

/// Adds what is too long.
pub(super) fn check_indexed(collection: &Collection, doc: &Doc, at: &str, errors: &mut Vec<FieldError>) {
    for part in collection.indexes.iter().flat_map(|index| &index.parts) {
        let Part::Field(number) = part else { continue };
        let Some(Value::Text(text)) = doc.get(*number) else { continue };
        let known = |errors: &[FieldError], name: &str| {
            errors
                .iter()
                .any(|error| error.pointer.ends_with(&format!("/{}", escape(name))))
        };
        if text.len() > INDEXED_BYTES
            && let Some(field) = collection.field_numbered(*number)
            && !known(errors, &field.name)
        {
            let message = format!(
                "is {} bytes long and in an index: at most {INDEXED_BYTES} are allowed there",
                text.len()
            );
            errors.push(error(at, &field.name, message));
        }
    }
}
