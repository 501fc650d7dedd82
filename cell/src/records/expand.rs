//! Expansion: records that others refer to, answered with them.
//!
//! What the rules of its own collection hide is left out, as if the reference pointed nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::body::record::Record as Body;
use api::error::{Code, Error};
use storage::{Snapshot, Space};

use super::entries::Place;
use super::guard::{Asker, Sight};
use super::render;
use super::schema::{Collection, Kind};
use super::value::{Record, Value};
use crate::machine::catalog::Catalog;
use crate::service::error::internal;

/// The references to follow.
#[derive(Default)]
pub(crate) struct Expand<'a>(Vec<Way<'a>>);

/// One of them.
struct Way<'a> {
    name: String,
    field: u16,
    target: &'a Arc<Collection>,
    sight: Sight<'a>,
}

impl<'a> Expand<'a> {
    /// The references of a collection with these names. `sees`: whether who asks may see a collection at all.
    pub(crate) fn read(
        catalog: &'a Catalog,
        collection: &Collection,
        names: &[String],
        asker: Asker<'a>,
        sees: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let mut ways = Vec::with_capacity(names.len());
        for name in names {
            let wrong = |why: String| Error::new(Code::InvalidParameter, format!("expand: {name:?} {why}"));
            let field = collection.field(name);
            let Some((field, Kind::Reference { collection: target, .. })) = field.map(|field| (field, &field.kind)) else {
                return Err(wrong(format!("is not a reference of {}", collection.name)));
            };
            let target = catalog.numbered(*target).filter(|target| !target.dropped);
            let target = target.ok_or_else(|| wrong("refers to a collection that is gone".to_owned()))?;
            if !sees(&target.name) {
                let detail = format!("expand: the token may not see {}", target.name);
                return Err(Error::new(Code::Forbidden, detail));
            }
            ways.push(Way {
                name: name.clone(),
                field: field.number,
                target,
                sight: Sight::new(catalog.guard(target).map(AsRef::as_ref), asker),
            });
        }
        Ok(Self(ways))
    }

    /// What a record refers to, by the name of the field.
    pub(super) fn of<S>(&self, snapshot: &Snapshot, space: Space, record: &Record<S>) -> Result<BTreeMap<String, Body>, Error> {
        let mut found = BTreeMap::new();
        for way in &self.0 {
            let Some(Value::Reference(id)) = record.doc.get(way.field) else {
                continue;
            };
            let place = Place {
                space,
                collection: way.target.number,
                id: *id,
            };
            let target = place.read(snapshot).map_err(|fault| internal(&fault))?;
            if let Some(target) = target.filter(|target| way.sight.shows(*id, target)) {
                let body = render::record(way.target, *id, &target, None).map_err(|error| internal(&error))?;
                found.insert(way.name.clone(), body);
            }
        }
        Ok(found)
    }
}
