//! Who may see which file, and who may change it: one that is attached to a record is seen by who may read that record, and changed by who may
//! also update it; any other is everybody's who may read, or write, the tenant.

use api::error::Error;
use storage::Space;
use uuid::Uuid;

use super::rows::Attached;
use crate::machine::catalog::Catalog;
use crate::machine::reader::Reader;
use crate::machine::refusal::Fault;
use crate::records::entries::Place;
use crate::records::guard::Asker;
use crate::service::error::internal;

/// Who looks.
pub(crate) struct Looker<'a> {
    /// The tenant's collections.
    pub(crate) catalog: &'a Catalog,
    /// Its space.
    pub(crate) space: Space,
    /// Who asks.
    pub(crate) asker: Asker<'a>,
    /// Collections that the token may touch; none: all.
    pub(crate) scopes: Option<&'a [String]>,
}

impl Looker<'_> {
    /// Whether a file that is attached there may be seen. A token for some collections sees what is attached to their records alone. Where
    /// the record is gone, who is bound by rules sees nothing of its files.
    pub(crate) fn sees(&self, reader: &impl Reader, attached: Option<Attached>) -> Result<bool, Fault> {
        let Some((number, id)) = attached else {
            return Ok(self.scopes.is_none());
        };
        let collection = self.catalog.numbered(number).filter(|collection| !collection.dropped);
        let Some(collection) = collection else {
            return Ok(self.scopes.is_none() && !self.asker.is_bound());
        };
        if self.scopes.is_some_and(|scopes| !scopes.contains(&collection.name)) {
            return Ok(false);
        }
        if !self.asker.is_bound() {
            return Ok(true);
        }
        self.shows(reader, number, id)
    }

    /// Whether a record may be read.
    pub(crate) fn shows(&self, reader: &impl Reader, number: u32, id: Uuid) -> Result<bool, Fault> {
        let place = Place {
            space: self.space,
            collection: number,
            id,
        };
        let Some(record) = place.read(reader)? else { return Ok(false) };
        let guard = self
            .catalog
            .numbered(number)
            .and_then(|collection| self.catalog.guard(collection));
        Ok(guard.is_none_or(|guard| guard.shows(&self.asker, id, &record)))
    }

    /// Refuses who may not change the files of a record, because its rules do not allow to update it.
    pub(crate) fn check_change(&self, reader: &impl Reader, attached: Option<Attached>) -> Result<(), Error> {
        let Some((number, id)) = attached else { return Ok(()) };
        let collection = self.catalog.numbered(number);
        let Some((collection, guard)) = collection.and_then(|found| Some((found, self.catalog.guard(found)?))) else {
            return Ok(());
        };
        let place = Place {
            space: self.space,
            collection: number,
            id,
        };
        match place.read(reader).map_err(|fault| internal(&fault))? {
            Some(record) => guard.update(&self.asker, collection, id, &record, &record.doc),
            // Who is bound by rules does not see the files of a record that is gone.
            None => Ok(()),
        }
    }
}
