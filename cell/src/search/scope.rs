//! What is searched: the collections that were named, or all, as far as a token and a filter reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::error::{Code, Error};

use super::answer::Search;
use super::document::Shape;
use crate::expr::{Expression, Scope};
use crate::records::guard::Sight;
use crate::records::schema::Collection;

/// A collection that is searched.
pub(super) struct Searched<'a> {
    pub(super) collection: &'a Arc<Collection>,
    pub(super) shape: Shape,
    pub(super) filter: Option<Expression>,
    pub(super) sight: Sight<'a>,
}

impl<'a> Search<'a> {
    /// Whether the asker may read every record of the tenant.
    pub(super) fn shows_all(&self) -> bool {
        let hides = |collection: &Arc<Collection>| {
            let guard = self.catalog.guard(collection);
            guard.is_some_and(|guard| !guard.shows_all(&self.asker))
        };
        !self.catalog.iter().any(hides)
    }

    /// The collections that are searched, by number.
    pub(super) fn searched(&self, in_scope: impl Fn(&str) -> bool) -> Result<BTreeMap<u32, Searched<'a>>, Error> {
        let named = self.query.collections.as_deref();
        for name in named.unwrap_or_default() {
            let name = name.as_str();
            match self.catalog.named(name).filter(|_| in_scope(name)) {
                None => return Err(wrong("collections", format!("there is no collection {name:?}"))),
                Some(collection) if Shape::of(self.catalog, collection).is_none() => {
                    let what = format!("{name} has no fields to search: name some in the `search` of its schema");
                    return Err(wrong("collections", what));
                }
                Some(_) => {}
            }
        }
        let asked = |name: &str| in_scope(name) && named.is_none_or(|named| named.iter().any(|one| one.as_str() == name));
        let (mut searched, mut unfit) = (BTreeMap::new(), None);
        for collection in self.catalog.iter().filter(|collection| asked(&collection.name)) {
            let Some(shape) = Shape::of(self.catalog, collection) else {
                continue;
            };
            let compile = |text: &String| Expression::compile(text, Scope::Filter(collection));
            let filter = match self.query.filter.as_ref().map(compile).transpose() {
                Ok(filter) => filter,
                // Where nobody has said which collections, a filter is for those that have its fields.
                Err(message) if named.is_none() => {
                    unfit.get_or_insert(message);
                    continue;
                }
                Err(message) => return Err(wrong("filter", format!("{}: {message}", collection.name))),
            };
            let guard = self.catalog.guard(collection).map(AsRef::as_ref);
            let one = Searched {
                collection,
                shape,
                filter,
                sight: Sight::new(guard, self.asker),
            };
            searched.insert(collection.number, one);
        }
        match unfit.filter(|_| searched.is_empty()) {
            Some(message) => Err(wrong("filter", message)),
            None => Ok(searched),
        }
    }
}

fn wrong(parameter: &str, what: String) -> Error {
    Error::new(Code::InvalidParameter, format!("{parameter}: {what}"))
}
