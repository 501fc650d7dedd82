//! Templates: the collections that a new tenant starts with, as data.

use api::body::collection::CollectionSchema;
use api::error::{Code, Error};
use api::ids::Name;
use serde::Deserialize;

use super::policy::Policy;
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

/// What a space starts with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    /// The collections, in an order in which references point back.
    pub(crate) collections: Vec<Collection>,
    /// The policies of some of them, by the collection's number.
    pub(crate) policies: Vec<(u32, Policy)>,
}

/// A template by its name.
pub(crate) fn find(template: &str) -> Result<Template, Error> {
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
    let mut template = Template::default();
    for (number, entry) in (1..).zip(entries) {
        let checked = schema_check::check(&entry.name, &entry.schema, None, &catalog, number)?;
        catalog.add(checked.collection.clone());
        template.collections.push(checked.collection);
        if !checked.policy.is_empty() {
            template.policies.push((number, checked.policy));
        }
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_passes_the_checks_of_a_schema() {
        for name in names() {
            assert!(!find(name).expect(name).collections.is_empty());
        }
        assert!(find("nothing").is_err());
    }
}
