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
const TEMPLATES: [(&str, &str); 4] = [
    ("workspace", include_str!("templates/workspace.json")),
    ("crm", include_str!("templates/crm.json")),
    ("helpdesk", include_str!("templates/helpdesk.json")),
    ("docs", include_str!("templates/docs.json")),
];

/// The names of all templates.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(name, _)| *name)
}

/// One collection of a template.
#[derive(Deserialize)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: Name,
    /// Its schema and policy, as users send them.
    #[serde(flatten)]
    pub(crate) schema: CollectionSchema,
}

/// The collections of a template as users would send them, in an order in which references point back.
pub(crate) fn entries(template: &str) -> Result<Vec<Entry>, Error> {
    let found = TEMPLATES.iter().find(|(name, _)| *name == template);
    let known = || names().collect::<Vec<_>>().join(", ");
    let unknown = || {
        Error::new(
            Code::InvalidFields,
            format!("/template: {template:?} is not a template; there are: {}", known()),
        )
    };
    let (_, text) = found.ok_or_else(unknown)?;
    serde_json::from_str(text).map_err(|error| crate::service::error::internal(&error))
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
    let entries = entries(template)?;
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
