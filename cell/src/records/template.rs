//! Templates: the collections that a new tenant starts with, as data.

use api::body::collection::CollectionSchema;
use api::error::{Code, Error};
use api::ids::Name;
use serde::Deserialize;

use super::schema::Collection;
use super::schema_check;
use crate::machine::catalog::Catalog;

/// Every template by name.
const TEMPLATES: [(&str, &str); 1] = [("workspace", include_str!("templates/workspace.json"))];

/// The names of all templates.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(name, _)| *name)
}

/// One collection of a template.
#[derive(Deserialize)]
struct Entry {
    name: Name,
    #[serde(flatten)]
    schema: CollectionSchema,
}

/// The collections of a template, in an order in which references point back.
pub(crate) fn collections(template: &str) -> Result<Vec<Collection>, Error> {
    let found = TEMPLATES.iter().find(|(name, _)| *name == template);
    let known = || names().collect::<Vec<_>>().join(", ");
    let unknown = || {
        Error::new(
            Code::InvalidFields,
            format!("/template: {template:?} is not a template; there are: {}", known()),
        )
    };
    let (_, text) = found.ok_or_else(unknown)?;
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| crate::service::error::internal(&error))?;
    let mut catalog = Catalog::default();
    let mut collections = Vec::with_capacity(entries.len());
    for (number, entry) in (1..).zip(entries) {
        let checked = schema_check::check(&entry.name, &entry.schema, None, &catalog, number)?;
        catalog.add(checked.collection.clone());
        collections.push(checked.collection);
    }
    Ok(collections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_passes_the_checks_of_a_schema() {
        for name in names() {
            assert!(!collections(name).expect(name).is_empty());
        }
        assert!(collections("nothing").is_err());
    }
}
