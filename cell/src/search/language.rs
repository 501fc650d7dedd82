//! The language of a tenant's texts: what the stems of words follow.

use serde::{Deserialize, Serialize};
use storage::search::Language;
use storage::{Space, table};

use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::reader::Reader;
use crate::machine::refusal::{Fault, Stop};
use crate::machine::world::World;

/// What a tenant writes in that has not said it.
pub(crate) const USUAL: &str = "en";

/// How a tenant's records are searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The code of the language; empty: none.
    pub(crate) language: String,
}

/// Versions of [`Settings`].
#[derive(Serialize, Deserialize)]
pub(crate) enum SettingsRow {
    /// The first.
    V1(Settings),
}

/// Says how a tenant's records are searched. Each replica indexes them again by itself, as after a change of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchSet(pub(crate) Settings);

impl Command for SearchSet {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        world.live()?;
        let header = world.header_mut()?;
        // What follows the schema asks for the language again.
        header.schema = header.schema.saturating_add(1);
        let space = world.space;
        world.put(&table::SearchSettings { space }, &SettingsRow::V1(self.0));
        Ok(())
    }
}

/// How a tenant's records are searched; none: it has not said it.
pub(crate) fn settings(reader: &impl Reader, space: Space) -> Result<Option<Settings>, Fault> {
    let row: Option<SettingsRow> = reader.row(&table::SearchSettings { space })?;
    Ok(row.map(|SettingsRow::V1(settings)| settings))
}

/// The language of a tenant's texts. One that this version does not know has no stems.
pub(super) fn of(reader: &impl Reader, space: Space) -> Result<Language, Fault> {
    let settings = settings(reader, space)?;
    let code = settings.as_ref().map_or(USUAL, |settings| &settings.language);
    Ok(Language::of(code).unwrap_or_default())
}
