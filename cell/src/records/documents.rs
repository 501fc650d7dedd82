//! The rows of a record's documents (`crate::documents`), which go with the record or with the field.

use storage::Direction;
use storage::table::DocumentUpdate;

use super::entries::Place;
use super::schema::{FieldSpec, Kind};
use crate::machine::reader::Reader;
use crate::machine::refusal::Stop;
use crate::machine::world::World;

/// Takes away what the documents among some fields of a record consist of.
pub(super) fn forget(world: &mut World<'_>, place: Place, fields: &[FieldSpec]) -> Result<(), Stop> {
    for field in fields.iter().filter(|field| field.kind == Kind::Document) {
        let (space, collection, id) = (place.space, place.collection, place.id.into_bytes());
        let range = DocumentUpdate::of_field(space, collection, id, u32::from(field.number));
        let rows = world.scan(range, Direction::Forward);
        let keys: Vec<_> = rows
            .map(|row| row.map(|(key, value)| (key, value.len())))
            .collect::<Result<_, _>>()?;
        keys.into_iter().for_each(|(key, length)| world.delete_counted(key, length));
    }
    Ok(())
}
