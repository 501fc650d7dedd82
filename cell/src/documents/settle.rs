//! The command that says what has become of a document: its text, and one update in the place of many. All of it was worked out by the
//! leader; here it is stored.

use serde::{Deserialize, Serialize};
use storage::table::DocumentUpdate as Key;
use storage::{Direction, Table};
use uuid::Uuid;

use super::rows::{UpdateRow, key};
use super::update::document;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::envelope::seal;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::world::World;
use crate::records::evolve::shape::Shape;
use crate::records::value::Value;
use crate::records::write;

/// Updates that become one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Merged {
    /// The number of the first of them.
    pub(crate) from: u64,
    /// The number of the last of them, which the merged one gets.
    pub(crate) to: u64,
    /// What they say together.
    pub(crate) update: Vec<u8>,
}

/// Says what has become of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentSettle {
    pub(crate) collection: u32,
    pub(crate) id: Uuid,
    pub(crate) field: u16,
    /// Its text.
    pub(crate) text: String,
    /// Updates that become one; none: they stay as they are.
    pub(crate) merged: Option<Merged>,
}

impl Command for DocumentSettle {
    /// Whether the record has got another text.
    type Reply = bool;

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<bool, Stop> {
        world.keep_history();
        let version = world.live()?.schema;
        let catalog = catalogs.get(world, world.space, version)?;
        let place = document(world, &catalog, self.collection, self.id, self.field)?;
        let what = || format!("{}/{}", self.collection, self.id);
        let old = place.find(world)?.ok_or_else(|| Refusal::NotFound { what: what() })?;
        if let Some(merged) = self.merged {
            let range = Key::of_field(place.space, place.collection, place.id.into_bytes(), u32::from(self.field));
            let range = range.before(&key(place, self.field, merged.to.saturating_add(1)).key());
            let keys: Vec<_> = world
                .scan(range, Direction::Forward)
                .map(|row| row.map(|(key, value)| (key, value.len())))
                .collect::<Result<_, _>>()?;
            // Somebody else has merged them meanwhile.
            if keys.first().map(|(key, _)| key) != Some(&key(place, self.field, merged.from).key()) {
                return Err(Refusal::Stale.into());
            }
            keys.into_iter().for_each(|(key, length)| world.delete_counted(key, length));
            let row = seal(&UpdateRow::V1(merged.update));
            world.put_counted(&key(place, self.field, merged.to), row.into(), None);
            world.check_size()?;
        }
        let text = (!self.text.is_empty()).then_some(Value::Text(self.text));
        if old.doc.get(self.field) == text.as_ref() {
            return Ok(false);
        }
        let shape = Shape::find(&catalog, self.collection)?;
        let mut new = old.record.clone();
        new.doc.set(self.field, text);
        new.version = old.version.saturating_add(1);
        new.updated = world.stamp;
        shape.refit(world, place, &old, &mut new.doc)?;
        write::put(world, &shape, place, Some(&old), new)?;
        Ok(true)
    }
}
