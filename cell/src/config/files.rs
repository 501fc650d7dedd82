//! `[region.files]`: where the contents of files of a region's tenants lie, if not on the disks of its nodes.
//!
//! It belongs to the nodes, as `[region.backup]` does: the store is of the region, and nobody outside needs to know of it.

use super::Store;
use super::section::Section;
use super::store::{self, Keys, RawStore};

const KEYS: Keys = Keys {
    store: "region.files.store",
    endpoint: "region.files.endpoint",
    signed_for: "region.files.signed_for",
    access_key: "region.files.access_key",
    secret_key: "region.files.secret_key",
};

/// The store of the files of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The region.
    pub region: String,
    /// Where they lie.
    pub store: Store,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_, '_>) -> RawStore {
    let example = "such as store = \"s3://bucket/{region}\" or \"file:///mnt/files/{region}\"";
    store::read(section, &KEYS, example)
}
