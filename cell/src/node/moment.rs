//! A tenant as a replica has it at one moment.

use std::sync::Arc;

use storage::Snapshot;

use crate::machine::catalog::Catalog;
use crate::machine::rows::Header;
use crate::records::guard::{Asker, Sight};
use crate::records::schema::Collection;

/// A tenant at one moment.
pub(crate) struct Moment {
    /// What is stored.
    pub(crate) snapshot: Snapshot,
    /// The header of the space.
    pub(crate) header: Header,
    /// Its collections.
    pub(crate) catalog: Arc<Catalog>,
}

impl Moment {
    /// What somebody may see of a collection.
    pub(crate) fn sight<'a>(&'a self, collection: &Collection, asker: Asker<'a>) -> Sight<'a> {
        Sight::new(self.catalog.guard(collection).map(AsRef::as_ref), asker)
    }
}
